"""`ganfer data add --pool`: no pool image enters a split, and none that is in one enters the pool."""

import csv
from pathlib import Path

import numpy as np
import pytest
from making_sources import encoded, folder, packed
from PIL import Image
from textures import image_set, textures

from ganfer.config import load_config
from ganfer.data.imageset import read_set, save_set
from ganfer.data.provenance import write_png
from ganfer.data.unlabelled import add_pool, pools_of, read_pools
from ganfer.errors import DataError
from ganfer.pipeline import Project
from ganfer.workspace import Run, Workspace

CONFIG = load_config(overrides={"data.size": 48, "data.workers": 1})
BASE = textures(30)


def workspace() -> Workspace:
    """Textures 0..5 for training, 6..8 for validation, 9..11 for the test."""
    made = Workspace("work")
    images = image_set(BASE[:12], split=["train"] * 6 + ["val"] * 3 + ["test"] * 3, labels=[0, 1, 2] * 4)
    run = made.run("data", "faces", {"inputs": {}})
    with run.work("data add"):
        counts = {split: images.counts(split) for split in ("train", "val", "test")}
        figures = {"kind": "folder", "images": 12, "size": 48, "channels": 1, "skipped": {}, "counts": counts}
        run.finish(digest=save_set(run.path, images), figures=figures)
    made.activate_data(run)
    return made


def picture(array: np.ndarray) -> bytes:
    return encoded(Image.fromarray(array[0] if array.ndim == 3 else array))


