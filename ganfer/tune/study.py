"""The study: an Optuna database of trials, and the loop that asks it for settings and tells it what came of them."""

import dataclasses
import itertools
import os
import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers import ClassifierError, TrainConfig
from classifiers.errors import StorageError
from classifiers.prediction import WEIGHTS
from classifiers.processes import is_alive
from classifiers.scheduler import Died, Engine, Task, run
from classifiers.start import placed
from classifiers.state import RESUME
from ganfer.config import TuneConfig
from ganfer.errors import GanferError
from ganfer.runtime.files import check_writable, digest_json
from ganfer.tune.space import Choice, Space
from ganfer.tune.trial import Pruned, Splits, trial_task

if TYPE_CHECKING:
    import optuna

_HOPELESS = 3  # so many first trials that cannot be trained, and the search stops
_DRIVERS = {"postgresql": "psycopg2", "mysql": "MySQLdb", "oracle": "oracledb"}  # SQLAlchemy's own choice
_PACKAGES = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # where the package is called otherwise
_MEND_URL = "Check --storage, or leave it out for SQLite in the workspace."
_PLACE = "place"  # of a trial in the search: what its settings are drawn by
LOWER_IS_BETTER = ("nll",)


def require_optuna() -> None:
    """GanferError with one line when Optuna is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise GanferError(
            f"ganfer tune needs {error.name}, which is not installed.", "Run: pip install 'ganfer[tune]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@contextmanager
def open_study(name: str, folder: Path, space: Space, settings: TuneConfig) -> "Iterator[optuna.Study]":
    """The study of that name, kept from earlier calls, in the folder's SQLite file or the database of the settings.

    Trials that a killed process left behind are put back into the queue. Connections are closed when the block ends.
    GanferError when the database cannot be used, before or within the block.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    own = not settings.storage
    url = f"sqlite:///{folder / 'study.db'}" if own else settings.storage
    with ExitStack() as held:
        with _usable(url, f"Remove {folder} and search anew." if own else _MEND_URL):
            _check_sqlite(url)
            storage = optuna.storages.RDBStorage(url)
            held.callback(storage.engine.dispose)
            held.callback(storage.remove_session)
            study = _load(name, storage, space, settings, own)
        try:
            yield study
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise GanferError(
                f"The study's database {_hidden(url)} failed ({_reason(error)}).",
                "Mend that, or free space; the same command goes on from the finished trials.",
            ) from error


def check_storage(settings: TuneConfig) -> None:
    """GanferError for a database of the user's that cannot be reached, before any work."""
    if settings.storage:
        with _usable(settings.storage, _MEND_URL):
            _reach(settings.storage)


def _reach(url: str) -> None:
    """Look whether the database answers; makes nothing in it. A new SQLite file needs a folder that takes it."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url

    place = make_url(url)
    if place.get_backend_name() == "sqlite" and place.database and not place.database.startswith(":memory:"):
        _check_sqlite(url)
        folder = Path(place.database).parent
        if not folder.is_dir():
            raise RuntimeError(f"there is no folder {folder}")
        check_writable(folder, f"--storage {url}")
        return
    engine = create_engine(url)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


@contextmanager
def _usable(url: str, remedy: str) -> Iterator[None]:
    """What opening a database fails with, as a GanferError of one line."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ImportError as error:
        driver = _missing_driver(error, url)
        raise GanferError(
            f"--storage {_hidden(url)} needs the driver {driver}.",
            f"Install it: pip install {_PACKAGES.get(driver, driver)}.",
        ) from error
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ValueError, RuntimeError) as error:
        raise GanferError(f"The study's database {_hidden(url)} cannot be used ({_reason(error)}).", remedy) from error


def _check_sqlite(url: str) -> None:
    """RuntimeError for a damaged SQLite file, before Optuna opens it: it would leave its connection open."""
    file = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not file.is_file():
        return
    with closing(sqlite3.connect(file)) as connection:
        try:
            (found,) = connection.execute("pragma quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise RuntimeError(str(error)) from error
    if found != "ok":
        raise RuntimeError(str(found))


def _load(name: str, storage: Any, space: Space, settings: TuneConfig, own: bool) -> "optuna.Study":
    import optuna

    known = any(summary.study_name == name for summary in optuna.get_all_study_summaries(storage))
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="minimize" if settings.metric in LOWER_IS_BETTER else "maximize",
        load_if_exists=True,
        pruner=_pruner(settings),
    )
    if known:
        _requeue_the_dead(study, own, len(space.specs))
    elif sampler_name(space, settings) == "grid":
        for params in space.grid():
            study.enqueue_trial(params)
    return study


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0][:200]


