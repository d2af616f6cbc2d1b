"""The pool from `data add --pool` to the report: labelled as synthetic faces are, and an arm beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from ganfer.config import Config
from ganfer.data.drawn import drawn_set
from ganfer.data.imageset import read_set
from ganfer.errors import ConfigError, DataError, GanferError
from ganfer.experiment.arms import chosen_arms
from ganfer.experiment.ceiling import held_back
from ganfer.experiment.material import Material
from ganfer.experiment.retrain import retrain
from ganfer.pipeline import Project
from ganfer.runtime.files import digest_json
from ganfer.workspace import Workspace

LOOSE = {"label__min_confidence": "0", "label__diverse": False, "label__manifold": 0.0, "label__copies": False}


def settings(**more: object) -> Config:
    base = {"classifier__epochs": 1, "retrain__arms": "original,oversample,synthetic,pool,synthetic+best,pool+best"}
    return fast_config(**{**base, **LOOSE, **more})


def weights(report: Path | None) -> list[Path]:
    assert report is not None
    return sorted(report.glob("trainings/*/model.safetensors"))


def people(root: Path, count: int, seed: int, size: int = 32) -> Path:
    """A folder of drawn faces whose names tell nothing."""
    faces = drawn_set(count, seed, size, 1, val=21, test=21).images[:count]
    root.mkdir()
    for i, face in enumerate(faces):
        Image.fromarray(face[0]).save(root / f"{i}.png")
    return root


def test_from_the_pool_to_the_report(tmp_path: Path) -> None:
    config = fast_config(
        drawn__total=200, drawn__val=70, drawn__test=70, data__size=32, data__workers=1, classifier__epochs=1,
        retrain__arms="default", retrain__resamples=100, **LOOSE,
    )  # fmt: skip
    workspace = Workspace(tmp_path / "work")
    project = Project(workspace, config)
    project.stats()  # draws the faces
    data = workspace.active_data
    assert data is not None
    project.add(people(tmp_path / "people", 120, seed=9), pool=True)
    faces = drawn_set(60, 5, 32, 1, val=21, test=21)
    batch = add_batch(workspace, data, np.zeros(60, np.int64), faces.images[:60])
    project.label()
    assert project.status().figures["next"] == "ganfer label --pool"
    labelled = project.label(pool=True)
    assert set(labelled.figures["labelling"]["shares"]) == set(labelled.figures["screen"]["kept"])
    assert not (workspace.runs("pools")[0].path / "metadata.csv").exists()
    report = project.retrain()
    arms = {arm["name"]: arm for arm in report.figures["arms"]}
    assert list(arms) == [
        "original",
        "oversample",
        "logit-adjusted",
        "synthetic",
        "synthetic+best",
        "pool",
        "pool+best",
    ]
    real, kept = arms["original"]["train_counts"], arms["synthetic"]["synthetic_counts"]
    there = labelled.figures["screen"]["kept"]
    for name, n in real.items():  # as many as there are synthetic ones, as far as they reach; none of them synthetic
        assert arms["pool"]["train_counts"][name] == n + min(kept[name], there[name])
    assert sum(arms["pool"]["synthetic_counts"].values()) == 0
    pairs = {(row["arm"], row["baseline"]) for row in report.figures["comparisons"]}
    assert {("pool", "original"), ("synthetic", "pool"), ("synthetic+best", "pool+best")} <= pairs
    verdict = report.figures["verdict"]
    assert verdict["arm"] == "synthetic+best"  # it stays about the synthetic faces, against the arms without a pool
    assert verdict["baseline"] not in ("pool", "pool+best")
    assert report.figures["selection"]["best_without"] not in ("pool", "pool+best")
    assert "Real faces from the pool in their place bring" in verdict["beside"]
    assert "Real + pool" in (Path(str(report.path)) / "index.html").read_text()
    assert workspace.runs("synthetic")[-1].name == batch.name


def test_a_pool_of_what_thinning_took_away_leaves_finished_trainings_as_they_are(tmp_path: Path) -> None:
    """The same images as the arm `oracle` has, without labels: no leak, and the other arms are not trained anew."""
    workspace = Workspace(tmp_path / "work")
    images = tiny_set()
    add_set(workspace, images)
    Project(workspace, settings()).thin(counts={"happy": 40})
    data = workspace.active_data
    assert data is not None
    add_batch(workspace, data, np.array([0, 1, 2] * 4))
    first = Project(workspace, settings(retrain__arms="original,oversample,synthetic,oracle"))
    first.label()
    before = first.retrain()
    times = {file.relative_to(before.path): file.stat().st_mtime_ns for file in weights(before.path)}
    assert len(times) == 4 * 2
    source = tmp_path / "removed"
    source.mkdir()
    for i, picture in enumerate(held_back(data, read_set(data.path)).images):
        Image.fromarray(picture[0]).save(source / f"{i}.png")
    later = Project(workspace, settings(retrain__arms="original,oversample,synthetic,oracle,pool", data__size=16))
    later.add(source, pool=True)
    later.label(pool=True)
    report = later.retrain()
    assert report.path != before.path
    found = {file.relative_to(report.path): file.stat().st_mtime_ns for file in weights(report.path)}
    assert {name: found[name] for name in times} == times  # taken over as they were
    assert len(found) == 5 * 2
    notes = " ".join(report.figures["data"]["notes"])
    assert "kept images are among those that thinning took away" in notes
    assert "also in a split nearer to the test" not in notes


def test_an_experiment_without_a_pool_has_the_name_it_had(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set())
    batch = add_batch(workspace, data, np.array([0, 1, 2] * 4))
    config = settings(retrain__arms="original,synthetic", retrain__seeds=1)
    Project(workspace, config).label()
    run = retrain(workspace, config, data, batch).path
    assert run is not None
    key = json.loads((run / "record.json").read_text())["key"]
    assert "pools" not in key
    assert set(key["config"]["retrain"]) <= {
        *("arms", "seeds", "weight", "margin", "accuracy_margin", "resamples", "ratios", "weights", "soft_labels"),
        *("batches", "tries", "keep", "folds"),
    }
    assert len(digest_json(key)) == 64


def test_the_arm_needs_a_labelled_pool(tmp_path: Path) -> None:
    names = [arm.name for arm in chosen_arms("default", pooled=False)]
    assert names == ["original", "oversample", "logit-adjusted", "synthetic", "synthetic+best"]
    assert [arm.name for arm in chosen_arms("default", pooled=True)][-2:] == ["pool", "pool+best"]
    with pytest.raises(ConfigError, match="The arm pool needs a labelled pool"):
        chosen_arms("original,pool", pooled=False)
    workspace = Workspace(tmp_path / "work")
    add_set(workspace, tiny_set())
    project = Project(workspace, settings(data__size=16))
    with pytest.raises(ConfigError, match="ganfer label --pool"):
        project.retrain(dry_run=True)
    with pytest.raises(DataError, match="There is no pool for the active data"):
        project.label(pool=True)
    project.add(people(tmp_path / "people", 10, seed=3), pool=True)
    with pytest.raises(ConfigError, match="ganfer label --pool"):
        project.retrain(dry_run=True)  # it is there, but nobody labelled it
    with pytest.raises(GanferError, match="neither FOLDER nor --fill"):
        project.label(pool=True, fill=True)


def test_copies_of_test_images_that_slipped_in_are_screened_out(tmp_path: Path) -> None:
    """A pool is compared when it is added; were one to hold test images all the same, labelling finds them again."""
    workspace = Workspace(tmp_path)
    images = tiny_set()
    data = add_set(workspace, images)
    project = Project(workspace, settings(data__size=16))
    source = tmp_path / "people"
    source.mkdir()
    for i, stripes in enumerate(striped(np.array([0, 1, 2] * 3), seed=5)):
        Image.fromarray(stripes[0]).save(source / f"{i}.png")
    project.add(source, pool=True)
    pool = workspace.runs("pools")[0]
    pixels = np.load(pool.path / "images.npy")
    test = np.flatnonzero(images.split == "test")[0]
    pixels[0] = images.images[test]
    np.save(pool.path / "images.npy", pixels)
    result = project.label(pool=True)
    assert result.figures["screen"]["reasons"]["copy of a validation or test image"] == 1
    assert data.digest == workspace.runs("pools")[0].record["key"]["inputs"]["data"]


def test_the_pool_arm_takes_as_many_as_there_are_synthetic_faces() -> None:
    real, pool = tiny_set((10, 20, 4), 0, 0), tiny_set((9, 9, 1), 0, 0)
    kept = tiny_set((3, 0, 5), 0, 0, source="synthetic")
    material = Material(real, kept, kept, pool=pool)
    (arm,) = [arm for arm in chosen_arms("original,pool", pooled=True) if arm.name == "pool"]
    data = arm.build(material, fast_config().classifier)
    assert data.images.counts() == dict(zip(NAMES, (13, 20, 5), strict=True))
    assert (data.images.source == "real").all()
    assert not arm.synthetic
    assert arm.faces
