"""`ganfer data export`: what goes out can be read again, says what of it is synthetic, and names no folder of ours."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading_croissant import records
from tiny import NAMES, add_batch, add_set, fast_config, tiny_set, tree

from ganfer.data.imageset import read_set
from ganfer.errors import GanferError, WorkspaceError
from ganfer.pipeline import Project
from ganfer.share import files
from ganfer.workspace import Workspace

ANY_FACE = {
    "label__min_confidence": "0", "label__manifold": 0.0, "label__copies": False, "label__diverse": False,
    "label__require_match": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A set of three splits and a labelled batch of 26 faces."""
    workspace = Workspace(tmp_path_factory.mktemp("secret") / "work")
    data = add_set(workspace, tiny_set((24, 24, 12)))
    add_batch(workspace, data, np.repeat([2, 0], (20, 6)))
    project = Project(workspace, fast_config(**ANY_FACE, classifier__epochs=1, generate__shard_size=40))
    project.label()
    return project


def again(folder: Path, **options: object) -> dict[str, dict[str, int]]:
    """The counts of what was exported, added to another workspace."""
    shutil.copytree(folder, "copy", dirs_exist_ok=True)  # as somebody else gets it
    other = Project("again", fast_config(data__size=16, data__workers=1))
    images = read_set(other.add("copy", **options).path or Path())
    return {split: images.counts(split) for split in ("train", "val", "test")}


def pixels(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image).tobytes()


def as_text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("form", ["parquet", "webdataset", "png"])
def test_what_was_exported_is_read_again(form, project):
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    result = project.export_data(form)
    folder = Path(result.figures["folder"])
    counts = {
        "train": dict(zip(NAMES, (24, 24, 12), strict=True)),
        "val": dict.fromkeys(NAMES, 8),
        "test": dict.fromkeys(NAMES, 12),
    }
    assert again(folder) == counts
    card = (folder / "README.md").read_text()
    assert "120 real face images" in card
    meta = (folder / "croissant.json").read_text()
    assert "secret" not in card + meta
    if form == "parquet":
        assert {each["includes"] for each in json.loads(meta)["distribution"]} == set(
            files.patterns_of(form, ("train", "validation", "test")).values()
        )
    else:
        images = read_set(project.needs.data().path)
        for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
            mine = np.flatnonzero(images.split == split)
            wanted = {(images.images[i].tobytes(), NAMES[images.labels[i]]) for i in mine}
            rows = [(pixels(row["image"]), as_text(row["label"])) for row in records(folder, name)]
            assert set(rows) == wanted
            assert len(rows) == len(mine)
    assert project.export_data(form).path == result.path


def test_synthetic_faces_go_into_train_and_are_marked(project):
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    result = project.export_data("parquet", synthetic=True, licence="cc-by-4.0")
    folder = Path(result.figures["folder"])
    assert result.figures["synthetic"] == 26
    assert sum(result.figures["counts"]["train"].values()) == 60 + 26
    assert len(list((folder / "data").glob("train-*-of-00003.parquet"))) == 3
    card = (folder / "README.md").read_text()
    assert 'license: "cc-by-4.0"' in card
    assert "26 synthetic" in card
    with_faces = again(folder, allow_synthetic=True)
    assert sum(with_faces["train"].values()) == 60 + 26
    real = again(folder)
    assert sum(real["train"].values()) == 60


def test_an_interrupted_export_keeps_its_files(project, monkeypatch):
    write, done = files._write_shard, []

    def stopped(path, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        write(path, *rest)
        done.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_shard", stopped)
        with pytest.raises(KeyboardInterrupt):
            project.export_data("webdataset", synthetic=True)
    before = {path: path.read_bytes() for path in done}
    monkeypatch.setattr(files, "_write_shard", lambda path, *rest: (done.append(path), write(path, *rest))[1])
    result = project.export_data("webdataset", synthetic=True)
    assert {path: path.read_bytes() for path in before} == before
    assert len(done) == len(set(done)) == 5
    assert not [name for name in tree(result.path) if name.endswith(".tmp")]


def test_what_is_missing_is_said_before(project, tmp_path):
    with pytest.raises(GanferError, match=r"--format 'parkett' is unknown. Did you mean 'parquet'"):
        project.export_data("parkett", dry_run=True)
    empty = Workspace(tmp_path / "w")
    add_set(empty, tiny_set((4, 4, 4)))
    with pytest.raises(WorkspaceError, match="holds no batch for the active set"):
        Project(empty).export_data("png", synthetic=True)
    assert "with a card" in "\n".join(project.export_data("png", dry_run=True).lines)


@pytest.mark.parametrize("name", ["a/b", "a:b", "..", ".hidden", "ends.", "x" * 300])
def test_a_class_that_is_no_folders_name_is_said_before(name, tmp_path):
    """Written otherwise, `a/b` and `a:b` would become one class."""
    work = Workspace(tmp_path / "w")
    add_set(work, dataclasses.replace(tiny_set((4, 4, 4)), class_names=("angry", name, "sad")))
    with pytest.raises(GanferError, match=r"No folder can be called .*--format parquet"):
        Project(work, fast_config()).export_data("png")
    assert not (tmp_path / "w" / "exports").exists()


def test_classes_keep_their_names_as_folders(tmp_path, capsys):
    work = Workspace(tmp_path / "w")
    names = ("a b", "a_b", "ünï (é)")
    images = dataclasses.replace(tiny_set((6, 6, 6), test=3, val=2), class_names=names)
    images = dataclasses.replace(images, group=np.array([f"S{i}" for i in range(len(images))]))
    add_set(work, images)
    result = Project(work, fast_config()).export_data("png")
    counts = again(Path(result.figures["folder"]))
    assert counts["train"] == dict.fromkeys(names, 6)
    assert {as_text(row["label"]) for row in records(Path(result.figures["folder"]), "test")} == set(names)
    assert "Not exported: subjects (Parquet and shards have them)." in capsys.readouterr().err


@pytest.mark.parametrize("licence", ["", " ", "cc\nby"])
def test_a_licence_is_one_line(licence, project):
    with pytest.raises(GanferError, match="--licence .* is not a name"):
        project.export_data("png", licence=licence, dry_run=True)