def sampler_name(space: Space, settings: TuneConfig) -> str:
    """tpe, random or grid: the setting, else the space's own, else tpe."""
    return settings.sampler if settings.sampler != "auto" else space.sampler or "tpe"


def _sampler(space: Space, settings: TuneConfig, seed: int, trial: int) -> Any:
    """The sampler for one trial: it depends on the trial's place in the search alone, so that a search that was
    interrupted asks for the same settings as one that was not."""
    import optuna

    number = int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])
    if sampler_name(space, settings) == "tpe":
        return optuna.samplers.TPESampler(seed=number)
    return optuna.samplers.RandomSampler(seed=number)  # a grid's trials wait in the queue, nothing is left to draw


def _pruner(settings: TuneConfig) -> Any:
    import optuna

    if not settings.pruning:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)


def distributions(space: Space) -> dict[str, Any]:
    """The space in Optuna's terms."""
    import optuna

    found: dict[str, Any] = {}
    for name, spec in space.specs.items():
        if isinstance(spec, Choice):
            found[name] = optuna.distributions.CategoricalDistribution(spec.values)
        elif spec.whole:
            step = int(spec.step or 1)
            found[name] = optuna.distributions.IntDistribution(int(spec.low), int(spec.high), log=spec.log, step=step)
        else:
            found[name] = optuna.distributions.FloatDistribution(spec.low, spec.high, log=spec.log, step=spec.step)
    return found


def _requeue_the_dead(study: "optuna.Study", own: bool, settings: int) -> None:
    """Trials still called running by a process that is gone: failed, and asked for again with the same settings.

    One that was killed before it had all of its `settings` is not: the next one takes its place, and gets the same.

    own: nobody else uses the database, so all of them; else those of this machine whose process has ended.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        here = trial.user_attrs.get("host") == platform.node() and not is_alive(int(trial.user_attrs.get("pid", 0)))
        if own or here:
            study.tell(trial.number, state=TrialState.FAIL)
            if len(trial.params) == settings:
                _enqueue_again(study, trial)


def ask_next(study: "optuna.Study", space: Space, settings: TuneConfig, seed: int) -> "optuna.Trial | None":
    """The next trial: one that waits, else that of the first free place. None where a grid is done."""
    from optuna.trial import TrialState

    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if sampler_name(space, settings) == "grid" and not waiting:
        return None
    place = _free_place(study.get_trials(deepcopy=False))
    study.sampler = _sampler(space, settings, seed, place)
    trial = study.ask(distributions(space))
    if not waiting:
        trial.set_user_attr(_PLACE, place)
    trial.set_user_attr("host", platform.node())
    trial.set_user_attr("pid", os.getpid())
    return trial


def _enqueue_again(study: "optuna.Study", trial: Any) -> None:
    """Ask for a trial's settings once more, at its place in the search."""
    place = trial.user_attrs.get(_PLACE)
    study.enqueue_trial(trial.params, user_attrs={} if place is None else {_PLACE: place})


def _free_place(trials: Iterable[Any]) -> int:
    """The first place in the search that no trial has. Failed ones have none: theirs is asked for again, and with the
    same settings, whoever asks. Trials of before, which do not say theirs, came one after the other."""
    from optuna.trial import TrialState

    places = [trial.user_attrs.get(_PLACE) for trial in trials if trial.state != TrialState.FAIL]
    taken = {place for place in places if place is not None}
    free = (place for place in itertools.count() if place not in taken)
    return next(itertools.islice(free, places.count(None), None))


