"""The check: what is reported, and that dropping removes the leaking images and no others."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from textures import image_set, textures

from ganfer.config import Config
from ganfer.data.check import check
from ganfer.data.damage import damage_of, grey_chunks
from ganfer.data.examine import examine, summarise
from ganfer.data.imageset import ImageSet, read_set, save_set
from ganfer.data.variants import make_variant
from ganfer.experiment.preflight import leaks_of
from ganfer.review.elsewhere import _turn, _turned
from ganfer.workspace import Run, Workspace


def add(images: ImageSet) -> tuple[Workspace, Run]:
    """A workspace with this set as the active one."""
    workspace = Workspace("work")
    run = workspace.run("data", "faces", {"inputs": {}})
    with run.work("data add"):
        figures = {"kind": "folder", "images": len(images), "size": images.size, "channels": 1, "skipped": {}}
        run.finish(digest=save_set(run.path, images), figures=figures, taken=[{"source": "x"}])
    workspace.activate_data(run)
    return workspace, run


def leaky() -> ImageSet:
    """Train 0..4, val 5..7, test 8..10; 0 = 8, 5 = 10 and 3 = 4 exactly, 1 ~ 9 shifted, 2 ~ 6 mirrored."""
    base = textures(7)
    train = [base[0], base[1], base[2], base[3], base[3]]
    val = [base[4], base[2][..., ::-1], base[5]]
    test = [base[0], np.roll(base[1], 1, axis=2), base[4]]
    split = ["train"] * 5 + ["val"] * 3 + ["test"] * 3
    labels = [0, 1, 2, 0, 1, 2, 2, 0, 0, 0, 2]  # 3 = 4 and 1 ~ 9 disagree
    return image_set(np.stack([*train, *val, *test]), split=split, labels=labels)


def test_everything_planted_is_reported() -> None:
    workspace, run = add(leaky())
    figures = check(workspace, run).figures
    assert figures["exact"] == {"groups": 3, "surplus_images": 3}
    assert (figures["near_pairs"], figures["mirrored_pairs"]) == (1, 1)
    assert figures["pairs_by_splits"] == {"train-test": 2, "train-train": 1, "train-val": 1, "val-test": 1}
    assert figures["leaks"]["by_splits"] == {"train-val": 1, "train-test": 2, "val-test": 1}
    assert figures["leaks"]["by_class"] == {"angry": 1, "happy": 1, "sad": 2}
    assert figures["conflicts"]["exact_groups"] == 1
    assert figures["conflicts"]["near_pairs"] == 1
    assert figures["conflicts"]["by_classes"] == {"angry / happy": 2}
    assert figures["images_with_a_duplicate"] == 10


def test_the_files_name_the_images() -> None:
    workspace, run = add(leaky())
    check(workspace, run)
    folder = run.path / "check"
    written = json.loads((folder / "check.json").read_text())
    assert written["leaking_images"] == {
        "folder/00000.png": "test",
        "folder/00001.png": "test",
        "folder/00002.png": "val",
        "folder/00005.png": "test",
    }
    with (folder / "duplicates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["kind"], row["id_a"][-6:-4], row["id_b"][-6:-4], row["leak"], row["conflict"]) for row in rows} == {
        ("exact", "08", "00", "1", "0"),
        ("exact", "10", "05", "1", "0"),
        ("exact", "03", "04", "0", "1"),
        ("near", "01", "09", "1", "1"),
        ("mirrored", "02", "06", "1", "0"),
    }
    assert (folder / "pairs.png").is_file()
    assert not (folder / "damaged.png").exists()


def test_drop_removes_the_leaking_images_and_no_others() -> None:
    workspace, run = add(leaky())
    result = check(workspace, run, drop=True)
    active = workspace.active_data
    assert active is not None
    assert active.path == result.path != run.path
    assert read_set(active.path).ids.tolist() == [f"folder/{i:05d}.png" for i in (3, 4, 6, 7, 8, 9, 10)]
    assert result.figures["dropped"] == 4
    assert active.figures["counts"]["train"] == {"angry": 1, "happy": 1, "sad": 0}
    assert "No train images of sad are left." in result.lines
    assert active.figures["size"] == 48  # what a later merge needs to know
    assert active.record["taken"] == [{"source": "x"}]
    again = check(workspace, active, drop=True)
    assert again.figures["leaks"]["total"] == again.figures["dropped"] == 0
    assert workspace.active_data is not None
    assert workspace.active_data.name == active.name
    assert check(workspace, run, drop=True).path == active.path  # the same command finds the work done


def test_a_clean_set_is_called_clean_and_left_alone() -> None:
    workspace, run = add(image_set(textures(9), split=["train", "val", "test"] * 3))
    result = check(workspace, run, drop=True)
    assert result.path == run.path
    assert "leaks between splits: none" in result.lines
    assert result.lines[-1] == "Nothing leaks, so nothing was dropped."
    assert len(workspace.runs("data")) == 1


def test_a_leak_is_one_whichever_image_comes_first() -> None:
    base = textures(1)[0]
    images = np.stack([base, np.roll(base, 1, axis=2)])
    assert examine(image_set(images, split=["train", "test"])).leaks_to.tolist() == ["test", ""]
    assert examine(image_set(images, split=["test", "train"])).leaks_to.tolist() == ["", "test"]


def test_a_copy_of_a_copy_leaks_as_well() -> None:
    """Two equal training images of which only one is compared with the test image it resembles."""
    base = textures(1)[0]
    images = np.stack([base, base, np.roll(base, 1, axis=2)])
    found = examine(image_set(images, split=["train", "train", "test"]))
    assert found.leaks_to.tolist() == ["test", "test", ""]
    assert len(set(found.cluster.tolist())) == 1


def test_the_sheets_of_an_earlier_check_do_not_outlive_what_they_show() -> None:
    workspace, run = add(image_set(textures(2)))
    stale = run.path / "check" / "pairs.png"
    stale.parent.mkdir()
    stale.write_bytes(b"old")
    check(workspace, run)
    assert not stale.exists()


def test_damaged_images_are_told_by_kind_and_take_no_part_in_leaks() -> None:
    images = textures(6)
    images[0] = 0
    images[1] = 0
    images[2] = 120 + images[2] % 9
    images[3, 0, :40] = 255
    found = examine(image_set(images, split=["train", "test", "train", "train", "train", "train"]))
    assert found.damage.tolist() == ["blank", "blank", "faint", "mostly one value", "", ""]
    assert (found.leaks_to == "").all()
    assert summarise(image_set(images), found)["damaged"] == {"blank": 2, "faint": 1, "mostly one value": 1}


def test_damage_does_not_depend_on_the_chunk_an_image_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    images = textures(7, channels=3)
    images[5] = 7
    whole = [kind for _, grey in grey_chunks(images) for kind in damage_of(grey)]
    monkeypatch.setattr("ganfer.data.damage._CHUNK", 2)
    parts = [kind for _, grey in grey_chunks(images) for kind in damage_of(grey)]
    assert whole == parts == [""] * 5 + ["blank", ""]


def test_colour_becomes_grey_by_luma() -> None:
    colour = np.zeros((1, 3, 2, 2), dtype=np.uint8)
    colour[0, 1] = 255
    _, grey = next(grey_chunks(colour))
    assert (grey == 150).all()  # 0.587 * 255 = 149.7


def test_subjects_in_several_splits_are_named() -> None:
    split, group = ["train", "train", "test", "val"], ["S1", "S2", "S2", ""]
    workspace, run = add(image_set(textures(4), split=split, group=group))
    result = check(workspace, run)
    assert result.figures["subjects_in_several_splits"] == 1
    assert json.loads(Path(run.path / "check" / "check.json").read_text())["shared_subjects"] == {
        "S2": ["train", "test"]
    }
    assert "subjects in several splits: 1" in result.lines


def test_unlabelled_images_contradict_nobody() -> None:
    images = np.repeat(textures(1), 2, axis=0)
    figures = summarise(marked := image_set(images, labels=[-1, 1]), examine(marked))
    assert figures["exact"]["groups"] == 1
    assert figures["conflicts"]["exact_groups"] == 0


def test_people_who_look_alike_are_not_one_picture() -> None:
    """Portraits taken alike resemble each other; the very picture under two names is one still."""
    base = textures(3).astype(np.float32)
    alike = np.clip(0.78 * (base[0] - 128) + 0.35 * (base[1] - 128) + 128, 0, 255)
    images = np.stack([base[0], alike, base[2], np.roll(base[2], 1, axis=2)]).astype(np.uint8)
    split = ["train", "test", "train", "test"]
    known = examine(image_set(images, split=split, group=["S1", "S2", "S3", "S4"]))
    assert known.lookalikes == 1
    assert known.leaks_to.tolist() == ["", "", "test", ""]
    for group in (["", "S2", "S3", "S4"], ["S1", "S1", "S3", "S4"]):
        found = examine(image_set(images, split=split, group=group))
        assert found.lookalikes == 0
        assert found.leaks_to.tolist() == ["test", "", "test", ""]
        assert 0.85 <= found.similarity.min() < 0.95
    workspace, run = add(image_set(images, split=split, group=["S1", "S2", "S3", "S4"]))
    assert "near pairs of two people who look alike: 1, which are not counted" in check(workspace, run).lines


def test_a_picture_that_stands_there_under_two_names_is_nobodys() -> None:
    """Its copies stand for it: whoever they are said to be, one of them may be the person on the near picture."""
    base = textures(2).astype(np.float32)
    alike = np.clip(0.78 * (base[0] - 128) + 0.35 * (base[1] - 128) + 128, 0, 255)
    images = np.stack([base[0], base[0], alike]).astype(np.uint8)
    found = examine(image_set(images, split=["train", "test", "train"], group=["S1", "S2", "S1"]))
    assert found.lookalikes == 0
    assert found.leaks_to.tolist() == ["test", "", "test"]


def test_a_set_cleaned_before_people_were_told_apart_is_made_anew() -> None:
    base = textures(4).astype(np.float32)
    alike = np.clip(0.78 * (base[0] - 128) + 0.35 * (base[1] - 128) + 128, 0, 255)
    images = np.stack([base[0], alike, base[2], base[2], base[3]]).astype(np.uint8)
    split = ["train", "test", "train", "test", "train"]
    workspace, run = add(image_set(images, split=split, group=["S1", "S2", "S3", "S3", "S4"]))
    make_variant(
        workspace, run, "clean", {"dropped": "leaks", "similarity": 0.85, "radius": 15}, np.array([1, 3, 4]), dropped=2
    )
    assert check(workspace, run, drop=True).figures["dropped"] == 1
    assert workspace.active_data is not None
    assert workspace.active_data.figures["images"] == 4


def test_findings_from_before_people_were_told_apart_are_found_anew() -> None:
    """What an experiment says of leaks rests on the file that an earlier check wrote."""
    images = leaky()
    workspace, run = add(dataclasses.replace(images, group=np.array([f"S{i}" for i in range(len(images))])))
    check(workspace, run)
    file = run.path / "check" / "check.json"
    found = json.loads(file.read_text())
    now = leaks_of(workspace, Config(), run, images).leaking
    del found["lookalikes"]
    file.write_text(json.dumps({**found, "leaking_images": {**found["leaking_images"], "image4": "test"}}))
    assert leaks_of(workspace, Config(), run, read_set(run.path)).leaking == now
    assert "lookalikes" in json.loads(file.read_text())


def test_turned_copies_know_people_apart_as_well() -> None:
    base = textures(2).astype(np.float32)
    alike = np.clip(0.80 * (base[0] - 128) + 0.32 * (base[1] - 128) + 128, 0, 255).astype(np.uint8)
    images = np.stack([base[0].astype(np.uint8), _turn(alike[None], -8)[0]])
    same = [_turned(image_set(images, split=["train", "test"], group=group)) for group in (["S1", "S1"], ["S1", "S2"])]
    assert [len(found) for found in same] == [1, 0]
