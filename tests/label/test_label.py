"""Labelling: counts, reasons, thresholds, and batches that cannot be used."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from ganfer.errors import ConfigError, DataError
from ganfer.generate.batch import read_batch, read_rows
from ganfer.label.labels import newest_labels, read_labels
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

ASKED = np.repeat([0, 1, 2], 20)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A workspace with data, a trained classifier and a batch of 60 good images and 6 bad ones."""
    workspace = Workspace(tmp_path_factory.mktemp("label"))
    data = add_set(workspace, tiny_set())
    rng = np.random.default_rng(0)
    wrong = striped((ASKED[:3] + 1) % 3, seed=5)  # asked for one class, shows another
    blank = np.full((3, 1, 16, 16), 90, np.uint8)
    pixels = np.concatenate([striped(ASKED, seed=rng.integers(100)), wrong, blank])
    add_batch(workspace, data, np.concatenate([ASKED, ASKED[:3], ASKED[:3]]), pixels)
    project = Project(workspace, fast_config(classifier__epochs=12))
    project.train_classifier()
    return project


def test_good_images_are_kept_and_bad_ones_rejected_with_the_reason(project: Project) -> None:
    result = project.label()
    batch = project.needs.batch()
    run = newest_labels(batch)
    assert run is not None
    labels = read_labels(run, NAMES)
    assert (labels.predicted[:60] == ASKED).mean() > 0.9
    assert (labels.reason[60:63] == "mismatch").all()
    assert (labels.reason[63:] == "blank").all()
    assert labels.kept[:60].mean() > 0.5
    assert not labels.kept[60:].any()
    screen = result.figures["screen"]
    assert screen["asked"] == {"angry": 26, "happy": 20, "sad": 20}
    assert sum(screen["reasons"].values()) == 66
    assert 0.9 < result.figures["labelling"]["before"]["entropy"] <= 1
    assert "relative to uniform" in str(result)
    assert "recognises few" not in str(result)
    assert (run.path / "sheet.png").is_file()


def test_a_class_that_the_classifier_does_not_know_is_named(tmp_path: Path) -> None:
    workspace, real = Workspace(tmp_path), tiny_set()
    unseen = np.flatnonzero((real.split == "val") & (real.labels == 2))
    images = real.images.copy()
    images[unseen] = images[np.flatnonzero((real.split == "val") & (real.labels == 1))[0]]  # they show another class
    data = add_set(workspace, dataclasses.replace(real, images=images))
    add_batch(workspace, data, ASKED, striped(ASKED, seed=4))
    project = Project(workspace, fast_config(classifier__epochs=12))
    result = project.label()
    assert result.figures["labelling"]["held_back_recall"]["sad"] == {"images": len(unseen), "recall": 0.0}
    assert f"recognises few of some classes: sad 0% of {len(unseen)}. What it labels so" in str(result)


def test_a_labeller_that_led_the_search_for_the_faces_is_said_to_prove_little(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set())
    project = Project(workspace, fast_config())
    guide = project.needs.classifier()
    other = Project(workspace, fast_config(seed=1)).train_classifier()
    add_batch(workspace, data, ASKED, guide=guide.digest)
    assert "until this very classifier saw the class" in str(project.label(classifier=guide.name))
    assert other.path is not None
    assert "very classifier" not in str(project.label(classifier=other.path.name))


def test_the_probabilities_are_calibrated_and_sum_to_one(project: Project) -> None:
    project.label()
    run = newest_labels(project.needs.batch())
    assert run is not None
    labels = read_labels(run, NAMES)
    assert labels.probabilities.sum(axis=1) == pytest.approx(np.ones(66), abs=1e-4)
    assert np.array_equal(labels.confidence, labels.probabilities.max(axis=1).astype(np.float64).round(6))


