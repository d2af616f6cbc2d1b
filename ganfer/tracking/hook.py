"""The one hook: a stage tells what it does, and every tracker that is set hears it. None of them can stop the work."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ganfer.config import Config, TrackingConfig
from ganfer.errors import ConfigError, WorkspaceError, did_you_mean
from ganfer.runtime import ranks
from ganfer.runtime.console import say
from ganfer.runtime.extras import require
from ganfer.runtime.files import read_object, write_json
from ganfer.runtime.text import hide_secrets, one_line
from ganfer.tracking.figures import flat_params
from ganfer.tracking.tracker import Metric, TrackedRun, Tracker, Value
from ganfer.workspace import MARKER, Run

GROUP = "ganfer.trackers"
FILE = "tracking.json"
BOARD = "tensorboard"
#: Ganfer's own; other packages register theirs under the group.
_OWN = (
    EntryPoint(BOARD, "ganfer.tracking.tensorboard:TensorboardTracker", GROUP),
    EntryPoint("mlflow", "ganfer.tracking.mlflow:MlflowTracker", GROUP),
)
_NEEDS = {"mlflow": ("mlflow", "mlflow")}
_STORES = ("", "file", "http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc")
_LONGEST = 300  # characters of another program's error

Record = Callable[[dict[str, float], int], None]


def chosen(settings: TrackingConfig) -> list[str]:
    """The trackers' names, as the setting has them."""
    return [name for name in dict.fromkeys(part.strip() for part in settings.to.split(",")) if name and name != "none"]


def check_trackers(settings: TrackingConfig) -> None:
    """ConfigError for a tracker that nobody registered, GanferError for one whose package is missing."""
    if settings.to == TrackingConfig().to and not settings.uri:
        return
    known = registered()
    names = chosen(settings)
    for name in names:
        if name not in known:
            raise ConfigError(f"tracking.to = {settings.to!r}: no tracker {name!r}.", did_you_mean(name, sorted(known)))
        if name in _NEEDS:
            require(f"tracking.to={name}", *_NEEDS[name])
    if "mlflow" in names and settings.uri:
        _check_mlflow(settings.uri)
    if settings.uri and names in ([], [BOARD]):
        raise ConfigError(
            f"tracking.uri is set, and tracking.to = {settings.to!r} does not use it.", "Add --set tracking.to=mlflow."
        )


def _check_mlflow(uri: str) -> None:
    """ConfigError for an address that MLflow could never reach: it says so only when a run has begun."""
    try:
        place = urlsplit(uri)
    except ValueError:
        place = None
    kind = place.scheme.partition("+")[0] if place else "?"
    plugins = (entry.name for entry in entry_points(group="mlflow.tracking_store"))
    if kind not in (*_STORES, *plugins) or (place and kind.startswith("http") and not place.hostname):
        raise ConfigError(
            f"tracking.uri = {uri!r} is no address of MLflow's.", "Give http://HOST:5000, or sqlite:///FILE."
        )