def _missing_driver(error: BaseException, url: str) -> str:
    """The module of the database's driver: as the failed import names it, else as the URL's scheme does."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ImportError) and cause.name and not cause.name.startswith(("optuna", "sqlalchemy")):
            return cause.name
        cause = cause.__cause__ or cause.__context__
    dialect, _, driver = url.partition(":")[0].partition("+")
    return driver or _DRIVERS.get(dialect, dialect)


def _hidden(url: str) -> str:
    """The URL without its password."""
    head, at, tail = url.rpartition("@")
    scheme, slashes, user = head.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{tail}" if at else url


# --- the loop ---------------------------------------------------------------------------------------------------------


@dataclass
class Search:
    """A study at work. `base` holds the settings around the searched ones; trials are trained below `folder`."""

    study: "optuna.Study"
    space: Space
    settings: TuneConfig
    base: TrainConfig
    folder: Path
    seed: int
    advance: Callable[..., None]

    def __post_init__(self) -> None:
        self._running = dict[int, Path]()  # trial -> its folder
        self._deadline = monotonic() + 60 * self.settings.minutes if self.settings.minutes else float("inf")

    def run(self, engine: Engine, splits: Splits, device: str, threads: int | None = None) -> None:
        """Trials on the engine's workers until there are enough, the time is up, or the grid is done.

        What an interrupted trial was asked for is asked for again at the next call. threads: of each; none: torch's.
        """
        try:
            for task, value in run(self._tasks(splits, device, threads), engine):
                self._told(task.about, value)
        except BaseException:
            for number in self._running:
                self._ask_again(number)
            raise

    def _tasks(self, splits: Splits, device: str, threads: int | None) -> "Iterator[Task]":
        while (trial := self._next()) is not None:
            folder = self.folder / digest_json(trial.params)[:10]
            while folder in self._running.values():  # the sampler may ask for the same twice
                folder = folder.with_name(f"{folder.name}-again")
            self._running[trial.number] = folder
            config = dataclasses.replace(self.base, **trial.params)
            known = self._known(trial.params)
            if known is not None:
                self._told(trial, known)
                continue
            how = (splits.class_names, placed(config), self.seed, device, self.settings.metric, threads)
            yield Task(f"trial {trial.number}", trial_task, how, folder, splits.arrays(), self._hears(trial), trial)

    def _hears(self, trial: "optuna.Trial") -> Callable[[Any], bool]:
        def hear(said: tuple[int, float]) -> bool:
            part, figure = said
            trial.report(figure, part)
            return bool(trial.should_prune())

        return hear

    def _next(self) -> "optuna.Trial | None":
        """The next trial, or None when it is time to end."""
        if monotonic() >= self._deadline or len(finished(self.study)) + len(self._running) >= self.settings.trials:
            return None
        return ask_next(self.study, self.space, self.settings, self.seed)

    def _told(self, trial: "optuna.Trial", value: Any) -> None:
        """Tell the study what came of a trial."""
        from optuna.trial import TrialState

        if isinstance(value, Pruned):
            self.study.tell(trial, state=TrialState.PRUNED)
            note = "stopped early"
        elif isinstance(value, ClassifierError | Died) and not isinstance(value, StorageError):
            note = value.advised if isinstance(value, Died) else value.message
            trial.set_user_attr("problem", note)
            self.study.tell(trial, state=TrialState.PRUNED)
            self._give_up_if_hopeless()
        elif isinstance(value, Exception):
            raise value
        else:
            trial.set_user_attr("figures", dict(value))
            self.study.tell(trial, value[self.settings.metric])
            note = f"best {self.study.best_value:.4f}"
        self._tidy(self._running.pop(trial.number))
        self.advance(1, note=note)

    def _ask_again(self, number: int) -> None:
        """Mark a trial that something else ended, and queue its settings. A full disk may refuse even that: then the
        next call finds the trial running without a process, and does the same."""
        from optuna.exceptions import StorageInternalError
        from optuna.trial import TrialState

        with suppress(StorageInternalError):
            trial = next(trial for trial in self.study.get_trials(deepcopy=False) if trial.number == number)
            if trial.state == TrialState.RUNNING:
                self.study.tell(number, state=TrialState.FAIL)
                _enqueue_again(self.study, trial)

    def _known(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """The figures of a finished trial with the very same settings: training it again would bring the same."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if trial.params == params:
                figures: dict[str, Any] = trial.user_attrs["figures"]
                return figures
        return None

    def _give_up_if_hopeless(self) -> None:
        done = finished(self.study)
        problems = [trial.user_attrs.get("problem") for trial in done]
        if len(done) >= _HOPELESS and all(problems):
            raise GanferError(
                f"None of the first {len(done)} trials could be trained: {problems[0]}.",
                "Mend that, or the search space.",
            )

    def _tidy(self, folder: Path) -> None:
        """Keep the weights of the best trial alone; of the others their curves and cards stay."""
        done = [trial for trial in finished(self.study) if trial.value is not None and "figures" in trial.user_attrs]
        keep = self.folder / digest_json(self.study.best_params)[:10] if done else None
        (folder / RESUME).unlink(missing_ok=True)
        for weights in self.folder.glob(f"*/{WEIGHTS}"):
            if weights.parent != keep and (weights.parent / "card.json").is_file():
                weights.unlink(missing_ok=True)
        for left in self.folder.glob("*/tensorboard"):
            shutil.rmtree(left, ignore_errors=True)


def finished(study: "optuna.Study") -> list[Any]:
    """The trials that count: trained to the end, or stopped early for being behind."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
