"""The `ganfer data` commands as typed, and the drawn faces where no data was added."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from making_sources import classes, encoded, folder
from PIL import Image

from ganfer.cli.main import cli
from ganfer.config import load_config
from ganfer.data import drawn
from ganfer.data.imageset import read_set
from ganfer.data.ingest import draw
from ganfer.errors import DataError, WorkspaceError
from ganfer.workspace import Workspace


def ganfer(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["data", *map(str, arguments), "-w", "w"])


def faces(root: Path, names: str = "happy sad") -> Path:
    return folder(root, classes(names, 5))


def test_add_takes_its_options_to_the_set(tmp_path: Path) -> None:
    result = ganfer(
        "add", faces(tmp_path / "faces", "anger sad bored"), "--size", 32, "--color", "--classes", "angry, blue",
        "--rename", "sad=blue", "--test", 0.4, "--json", "--workers", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    images = read_set(Path(figures["path"]))
    assert images.images.shape == (10, 3, 32, 32)
    assert images.class_names == ("angry", "blue")
    assert figures["counts"]["test"] == {"angry": 2, "blue": 2}
    assert figures["command"] == "ganfer data add"


def test_add_prints_counts_per_class_and_split(tmp_path: Path) -> None:
    lines = ganfer("add", faces(tmp_path / "faces"), "--workers", 1).stdout.splitlines()
    assert lines[0] == "10 images, 48 x 48 grey, from folder."
    assert lines[1].split() == ["class", "train", "val", "test"]
    assert lines[3].split() == ["happy", "3", "1", "1"]
    assert lines[-1].startswith("Active set: w/data/faces-")


def test_a_dry_run_prints_the_plan(tmp_path: Path) -> None:
    result = ganfer("add", faces(tmp_path / "faces"), "--dry-run")
    assert "10 images become 48 x 48 grey." in result.stdout
    assert not Path("w/data").exists()


def test_list_and_use(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="holds no data yet"):
        raise ganfer("list").exception or AssertionError
    for name in ("one", "two"):
        ganfer("add", faces(tmp_path / name), "--workers", 1)
    listed = json.loads(ganfer("list", "--json").stdout)["sets"]
    assert [(entry["name"][:4], entry["active"], entry["train"]) for entry in listed] == [
        ("one-", False, 6),
        ("two-", True, 6),
    ]
    assert ganfer("use", "one", "--dry-run").exit_code == 0
    assert ganfer("use", "one").stdout.startswith("Active set: w/data/one-")
    listed = json.loads(ganfer("list", "--json").stdout)["sets"]
    assert [entry["active"] for entry in listed] == [True, False]
    with pytest.raises(WorkspaceError, match="No 'three'"):
        raise ganfer("use", "three").exception or AssertionError


def test_a_wrong_rename_and_a_thinning_without_a_size_are_said() -> None:
    with pytest.raises(DataError, match="not OLD=NEW"):
        raise ganfer("add", "x", "--rename", "anger").exception or AssertionError
    thin = ganfer("thin")
    assert thin.exit_code == 2
    assert "--imbalance 50" in thin.output


def test_drawn_faces_become_the_active_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_set, calls = drawn.drawn_set, []

    def few(total: int, seed: int, size: int, channels: int, *, val: int, test: int) -> drawn.DrawnSet:
        calls.append(total)
        return drawn_set(total, seed, size, channels, val=val, test=test, val_rarest=1, test_rarest=1, workers=1)

    monkeypatch.setattr(drawn, "drawn_set", few)
    config = load_config(
        overrides={"drawn.total": 100, "drawn.val": 21, "drawn.test": 21, "data.size": 32, "data.channels": 3}
    )
    run = draw(Workspace("w"), config)
    images = read_set(run.path)
    assert images.class_names == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert images.images.shape[1:] == (3, 32, 32)
    assert {str(split): int((images.split == split).sum()) for split in np.unique(images.split)} == {
        "test": 21,
        "train": 100,
        "val": 21,
    }
    assert all(images.group)
    assert run.figures["counts"]["train"] == images.counts("train")
    assert draw(Workspace("w"), config).digest == run.digest == images.digest
    assert calls == [100]
    active = Workspace("w").active_data
    assert active is not None
    assert active.name == run.name


def test_faces_too_large_to_draw_are_an_expected_failure() -> None:
    with pytest.raises(DataError, match="cannot be drawn"):
        draw(Workspace("w"), load_config(overrides={"drawn.seed": 2**21}))


def test_grey_images_of_a_colour_photograph(tmp_path: Path) -> None:
    red = {
        f"{n}/{i}.png": encoded(Image.linear_gradient("L").resize((50, 40)).convert("RGB"))
        for n in "ab"
        for i in range(3)
    }
    result = ganfer("add", folder(tmp_path / "faces", red), "--gray", "--json", "--workers", 1)
    assert json.loads(result.stdout)["channels"] == 1
