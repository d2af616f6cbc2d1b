"""`tune`: a study that is kept, goes on after anything, and judges by validation alone."""

import csv
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import add_set, fast_config, tiny_set

from classifiers import ClassifierError, TrainConfig
from classifiers.errors import StorageError
from classifiers.scheduler import Here
from ganfer.config import load_config
from ganfer.errors import ConfigError, GanferError
from ganfer.pipeline import Project
from ganfer.tune import stage, study, trial
from ganfer.tune.space import load_space
from ganfer.tune.trial import PARTS, Pruned
from ganfer.workspace import Workspace

optuna = pytest.importorskip("optuna")

LINES = ["lr=1e-3..1e-2:log", "dropout=0.0,0.3"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    add_set(Workspace(tmp_path / "work"), tiny_set((20, 20, 20)))
    return tmp_path / "work"


def project(work: Path, **settings: object) -> Project:
    return Project(work, fast_config(**{"classifier__model": "compact-small", "classifier__epochs": 2, **settings}))


@contextmanager
def kept_study(run: str, url: str) -> Iterator[Any]:
    """A study as its database has it; its connections are closed."""
    storage = optuna.storages.RDBStorage(url)
    try:
        yield optuna.load_study(study_name=f"ganfer-{run}", storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


class Played:
    """Plays trainings: the figure follows from the settings alone; remembers what was asked for."""

    def __init__(self, figure: Any = None) -> None:
        self.figure = figure or (lambda config: 1 - abs(np.log10(config.lr) + 2.5) / 5)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, data, folder, config, seed, device, metric, report) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        self.asked.append({"lr": config.lr, "dropout": config.dropout})
        value = self.figure(config)
        for part in range(1, PARTS + 1):
            if report(part, value * part / PARTS) and part < PARTS:
                raise Pruned
        return {
            "balanced_accuracy": value,
            "accuracy": value,
            "macro_f1": value,
            "nll": 1 - value,
            "ece": 0.1,
            "seconds": 1.0,
        }


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    play = Played()
    monkeypatch.setattr(trial, "run_trial", play)
    return play


def trials(work: Path) -> list[dict[str, str]]:
    (path,) = work.glob("studies/*/trials.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_real_trainings_end_in_settings_that_every_command_takes(work: Path) -> None:
    result = project(work, tune__trials=2).tune(LINES)
    found = trials(work)
    assert [row["state"] for row in found] == ["complete", "complete"]
    best = max(found, key=lambda row: float(row["balanced_accuracy"]))
    assert result.figures["best"]["value"] == pytest.approx(float(best["balanced_accuracy"]))
    config = load_config(result.path / "best.toml").classifier
    assert (config.lr, config.dropout) == (pytest.approx(float(best["lr"])), pytest.approx(float(best["dropout"])))
    assert (config.model, config.epochs) == ("compact-small", 2)
    kept = list(result.path.glob("trials/*/model.safetensors"))
    assert len(kept) == 1, "the weights of the best trial alone"
    card = json.loads((kept[0].parent / "card.json").read_text())
    assert card["config"]["lr"] == config.lr
    assert card["validation"]["balanced_accuracy"] == pytest.approx(result.figures["best"]["value"])
    assert "--set classifier.lr=" in str(result)
    page = (result.path / "index.html").read_text(encoding="utf-8")
    assert "Every trial" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_same_command_again_adds_nothing_and_more_trials_add(work: Path, played: Played) -> None:
    first = project(work, tune__trials=4).tune(LINES)
    again = project(work, tune__trials=4).tune(LINES)
    assert len(played.asked) == 4
    assert again.figures["best"] == first.figures["best"]
    more = project(work, tune__trials=7).tune(LINES)
    assert more.path == first.path
    assert len(played.asked) == 7
    assert len({json.dumps(asked) for asked in played.asked}) == 7, "a study that goes on draws new settings"
    assert len(trials(work)) == 7


def test_an_interrupted_trial_is_trained_by_the_next_call(
    work: Path, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> dict[str, Any]:
        if len(played.asked) == 2:
            played.asked.append({"lr": arguments[2].lr, "dropout": arguments[2].dropout})
            raise KeyboardInterrupt
        return played(*arguments)

    monkeypatch.setattr(trial, "run_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project(work, tune__trials=4).tune(LINES)
    monkeypatch.setattr(trial, "run_trial", played)
    result = project(work, tune__trials=4).tune(LINES)
    assert played.asked[3] == played.asked[2], "the interrupted settings come first"
    assert len(played.asked) == 5
    assert result.figures["counts"] == {"complete": 4, "stopped_early": 0, "impossible": 0, "interrupted": 1}


def test_an_interrupted_search_is_the_same_search(
    tmp_path: Path, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after any trial, more than once, in the middle of a training too: settings, stops, and the best."""
    asked, bests = [], []
    for name, stops in (("whole", ()), ("broken", (2, 10, 11))):
        add_set(Workspace(tmp_path / name), tiny_set((20, 20, 20)))
        finished: list[dict[str, Any]] = []
        left = list(stops)

        def run(*arguments: Any, finished: list[dict[str, Any]] = finished, left: list[int] = left) -> dict[str, Any]:
            if left and len(finished) == left[0]:
                left.pop(0)
                for part in range(1, 5):
                    arguments[-1](part, 0.1)
                raise KeyboardInterrupt
            finished.append({"lr": arguments[2].lr, "dropout": arguments[2].dropout})
            return played(*arguments)

        monkeypatch.setattr(trial, "run_trial", run)
        for _ in stops:
            with pytest.raises(KeyboardInterrupt):
                project(tmp_path / name, tune__trials=12).tune(LINES)
        result = project(tmp_path / name, tune__trials=12).tune(LINES)
        asked.append(finished)
        bests.append((result.path / "best.toml").read_text().partition("\n")[2])
    assert asked[0] == asked[1]
    assert bests[0] == bests[1]


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_settings_follow_from_the_place_whoever_asks_and_whatever_was_killed(sampler: str, tmp_path: Path) -> None:
    """Three workers, two kills, one of them between a trial and its settings: the same settings in the end."""
    lines = LINES if sampler == "random" else ["lr=0.001,0.003,0.01", "dropout=0.0,0.3"]
    config = load_config(overrides={"tune.sampler": sampler})
    space = load_space("default", lines, config.classifier)

    def ask(found: Any) -> Any:
        return study.ask_next(found, space, config.tune, seed=5)

    (tmp_path / "whole").mkdir()
    with study.open_study("s", tmp_path / "whole", space, config.tune) as found:
        wanted = [ask(found).params for _ in range(6)]
    assert len({str(one) for one in wanted}) == 6
    (tmp_path / "broken").mkdir()
    with study.open_study("s", tmp_path / "broken", space, config.tune) as found:
        first, second, third = (ask(found) for _ in range(3))
        found.tell(second, 0.5)  # the first is slow
        if sampler == "random":
            found.ask()  # killed before it had its settings
    kept = [second.params]
    with study.open_study("s", tmp_path / "broken", space, config.tune) as found:
        again = [ask(found) for _ in range(4)]
        if sampler == "random":  # a grid's own queue comes first
            assert [trial.params for trial in again[:2]] == [first.params, third.params]
        for trial in (again[3], again[0]):
            found.tell(trial, 0.1)
            kept.append(trial.params)
    with study.open_study("s", tmp_path / "broken", space, config.tune) as found:
        kept += [ask(found).params for _ in range(3)]
    assert sorted(map(str, kept)) == sorted(map(str, wanted))


def test_settings_that_all_do_alike_have_no_importance_whatever_was_stopped() -> None:
    found = optuna.create_study(direction="maximize")
    for number in range(9):
        asked = found.ask({"lr": optuna.distributions.FloatDistribution(0.001, 0.1)})
        if number:
            found.tell(asked, 1.0)
        else:
            asked.report(0.3, 1)
            found.tell(asked, state=optuna.trial.TrialState.PRUNED)
    assert stage._importance(found, 8) == {}


def test_places_of_a_study_of_before_are_counted() -> None:
    def trial(state: str, **attrs: int) -> Any:
        return optuna.trial.create_trial(state=optuna.trial.TrialState[state], value=None, user_attrs=attrs)

    assert study._free_place([]) == 0
    assert study._free_place([trial("RUNNING"), trial("RUNNING"), trial("FAIL")]) == 2
    assert study._free_place([trial("RUNNING", place=0), trial("RUNNING", place=2)]) == 1
    assert study._free_place([trial("RUNNING"), trial("RUNNING", place=1), trial("FAIL", place=3)]) == 2


def test_a_full_disk_is_no_finished_trial(work: Path, played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> dict[str, Any]:
        raise StorageError("model.safetensors: cannot be written (No space left on device)")

    monkeypatch.setattr(trial, "run_trial", full)
    for _ in range(2):
        with pytest.raises(StorageError, match="No space left"):
            project(work, tune__trials=3).tune(LINES)
    monkeypatch.setattr(trial, "run_trial", played)
    result = project(work, tune__trials=3).tune(LINES)
    assert result.figures["counts"]["complete"] == 3
    assert result.figures["counts"]["impossible"] == 0


def test_a_database_that_fails_under_way_is_one_line(
    work: Path, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **named: Any) -> None:
        raise optuna.exceptions.StorageInternalError("(sqlite3.OperationalError) database or disk is full")

    project(work, tune__trials=1).tune(LINES)
    monkeypatch.setattr(optuna.Study, "ask", broken)
    with pytest.raises(GanferError, match="disk is full.*goes on from the finished trials"):
        project(work, tune__trials=2).tune(LINES)


def test_trials_of_a_killed_process_are_asked_for_again(work: Path, played: Played) -> None:
    first = project(work, tune__trials=1).tune(LINES)
    with kept_study(first.path.name, f"sqlite:///{first.path / 'study.db'}") as kept:
        left = kept.ask(study.distributions(load_space("default", LINES, TrainConfig())))
        project(work, tune__trials=2).tune(LINES)
        assert played.asked[1] == left.params
        states = [trial.state.name for trial in kept.get_trials(deepcopy=False)]
    assert "RUNNING" not in states


def test_a_grid_trains_every_combination_once(work: Path, played: Played) -> None:
    lines = ["lr=0.001,0.003,0.01", "dropout=0.0,0.3"]
    project(work, tune__trials=100, tune__sampler="grid").tune(lines)
    assert sorted((asked["lr"], asked["dropout"]) for asked in played.asked) == [
        (lr, dropout) for lr in (0.001, 0.003, 0.01) for dropout in (0.0, 0.3)
    ]
    project(work, tune__trials=100, tune__sampler="grid").tune(lines)
    assert len(played.asked) == 6


def test_the_same_settings_are_never_trained_twice(work: Path, played: Played) -> None:
    project(work, tune__trials=8, tune__sampler="random", tune__pruning=False).tune(["dropout=0.0,0.3"])
    assert len(played.asked) == 2
    assert len(trials(work)) == 8


def test_hopeless_trials_are_stopped_early(work: Path, played: Played) -> None:
    played.figure = lambda config: 0.9 if len(played.asked) <= 6 else 0.1
    result = project(work, tune__trials=10).tune(["lr=1e-3..1e-2:log"])
    assert result.figures["counts"]["complete"] == 6
    assert result.figures["counts"]["stopped_early"] == 4
    assert [row["state"] for row in trials(work)].count("stopped early") == 4
    assert len(played.asked) == 10


def test_settings_that_cannot_be_trained_dont_end_the_search(work: Path, played: Played) -> None:
    def figure(config: Any) -> float:
        if config.dropout == 0.3:
            raise ClassifierError("the loss is no longer finite")
        return 0.5

    played.figure = figure
    result = project(work, tune__trials=6, tune__sampler="grid").tune(["dropout=0.0,0.3,0.1"])
    assert result.figures["counts"]["impossible"] == 1
    assert "no longer finite" in next(row["problem"] for row in trials(work) if row["state"] == "impossible")


def test_a_search_in_which_nothing_can_be_trained_stops_and_says_why(work: Path, played: Played) -> None:
    def figure(config: Any) -> float:
        raise ClassifierError("the training set is odd")

    played.figure = figure
    with pytest.raises(GanferError, match="None of the first 3 trials could be trained: the training set is odd"):
        project(work, tune__trials=50).tune(LINES)
    assert len(played.asked) == 3


def test_lower_is_better_for_the_log_loss(work: Path, played: Played) -> None:
    result = project(work, tune__trials=5, tune__metric="nll").tune(LINES)
    assert result.figures["best"]["value"] == min(float(row["nll"]) for row in trials(work))


def test_time_that_is_up_begins_no_trial(work: Path, played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(study, "monotonic", lambda: next(clock))
    project(work, tune__trials=100, tune__minutes=1.0).tune(LINES)
    assert 1 <= len(played.asked) <= 3


def test_workers_train_side_by_side_and_share_the_study(work: Path) -> None:
    result = project(work, tune__trials=3, tune__workers=2, classifier__epochs=1).tune(
        ["lr=0.001,0.003,0.01", "shift=0.0,0.1"]
    )
    assert result.figures["counts"]["complete"] == 3
    assert len({row["trial"] for row in trials(work)}) == 3
    assert all(float(row["seconds"]) > 0 for row in trials(work))


def test_on_a_cluster_each_trial_takes_one_thread_however_many_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a share of the cores of the machine that asks."""
    asked: list[Any] = []

    @contextmanager
    def opened(workers: int | None, threads: int, *_: Any, **__: Any) -> Iterator[Here]:
        asked.extend([workers, threads])
        yield Here()

    def told(place: Any, *arguments: Any) -> dict[str, float]:
        asked.append(arguments[-1])
        return dict.fromkeys(("balanced_accuracy", "accuracy", "macro_f1", "nll", "ece", "seconds"), 1.0)

    monkeypatch.setattr(stage, "opened", opened)
    monkeypatch.setattr(stage, "cores", lambda: 16)
    monkeypatch.setattr(study, "trial_task", told)
    config = project(work, tune__trials=1, tune__workers=4, cluster="tcp://head:8786").config
    workspace = Workspace(work)
    stage.tune(workspace, config, workspace.runs("data")[0], LINES)
    assert asked == [4, 1, 1]


def test_a_worker_that_dies_is_one_impossible_trial_and_a_new_worker(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(place: Any, *arguments: Any) -> dict[str, float]:
        if arguments[1].dropout == 0.3:
            os.kill(os.getpid(), signal.SIGKILL)
        return dict.fromkeys(("balanced_accuracy", "accuracy", "macro_f1", "nll", "ece", "seconds"), 1.0)

    monkeypatch.setattr(study, "trial_task", deadly)
    grid = {"tune__trials": 3, "tune__sampler": "grid", "tune__workers": 2}
    result = project(work, **grid).tune(["dropout=0.0,0.3,0.1"])
    assert (result.figures["counts"]["complete"], result.figures["counts"]["impossible"]) == (2, 1)
    (problem,) = (row["problem"] for row in trials(work) if row["state"] == "impossible")
    assert problem == "its process died (SIGKILL(-9)); with fewer workers each has more memory"


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x", "cannot be used|needs the (package|driver)"),
        ("nodatabase://x", "cannot be used|needs the (package|driver)"),
        ("not a url", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_the_password(work: Path, storage: str, words: str) -> None:
    with pytest.raises(GanferError, match=words) as caught:
        project(work, tune__storage=storage).tune(LINES)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_damaged_study_is_one_line(work: Path, played: Played) -> None:
    first = project(work, tune__trials=1).tune(LINES)
    (first.path / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(GanferError, match="cannot be used .*Remove .* and search anew") as caught:
        project(work, tune__trials=2).tune(LINES)
    assert "\n" not in str(caught.value)


def test_another_database_holds_the_study(work: Path, played: Played, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    result = project(work, tune__trials=2, tune__storage=url).tune(LINES)
    assert not (result.path / "study.db").exists()
    with kept_study(result.path.name, url) as kept:
        assert len(kept.trials) == 2


def test_without_optuna_one_line_says_what_to_install(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(GanferError, match=r"needs optuna, which is not installed. Run: pip install 'ganfer\[tune\]'"):
        project(work).tune(LINES)
    assert not (work / "studies").exists()


def test_the_plan_and_a_wrong_space_come_before_any_work(work: Path) -> None:
    plan = str(project(work, tune__space="eight-class").tune(dry_run=True))
    assert "30 trials of cnn-8class (grid)" not in plan, "the model was set by the caller"
    assert "30 trials of compact-small (grid)" in plan
    with pytest.raises(ConfigError, match="Did you mean 'lr'"):
        project(work).tune(["lrr=1,2"])
    assert not (work / "studies").exists()
