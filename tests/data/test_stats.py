"""Statistics of a data set: worked out by hand on a small one."""

import numpy as np
import pytest
from PIL import Image
from textures import image_set, textures

from ganfer.config import Config
from ganfer.data.imageset import ImageSet, save_set
from ganfer.data.stats import describe, imbalance_ratio, stats
from ganfer.workspace import Run, Workspace


def small(names: tuple[str, ...] = ("angry", "happy", "sad")) -> ImageSet:
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 0, 1, 2, -1]
    split = ["train"] * 9 + ["val", "test", "test", "test", "train"]
    group = ["S1", "S1", "S2", "", "", "", "S3", "S3", "", "S4", "S5", "S5", "S6", ""]
    return image_set(textures(14, size=16), split=split, labels=labels, group=group, names=names)


def run_with(images: ImageSet) -> tuple[Workspace, Run]:
    workspace = Workspace("work")
    run = workspace.run("data", "faces", {"inputs": {}})
    with run.work("data add"):
        run.finish(digest=save_set(run.path, images), figures={})
    return workspace, run


def test_figures_worked_out_by_hand() -> None:
    figures = describe(small())
    assert figures["images"] == 14
    assert figures["splits"] == {"train": 10, "val": 1, "test": 3}
    assert figures["counts"]["train"] == {"angry": 6, "happy": 2, "sad": 1}
    assert figures["train_shares"] == pytest.approx({"angry": 6 / 9, "happy": 2 / 9, "sad": 1 / 9})
    assert figures["imbalance_ratio"] == 6.0
    assert figures["unlabelled"] == 1
    assert figures["groups"] == {"train": 3, "val": 1, "test": 2}
    assert figures["sources"] == {"real": 14}


def test_an_empty_class_has_no_ratio_and_is_named() -> None:
    assert imbalance_ratio({"a": 5, "b": 0}) is None
    assert imbalance_ratio({}) is None
    _workspace, run = run_with(image_set(textures(2, size=16), labels=[0, 1]))
    assert "imbalance: no training image of sad" in stats(Config(), run).lines


def test_the_table_and_the_sheets() -> None:
    _workspace, run = run_with(small())
    result = stats(Config(), run)
    table = [line.split() for line in result.lines]
    assert ["angry", "6", "0", "1", "7", "66.7%"] in table
    assert ["all", "9", "1", "3", "13"] in table
    assert "imbalance: 6.0 (angry / sad, training split)" in result.lines
    assert "subjects: train 3, val 1, test 2" in result.lines
    assert sorted(p.name for p in (run.path / "sheets").iterdir()) == [
        "angry.png",
        "happy.png",
        "overview.png",
        "sad.png",
    ]
    with Image.open(run.path / "sheets" / "angry.png") as sheet:
        assert np.asarray(sheet).shape == (82 - 2, 10 * 82 - 2, 3)


def test_class_names_that_are_no_file_names_or_meet_in_one() -> None:
    _workspace, run = run_with(small(names=("../a b", "overview", "_a_b")))
    stats(Config(), run)
    made = sorted(p.name for p in (run.path / "sheets").iterdir())
    assert made == ["_a_b-0.png", "_a_b-2.png", "overview-1.png", "overview.png"]
