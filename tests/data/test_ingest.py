"""`ganfer data add` from end to end: what lands in the workspace, and that nothing is ever half-written."""

import contextlib
import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from making_sources import classes, encoded, face, folder, pixels, png, tarred, zipped
from PIL import Image

from ganfer.config import Config, load_config
from ganfer.data import ingest
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.ingest import add
from ganfer.data.provenance import write_png
from ganfer.data.writer import SetWriter
from ganfer.errors import DataError
from ganfer.results import Result
from ganfer.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
CONFIG = load_config(overrides={"data.size": 20, "data.workers": 1})
SPLIT = classes("happy sad", 6, "train/") | classes("happy sad", 2, "val/", 100) | classes("happy sad", 3, "test/", 200)


def added(path: Path, config: Config = CONFIG, **options: object) -> tuple[Result, ImageSet]:
    result = add(Workspace("w"), config, path, **options)  # type: ignore[arg-type]
    assert result.path is not None
    return result, read_set(result.path)


def skipped(result: Result) -> dict[str, str]:
    assert result.path is not None
    with (result.path / "skipped.csv").open(newline="") as file:
        return {row["file_name"]: row["reason"] for row in csv.DictReader(file)}


def test_a_folder_becomes_the_active_set(tmp_path: Path) -> None:
    result, images = added(folder(tmp_path / "faces", SPLIT))
    assert images.class_names == ("happy", "sad")
    assert images.counts("train") == {"happy": 6, "sad": 6}
    assert images.counts("val") == {"happy": 2, "sad": 2}
    assert images.counts("test") == {"happy": 3, "sad": 3}
    at = images.ids.tolist().index("test/sad/2.png")
    assert np.array_equal(images.images[at, 0], pixels(1202))
    assert set(images.source) == {"real"}
    active = Workspace("w").active_data
    assert active is not None
    assert active.path == result.path
    assert active.digest == images.digest
    assert active.figures["counts"]["train"] == {"happy": 6, "sad": 6}
    assert active.record["key"]["inputs"]["source"]
    assert sorted(p.name for p in active.path.iterdir() if p.name != ".lock") == [
        "images.npy", "record.json", "set.json", "skipped.csv", "table.csv",
    ]  # fmt: skip


def test_folder_and_zip_give_the_same_set_and_a_tar_in_another_order_the_same_splits(tmp_path: Path) -> None:
    files = classes("happy sad fear", 12)
    _, one = added(folder(tmp_path / "faces", files))
    _, two = added(zipped(tmp_path / "faces.zip", files))
    _, three = added(tarred(tmp_path / "faces.tar", dict(reversed(files.items()))))
    assert one.digest == two.digest
    assert dict(zip(one.ids, one.split, strict=True)) == dict(zip(three.ids, three.split, strict=True))
    assert {str(split) for split in one.split} == {"train", "val", "test"}


def test_colour_size_and_worker_processes(tmp_path: Path) -> None:
    colour = {
        f"{n}/{i}.png": encoded(Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 30, 3), np.uint8)))
        for n in ("a", "b")
        for i in range(4)
    }
    config = load_config(overrides={"data.size": 24, "data.channels": 3, "data.workers": 2})
    _, images = added(folder(tmp_path / "faces", colour), config)
    assert images.images.shape == (8, 3, 24, 24)


def test_the_same_command_again_finds_the_work_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "faces", SPLIT)
    first, _ = added(path)
    added(zipped(tmp_path / "other.zip", SPLIT))
    monkeypatch.setattr(ingest, "Importer", None)  # nothing may be imported
    second, _ = added(path)
    assert second == first
    active = Workspace("w").active_data
    assert active is not None
    assert active.path == first.path


