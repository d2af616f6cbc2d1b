"""The comparison: equal steps, paired seeds, one look at the test split, and refusals that protect it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, tiny_set

from ganfer import retrain as retrain_module
from ganfer.arms import ARMS, chosen_arms
from ganfer.errors import ConfigError, DataError
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]


def ready(root: Path, train: tuple[int, int, int] = (40, 60, 6), **settings: object) -> Project:
    """A workspace with data and a batch that fills the rare class."""
    workspace = Workspace(root)
    data = add_set(workspace, tiny_set(train))
    add_batch(workspace, data, np.repeat([2, 0], [40, 10]))
    return Project(workspace, fast_config(**settings))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = ready(tmp_path_factory.mktemp("retrain"), retrain__arms="original,oversample,synthetic")
    project.retrain()
    return project


def test_the_results_hold_what_the_report_shows(done: Project) -> None:
    results = done.retrain().figures
    assert [arm["name"] for arm in results["arms"]] == ["original", "oversample", "synthetic"]
    original, _, synthetic = results["arms"]
    assert original["train_counts"] == {"angry": 40, "happy": 60, "sad": 6}
    kept = results["screen"]["kept"]
    assert synthetic["synthetic_counts"] == kept
    assert synthetic["train_counts"]["sad"] == 6 + kept["sad"] > 6
    assert {arm["steps"] for arm in results["arms"]} == {original["steps"]}
    for arm in results["arms"]:
        assert np.sum(arm["confusion"]) == 36 * 2  # every test image once per seed
        assert len(arm["metrics"]["balanced_accuracy"]["per_seed"]) == 2
        accuracy = np.trace(arm["confusion"]) / np.sum(arm["confusion"])
        assert arm["metrics"]["accuracy"]["mean"] == pytest.approx(accuracy)
        assert arm["metrics"]["accuracy"]["low"] <= accuracy <= arm["metrics"]["accuracy"]["high"]
    changes = {(row["arm"], row["metric"]): row for row in results["comparisons"]}
    expected = synthetic["metrics"]["balanced_accuracy"]["mean"] - original["metrics"]["balanced_accuracy"]["mean"]
    assert changes["synthetic", "balanced_accuracy"]["change"] == pytest.approx(expected)
    assert {("synthetic", f"recall:{name}") for name in NAMES} <= changes.keys()
    assert results["verdict"]["word"] in ("helps", "hurts", "no difference", "cannot tell")
    assert any("sad has 12 test images" in note for note in results["data"]["notes"])
    assert not any("No cheap alternative" in note for note in results["data"]["notes"])  # oversample was compared


def test_page_json_and_record_are_written(done: Project) -> None:
    result = done.retrain()
    assert result.path is not None
    assert json.loads((result.path / "results.json").read_text())["verdict"] == result.figures["verdict"]
    page = (result.path / "index.html").read_text()
    assert result.figures["verdict"]["sentence"][:30] in page
    assert str((result.path / "index.html").resolve()) in result.lines[-1]


def test_the_same_seed_starts_from_the_same_weights_in_every_arm() -> None:
    import torch

    from classifiers import create_model

    torch.manual_seed(3)
    first = create_model("compact", 3, 1, 16).state_dict()
    torch.manual_seed(3)
    assert all(
        torch.equal(value, first[name]) for name, value in create_model("compact", 3, 1, 16).state_dict().items()
    )


def test_arms_build_what_they_say() -> None:
    real, drawn = tiny_set().of("train"), tiny_set((0, 0, 5), 0, 0)
    drawn = replace(drawn, source=np.full(len(drawn), "synthetic"))
    config = fast_config().classifier
    built = {name: arm.build(real, drawn, 0.5, config) for name, arm in ARMS.items()}
    assert len(built["original"].images) == len(real)
    assert built["original"].config == config
    assert built["oversample"].config.sampler == "balanced"
    assert built["class-weighted"].config.loss == "class-weighted"
    assert built["logit-adjusted"].config.loss == "logit-adjusted"
    assert built["synthetic"].images.counts() == {"angry": 40, "happy": 60, "sad": 15}
    assert built["synthetic"].weights.tolist() == [1.0] * len(real) + [0.5] * 5


@pytest.mark.parametrize("arms", ["", "original", "synthetic", "original,original", "original,syntetic"])
def test_arms_that_compare_nothing(arms: str) -> None:
    with pytest.raises(ConfigError, match=r"Give original and|Did you mean 'synthetic'"):
        chosen_arms(arms)


def test_a_batch_from_other_data_is_refused(tmp_path: Path) -> None:
    project = ready(tmp_path)
    project.label()
    batch = project.need_batch()
    other = add_set(project.workspace, tiny_set((41, 60, 6)), "other")
    with pytest.raises(DataError, match="was generated from other data"):
        retrain_module.retrain(project.workspace, project.config, other, batch)


def test_a_synthetic_image_in_the_test_split_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    images = tiny_set()
    source = images.source.copy()
    source[-1] = "synthetic"
    add_batch(workspace, add_set(workspace, replace(images, source=source)), np.array([0, 1, 2] * 5))
    with pytest.raises(DataError, match=r"test split holds 1 synthetic image"):
        Project(workspace, fast_config(classifier__epochs=1, label__min_confidence="0")).retrain()


def test_nothing_kept_says_what_rejected_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set())
    add_batch(workspace, data, np.array([0, 1, 2]), np.full((3, 1, 16, 16), 50, np.uint8))
    with pytest.raises(DataError, match=r"kept none of the 3 faces .*\(3 blank\)"):
        Project(workspace, fast_config(classifier__epochs=1)).retrain()


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    result = Project(tmp_path / "empty", fast_config()).retrain(dry_run=True)
    assert any("draw" in step for step in result.figures["plan"])
    assert any("train compact" in step for step in result.figures["plan"])
    assert not (tmp_path / "empty").exists()


def test_killed_and_run_again_gives_the_same_figures(tmp_path: Path, done: Project) -> None:
    whole = ready(tmp_path / "whole").retrain().figures
    cut = ready(tmp_path / "cut")
    cut.label()
    code = (
        "import sys; sys.path.insert(0, 'tests'); from tiny import fast_config; from ganfer.pipeline import Project;"
        f"Project({str(tmp_path / 'cut')!r}, fast_config()).retrain()"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "cut" / "reports").glob("*/trainings/original-0/test.npz")):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    kept = next((tmp_path / "cut" / "reports").glob("*/trainings/original-0/test.npz"))
    written = kept.stat().st_mtime_ns
    resumed = cut.retrain().figures
    assert any("No cheap alternative" in note for note in resumed["data"]["notes"])
    assert kept.stat().st_mtime_ns == written  # what was trained is not trained again
    assert [arm["confusion"] for arm in resumed["arms"]] == [arm["confusion"] for arm in whole["arms"]]
    assert resumed["comparisons"] == whole["comparisons"]
