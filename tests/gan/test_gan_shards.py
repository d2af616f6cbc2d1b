"""Tar shards: the images that files would hold, readable by tar and by ganfer, whole or not at all."""

import csv
import json
import os
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import add_set, tiny_set

from ganfer.errors import DataError
from ganfer.generate import shards
from ganfer.generate.batch import read_batch
from ganfer.label.labels import newest_labels, read_labels
from ganfer.pipeline import Project
from ganfer.workspace import Workspace


@pytest.fixture
def project(workspace, data, make_config) -> Project:
    config = make_config(gan__steps=2, generate__format="webdataset", generate__shard_size=8)
    return Project(workspace, config)


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_shards_hold_what_files_would(project, make_config):
    sharded = project.generate(20)
    assert sharded.path is not None
    assert [path.name for path in sorted((sharded.path / "shards").iterdir())] == [
        "faces-000000.tar", "faces-000001.tar", "faces-000002.tar",
    ]  # fmt: skip
    first = members(sharded.path / "shards" / "faces-000000.tar")
    assert len(first) == 3 * 8
    facts = json.loads(first["angry-0000000.json"])
    assert first["angry-0000000.cls"] == b"angry"
    assert facts["seed"] == 0
    with Image.open(BytesIO(first["angry-0000000.png"])) as image:
        assert image.text["ganfer:synthetic"] == "true"  # type: ignore[attr-defined]
        assert image.text["ganfer:seed"] == "0"  # type: ignore[attr-defined]

    plain = Project(project.workspace, make_config(gan__steps=2)).generate(20)
    assert plain.path is not None
    assert plain.path != sharded.path
    one, other = (read_batch(project.workspace.find("synthetic", run.path.name)) for run in (plain, sharded))
    assert np.array_equal(one.images(), other.images())
    assert one.asked == other.asked
    assert np.array_equal(one.images([3, 17]), other.images(np.array([3, 17])))
    with (sharded.path / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[19]["file_name"] == "shards/faces-000002.tar::happy-0000019.png"
    assert str(sharded.path / "shards") in str(sharded)


def test_an_interrupted_batch_keeps_its_whole_shards(project, monkeypatch):
    write, written = shards.write_shard, []

    def full_after_one(path, samples):
        if len(written) == 1:
            next(iter(samples))
            raise OSError(28, os.strerror(28))
        write(path, samples)
        written.append(path)

    monkeypatch.setattr(shards, "write_shard", full_after_one)
    with pytest.raises(OSError, match="No space"):
        project.generate(20)
    assert [path.name for path in written[0].parent.iterdir()] == ["faces-000000.tar"]
    kept = written[0].stat().st_mtime_ns
    monkeypatch.setattr(shards, "write_shard", write)
    result = project.generate(20)
    assert result.figures["resumed_with"] == 8
    assert written[0].stat().st_mtime_ns == kept
    assert len(read_batch(project.workspace.find("synthetic", result.path.name)).images()) == 20


def test_what_is_missing_or_damaged_is_named(project):
    result = project.generate(20)
    assert result.path is not None
    shard = result.path / "shards" / "faces-000001.tar"
    with pytest.raises(DataError, match=r"faces-000001.tar holds no happy-9.png"):
        shards.read_image_bytes(result.path, "shards/faces-000001.tar::happy-9.png")
    shard.write_bytes(b"no tar")
    batch = read_batch(project.workspace.find("synthetic", result.path.name))
    with pytest.raises(DataError, match=r"faces-000001.tar cannot be read"):
        batch.images()
    shard.unlink()
    with pytest.raises(DataError, match=r"faces-000001.tar cannot be read"):
        batch.images([9])


def test_a_sharded_batch_is_labelled_like_any_other(tmp_path, make_config):
    few = {"gan__steps": 2, "generate__shard_size": 8, "classifier__steps": 20, "classifier__model": "compact-small"}
    labels = []
    for kind in ("png", "webdataset", "parquet"):
        workspace = Workspace(tmp_path / kind)
        add_set(workspace, tiny_set((20, 20, 10)))
        project = Project(workspace, make_config(generate__format=kind, **few))
        project.generate(20)
        figures = project.label().figures
        batch = project.needs.batch()
        found = newest_labels(batch)
        assert found is not None
        labels.append((figures, read_labels(found, ("angry", "happy", "sad"))))
    assert labels[0][0] == labels[1][0] == labels[2][0]
    for other in labels[1:]:
        assert np.array_equal(labels[0][1].probabilities, other[1].probabilities)