def test_another_option_or_a_changed_file_is_another_set(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", SPLIT)
    first, _ = added(path)
    other, images = added(path, load_config(overrides={"data.size": 16}))
    assert other.path != first.path
    assert images.size == 16
    (path / "train/happy/new.png").write_bytes(png(77))
    assert len(added(path)[1]) == 23


def test_classes_and_renames(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", classes("Anger HAPPINESS bored", 5))
    _, images = added(path, classes=["angry", "tired"], renames={"Bored": "tired"})
    assert images.class_names == ("angry", "tired")
    assert images.counts() == {"angry": 5, "tired": 5}
    _, merged = added(path, renames={"anger": "negative", "bored": "negative"})
    assert merged.counts() == {"happy": 5, "negative": 10}


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_a_class_that_is_not_there_is_answered_with_the_nearest(form: str, tmp_path: Path) -> None:
    files = classes("happy sad", 5)
    path = folder(tmp_path / "f", files) if form == "folder" else tarred(tmp_path / "f.tar", files)
    with pytest.raises(DataError, match=r"no class 'hapy'. Did you mean 'happy'\?"):
        added(path, classes=["hapy"])
    if form == "folder":
        with pytest.raises(DataError, match=r"no class 'sade' to rename. Did you mean 'sad'\?"):
            added(path, renames={"sade": "blue"})
    assert Workspace("w").runs("data") == []  # a failed import leaves no run


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    bad = {
        "train/happy/blank.png": encoded(Image.new("L", (20, 20), 9)),
        "train/happy/tiny.png": encoded(face(1, 8)),
        "train/sad/broken.jpg": b"\xff\xd8 no",
        "train/sad/empty.png": b"",
    }
    result, images = added(folder(tmp_path / "faces", SPLIT | bad))
    assert len(images) == 22
    reasons = skipped(result)
    assert set(reasons) == set(bad)
    assert reasons["train/happy/blank.png"] == "blank"
    assert reasons["train/happy/tiny.png"] == "tiny (8 x 8)"
    assert result.figures["skipped"] == {"blank": 1, "tiny": 1, "unreadable": 2}
    assert "Left out 4" in str(result)
    assert "train/happy/blank.png: blank" in str(result)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (classes("happy", 5), r"single class \(happy\).*--merge"),
        (classes("happy sad fear", 1), "one image per class"),
        (classes("happy sad", 2), "too few to hold out val"),
        (
            {"happy/1.png": b"", "sad/1.png": b"x"},
            r"None of the 2 images .* can be used \(unreadable: 2; the first: happy/1.png: unreadable \(empty file\)\)",
        ),
        (
            {f"{label}/S001_001_0000000{i}.png": png(i) for i in range(4) for label in ("anger", "fear")},
            "of 1 subject are too few",
        ),
    ],
)
def test_data_that_answers_no_question_is_refused(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        added(folder(tmp_path / "faces", files))
    assert Workspace("w").active_data is None


def test_a_class_of_one_image_stays_in_train_and_is_said(tmp_path: Path) -> None:
    result, images = added(folder(tmp_path / "faces", classes("happy sad", 8) | classes("fear", 1)))
    assert images.split[images.labels == images.class_names.index("fear")].tolist() == ["train"]
    assert "fear: a single image; it stays in train" in str(result)


def test_merge_adds_to_the_active_set(tmp_path: Path) -> None:
    _, first = added(folder(tmp_path / "fer", SPLIT))
    extra = classes("happy embarrassed", 10) | {"happy/bad.png": b""}
    result, merged = added(folder(tmp_path / "more", extra), load_config(), merge=True)  # size comes from the set
    assert merged.class_names == ("happy", "sad", "embarrassed")
    assert len(merged) == 22 + 20
    assert merged.ids[:22].tolist() == first.ids.tolist()
    assert merged.split[:22].tolist() == first.split.tolist()
    assert np.array_equal(merged.images[:22], first.images)
    assert all(name.startswith("more/") for name in merged.ids[22:])
    assert len(set(merged.ids)) == 42
    assert {str(s) for s in merged.split[22:]} == {"train", "val", "test"}
    assert result.figures["skipped"] == {"unreadable": 1}
    again, same = added(tmp_path / "more", load_config(), merge=True)
    assert again.path == result.path
    assert len(same) == 42


def test_merge_keeps_subjects_apart_and_ids_unique(tmp_path: Path) -> None:
    def ck(seed: int) -> dict[str, bytes]:
        return {f"{label}/S{s:03d}_001_00000001.png": png(seed + s) for s in range(12) for label in ("anger", "fear")}

    added(folder(tmp_path / "a" / "ck", ck(0)))
    result, merged = added(folder(tmp_path / "b" / "ck", ck(50)), merge=True)
    assert any(note.startswith("12 subjects are called as some of the set") for note in result.figures["notes"])
    assert set(merged.group[:24]) == {f"S{s:03d}" for s in range(12)}
    assert set(merged.group[24:]) == {f"ck/S{s:03d}" for s in range(12)}
    _, more = added(folder(tmp_path / "c" / "ck", ck(90)), merge=True)
    assert len(set(more.ids)) == 72
    assert set(more.group[48:]) == {f"ck-2/S{s:03d}" for s in range(12)}


@pytest.mark.parametrize("place", ["test", "test_data", "more/test"])
def test_what_is_merged_keeps_the_split_it_is_given_with(place: str, tmp_path: Path) -> None:
    """The test images of a set that comes in parts are never trained on."""
    added(folder(tmp_path / "train", classes("happy sad", 20)))
    files = classes("happy sad", 5, "test/" if "/" in place else "", 100)
    root = folder(tmp_path / place.partition("/")[0], files)
    result, merged = added(root, merge=True)
    assert set(merged.split[40:]) == {"test"}
    assert set(merged.split[:40]) == {"train", "val", "test"}
    said = f"{root.name} is named after a split: its images are test."
    assert (said in result.figures["notes"]) == ("/" not in place)
    if "/" not in place:
        assert set(add(Workspace("w"), CONFIG, root, dry_run=True).figures["counts"]) == {"test"}


def test_a_lone_folder_named_after_a_split_is_split_as_any(tmp_path: Path) -> None:
    result, images = added(folder(tmp_path / "test", classes("happy sad", 20)))
    assert set(images.split) == {"train", "val", "test"}
    assert "The source has no training split; its images are split anew." in result.figures["notes"]


def test_merge_needs_a_set_and_its_size(tmp_path: Path) -> None:
    path = folder(tmp_path / "fer", SPLIT)
    with pytest.raises(DataError, match="no data set to merge into"):
        added(path, merge=True)
    added(path)
    with pytest.raises(DataError, match="has size 20, not 64"):
        added(folder(tmp_path / "more", SPLIT), load_config(overrides={"data.size": 64}), merge=True)


def test_synthetic_images_never_enter_val_or_test(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", SPLIT)
    for split in ("train", "val", "test"):
        write_png(path / split / "happy" / "drawn.png", pixels(900)[None], {"seed": 1})
    refused, images = added(path)
    assert len(images) == 22
    assert skipped(refused) == {f"{s}/happy/drawn.png": "synthetic (drawn by ganfer)" for s in ("train", "val", "test")}
    allowed, images = added(path, allow_synthetic=True)
    assert set(images.split[images.source == "synthetic"]) == {"train"}
    assert (images.source == "synthetic").sum() == 1
    assert set(skipped(allowed)) == {"val/happy/drawn.png", "test/happy/drawn.png"}


def test_synthetic_images_without_splits_are_not_held_out(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", classes("happy sad", 8))
    for i in range(30):
        write_png(path / "happy" / f"drawn{i}.png", pixels(900 + i)[None], {"seed": i})
    _, images = added(path, allow_synthetic=True)
    assert set(images.split[images.source == "synthetic"]) == {"train"}
    with pytest.raises(DataError, match="were drawn by ganfer"):
        only = tmp_path / "only"
        (only / "happy").mkdir(parents=True)
        write_png(only / "happy" / "1.png", pixels(1)[None], {"seed": 1})
        added(only)


def test_what_lies_in_a_workspaces_runs_is_not_labelled_data(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", SPLIT)
    result, _ = added(path)
    assert result.path is not None
    with pytest.raises(DataError, match="belongs to the workspace"):
        added(result.path)
    batch = folder(Path("w/synthetic/gan-1"), classes("happy sad", 4, "images/") | {"record.json": b"{}"})
    for within in (batch, batch / "images"):
        with pytest.raises(DataError, match="batch of synthetic images.*ganfer label"):
            added(within)
    metadata = b"file_name,asked,seed\nimages/happy/0.png,happy,1\n"
    copied = folder(tmp_path / "copied", classes("happy sad", 4, "images/") | {"metadata.csv": metadata})
    with pytest.raises(DataError, match="images that ganfer drew.*ganfer label FOLDER"):
        added(copied)
    mine = folder(Path("w/faces"), SPLIT)  # a workspace around the user's own folder
    assert len(added(mine)[1]) == 22


def test_soft_labels_follow_classes_and_renames(tmp_path: Path) -> None:
    fer, votes = (
        ["emotion,pixels,Usage"],
        ["Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"],
    )
    for i in range(12):
        row = " ".join(map(str, pixels(i).reshape(-1)))
        fer.append(f"0,{row},{['Training', 'PublicTest', 'PrivateTest'][i % 3]}")
        votes.append(
            "Training,x.png,"
            + (["0,2,0,2,6,0,0,0,0,0", "6,3,0,0,0,0,0,0,0,0", "0,9,0,0,0,0,0,0,0,0", "9,0,0,0,0,0,0,0,0,0"][i % 4])
        )
    path = folder(
        tmp_path / "fer", {"fer2013.csv": "\n".join(fer).encode(), "fer2013new.csv": "\n".join(votes).encode()}
    )
    _, images = added(path, soft_labels=True)
    assert images.class_names == ("angry", "happy", "neutral")
    assert images.soft_labels is not None
    assert np.allclose(images.soft_labels[0], [0.75, 0.25, 0])  # two votes for sad, which is nobody's label
    assert np.allclose(images.soft_labels[1], [0, 1 / 3, 2 / 3])
    assert images.split.tolist() == ["train", "val", "test"] * 4
    _, subset = added(path, soft_labels=True, classes=["angry", "neutral"])
    assert subset.soft_labels is not None
    assert np.allclose(subset.soft_labels[:2], [[1, 0], [0, 1]])
    _, merged = added(folder(tmp_path / "more", classes("fear", 6)), merge=True)
    assert merged.class_names == ("angry", "fear", "neutral")
    assert merged.soft_labels is not None
    assert np.allclose(merged.soft_labels[[0, 1, -1]], [[1, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_attributes_become_columns_and_odd_names_survive(tmp_path: Path) -> None:
    lines = ["file_name,label,age,id"] + [
        f"{k}é{i}.png,{n},{20 + i},x{i}" for k, n in enumerate(("happy", "sad")) for i in range(6)
    ]
    path = folder(
        tmp_path / "h",
        {"metadata.csv": "\n".join(lines).encode()}
        | {f"{k}é{i}.png": png(10 * k + i) for k in (0, 1) for i in range(6)},
    )
    _, images = added(path)
    assert set(images.attributes) == {"age", "source_id"}
    assert images.attributes["age"][images.ids.tolist().index("0é3.png")] == "23"


def test_a_name_that_is_no_text_and_a_name_twice(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", SPLIT)
    os.rename(path / "train/happy/0.png", os.fsencode(str(path / "train/happy")) + b"/\xff\n.png")
    assert "train/happy/\\xff\\n.png" in added(path)[1].ids
    twice = tarred(tmp_path / "t.tar", SPLIT)
    import tarfile

    with tarfile.open(twice, "a") as archive:
        archive.add(path / "train/sad/0.png", "train/sad/0.png")
    ids = added(twice)[1].ids.tolist()
    assert len(set(ids)) == len(ids) == 23
    assert "train/sad/0.png#2" in ids


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    result = add(Workspace("w"), CONFIG, folder(tmp_path / "faces", SPLIT), dry_run=True)
    assert result.figures["counts"]["train"] == {"happy": 6, "sad": 6}
    assert "Plan (nothing was done)" in str(result)
    assert not Path("w").exists()


def test_a_full_disk_loses_nothing_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = added(folder(tmp_path / "faces", SPLIT))
    more = folder(tmp_path / "more", SPLIT)

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for place in ("append", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(SetWriter, place, full)
            with pytest.raises(OSError, match="No space left"):
                added(more)
        active = Workspace("w").active_data
        assert active is not None
        assert active.path == first.path
        assert not list(Path("w").rglob(".unfinished"))
        assert not list(Path("w").rglob("*.tmp"))
    assert len(added(more)[1]) == 22


def test_an_archive_that_breaks_off_leaves_the_active_set_alone(tmp_path: Path) -> None:
    first, _ = added(folder(tmp_path / "faces", SPLIT))
    broken = tarred(tmp_path / "b.tar.gz", classes("happy sad", 40))
    broken.write_bytes(broken.read_bytes()[:-3000])
    with pytest.raises(DataError, match="damaged"):
        added(broken)
    active = Workspace("w").active_data
    assert active is not None
    assert active.path == first.path
    assert len(Workspace("w").runs("data")) == 1


def notes(result: Result) -> str:
    return "\n".join(result.figures["notes"])


def test_calm_is_neutral_only_where_there_is_no_neutral(tmp_path: Path) -> None:
    result, images = added(folder(tmp_path / "a", classes("neutral calm happy", 6)))
    assert images.class_names == ("happy", "neutral", "calm")
    assert "calm" not in notes(result)
    result, images = added(folder(tmp_path / "b", classes("calm happy", 6)))
    assert images.class_names == ("happy", "neutral")
    assert "calm is read as neutral; --rename calm=calm keeps it." in notes(result)
    _, images = added(tmp_path / "b", renames={"calm": "calm"})
    assert images.class_names == ("happy", "calm")
    _, images = added(tmp_path / "a", renames={"calm": "neutral"})
    assert images.counts() == {"happy": 6, "neutral": 12}


def test_folders_that_become_one_class_are_named(tmp_path: Path) -> None:
    result, images = added(folder(tmp_path / "a", classes("Happy happy happiness sad", 6)))
    assert images.counts() == {"happy": 18, "sad": 6}
    wanted = "Happy and happiness and happy became one class, happy; --rename happiness=happiness keeps them apart."
    assert wanted in notes(result)
    assert added(tmp_path / "a", renames={"happiness": "happiness"})[1].counts()["happiness"] == 6


def test_a_class_that_vanishes_and_one_without_test_images_are_said(tmp_path: Path) -> None:
    files = SPLIT | classes("fear", 3, "train/", 400) | {f"train/angry/{i}.jxl": b"x" for i in range(4)}
    files |= {f"train/disgust/{i}.png": b"x" for i in range(2)}
    result, images = added(folder(tmp_path / "a", files))
    assert images.class_names == ("fear", "happy", "sad")
    said = notes(result)
    assert "angry: none of its 4 images can be used, so the class is not in the set" in said
    assert "disgust: none of its 2 images can be used" in said
    assert "No test images of fear." in said
    assert all(f"train/angry/{i}.jxl" in skipped(result) for i in range(4))


def test_how_a_source_is_read_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / "a", classes("ann bob", 4, "x/") | classes("ann bob", 4, "y/"))
    with pytest.raises(DataError, match=r"--class-level 1: x, y; or --class-level 2: ann, bob"):
        added(path)
    assert not Path("w").exists()
    result, images = added(path, class_level=2)
    assert images.class_names == ("ann", "bob")
    assert "class: folder level 2 (ann, bob)" in capsys.readouterr().err
    assert "  class: folder level 2 (ann, bob)" in result.figures["reading"]
    assert added(path, class_level=1)[1].class_names == ("x", "y")


def test_names_that_are_no_text_as_classes_subjects_and_columns(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", classes("x", 6))
    for name in (b"fr\xf6hlich", b"w\xfctend"):
        shutil.copytree(path / "x", path / os.fsdecode(name))
    shutil.rmtree(path / "x")
    assert added(path)[1].class_names == ("fr\\xf6hlich", "w\\xfctend")
    table = ["file_name,label,age\x07", *(f"{i}.png,{('a', 'b')[i % 2]},{i}" for i in range(8))]
    files = {f"{i}.png": png(i) for i in range(8)} | {"metadata.csv": "\n".join(table).encode()}
    assert set(added(folder(tmp_path / "b", files))[1].attributes) == {"age\\x07"}


def test_an_import_by_older_rules_is_not_taken_twice(tmp_path: Path) -> None:
    added(folder(tmp_path / "a", SPLIT))
    _, first = added(folder(tmp_path / "b", classes("happy sad", 5, start=300)), merge=True)
    run = Workspace("w").active_data
    assert run is not None
    record = run.record
    for each in record["taken"]:
        del each["options"]["reading"]  # as before the rules had a number
    (run.path / "record.json").write_text(json.dumps(record))
    assert len(added(tmp_path / "b", merge=True)[1]) == len(first)


# --- several processes, and violent ends


def ran(script: Path) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, str(script)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(line, env=env, capture_output=True, text=True, timeout=90)


CHILD = """
import subprocess, sys
import ganfer
from ganfer.data import ingest

class Starting(ingest.Importer):
    def all(self, parent):
        line = [sys.executable, "-c", f"import ganfer; ganfer.open('w').add({PATH!r})"]
        found = subprocess.run(line, capture_output=True, text=True, timeout=60)
        print(found.returncode, found.stderr.splitlines()[-1])
        return super().all(parent)

ingest.Importer = Starting
ganfer.open("w").add(PATH)
"""


def test_a_script_without_a_main_guard_adds_a_large_source(tmp_path: Path) -> None:
    path = zipped(tmp_path / "big.zip", many(600))
    script = tmp_path / "script.py"
    script.write_text(
        f"import ganfer\nproject = ganfer.open('w')\nproject.add({str(path)!r}, dry_run=False)\nprint('done')\n"
    )
    found = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert found.stdout == "done\n", found.stderr
    assert found.stderr.count("is read as folder") == 1  # the script ran once


def test_a_child_does_not_wait_for_the_run_that_its_parent_holds(tmp_path: Path) -> None:
    path = zipped(tmp_path / "faces.zip", many(4))
    script = tmp_path / "script.py"
    script.write_text(CHILD.replace("PATH", repr(str(path))))
    found = ran(script)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("1 ")
    assert "__main__" in found.stdout


def command(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "ganfer", "data", "add", "-w", "w", "--size", "20", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes, **options)  # type: ignore[call-overload]


def many(count: int) -> dict[str, bytes]:
    return {f"{name}/{i}.png": png(i % 50 + 50 * k) for k, name in enumerate(("happy", "sad")) for i in range(count)}


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_in_the_middle_and_run_again_gives_the_uninterrupted_result(workers: int, tmp_path: Path) -> None:
    pipe = tmp_path / "slow.tar"
    whole = tarred(tmp_path / "whole.tar", many(900)).read_bytes()
    pipe.write_bytes(whole)
    run = command(pipe, "--workers", workers)
    unfinished = None
    deadline = time.monotonic() + 60
    while unfinished is None and time.monotonic() < deadline and run.poll() is None:
        unfinished = next(iter(Path("w").glob("data/*/.unfinished")), None)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert unfinished is not None
    assert unfinished.exists()
    workspace = Workspace("w")
    assert workspace.active_data is None
    again = command(pipe, "--workers", workers, "--json")
    out, err = again.communicate()
    assert again.returncode == 0, err
    figures = json.loads(out)
    assert figures["images"] == 1800
    assert not unfinished.exists()
    killed = read_set(Path(figures["path"]))
    shutil.rmtree("w")
    assert read_set(added(pipe)[0].path or Path()).digest == killed.digest


def test_two_processes_adding_the_same_source(tmp_path: Path) -> None:
    path = zipped(tmp_path / "faces.zip", many(300))
    runs = [command(path, "--workers", 1, "--json") for _ in range(2)]
    results = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], results
    first, second = (json.loads(out) for out, _ in results)
    assert first == second
    assert len(Workspace("w").runs("data")) == 1
    assert len(read_set(Path(first["path"]))) == 600


def test_two_processes_adding_different_sources(tmp_path: Path) -> None:
    paths = [zipped(tmp_path / f"{name}.zip", many(count)) for name, count in (("a", 40), ("b", 50))]
    runs = [command(path, "--workers", 1, "--json") for path in paths]
    results = [json.loads(run.communicate()[0]) for run in runs]
    assert [len(read_set(Path(result["path"]))) for result in results] == [80, 100]
    active = Workspace("w").active_data
    assert active is not None
    assert str(active.path) in {result["path"] for result in results}


def test_control_c_ends_in_one_line(tmp_path: Path) -> None:
    path = tarred(tmp_path / "faces.tar", many(6000))
    # a suite that runs in the background has SIGINT ignored, and children inherit that
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    for _ in range(5):  # on a busy machine an import may be over before this process is woken
        run = command(path, "--workers", 2, start_new_session=True, **heard)
        deadline = time.monotonic() + 60
        while not list(Path("w").glob("data/*/.unfinished")) and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.001)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=60)
        if run.returncode != 0:
            break
        shutil.rmtree("w")
    assert run.returncode == 130
    assert "Traceback" not in err
    assert "Interrupted" in err
    assert not list(Path("w").glob("data/*/.unfinished"))


def test_an_interrupt_before_the_writer_is_entered_leaves_no_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(writer: SetWriter) -> SetWriter:
        assert list(Path("w").glob("data/*/.unfinished"))
        writer._pixels.close()
        writer._names.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(SetWriter, "__enter__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        added(folder(tmp_path / "faces", SPLIT))
    assert not list(Path("w").glob("data/*/.unfinished"))
    monkeypatch.undo()
    assert len(added(tmp_path / "faces")[1]) == 22


def test_an_expected_failure_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    run = command(tmp_path / "nowhere")
    out, err = run.communicate()
    assert (run.returncode, out) == (1, "")
    assert err.startswith("ganfer: ")
    assert len(err.splitlines()) == 1


# --- the development data


@pytest.mark.shared
def test_ck_of_the_shared_data_keeps_subjects_apart(shared: Path) -> None:
    result, images = added(shared / "data" / "ckplus48.zip")
    assert len(images) == 981
    assert "contempt" in images.class_names
    assert "neutral" not in images.class_names
    assert result.figures["kind"] == "ck+48"
    by_split = {split: set(images.group[images.split == split]) for split in ("train", "val", "test")}
    assert sum(len(people) for people in by_split.values()) == len(set(images.group)) == 118
    assert all(by_split.values())


@pytest.mark.shared
@pytest.mark.long
def test_fer2013_of_the_shared_data(shared: Path) -> None:
    result, images = added(shared / "data" / "fer2013.tar.xz", load_config())
    assert images.counts("test")["disgust"] == 56
    assert (
        sum(images.counts("train").values()) + sum(images.counts("val").values()) + len(skipped(result)) - 1 == 28_709
    )
    assert set(skipped(result).values()) == {"blank"}
    merged, eight = added(shared / "data" / "embarrassed.zip", load_config(), merge=True)
    assert eight.counts()["embarrassed"] == 540
    assert len(eight) == len(images) + 540
    assert merged.figures["images"] == len(eight)


def _by_metadata(place: str, start: int) -> dict[str, bytes]:
    lines = ["file_name,label", *(f"{i}.png,{('happy', 'sad')[i % 2]}" for i in range(6))]
    return {f"{place}/{i}.png": png(start + i) for i in range(6)} | {f"{place}/metadata.csv": "\n".join(lines).encode()}


def _by_code(place: str, start: int) -> dict[str, bytes]:
    names = [f"AF{start // 10 + i:02d}{expression}S.JPG" for i in range(3) for expression in ("HA", "SA")]
    return {f"{place}/{name}": png(start + i) for i, name in enumerate(names)}


def _by_columns(place: str, start: int) -> dict[str, bytes]:
    lines = ["filename, happy, sad", *(f"{i}.png, {i % 2}, {1 - i % 2}" for i in range(6))]
    return {f"{place}/{i}.png": png(start + i) for i in range(6)} | {f"{place}/_classes.csv": "\n".join(lines).encode()}


@pytest.mark.parametrize("made", [_by_metadata, _by_code, _by_columns])
def test_a_folder_named_eval_is_the_test_or_beside_one_the_validation(
    made: Callable[[str, int], dict[str, bytes]], tmp_path: Path
) -> None:
    faces = folder(tmp_path / "faces", made("train", 0) | made("eval", 100))
    counts = add(Workspace("w"), CONFIG, faces, dry_run=True).figures["counts"]
    assert counts == {split: {"happy": 3, "sad": 3} for split in ("train", "test")}
    _, images = added(faces)
    assert {str(name).partition("/")[0] for name in images.ids[images.split == "test"]} == {"eval"}
    _, images = added(folder(faces, made("test", 200)))
    assert {str(name).partition("/")[0] for name in images.ids[images.split == "test"]} == {"test"}
    assert {str(name).partition("/")[0] for name in images.ids[images.split == "val"]} == {"eval"}


def test_a_column_with_train_eval_and_test(tmp_path: Path) -> None:
    splits = ("train", "eval", "test")
    lines = ["file_name,label,split", *(f"{i}.png,{('happy', 'sad')[i % 2]},{splits[i % 3]}" for i in range(18))]
    files = {f"{i}.png": png(i) for i in range(18)} | {"metadata.csv": "\n".join(lines).encode()}
    _, images = added(folder(tmp_path / "h", files))
    for code, split in enumerate(("train", "val", "test")):
        assert set(images.ids[images.split == split]) == {f"{i}.png" for i in range(code, 18, 3)}


def test_images_of_a_class_without_a_name_are_left_out(tmp_path: Path) -> None:
    result, images = added(folder(tmp_path / "faces", classes("happy sad", 6) | {" /1.png": png(9)}))
    assert set(images.labels) == {0, 1}
    assert skipped(result) == {" /1.png": "its class has no name"}
