"""The hook: what trackers are told, by which stages; and that none of them can stop or lose a training."""

import json
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import add_batch, add_set, fast_config, tiny_set

from ganfer.config import Config, load_config
from ganfer.data.imageset import ImageSet
from ganfer.errors import ConfigError, GanferError
from ganfer.pipeline import Project
from ganfer.tracking import Interval, TrackedRun, figures_of, hook, tracked
from ganfer.tracking.figures import flat_params
from ganfer.workspace import Workspace


class Notebook:
    """A tracker as another package would bring it: it notes what it is told."""

    told: list[tuple[Any, ...]] = []  # noqa: RUF012
    fails: tuple[str, ...] = ()

    def _note(self, what: str, *values: Any) -> None:
        print("said on stdout")
        if f"{what} exits" in self.fails:
            sys.exit(3)
        if what in self.fails:
            raise RuntimeError(f"{what} failed for http://me:word@host")
        self.told.append((self.run.name, what, *values))

    def start(self, run: TrackedRun) -> str:
        self.run = run
        self._note("start", run.stage, run.known, run.parent, run.step)
        return run.known or f"id-{run.name}"

    def params(self, values: Mapping[str, Any]) -> None:
        self._note("params", dict(values))

    def metrics(self, values: Mapping[str, Any], step: int | None) -> None:
        self._note("metrics", dict(values), step)

    def picture(self, name: str, pixels: Any, step: int) -> None:
        self._note("picture", name, pixels.shape, step)

    def note(self, name: str, text: str, step: int) -> None:
        self._note("note", name, text, step)

    def artefact(self, path: Path) -> None:
        self._note("artefact", path.name)

    def end(self, status: str) -> None:
        self._note("end", status)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the tracker `notebook`, which another package registered, is told."""
    entry = EntryPoint("notebook", "test_tracking:Notebook", hook.GROUP)
    monkeypatch.setattr(hook, "entry_points", lambda group: [entry])
    monkeypatch.setattr(
        EntryPoint, "load", lambda self: Notebook if self.name == "notebook" else pytest.fail(self.name)
    )
    monkeypatch.setattr(Notebook, "told", [])
    monkeypatch.setattr(Notebook, "fails", ())
    return Notebook.told


def project(root: Path, images: ImageSet | None = None, **settings: object) -> Project:
    workspace = Workspace(root)
    data = add_set(workspace, images or tiny_set((24, 24, 12)))
    add_batch(workspace, data, np.repeat([2, 0], (20, 6)))
    few = {"classifier__epochs": 2, "retrain__arms": "original,synthetic", "label__min_confidence": "0"}
    few |= {"label__manifold": 0.0, "label__copies": False, "label__diverse": False, "label__require_match": False}
    return Project(workspace, fast_config(**{**few, "tracking__to": "notebook", **settings}))


def of(told: list[tuple[Any, ...]], what: str, name: str = "") -> list[tuple[Any, ...]]:
    return [entry[2:] for entry in told if entry[1] == what and name in entry[0]]


def test_a_training_tells_settings_curves_intervals_and_files(told, tmp_path):
    made = project(tmp_path / "w")
    result = made.train_classifier()
    name = result.path.name
    assert of(told, "start") == [("train classifier", "", "", 0)]
    (params,) = of(told, "params")[0]
    assert (params["model"], params["epochs"], params["seed"]) == ("compact-small", 2, 0)
    curves = [values for values, step in of(told, "metrics") if step is not None]
    assert len(curves) == 2
    assert "val_balanced_accuracy" in curves[0]
    (final,) = [values for values, step in of(told, "metrics") if step is None]
    accuracy = final["validation/accuracy"]
    assert isinstance(accuracy, Interval)
    assert accuracy.low <= accuracy.mean <= accuracy.high
    assert accuracy.mean == pytest.approx(result.figures["validation"]["accuracy"])
    assert ("card.json",) in of(told, "artefact")
    assert of(told, "end") == [("finished",)]
    assert json.loads((result.path / "tracking.json").read_text()) == {"notebook": {"": f"id-{name}"}}
    told.clear()
    made.train_classifier()
    assert told == []  # it was done


def test_an_experiment_is_one_run_with_a_run_per_arm(told, tmp_path):
    made = project(tmp_path / "w")
    made.label()
    told.clear()
    result = made.retrain()
    name = result.path.name
    starts = {entry[0]: entry[2:] for entry in told if entry[1] == "start"}
    assert starts[name] == ("retrain", "", "", 0)
    assert starts["original"] == starts["synthetic"] == ("retrain", "", f"id-{name}", 0)
    figures = dict(of(told, "metrics", "original")[0][0])
    arm = next(arm for arm in result.figures["arms"] if arm["name"] == "original")
    assert figures["test/balanced_accuracy"].mean == arm["metrics"]["balanced_accuracy"]["mean"]
    changes = of(told, "metrics", name)[0][0]
    assert all(isinstance(value, Interval) for value in changes.values())
    assert any(key.startswith("synthetic over original/") for key in changes)
    assert {("index.html",), ("results.json",)} <= set(of(told, "artefact", name))
    assert [entry[0] for entry in told if entry[1] == "end"] == ["original", "synthetic", name]


@pytest.mark.long
def test_measurements_tell_too(told, tmp_path):
    made = project(tmp_path / "w", quality__cas=False, quality__halvings=2, crossval__folds=2)
    made.train_classifier()
    for call, stage, wanted in (
        (made.evaluate, "evaluate", "test/figures/accuracy"),
        (made.crossval, "crossval", "random/accuracy"),
        (made.quality, "quality", "copies"),
    ):
        told.clear()
        call()
        assert of(told, "start")[0][0] == stage
        found = {name: value for values, _ in of(told, "metrics") for name, value in values.items()}
        assert isinstance(found[wanted], Interval), found
        assert ("index.html",) in of(told, "artefact")
        assert of(told, "end") == [("finished",)]


def test_a_search_has_a_run_per_trial(told, tmp_path):
    pytest.importorskip("optuna", reason="needs Optuna (extra tune)")
    result = project(tmp_path / "w", tune__trials=2, tune__workers=1).tune(["label_smoothing=0,0.1"])
    assert {entry[0] for entry in told} == {result.path.name, "trial-0", "trial-1"}
    assert "label_smoothing" in of(told, "params", "trial-0")[0][0]
    assert "best/balanced_accuracy" in of(told, "metrics", result.path.name)[0][0]


@pytest.mark.parametrize("method", ["start", "params", "metrics", "artefact", "end"])
def test_a_tracker_that_fails_costs_one_warning(method, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Notebook, "fails", (method,))
    result = project(tmp_path / "w").train_classifier()
    assert (result.path / "model.safetensors").is_file()
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1
    assert f"notebook does not track {result.path.name} any further ({method} failed" in said
    assert "word" not in said


def test_a_tracker_neither_ends_a_training_nor_writes_into_its_result(told, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Notebook, "fails", ("metrics exits",))
    result = project(tmp_path / "w").train_classifier()
    assert (result.path / "model.safetensors").is_file()
    said = capsys.readouterr()
    assert "said on stdout" not in said.out
    assert f"notebook does not track {result.path.name} any further (3)" in said.err


def test_a_package_that_gives_no_tracker_is_named(told, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda: None)
    project(tmp_path / "w").train_classifier()
    assert "notebook does not track" in capsys.readouterr().err


def test_what_is_resumed_is_told_to_the_same_run(told, tmp_path, monkeypatch):
    made = project(tmp_path / "w", classifier__epochs=3)
    heard = Notebook.metrics

    def interrupted(self: Notebook, values: Mapping[str, Any], step: int | None) -> None:
        heard(self, values, step)
        if len(of(told, "metrics")) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Notebook, "metrics", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.train_classifier()
    assert of(told, "end") == [("stopped",)]
    monkeypatch.setattr(Notebook, "metrics", heard)
    result = made.train_classifier()
    assert of(told, "start")[1][1] == f"id-{result.path.name}"
    assert of(told, "end")[-1] == ("finished",)


def test_a_run_that_fails_says_so(told, tmp_path):
    run = Workspace(tmp_path / "w").run("evaluations", "evaluate", {"config": {}})
    with (
        pytest.raises(ValueError, match="bad"),
        run.work("evaluate"),
        tracked(run, load_config(overrides={"tracking.to": "notebook"}), "evaluate", {}),
    ):
        raise ValueError("bad")
    assert of(told, "end") == [("failed",)]


def test_wrong_settings_are_said_before_any_work(tmp_path):
    def config(**settings: str) -> Config:
        return load_config(overrides={f"tracking.{name}": value for name, value in settings.items()})

    with pytest.raises(ConfigError, match=r"no tracker 'mlfow'. Did you mean 'mlflow'"):
        Project(tmp_path, config(to="mlfow"))
    with pytest.raises(ConfigError, match=r"tracking.to = 'tensorboard' does not use it"):
        Project(tmp_path, config(uri="http://host:5000"))
    with pytest.raises(ConfigError, match=r"holds a user or a password") as error:
        config(uri="http://me:word@host:5000")
    assert "word@" not in str(error.value)
    for uri in ("localhost:5000", "foo://bar", "http://", "http://[::1"):
        with pytest.raises(ConfigError, match=r"is no address of MLflow's. Give http://HOST:5000"):
            Project(tmp_path, config(to="mlflow", uri=uri))
    Project(tmp_path, config(to="none"))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("ganfer.runtime.extras.find_spec", lambda name: None)
    with pytest.raises(GanferError, match=r"tracking.to=mlflow needs mlflow.*ganfer\[mlflow\]"):
        Project(tmp_path, load_config(overrides={"tracking.to": "mlflow"}))


def test_nothing_is_written_where_nobody_tracks(tmp_path):
    result = project(tmp_path / "w", tracking__to="none").train_classifier()
    assert not (result.path / "tracking.json").exists()
    assert not (result.path / "tensorboard").exists()


def test_figures_and_settings_are_flat_and_hold_no_secret():
    found = figures_of(
        {"a": {"b": 1, "c": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 3}}, "d": float("nan"), "e": "x", "f": True}
    )
    assert found == {"a/b": 1.0, "a/c": Interval(0.5, 0.4, 0.6)}
    params = flat_params({"a": {"b": 1, "url": "postgresql://me:word@host/db"}, "api_token": "abc", "list": [1, 2]})
    assert params == {"a.b": 1, "a.url": "postgresql://***@host/db", "api_token": "***", "list": "[1, 2]"}


def test_a_command_is_recorded_without_its_secrets(monkeypatch):
    from ganfer.workspace import command_line

    monkeypatch.setattr(
        "sys.argv", ["/bin/ganfer", "tune", "--storage", "postgresql://me:p@ss@host/db", "--token", "abc"]
    )
    assert command_line() == "ganfer tune --storage postgresql://***@host/db --token ***"


def test_folds_of_an_experiment_are_told_in_the_outer_workspace(told, tmp_path, monkeypatch):
    outer = Workspace(tmp_path / "w").run("reports", "retrain", {"config": {}})
    with outer.work("retrain"):
        inner = Workspace(outer.path / "folds" / "1").run("classifiers", "compact", {"config": {}})
        seen = []
        start = Notebook.start
        monkeypatch.setattr(Notebook, "start", lambda self, run: (seen.append(run.workspace), start(self, run))[1])
        with (
            inner.work("train"),
            tracked(inner, load_config(overrides={"tracking.to": "notebook"}), "train classifier", {}),
        ):
            pass
    assert seen == [tmp_path / "w"]
