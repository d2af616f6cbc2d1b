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

from ganfer.errors import ConfigError, DataError
from ganfer.experiment import retrain as retrain_module
from ganfer.experiment.arms import ARMS, QUICK, chosen_arms
from ganfer.experiment.material import Material
from ganfer.experiment.portions import joined, portion, rare_first
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
PLACEBOS = ("duplicated", "shuffled", "unscreened")


def ready(root: Path, train: tuple[int, int, int] = (40, 60, 6), **settings: object) -> Project:
    """A workspace with data and a batch that fills the rare class."""
    workspace = Workspace(root)
    data = add_set(workspace, tiny_set(train))
    add_batch(workspace, data, np.repeat([2, 0], [40, 10]))
    return Project(workspace, fast_config(**{"retrain__arms": "original,synthetic", **settings}))


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
    rows = [row for row in results["comparisons"] if row["baseline"] == "original"]
    changes = {(row["arm"], row["metric"]): row for row in rows}
    expected = synthetic["metrics"]["balanced_accuracy"]["mean"] - original["metrics"]["balanced_accuracy"]["mean"]
    assert changes["synthetic", "balanced_accuracy"]["change"] == pytest.approx(expected)
    assert {("synthetic", f"recall:{name}") for name in NAMES} <= changes.keys()
    assert results["verdict"]["word"] in ("helps", "does not help", "hurts", "no difference", "cannot tell")
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
    real, drawn = tiny_set().of("train"), tiny_set((2, 0, 5), 0, 0)
    drawn = replace(drawn, source=np.full(len(drawn), "synthetic"))
    raw = replace(drawn, images=255 - drawn.images)
    config = fast_config().classifier
    teacher = np.full((len(real), 3), 1 / 3, np.float32)
    soft = replace(drawn, soft_labels=np.full((7, 3), 1 / 3, np.float32))
    material = Material(
        real, drawn, raw, weight=0.5, best="oversample", held_back=real, teacher=teacher, plausible=(soft,),
        moved={"m2m": (real.select([0]), "")}, pool=real,
    )  # fmt: skip
    built = {name: arm.build(material, config) for name, arm in ARMS.items() if name != "clean"}
    assert len(built["original"].images) == len(real)
    assert built["original"].config == config
    assert built["oversample"].config.sampler == "balanced"
    deferred = built["deferred-weights"].config
    assert (deferred.loss, deferred.defer) == ("class-weighted", 0.8)
    assert built["distilled"].images.soft_labels is not None
    assert built["distilled"].images.soft_labels[0].tolist() == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert built["oracle"].images.counts() == {"angry": 42, "happy": 60, "sad": 15}
    assert built["pool"].images.counts() == built["pool+best"].images.counts() == built["oracle"].images.counts()
    assert built["half"].images.counts() == {"angry": 40, "happy": 60, "sad": 5}  # only sad is rare
    assert built["quarter"].images.counts()["sad"] == 2
    assert built["logit-adjusted"].config.loss == "logit-adjusted"
    strong = built["strong-augment"].config
    assert (strong.augment, strong.mixup > 0, strong.cutmix > 0) == ("randaugment", True, True)
    more = {"angry": 42, "happy": 60, "sad": 15}
    for name in ("synthetic", "synthetic+best", "distilled+synthetic", "duplicated", "duplicated+best", "unscreened"):
        assert built[name].images.counts() == more, name
        assert built[name].weights.tolist() == [1.0] * len(real) + [0.5] * 7, name
    added = {name: built[name].images.select(range(len(real), len(real) + 7)) for name in built if name in PLACEBOS}
    assert np.array_equal(added["unscreened"].images, raw.images)
    assert np.array_equal(added["shuffled"].images, drawn.images)
    assert not (added["shuffled"].labels == drawn.labels).any()  # permuted, most would stay right
    pixels = {image.tobytes(): label for image, label in zip(real.images, real.labels, strict=True)}
    copies = added["duplicated"]
    assert [pixels[image.tobytes()] for image in copies.images] == copies.labels.tolist()
    assert len({image.tobytes() for image in copies.images}) == 7  # every image once before one twice
    assert set(copies.source) == {"real"}
    for name in ("synthetic+best", "duplicated+best", "pool+best"):
        assert built[name].config.sampler == "balanced"
    assert built["synthetic"].config == config


@pytest.mark.parametrize("arms", ["", "original", "synthetic", "original,original", "original,syntetic"])
def test_arms_that_compare_nothing(arms: str) -> None:
    with pytest.raises(ConfigError, match=r"Give original and|Did you mean 'synthetic'"):
        chosen_arms(arms)