def test_metadata_puts_the_file_name_first_and_carries_the_labels(project: Project) -> None:
    project.label()
    with (project.needs.batch().path / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert next(iter(rows[0])) == "file_name"
    assert {"asked", "seed", "label", "confidence", "keep", "reason"} <= rows[0].keys()
    assert rows[65]["keep"] == "false"


def test_labelling_again_changes_nothing(project: Project) -> None:
    project.label()
    before = (project.needs.batch().path / "metadata.csv").read_bytes()
    again = project.label()
    assert "already labelled" in again.lines[0]
    assert (project.needs.batch().path / "metadata.csv").read_bytes() == before


def test_a_fixed_threshold_and_any_class(project: Project) -> None:
    everything = Project(
        project.workspace, fast_config(label__min_confidence="0", label__require_match=False, label__manifold=0)
    )
    assert everything.label().figures["screen"]["reasons"] == {"kept": 63, "blank": 3}
    strict = Project(project.workspace, fast_config(label__min_confidence="1"))
    assert sum(strict.label().figures["screen"]["kept"].values()) < 63


def test_a_labelling_that_is_asked_for_again_is_the_one_that_counts(project: Project) -> None:
    batch = project.needs.batch()
    first = project.label()
    shown = (batch.path / "metadata.csv").read_bytes()
    strict = Project(project.workspace, fast_config(label__min_confidence="1")).label()
    assert (newest_labels(batch).path, first.path) == (strict.path, project.label().path)  # type: ignore[union-attr]
    assert newest_labels(batch).path == first.path  # type: ignore[union-attr]
    assert (batch.path / "metadata.csv").read_bytes() == shown


@pytest.mark.parametrize("value", ["high", "1.5", "-0.1", "nan"])
def test_a_threshold_that_is_none(project: Project, value: str) -> None:
    with pytest.raises(ConfigError, match="label.min_confidence"):
        Project(project.workspace, fast_config(label__min_confidence=value)).label()


def test_a_classifier_of_other_classes_is_refused(project: Project, tmp_path: Path) -> None:
    other = tiny_set()
    renamed = Workspace(tmp_path)
    add_set(renamed, type(other)(**{**vars(other), "class_names": ("angry", "happy", "neutral")}))
    stranger = Project(renamed, fast_config(classifier__epochs=1)).train_classifier()
    assert stranger.path is not None
    target = project.workspace.root / "classifiers" / stranger.path.name
    stranger.path.rename(target)
    with pytest.raises(DataError, match="knows angry, happy, neutral; the data has angry, happy, sad"):
        project.label(classifier=target.name)


def test_an_unreadable_image_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    batch = add_batch(workspace, add_set(workspace, tiny_set()), np.array([0, 1, 2]))
    (batch.path / "images" / "000001.png").write_bytes(b"no picture")
    metadata = (batch.path / "metadata.csv").read_bytes()
    with pytest.raises(DataError, match=r"000001.png cannot be read"):
        Project(workspace, fast_config(classifier__epochs=1)).label()
    assert newest_labels(batch) is None
    assert (batch.path / "metadata.csv").read_bytes() == metadata


@pytest.mark.parametrize("content", ["", "file_name\nx.png\n", "file_name,asked\nx.png\n", "\xff\n"])
def test_a_damaged_metadata_file_is_named(tmp_path: Path, content: str) -> None:
    workspace = Workspace(tmp_path)
    batch = add_batch(workspace, add_set(workspace, tiny_set()), np.array([0, 1, 2]))
    (batch.path / "metadata.csv").write_text(content, encoding="latin-1")
    if content == "":
        assert len(read_batch(batch)) == 0
        return
    with pytest.raises(DataError, match=r"metadata.csv"):
        read_batch(batch)


def test_a_folder_from_elsewhere_enters_as_a_batch(project: Project, tmp_path: Path) -> None:
    from PIL import Image

    from ganfer.data.provenance import is_synthetic

    for i, image in enumerate(striped(ASKED[::10], seed=3, size=32)):
        path = tmp_path / "mine" / ("happiness" if i < 3 else "unsorted") / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).convert("RGB").save(path)
    (tmp_path / "mine" / "broken.png").write_bytes(b"no picture")
    result = project.label(tmp_path / "mine")
    batch = project.workspace.latest("synthetic")
    assert batch is not None
    assert batch.name.startswith("folder-")
    read = read_batch(batch)
    assert read.asked == ("happy",) * 3 + ("",) * 3
    assert read.images().shape == (6, 1, 16, 16)
    assert all(is_synthetic(batch.path / name) for name in read.file_names)
    assert batch.figures["skipped"][0][0] == "broken.png"
    assert sum(result.figures["labelling"]["before"]["counts"].values()) == 6
    (tmp_path / "mine").rename(tmp_path / "caf\udce9")  # as other systems wrote it
    (tmp_path / "caf\udce9" / "unsorted").rename(tmp_path / "caf\udce9" / "=\udcff")
    assert project.label(tmp_path / "caf\udce9").figures["labelling"]["before"]["counts"]
    other = project.workspace.latest("synthetic")
    assert other is not None
    assert any(row["origin"].startswith("=\\xff/") for row in read_rows(other.path / "metadata.csv"))
    (tmp_path / "caf\udce9").rename(tmp_path / "mine")
    with pytest.raises(DataError, match="holds no images"):
        project.label((tmp_path / "mine" / "none").mkdir() or tmp_path / "mine" / "none")
    with pytest.raises(DataError, match="is not a folder"):
        project.label(tmp_path / "nowhere")


