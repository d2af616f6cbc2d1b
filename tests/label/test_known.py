"""Copies of whatever a generator learned from are found: of a pool's images as of the training images."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import add_batch, add_set, fast_config, striped, tiny_set

from ganfer.data.imageset import read_set
from ganfer.experiment.faces import faces_notes
from ganfer.label.known import Known, pools_behind
from ganfer.label.labels import COPY, newest_labels
from ganfer.pipeline import Project
from ganfer.runtime.files import digest_json, write_json
from ganfer.workspace import Run, Workspace

LOOSE = {"label__min_confidence": "0", "label__manifold": 0.0, "label__diverse": False, "label__require_match": False}
GAN = "g"  # what `add_batch` says drew its batch


def project(workspace: Workspace) -> Project:
    more = {"quality__halvings": 2, "quality__cas": False, "data__size": 16}
    return Project(workspace, fast_config(classifier__epochs=1, **LOOSE, **more))


def add_pool(workspace: Workspace, folder: Path, seed: int) -> Run:
    folder.mkdir()
    for i, image in enumerate(striped(np.arange(12) % 3, seed=seed)):
        Image.fromarray(image[0]).save(folder / f"{i:02d}.png")
    path = project(workspace).add(folder, pool=True).path
    assert path is not None
    return Run(path)


def add_gan(workspace: Workspace, data: Run, pools: list[Run], digest: str = GAN, name: str = "resgan") -> Run:
    inputs = {"data": data.digest}
    if pools:
        inputs["pools"] = digest_json([pool.digest for pool in pools])
    run = workspace.run("gans", name, {"config": {"name": name}, "inputs": inputs, "seed": 0})
    with run.work("train gan"):
        run.finish(digest=digest, figures={})
    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work")
    add_set(workspace, tiny_set((40, 40, 40), val=20))
    return workspace


def data_of(workspace: Workspace) -> Run:
    data = workspace.active_data
    assert data is not None
    return data


def rows_of(batch: Run) -> list[dict[str, str]]:
    labels = newest_labels(batch)
    assert labels is not None
    with (labels.path / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_copies_of_a_pool_that_the_gan_learned_from_are_rejected_and_counted(
    workspace: Workspace, tmp_path: Path
) -> None:
    data, pool = data_of(workspace), add_pool(workspace, tmp_path / "people", seed=31)
    learned = read_set(pool.path).images
    train = read_set(data.path).of("train").images
    asked = np.arange(30) % 3
    pixels = striped(asked, seed=32)
    pixels[:4], pixels[4:6] = learned[:4], train[:2]  # the GAN repeats the pool's images, and training images
    plain = add_gan(workspace, data, [])
    batch = add_batch(workspace, data, asked, pixels)
    before = project(workspace).label().figures["screen"]
    assert "copies_of_pool" not in before
    assert {row["reason"] for row in rows_of(batch)[4:6]} == {COPY}
    assert COPY not in {row["reason"] for row in rows_of(batch)[:4]}, "it never saw the pool"
    measured = project(workspace).quality()
    assert "of_pool" not in measured.figures["copies"]
    plain._write({**plain.record, "digest": "another"})
    add_gan(workspace, data, [pool], name="with-pool")
    assert [run.name for run in pools_behind(batch)] == [pool.name]
    (note,) = faces_notes(batch, Run(newest_labels(batch).path))  # type: ignore[union-attr]
    assert "learned from 12 images of the pool as well" in note
    assert "Copies of them were not looked for" in note

    result = project(workspace).label()
    found = rows_of(batch)
    assert {row["reason"] for row in found[:6]} == {COPY}
    assert [row["nearest"] for row in found[:4]] == [f"{pool.name}/{i:02d}.png" for i in range(4)]
    assert result.figures["screen"]["copies_of_pool"] == 4
    assert "4 of the copies repeat an image of a pool" in str(result)
    (note,) = faces_notes(batch, Run(newest_labels(batch).path))  # type: ignore[union-attr]
    assert "not looked for" not in note
    again = project(workspace).quality()
    assert again.path != measured.path
    assert again.figures["copies"]["of_pool"] == 4
    assert again.figures["copies"]["count"] == measured.figures["copies"]["count"] + 4
    page = (Path(str(again.path)) / "index.html").read_text()
    assert "4 of the copies repeat an image of the pool" in page
    assert f"{pool.name}/00.png" in (Path(str(again.path)) / "faces.csv").read_text()


def test_the_pools_behind_a_batch(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, batch = data_of(workspace), add_batch(workspace, data_of(workspace), np.arange(3))
    assert pools_behind(batch) == []
    first = add_pool(workspace, tmp_path / "one", seed=41)
    parent = add_gan(workspace, data, [first], digest="p", name="parent")
    second = add_pool(workspace, tmp_path / "two", seed=42)
    child = add_gan(workspace, data, [], name="child")
    assert pools_behind(batch) == []
    write_json(child.path / "parent.json", {"path": str(parent.path), "name": parent.name, "digest": "p"})
    assert [run.name for run in pools_behind(batch)] == [first.name], "the second came later"
    assert pools_behind(first) == []
    child._write({**child.record, "key": {"inputs": {"data": data.digest, "pools": "of pools that were removed"}}})
    assert {run.name for run in pools_behind(batch)} == {first.name, second.name}
    assert f"{child.name} learned from pools that are gone" in capsys.readouterr().err


def test_places_go_on_from_the_data_s_images_to_the_pools(workspace: Workspace, tmp_path: Path) -> None:
    data = data_of(workspace)
    pools = [add_pool(workspace, tmp_path / name, seed) for name, seed in (("one", 51), ("two", 52))]
    images = read_set(data.path)
    known, count = Known(images, pools), len(images)
    assert len(known) == count + 24
    places = np.array([count + 13, 5, count, count + 11, 0])
    expected = [read_set(pools[1].path).images[1], images.images[5], *read_set(pools[0].path).images[[0, 11]]]
    assert np.array_equal(known[places], np.stack([*expected, images.images[0]]))
    assert known.name(5) == images.ids[5]
    assert known.name(count + 13) == f"{pools[1].name}/01.png"
    assert [known.of_pool(place) for place in (count - 1, count)] == [False, True]