def test_lists_of_arms_by_name() -> None:
    assert [arm.name for arm in chosen_arms("quick")] == list(QUICK)
    assert len(QUICK) == 4
    default = ["original", "oversample", "logit-adjusted", "synthetic", "synthetic+best"]
    assert [arm.name for arm in chosen_arms(fast_config().retrain.arms)] == default
    every = [name for name in ARMS if name != "pretrained"]
    assert [arm.name for arm in chosen_arms("all", pooled=True)] == every
    assert [arm.name for arm in chosen_arms("all", pooled=True, start="classifier")] == [*every, "pretrained"]
    without = [name for name in every if name not in ("pool", "pool+best")]
    assert [arm.name for arm in chosen_arms("all")] == without
    assert [arm.name for arm in chosen_arms("all", thinned=True)] == [
        n for n in without if n not in ("half", "quarter")
    ]
    assert [arm.name for arm in chosen_arms("all", thinned=False)] == [n for n in without if n != "oracle"]
    assert [arm.name for arm in chosen_arms("original,class-weighted")] == ["original", "deferred-weights"]
    with pytest.raises(ConfigError, match="needs real training images that were taken away"):
        chosen_arms("original,oracle", thinned=False)
    assert [arm.name for arm in chosen_arms("quick,unscreened")] == [*QUICK, "unscreened"]
    with pytest.raises(ConfigError, match="needs a way of rebalancing"):
        chosen_arms("original,synthetic+best,strong-augment")


@pytest.mark.parametrize(
    ("existing", "available", "total", "expected"),
    [
        ([10, 2, 5], [100, 100, 100], 3, [0, 3, 0]),  # the rarest first
        ([10, 2, 5], [100, 100, 100], 13, [0, 8, 5]),
        ([10, 2, 5], [100, 100, 100], 16, [1, 9, 6]),  # then all alike
        ([10, 2, 5], [100, 4, 100], 13, [2, 4, 7]),  # no more than there are
        ([10, 2, 5], [1, 2, 3], 50, [1, 2, 3]),
        ([5, 5, 5], [9, 9, 9], 2, [1, 1, 0]),
        ([5, 5], [0, 0], 3, [0, 0]),
    ],
)
def test_rare_classes_are_filled_first(
    existing: list[int], available: list[int], total: int, expected: list[int]
) -> None:
    assert rare_first(existing, available, total) == expected


def test_a_larger_portion_holds_the_smaller_one() -> None:
    faces = tiny_set((20, 30, 10), 0, 0)
    small, large = (set(portion(faces, counts, 3).ids) for counts in ([2, 3, 4], [5, 3, 9]))
    assert len(small) == 9
    assert small < large


def test_soft_labels_go_with_hard_ones() -> None:
    real, faces = tiny_set((2, 2, 2), 0, 0), tiny_set((0, 0, 1), 0, 0)
    soft = joined(real, replace(faces, soft_labels=np.array([[0.2, 0.2, 0.6]], np.float32))).soft_labels
    assert soft is not None
    assert np.array_equal(soft[:6], np.eye(3, dtype=np.float32)[real.labels])
    assert soft[6].tolist() == pytest.approx([0.2, 0.2, 0.6])


def test_a_batch_from_other_data_is_refused(tmp_path: Path) -> None:
    project = ready(tmp_path)
    project.label()
    batch = project.needs.batch()
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


def test_killed_and_run_again_gives_the_same_figures(tmp_path: Path) -> None:
    arms = {"classifier__epochs": 2, "retrain__arms": "original,synthetic"}
    whole = ready(tmp_path / "whole", **arms).retrain().figures
    cut = ready(tmp_path / "cut", **arms)
    cut.label()
    code = (
        "import sys; sys.path.insert(0, 'tests'); from tiny import fast_config; from ganfer.pipeline import Project;"
        f"Project({str(tmp_path / 'cut')!r}, fast_config(**{arms!r})).retrain()"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "cut" / "reports").glob("*/trainings/original-0/model.safetensors")):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    kept = next((tmp_path / "cut" / "reports").glob("*/trainings/original-0/model.safetensors"))
    written = kept.stat().st_mtime_ns
    resumed = cut.retrain().figures
    assert any("No cheap alternative" in note for note in resumed["data"]["notes"])
    assert kept.stat().st_mtime_ns == written  # what was trained is not trained again
    assert [arm["confusion"] for arm in resumed["arms"]] == [arm["confusion"] for arm in whole["arms"]]
    assert resumed["comparisons"] == whole["comparisons"]