def test_copies_off_manifold_faces_and_repetitions_are_rejected_and_shown(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    images = tiny_set(train=(60, 60, 60), val=30)
    data = add_set(workspace, images)
    copied = images.images[[61, 62, 63]]  # training images of class 1
    fresh = striped(np.repeat([0, 1, 2], 10), seed=77)
    off = np.clip(fresh[:1].astype(int) * 0.2 + 180, 0, 255).astype(np.uint8).repeat(2, axis=0)
    off[1] = 255 - off[1]
    pixels = np.concatenate([fresh, copied, off, fresh[20:30]])
    asked = np.concatenate([np.repeat([0, 1, 2], 10), [1, 1, 1], [0, 0], [2] * 10])
    add_batch(workspace, data, asked, pixels)
    project = Project(workspace, fast_config(classifier__epochs=12, label__min_confidence="0"))
    project.train_classifier()
    figures = project.label().figures
    run = newest_labels(project.needs.batch())
    assert run is not None
    reason = read_labels(run, NAMES).reason
    assert (reason[30:33] == "copy").all()
    assert (reason[33:35] != "kept").all()
    pairs = [pair for pair in zip(reason[20:30], reason[35:45], strict=True) if "off the manifold" not in pair]
    assert len(pairs) > 5
    assert all(pair.count("near-duplicate") == 1 for pair in pairs)
    assert (reason[:20] == "kept").mean() > 0.7
    assert figures["screen"]["by_class"]["happy"]["copy"] == 3
    assert figures["screen"]["held_back"]["copy"] < 0.1
    assert set(figures["screen"]["limits"]) == {"confidence", "realism", "copy"}
    assert (run.path / "copies.png").is_file()
    assert not (run.path / "looks").exists()
    with (run.path / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["nearest"] for row in rows[30:33]] == ["image61", "image62", "image63"]
    assert float(rows[30]["likeness"]) > 0.99
    assert float(rows[0]["likeness"]) < 0.85

    plain = Project(
        workspace,
        fast_config(
            classifier__epochs=12,
            label__min_confidence="0",
            label__manifold=0,
            label__copies=False,
            label__diverse=False,
        ),
    )
    assert set(plain.label().figures["screen"]["reasons"]) <= {"kept", "mismatch"}


def test_an_interrupted_look_goes_on_where_it_was(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganfer.label.screener import Screener
    from ganfer.runtime import parts

    monkeypatch.setattr(parts, "PART", 2)
    again = Project(project.workspace, fast_config(classifier__epochs=12, label__beta=0.6))
    seen: list[int] = []
    look = Screener.look

    def once_then_stop(self: Screener, pixels: np.ndarray) -> object:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(pixels))
        return look(self, pixels)

    with monkeypatch.context() as patched:
        patched.setattr(Screener, "look", once_then_stop)
        with pytest.raises(KeyboardInterrupt):
            again.label()
    assert seen == [2, 2]
    stored = sorted(next((project.needs.batch().path / "labels").glob("*/looks")).glob("*.npz"))
    assert len(stored) == 2
    stored[1].write_bytes(stored[1].read_bytes()[:100])  # a power cut: this one is looked at again
    seen.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Screener, "look", lambda self, pixels: seen.append(len(pixels)) or look(self, pixels))
        result = again.label()
    total = len(read_batch(project.needs.batch()))
    assert sum(seen) == total - 2
    assert sum(result.figures["screen"]["reasons"].values()) == total


def test_two_processes_share_the_looking_and_see_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ganfer.data.imageset import read_set
    from ganfer.label.screener import Screener, image_facts
    from ganfer.runtime import parts, ranks

    monkeypatch.setattr(parts, "PART", 10)
    data = project.needs.data()
    screener = Screener(project.config, project.needs.classifier(), data, read_set(data.path))
    pixels = striped(ASKED[:35], seed=41)
    read = lambda places: pixels[list(places)]  # noqa: E731
    alone = image_facts(screener, 35, read, tmp_path / "alone")
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setattr(ranks, "barrier", lambda: None)
    for rank, files in ((1, 2), (0, 4)):  # the follower first: the leader, last, finds its chunks there
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        shared = image_facts(screener, 35, read, tmp_path / "shared")
        assert len(list((tmp_path / "shared").glob("*.npz"))) == files
    assert len(shared) == 35
    assert np.array_equal(shared.probabilities, alone.probabilities)
    assert np.array_equal(shared.nearest, alone.nearest)
    assert np.array_equal(shared.thumbnail, alone.thumbnail)