def skipped(run: Path) -> dict[str, str]:
    with (run / "skipped.csv").open(newline="") as file:
        return {row["file_name"]: row["reason"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_what_the_set_holds_is_left_out_of_the_pool(tmp_path: Path, form: str) -> None:
    files = {
        "new/0.png": picture(BASE[20]),
        "new/1.png": picture(BASE[21]),
        "again.png": picture(BASE[21]),
        "nearly.png": picture(np.roll(BASE[20], 1, axis=2)),
        "of-test.png": picture(BASE[9]),
        "of-test-mirrored.png": picture(BASE[10][..., ::-1]),
        "of-val.png": picture(np.roll(BASE[7], 1, axis=1)),
        "of-train.png": picture(BASE[2]),
        "damaged.png": b"\x89PNG\r\n",
        "notes.txt": b"hello",
    }
    made = workspace()
    result = add_pool(made, CONFIG, packed(form, tmp_path, files))
    assert result.path is not None
    pool = read_set(result.path)
    reasons = skipped(result.path)
    first, second = ("new/1.png", "new/0.png") if form == "tar.gz" else ("again.png", "nearly.png")  # which come first
    assert sorted(pool.ids.tolist()) == sorted([first, second])
    assert reasons["of-test.png"] == reasons["of-test-mirrored.png"] == "also in the test split"
    assert reasons["of-val.png"] == "also in the validation split"
    assert reasons["of-train.png"] == "also in the training split"
    assert reasons["again.png" if form == "tar.gz" else "new/1.png"] == f"repeats another image of the pool ({first})"
    assert reasons["nearly.png" if form == "tar.gz" else "new/0.png"] == f"repeats another image of the pool ({second})"
    assert reasons["damaged.png"].startswith("unreadable")
    assert reasons["notes.txt"].startswith("not an image")
    assert result.figures["skipped"]["also in the test split"] == 2
    for split in ("train", "val", "test"):
        assert len(pool.of(split)) == 0
    assert (pool.labels == -1).all()
    assert len(np.load(result.path / "images.npy")) == 2  # what was left out is on no disk either


def test_the_data_set_is_as_before_and_commands_tell_of_the_pool(tmp_path: Path) -> None:
    made = workspace()
    data = made.active_data
    assert data is not None
    before = read_set(data.path).digest
    source = folder(tmp_path / "people", {f"{i}.png": picture(BASE[15 + i]) for i in range(5)})
    first = Project(made, CONFIG).add(source, pool=True)
    assert made.active_data is not None
    assert made.active_data.name == data.name
    assert read_set(data.path).digest == before
    name = Path(str(first.path)).name
    for command in ("stats", "check"):
        assert f"pool {name}: 5 real images without labels" in str(getattr(Project(made, CONFIG), command)())
    assert f"{name}  complete" in str(Project(made, CONFIG).status())
    again = add_pool(made, CONFIG, source)
    assert again.path == first.path  # the same call finds the work done


def test_several_pools_share_no_image(tmp_path: Path) -> None:
    made = workspace()
    data = made.active_data
    assert data is not None
    add_pool(made, CONFIG, folder(tmp_path / "a", {f"{i}.png": picture(BASE[12 + i]) for i in range(4)}))
    second = add_pool(made, CONFIG, folder(tmp_path / "b", {f"{i}.png": picture(BASE[14 + i]) for i in range(4)}))
    assert second.figures["images"] == 2
    assert second.figures["skipped"] == {"also in an earlier pool": 2}
    pools = pools_of(made, data)
    assert len(read_pools(pools)) == 6
    with pytest.raises(DataError, match="are known already"):
        add_pool(made, CONFIG, folder(tmp_path / "c", {"x.png": picture(BASE[12])}))
    assert len(pools_of(made, data)) == 2
    assert len(made.runs("pools")) == 2  # what failed left nothing begun


def test_a_variant_of_the_set_has_its_pools_and_other_data_has_not(tmp_path: Path) -> None:
    made = workspace()
    project = Project(made, CONFIG)
    project.add(folder(tmp_path / "a", {"0.png": picture(BASE[20])}), pool=True)
    project.thin(counts={"angry": 1})
    assert made.active_data is not None
    assert len(pools_of(made, made.active_data)) == 1
    other = made.run("data", "other", {"inputs": {"x": 1}})
    with other.work("data add"):
        other.finish(digest=save_set(other.path, image_set(BASE[:3], split=["train", "val", "test"])), figures={})
    made.activate_data(other)
    assert pools_of(made, other) == []
    assert "compared with other data, so not used" in str(project.stats())


def test_labels_of_a_pool_are_ignored_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = workspace()
    source = folder(tmp_path / "a", {"happy/0.png": picture(BASE[20]), "sad/1.png": picture(BASE[21])})
    (source / "labels.csv").write_text("file,label\nhappy/0.png,happy\n")
    plan = add_pool(made, CONFIG, source, dry_run=True)
    assert "2 images lie in folders named like expressions: those labels are ignored" in str(plan)
    assert not (Path("work") / "pools").exists()
    result = add_pool(made, CONFIG, source)
    assert "those labels are ignored" in capsys.readouterr().err
    assert (read_set(Path(str(result.path))).labels == -1).all()


def test_synthetic_faces_enter_no_pool(tmp_path: Path) -> None:
    source = folder(tmp_path / "a", {"real.png": picture(BASE[20])})
    write_png(source / "drawn.png", BASE[21], {"generator": "g"})
    result = add_pool(workspace(), CONFIG, source)
    assert result.figures["images"] == 1
    assert skipped(Path(str(result.path)))["drawn.png"] == "synthetic (drawn by ganfer)"


def test_bad_input_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set that a pool could be added to"):
        add_pool(Workspace("nothing"), CONFIG, tmp_path)
    made = workspace()
    source = folder(tmp_path / "a", {"0.png": picture(BASE[20])})
    for setting, message in (
        ({"data.size": 64}, "has size 48, not 64"),
        ({"data.channels": 3}, "has channels 1, not 3"),
    ):
        with pytest.raises(DataError, match=message):
            add_pool(made, load_config(overrides=setting), source)
    empty = folder(tmp_path / "empty", {"notes.txt": b"x"})
    broken = folder(tmp_path / "broken", {"0.png": b"\x89PNG", "1.png": b""})
    for place, message in ((empty, "holds no image files"), (broken, "None of the images"), (tmp_path / "no", "exist")):
        with pytest.raises(DataError, match=message):
            add_pool(made, CONFIG, place)
    with pytest.raises(DataError, match="soft_labels says nothing of it"):
        Project(made, CONFIG).add(source, pool=True, soft_labels=True)
    with pytest.raises(DataError, match="belongs to the workspace"):
        add_pool(made, CONFIG, next((Path("work") / "data").glob("faces-*")))
    assert made.runs("pools") == []


def test_images_are_brought_to_the_size_and_channels_of_the_set(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    result = add_pool(workspace(), load_config(), folder(tmp_path / "a", {"0.png": encoded(Image.fromarray(colour))}))
    assert read_set(Path(str(result.path))).images.shape == (1, 1, 48, 48)


def test_an_interrupted_import_goes_on_with_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganfer.data import unlabelled

    made = workspace()
    source = folder(tmp_path / "a", {"0.png": picture(BASE[20])})

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(unlabelled, "_found_again", stop)
        add_pool(made, CONFIG, source)
    (begun,) = made.runs("pools")
    assert not begun.complete
    assert sorted(path.name for path in begun.path.iterdir() if path.name != ".lock") == ["record.json"]
    assert Run(Path(str(add_pool(made, CONFIG, source).path))).complete
