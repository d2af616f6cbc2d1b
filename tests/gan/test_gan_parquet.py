"""Batches as Parquet: the images that files would hold, readable by `datasets` and by ganfer, whole or not at all."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
import pyarrow.parquet as pq

from ganfer.data import parquet
from ganfer.data.provenance import read_facts
from ganfer.errors import DataError
from ganfer.generate.batch import read_batch
from ganfer.generate.shards import read_image_bytes
from ganfer.pipeline import Project


@pytest.fixture
def project(workspace, data, make_config) -> Project:
    return Project(workspace, make_config(gan__steps=2, generate__format="parquet", generate__shard_size=8))


def test_parquet_holds_what_files_would(project, make_config, tmp_path):
    made = project.generate(20)
    assert made.path is not None
    files = sorted((made.path / "data").iterdir())
    assert [file.name for file in files] == [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    table = pq.read_table(files[0])
    told = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert told["image"] == {"_type": "Image"}
    assert told["label"] == {"names": ["angry", "fear", "happy"], "_type": "ClassLabel"}
    row = table.slice(0, 1).to_pylist()[0]
    assert (row["label"], row["seed"], row["synthetic"]) == (0, 0, True)
    assert row["generator"] == made.figures["generator"]
    (tmp_path / "first.png").write_bytes(row["image"]["bytes"])
    assert read_facts(tmp_path / "first.png")["synthetic"] == "true"

    plain = Project(project.workspace, make_config(gan__steps=2)).generate(20)
    assert plain.path is not None
    one, other = (read_batch(project.workspace.find("synthetic", run.path.name)) for run in (plain, made))
    assert np.array_equal(one.images(), other.images())
    assert one.asked == other.asked
    assert np.array_equal(one.images([3, 17]), other.images(np.array([3, 17])))
    assert other.file_names[19] == "data/train-00002-of-00003.parquet::happy-0000019.png"


def test_an_interrupted_batch_keeps_its_whole_files(project, monkeypatch):
    write, written = parquet.write_parquet, []

    def full_after_one(path, rows, *rest):
        if len(written) == 1:
            next(iter(rows))
            raise OSError(28, os.strerror(28))
        write(path, rows, *rest)
        written.append(path)

    monkeypatch.setattr(parquet, "write_parquet", full_after_one)
    with pytest.raises(OSError, match="No space"):
        project.generate(20)
    assert [path.name for path in written[0].parent.iterdir()] == ["train-00000-of-00003.parquet"]
    kept = written[0].read_bytes()
    monkeypatch.setattr(parquet, "write_parquet", write)
    result = project.generate(20)
    assert result.figures["resumed_with"] == 8
    assert written[0].read_bytes() == kept
    assert len(read_batch(project.workspace.find("synthetic", result.path.name)).images()) == 20


def test_what_is_missing_or_damaged_is_named(project):
    result = project.generate(20)
    file = result.path / "data" / "train-00001-of-00003.parquet"
    with pytest.raises(DataError, match=r"train-00001-of-00003.parquet holds no happy-9.png"):
        read_image_bytes(result.path, f"data/{file.name}::happy-9.png")
    file.write_bytes(b"no parquet")
    batch = read_batch(project.workspace.find("synthetic", result.path.name))
    with pytest.raises(DataError, match=r"train-00001-of-00003.parquet cannot be read"):
        batch.images()
    file.unlink()
    with pytest.raises(DataError, match=r"train-00001-of-00003.parquet cannot be read"):
        batch.images([9])


def test_what_was_drawn_comes_back_for_training_only(project, make_config):
    """`data add` of a batch's Parquet: refused, or taken for train with --allow-synthetic."""
    made = project.generate(20)
    other = Project(Path("other"), make_config(data__size=16))
    import shutil

    shutil.copytree(made.path / "data", "outside/data")
    with pytest.raises(DataError, match="were drawn by ganfer"):
        other.add("outside")


def test_datasets_reads_it(project):
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face datasets")
    made = project.generate(20)
    found = datasets.load_dataset("parquet", data_files=str(made.path / "data" / "*.parquet"), cache_dir="cache")[
        "train"
    ]
    assert found.features["label"].names == ["angry", "fear", "happy"]
    assert found[0]["image"].size == (16, 16)
    assert len(found) == 20
