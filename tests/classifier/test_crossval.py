"""`crossval`: no fold tests what it learned from, subjects stay whole, and only missing folds are trained again."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_tiny import small_config
from pages import checked_text
from tiny import NAMES, add_set, tiny_set

from classifiers.errors import ClassifierError
from ganfer.data.imageset import read_set
from ganfer.errors import DataError
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

FOLDS = {"crossval__folds": 2, "crossval__workers": 1, "classifier__epochs": 2}


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganfer.classifier.crossval.plot_confusion", lambda *_: None)


def project(work: Path, **settings: object) -> Project:
    return Project(work, small_config(**{**FOLDS, **settings}))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_folds_by_subject_stand_beside_random_ones(work: Path) -> None:
    result = project(work).crossval()
    assert list(result.figures["ways"]) == ["random", "group"]
    images = read_set(next((work / "data").glob("tiny-*")))
    for way in ("random", "group"):
        found = rows(result.path / f"out_of_fold-{way}.csv")
        assert {row["id"] for row in found} == set(images.ids)
        right = np.mean([row["true"] == row["predicted"] for row in found])
        figures = result.figures["ways"][way]
        assert right == pytest.approx(figures["pooled"]["accuracy"])
        per_fold = [np.mean([r["true"] == r["predicted"] for r in found if r["fold"] == str(k)]) for k in range(2)]
        assert figures["figures"]["accuracy"]["mean"] == pytest.approx(np.mean(per_fold))
        assert (
            0
            <= figures["figures"]["accuracy"]["low"]
            <= np.mean(per_fold)
            <= figures["figures"]["accuracy"]["high"]
            <= 1
        )
    sides = {}
    for row in rows(result.path / "out_of_fold-group.csv"):
        sides.setdefault(row["group"], set()).add(row["fold"])
    assert all(len(folds) == 1 for folds in sides.values())
    text = checked_text((result.path / "index.html").read_text(encoding="utf-8"))
    assert "Folds by subject" in text
    assert "people it has never seen" in text
    assert any("folded as well" in note for note in result.figures["notes"])


def test_the_test_split_can_be_left_alone(work: Path) -> None:
    result = project(work, crossval__splits="train", crossval__by="random").crossval()
    images = read_set(next((work / "data").glob("tiny-*")))
    assert {row["id"] for row in rows(result.path / "out_of_fold-random.csv")} == set(
        images.ids[images.split != "test"]
    )
    assert list(result.figures["ways"]) == ["random"]
    assert any("names no subjects" in note for note in result.figures["notes"])


def test_only_missing_folds_are_trained_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = project(work, crossval__by="random").crossval()
    kept = first.path / "random" / "fold-0" / "model.safetensors"
    before = kept.stat().st_mtime_ns
    (first.path / "random" / "fold-1" / "model.safetensors").unlink()
    record = json.loads((first.path / "record.json").read_text())
    (first.path / "record.json").write_text(json.dumps(record | {"status": "running"}))
    again = project(work, crossval__by="random").crossval()
    assert again.path == first.path
    assert kept.stat().st_mtime_ns == before
    assert (first.path / "random" / "fold-1" / "model.safetensors").is_file()
    assert again.figures["ways"]["random"]["figures"] == first.figures["ways"]["random"]["figures"]
    monkeypatch.setattr("ganfer.classifier.crossval.run_folds", None)  # a third time nothing is trained
    assert project(work, crossval__by="random").crossval().figures == again.figures


def test_subjects_that_nobody_named_cannot_be_folded(tmp_path: Path) -> None:
    add_set(Workspace(tmp_path), tiny_set())
    with pytest.raises(DataError, match=r"names no subjects. Use --by random"):
        project(tmp_path, crossval__by="both").crossval()


def test_images_without_a_subject_are_subjects_of_their_own(tmp_path: Path) -> None:
    images = tiny_set((20, 20, 20), val=4, test=4)
    group = np.where(np.arange(len(images)) < 40, np.array([f"S{i % 8}" for i in range(len(images))]), "")
    add_set(Workspace(tmp_path), dataclasses.replace(images, group=group))
    result = project(tmp_path, crossval__by="group").crossval()
    assert any(f"{len(images) - 40} images name no subject" in note for note in result.figures["notes"])


def test_the_plan_says_which_folds(work: Path) -> None:
    result = project(work).crossval(dry_run=True)
    assert "2 random folds and 2 folds by group" in str(result)
    assert not (work / "crossvals").exists()


@pytest.mark.shared
def test_folds_that_one_way_cannot_have_are_refused_before_another_is_trained(work: Path) -> None:
    people = len(set(read_set(next((work / "data").glob("tiny-*"))).group.tolist()) - {""})
    with pytest.raises(ClassifierError, match=f"only {people} groups; use fewer folds"):
        project(work, crossval__by="both", crossval__folds=people + 1).crossval(dry_run=True)


def test_ck_plus_is_folded_by_its_subjects(shared: Path, tmp_path: Path) -> None:
    settings = {"classifier__model": "fnn", "classifier__epochs": 1, "crossval__folds": 3}
    whole = project(tmp_path / "w", **settings)
    whole.add(shared / "data" / "ckplus48.zip")
    result = whole.crossval()
    results = json.loads((result.path / "results.json").read_text())
    assert (results["data"]["images"], results["data"]["subjects"]) == (981, 118)
    by_subject = rows(result.path / "out_of_fold-group.csv")
    assert len({(row["group"], row["fold"]) for row in by_subject}) == 118
    at_random = rows(result.path / "out_of_fold-random.csv")
    assert len({(row["group"], row["fold"]) for row in at_random}) > 200, "at random, most people are on both sides"


def test_large_sets_are_folded_a_few_at_a_time(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = []
    from classifiers import folds

    real = folds.train_many

    def counted(jobs, **options):  # type: ignore[no-untyped-def]
        at_once.append(len(jobs))
        return real(jobs, **options)

    monkeypatch.setattr(folds, "train_many", counted)
    monkeypatch.setattr(folds, "_COPIED_BYTES", 1)
    result = project(work, crossval__by="random").crossval()
    assert at_once == [1, 1]
    assert set(result.figures["ways"]["random"]["per_class"]) == set(NAMES)