class Tracked:
    """A run as a stage tells of it; one nested in it has its own trackers. Of several processes the leader tells."""

    def __init__(
        self, run: Run, config: Config, stage: str, *, name: str = "", parents: Mapping[str, str] | None = None
    ) -> None:
        self._run, self._config, self._stage = run, config, stage
        self._name, self._parents = name, parents or {}
        self._trackers: dict[str, Tracker] | None = None
        self._ids: dict[str, str] = {}

    def start(self, params: Mapping[str, Any], step: int = 0) -> None:
        """Begin, or go on. params: the settings, nested. step: points beyond it are told again."""
        if self._trackers is not None or not ranks.leads():
            return
        self._trackers = {}
        known = _known(self._run)
        for kind in self._wanted():
            seen = TrackedRun(
                self._name or self._run.name, self._stage, self._run.path, _home(self._run),
                known.get(kind, {}).get(self._name, ""), self._parents.get(kind, ""), step,
                self._config.tracking.uri, self._config.tracking.experiment,
            )  # fmt: skip
            tracker = self._guard(kind, partial(_open, kind))
            if tracker is None:
                continue
            self._trackers[kind] = tracker
            found = self._guard(kind, partial(tracker.start, seen))
            if kind in self._trackers and found:
                self._ids[kind] = str(found)
        if changed := {kind: name for kind, name in self._ids.items() if known.get(kind, {}).get(self._name) != name}:
            for kind, name in changed.items():
                known.setdefault(kind, {})[self._name] = name
            write_json(self._run.path / FILE, known)
        values: dict[str, Value] = flat_params(params)
        self._tell(lambda tracker: tracker.params(values))

    def metrics(self, values: Mapping[str, Metric], step: int | None = None) -> None:
        """Figures at a step; without one, those of the end."""
        self._tell(lambda tracker: tracker.metrics(values, step))

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """An image (H, W, C) uint8."""
        self._tell(lambda tracker: tracker.picture(name, pixels, step))

    def note(self, name: str, text: str, step: int) -> None:
        """A line of text at a step."""
        self._tell(lambda tracker: tracker.note(name, text, step))

    def artefacts(self, *names: str) -> None:
        """Files of the run's folder, those that are there."""
        for name in names:
            path: Path = self._run.path / name
            if path.is_file():
                self._tell(lambda tracker, path=path: tracker.artefact(path))  # type: ignore[misc]

    @contextmanager
    def nested(self, name: str, params: Mapping[str, Any]) -> Iterator["Tracked"]:
        """A run within this one: an arm, a trial."""
        inner = Tracked(self._run, self._config, self._stage, name=name, parents=self._ids)
        inner.start(params)
        with inner.ending():
            yield inner

    @contextmanager
    def curves(self, folder: Path, step: int, wanted: bool) -> Iterator[Record]:
        """For `classifiers.train`: gives the function that is told a row of the history at its step."""
        del folder, wanted
        self.start(self._config.to_dict()["classifier"] | {"seed": self._config.seed}, step)
        yield lambda row, step: self.metrics(row, step)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Tell the end, whatever it is."""
        status = "failed"
        try:
            yield
            status = "finished"
        except KeyboardInterrupt:
            status = "stopped"
            raise
        finally:
            self._tell(lambda tracker: tracker.end(status))

    def _wanted(self) -> list[str]:
        names = chosen(self._config.tracking)
        if self._stage != "train gan" and not self._config.classifier.tensorboard:
            names = [name for name in names if name != BOARD]
        return names

    def _tell(self, tell: Callable[[Tracker], None]) -> None:
        for kind, tracker in list((self._trackers or {}).items()):
            self._guard(kind, partial(tell, tracker))

    def _guard(self, kind: str, call: Callable[[], Any]) -> Any:
        """The call's result; a failure is said once, and the tracker hears no more of this run."""
        try:
            with redirect_stdout(sys.stderr):  # stdout is the command's result
                return call()
        except (Exception, SystemExit) as error:  # a tracker is another's program: no training may be lost to one
            if self._trackers is not None:
                self._trackers.pop(kind, None)
            reason = hide_secrets(one_line(" ".join(str(error).split())[:_LONGEST])) or type(error).__name__
            name = self._name or self._run.name
            say(f"WARNING: {kind} does not track {name} any further ({reason}); the work goes on.")
            return None


@contextmanager
def tracked(run: Run, config: Config, stage: str, params: Mapping[str, Any] | None = None) -> Iterator[Tracked]:
    """Tell the trackers of a stage's run for as long as the block lasts.

    params: the settings; None: the block itself calls `start`, when it knows the step it goes on from.

    Example: `with tracked(run, config, "evaluate", settings) as track: track.metrics({"accuracy": 0.9})`.
    """
    track = Tracked(run, config, stage)
    if params is not None:
        track.start(params)
    with track.ending():
        yield track


def _home(run: Run) -> Path:
    """The workspace that a run belongs to; of one within another (the folds of an experiment) the outer one."""
    above = run.path.resolve().parents
    return next((folder for folder in reversed(above) if (folder / MARKER).is_file()), run.path.parent.parent)


def registered() -> dict[str, EntryPoint]:
    """The trackers there are, by name."""
    return {entry.name: entry for entry in (*entry_points(group=GROUP), *_OWN)}


def _open(kind: str) -> Tracker:
    tracker: Tracker | None = registered()[kind].load()()
    if tracker is None:
        raise TypeError("its package gives no tracker")
    return tracker


def _known(run: Run) -> dict[str, dict[str, str]]:
    """What trackers call the run and those in it: tracker -> name ("" for the run itself) -> id."""
    try:
        found = read_object(run.path / FILE, "Remove it; the run is then tracked anew.")
    except (FileNotFoundError, WorkspaceError):
        return {}
    return {
        kind: {str(name): str(value) for name, value in ids.items()}
        for kind, ids in found.items()
        if isinstance(ids, dict)
    }
