"""benchmarks/fer2013_pool.py: what thinning takes away is a pool whose files tell no class, and its labels are judged
by the true ones."""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_set, fast_config, tiny_set

from ganfer.data.imageset import read_set
from ganfer.data.unlabelled import pools_of
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fer2013(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import fer2013

    return fer2013


def test_removed_images_are_a_pool_that_is_judged_by_their_labels(fer2013, tmp_path: Path, capsys) -> None:
    pool = sys.modules["fer2013_pool"]
    images = tiny_set((40, 60, 10), val=8, test=12)
    twin = np.flatnonzero(images.split == "train")[:40]
    pixels = images.images.copy()
    pixels[twin] = pixels[np.flatnonzero(images.split == "val")[0]]  # of them, those that go are left out of the pool
    workspace = Workspace(tmp_path / "work")
    add_set(workspace, dataclasses.replace(images, images=pixels))
    config = fast_config(data__size=16, label__min_confidence="0", label__diverse=False, label__copies=False)
    project = Project(workspace, config)
    project.thin(counts={"angry": 30, "happy": 30})
    pool.add_removed(project)
    pool.add_removed(project)  # finds what is there
    files = sorted((workspace.root / "removed").iterdir())
    gone = pool.removed(project)
    assert gone.counts() == {"angry": 10, "happy": 30, "sad": 0}
    assert [file.name for file in files] == [f"{i:06d}.png" for i in range(40)]
    assert sorted(gone.labels) != gone.labels.tolist(), "in an order that tells no class"
    data = workspace.active_data
    assert data is not None
    (run,) = pools_of(workspace, data)
    assert run.figures["skipped"] == {"also in the validation split": 10}
    there = {picture.tobytes() for picture in read_set(run.path).images}
    assert there == {picture.tobytes() for picture in gone.images[gone.labels == 1]}
    found = pool.told_of_pool(project, project.needs.classifier().name)
    assert {name: found["labels"][name]["images"] for name in NAMES} == {"angry": 0, "happy": 30, "sad": 0}
    assert found["labels"]["happy"]["right"] == found["labels"]["happy"]["kept"] > 20, "stripes are easy"
    assert sum(row["kept"] for row in found["labels"].values()) == found["reasons"]["kept"]
    called = pool.under_other_shares(project, project.needs.classifier().name)
    assert list(called) == ["equal", "estimated", "true"]
    assert all(sum(row["called"] for row in table.values()) == 30 for table in called.values())
    assert called["true"]["happy"] == {"called": 30, "right": 30}, "the true shares know of no other class"
    assert called["equal"]["happy"]["right"] == called["equal"]["happy"]["called"] > 10
    pool.print_pool(found)
    assert "| images | 0 | 30 | 0 |" in capsys.readouterr().out


def test_a_generator_with_the_pool_stands_beside_the_one_without(fer2013) -> None:
    asked = argparse.Namespace(generators="dcgan,resgan", gan_pool=True)
    assert fer2013.generators(asked) == ["dcgan", "dcgan+pool", "resgan", "resgan+pool"]
    assert fer2013.generators(argparse.Namespace(generators="dcgan", gan_pool=False)) == ["dcgan"]
    options = argparse.Namespace(
        full=False, minutes=1.0, snapshots=100, epochs=1, arms="", seeds=1, ratios="", weights="", set=[]
    )
    plain, pooled = (fer2013.settings(options, name).gan for name in ("resgan", "resgan+pool"))
    assert pooled.pool
    assert dataclasses.replace(pooled, pool=False) == plain, "they differ in nothing else"


def test_a_pool_of_nothing_is_refused(fer2013, monkeypatch, capsys) -> None:
    for given, why in ((["--pool", "removed"], "needs --thin"), (["--thin", "9", "--gan-pool"], "needs --pool")):
        monkeypatch.setattr(sys, "argv", ["fer2013.py", "archive", *given])
        with pytest.raises(SystemExit):
            fer2013.main()
        assert why in capsys.readouterr().err
