"""Sources as they are passed on: what only seems to be a class or a split is never taken for one in silence."""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from making_sources import classes, folder, png, zipped

from ganfer.config import load_config
from ganfer.data.ingest import add
from ganfer.data.sources import open_source
from ganfer.data.sources.items import Item, Note, ReadOptions, Refused
from ganfer.errors import DataError
from ganfer.workspace import Workspace

CONFIG = load_config(None, {"data.workers": 1})
NAMES = ("happy", "sad")
IMAGES = {f"images/{i}.png": png(i) for i in range(4)}


def everything(path: Path, kind: str | None = None) -> list[Item | Refused | Note]:
    source = open_source(path, kind, ReadOptions())
    return [*source.items(), *map(Note, source.lines())]


def labels(path: Path, kind: str | None = None) -> dict[str, str]:
    return {item.id: item.label for item in everything(path, kind) if isinstance(item, Item)}


def table(root: Path, rows: list[str], name: str = "metadata.csv", encoding: str = "utf-8") -> Path:
    return folder(root, {**IMAGES, name: "\n".join(rows).encode(encoding)})


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        everything(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- folders ----------------------------------------------------------------------------------------------------------


def test_recordings_are_no_classes(tmp_path: Path) -> None:
    clips = [f"{actor}_IEO_{code}_HI" for actor in (1001, 1002) for code in ("ANG", "SAD")]
    assert "look like recordings" in refusal(folder(tmp_path / "f", classes(" ".join(clips), 2, "frames/")))


@pytest.mark.parametrize("place", ["", "images/0/", "S001/"])
def test_files_named_after_expressions_in_folders_that_are_not_stop_the_import(place: str, tmp_path: Path) -> None:
    files = {f"{place}{name}{end}": png(i) for i, name in enumerate(("Anger", "happy")) for end in ("_1.png", ".jpg")}
    assert "named like expressions" in refusal(folder(tmp_path / "f", files))


def test_images_outside_the_splits_are_named_with_their_folder_in_the_result(tmp_path: Path) -> None:
    files = {
        name: data for place in ("train/", "unseen/", "test/") for name, data in classes("happy sad", 4, place).items()
    }
    notes = add(Workspace(tmp_path / "work"), CONFIG, folder(tmp_path / "f", files)).figures["notes"]
    assert any("8 images lie in no split's folder and stay in train (unseen/: 8)" in note for note in notes)


def test_rows_without_a_split_beside_rows_with_one_are_counted_in_the_result(tmp_path: Path) -> None:
    files = {f"images/{i}.png": png(i) for i in range(16)}
    rows = [f"images/{i}.png,{NAMES[i % 2]},{'test' if i < 4 else ''}" for i in range(16)]
    files["metadata.csv"] = "\n".join(["file_name,label,split", *rows]).encode()
    notes = add(Workspace(tmp_path / "work"), CONFIG, folder(tmp_path / "f", files)).figures["notes"]
    assert any(note.startswith("no split: 12 images") for note in notes)


def test_files_named_like_their_class_folder_are_no_reason_to_stop(tmp_path: Path) -> None:
    files = {
        f"{name} (4)-{word}/{name}{i}.png": png(i) for name, word in (("happy", "a"), ("sad", "b")) for i in range(2)
    }
    assert len(labels(folder(tmp_path / "f", files))) == 4


def test_classes_that_only_contain_an_expressions_name_say_so(tmp_path: Path) -> None:
    path = folder(tmp_path / "f", classes("0_angry 3_happy bored sad", 3))
    notes = add(Workspace(tmp_path / "work"), CONFIG, path).figures["notes"]
    assert "Kept as written: 0_angry, 3_happy; --rename 0_angry=angry gives one ganfer's name." in notes


def test_splits_in_the_names_of_files_are_said_before_anything_is_written(tmp_path: Path) -> None:
    files = {f"{name}/{split}_{i}.png": png(i) for name in NAMES for split in ("train", "test") for i in range(2)}
    said = [line for line in open_source(folder(tmp_path / "f", files)).lines() if "no split" in line]
    assert len(said) == 1
    assert "4 test, 4 train; happy/test_0.png" in said[0]
    files = {f"sad/{split}_1{i}.jpg": png(i) for i, split in enumerate(("Training", "PublicTest", "PrivateTest"))}
    named = open_source(folder(tmp_path / "h", files | classes("happy", 1)))
    assert any("1 test, 1 train, 1 val" in line for line in named.lines())


def test_splits_in_the_names_of_files_below_split_folders_are_nothing_to_say(tmp_path: Path) -> None:
    files = {f"{name}/{split}_{i}.png": png(i) for name in NAMES for split in ("train", "test") for i in range(2)}
    inside = {f"{split}/{name}": data for split in ("train", "test") for name, data in files.items() if split in name}
    assert not [line for line in open_source(folder(tmp_path / "g", inside)).lines() if "no split" in line]


def test_lists_of_the_splits_are_named_in_the_result(tmp_path: Path) -> None:
    files = {**classes("happy sad", 2), "train.txt": b"happy/0.png", "test_list.txt": b"sad/0.png", "notes.txt": b"hi"}
    said = [entry.text for entry in everything(folder(tmp_path / "f", files)) if isinstance(entry, Note)]
    assert any("test_list.txt, train.txt. If they list the splits" in text for text in said)
    assert not any("notes.txt" in text for text in said)


@pytest.mark.parametrize("name", ["labels.csv", "_classes.csv"])
def test_images_without_classes_beside_a_table_name_the_table(name: str, tmp_path: Path) -> None:
    table_text = {f"train/{name}": b"image,emotion\n0.png,happy"}
    for place in ("train/", "train/images/", "train/S001/"):
        files = table_text | {f"{place}{i}.png": png(i) for i in range(2)} | {"test/0.png": png(7)}
        said = refusal(folder(tmp_path / place.replace("/", "-"), files))
        roboflow = "train/_classes.csv has no column 'filename'"  # a name that says how the table has to look
        assert (roboflow if name == "_classes.csv" else f"If train/{name} holds the classes") in said


# --- archives ---------------------------------------------------------------------------------------------------------


def test_an_archive_inside_is_named_in_the_result(tmp_path: Path) -> None:
    path = folder(tmp_path / "f", {**classes("happy sad", 2, "train/"), "test.zip": b"PK", "more.tar.gz": b"x"})
    found = everything(path)
    reasons = {entry.id: entry.reason for entry in found if isinstance(entry, Refused)}
    assert reasons == dict.fromkeys(("test.zip", "more.tar.gz"), "an archive inside, not unpacked")
    assert any(isinstance(entry, Note) and "more.tar.gz, test.zip" in entry.text for entry in found)


@pytest.mark.parametrize("name", ["happy.zip", "data/train-00000-of-00001.parquet", "faces.7z", "image/origin.7z.001"])
def test_nothing_but_packed_files_are_named(name: str, tmp_path: Path) -> None:
    assert name in refusal(folder(tmp_path / "f", {name: b"x"}))


def test_links_in_an_archive_are_named_in_the_result(tmp_path: Path) -> None:
    path = tmp_path / "faces.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in classes("happy sad", 2).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("joyful/0.png")
        link.type, link.linkname = tarfile.LNKTYPE, "happy/0.png"
        archive.addfile(link)
    said = [entry.text for entry in everything(path) if isinstance(entry, Note)]
    assert any(text.startswith("Links in the archive, left out: joyful/0.png.") for text in said)


def test_a_tar_called_zip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "faces.zip"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in classes("happy sad", 2).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert Counter(labels(path).values()) == {"happy": 2, "sad": 2}


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [";", "\t"])
def test_what_spreadsheets_write_for_commas_is_read(mark: str, tmp_path: Path) -> None:
    rows = [f"images/{i}.png{mark}{NAMES[i % 2]}" for i in range(4)]
    path = table(tmp_path / "f", [f"File_Name{mark}Label{mark}Size, in mm", *rows], encoding="utf-8-sig")
    assert labels(path) == {f"images/{i}.png": NAMES[i % 2] for i in range(4)}
    pixels = " ".join(["7"] * 2304)
    (tmp_path / "fer2013.csv").write_text(f"emotion{mark}pixels{mark}Usage\n3{mark}{pixels}{mark}Training\n")
    assert list(labels(tmp_path / "fer2013.csv").values()) == ["happy"]


def test_numbers_that_pandas_wrote_as_floats_are_the_classes_numbers(tmp_path: Path) -> None:
    path = table(tmp_path / "f", ["file_name,label", *(f"images/{i}.png,{i % 2}.0" for i in range(4))])
    assert set(labels(path).values()) == {"0", "1"}


def test_paths_from_elsewhere_lead_to_the_images(tmp_path: Path) -> None:
    names = [(tmp_path / "f/images/0.png").resolve().as_posix(), "./images/1.png", "images/x/../2.png", "images\\3.png"]
    path = table(tmp_path / "f", ["file_name,label", *(f"{name},{NAMES[i % 2]}" for i, name in enumerate(names))])
    assert sorted(labels(path)) == sorted(IMAGES)
    beside = folder(tmp_path / "g", IMAGES | {"lists/metadata.csv": b"file_name,label\n../images/0.png,happy"})
    assert labels(beside) == {"images/0.png": "happy"}


def test_two_columns_that_name_other_classes_stop_the_import(tmp_path: Path) -> None:
    rows = [f"images/{i}.png,{NAMES[i % 2]},{NAMES[(i + 1) % 2]}" for i in range(4)]
    said = refusal(table(tmp_path / "f", ["file_name,label,emotion", *rows]))
    assert "'label' and 'emotion'" in said
    assert "line 2: happy and sad" in said
    rows = [f"images/{i}.png,{i % 2},{NAMES[i // 2]}" for i in range(4)]
    assert "line 3" in refusal(table(tmp_path / "g", ["file_name,label,emotion", *rows]))


def test_of_a_number_and_its_name_the_name_is_the_class(tmp_path: Path) -> None:
    rows = [f"images/{i}.png,{i % 2},{NAMES[i % 2]},face" for i in range(4)]
    path = table(tmp_path / "f", ["file_name,label,emotion,class", *rows])
    assert set(labels(path).values()) == set(NAMES)
    assert "  class: column 'emotion'" in open_source(path).lines()


def test_a_table_that_contradicts_the_class_folders_stops_the_import_until_told(tmp_path: Path) -> None:
    files = classes("happy sad", 2) | {
        "metadata.csv": b"file_name,label\nhappy/0.png,happiness\nhappy/1.png,sad\nsad/0.png,sad"
    }
    path = zipped(tmp_path / "f.zip", files)
    said = refusal(path)
    assert "line 3: happy/1.png is sad, and lies in a folder named happy" in said
    assert "--as folder" in said
    assert labels(path, "huggingface")["happy/1.png"] == "sad"
    assert labels(path, "folder")["happy/1.png"] == "happy"


def test_a_list_of_one_class_is_the_class_and_of_more_is_refused(tmp_path: Path) -> None:
    rows = [json.dumps({"file_name": f"images/{i}.png", "label": [NAMES[i % 2]]}) for i in range(4)]
    assert set(labels(table(tmp_path / "f", rows, "metadata.jsonl")).values()) == set(NAMES)
    rows[2] = json.dumps({"file_name": "images/2.png", "label": ["happy", "sad"]})
    assert "line 3: label is ['happy', 'sad']" in refusal(table(tmp_path / "g", rows, "metadata.jsonl"))


def test_a_broken_row_is_named_in_one_line(tmp_path: Path) -> None:
    said = refusal(table(tmp_path / "f", ["file_name,label", '"images/0.png,happy', '"images/1.png,sad']))
    assert "names 1 images, none of which" in said


def test_a_row_that_names_no_image_is_named(tmp_path: Path) -> None:
    for k, row in enumerate(("happy", "happy,")):
        said = refusal(table(tmp_path / str(k), ["label,file_name", "sad,images/0.png", row]))
        assert "line 3: no file_name" in said


NOT_JSON = ["[" * 100_000, "{", '{"file_name": ' + "9" * 5000 + "}"]


@pytest.mark.parametrize("text", NOT_JSON, ids=["deep", "broken", "long number"])
@pytest.mark.parametrize("name", ["dataset.json", "metadata.jsonl"])
def test_json_that_cannot_be_read_is_one_line(name: str, text: str, tmp_path: Path) -> None:
    assert name in refusal(table(tmp_path / "f", [text], name))


@pytest.mark.parametrize("label", ["NaN", "Infinity", '["a", 1]', "[[1], 0]", "[]", "{}", "-1", "1.5", "true"])
def test_a_label_that_is_no_class_is_named(label: str, tmp_path: Path) -> None:
    path = table(tmp_path / "f", [f'{{"labels": [["images/0.png", {label}]]}}'], "dataset.json")
    assert "images/0.png has the label" in refusal(path)


def test_an_image_with_two_labels_in_dataset_json_stops_the_import(tmp_path: Path) -> None:
    path = table(tmp_path / "f", ['{"labels": [["images/0.png", 1], ["./images/0.png", 2]]}'], "dataset.json")
    assert "is 2, and 1" in refusal(path)


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "", "1e400"])
def test_a_number_that_is_none_is_named_in_every_table(value: str, tmp_path: Path) -> None:
    rows = f"emotion,pixels,Usage\n0,{' '.join(['7'] * 2304)},Training\n{value},{' '.join(['7'] * 2304)},Training\n"
    assert "line 3: emotion is" in refusal(folder(tmp_path / "fer", {"fer2013.csv": rows.encode()}))
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    lists = f"{header}\nimages/0.png,1,1,9,9,x,{value},0,0\n".encode()
    assert "line 2: expression is" in refusal(folder(tmp_path / "affect", {**IMAGES, "training.csv": lists}))
    faces = f"0.png 0 1 1 9 9 50 3\n1.png 0 1 {value or 'x'} 9 9 50 3".encode()
    assert "label.lst, line 2" in refusal(folder(tmp_path / "expw", {**IMAGES, "label/label.lst": faces}))
    frame = "S001_001_00000003"
    files = {f"i/{frame}.png": png(1), f"Emotion/{frame}_emotion.txt": value.encode()}
    assert f"{frame}_emotion.txt" in refusal(folder(tmp_path / "ck", files))


@pytest.mark.parametrize(
    ("second", "said"),
    [("train_00001.jpg 5", "line 2: train_00001.jpg is sad, and surprise before"), ("train_00002.jpg \u00b2", "like")],
)
def test_wrong_lines_of_raf_db(second: str, said: str, tmp_path: Path) -> None:
    files = {f"Image/aligned/train_0000{i}_aligned.jpg": png(i) for i in (1, 2)}
    lines = f"train_00001.jpg 1\n{second}".encode()
    assert said in refusal(folder(tmp_path / "f", {**files, "EmoLabel/list_patition_label.txt": lines}))


def test_images_that_affectnets_lists_name_twice_are_counted(tmp_path: Path) -> None:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    line = "\nimages/0.png,NULL,inf,9,9,x,{},0,0"
    files = {f"{name}.csv": (header + line.format(k)).encode() for k, name in enumerate(("training", "validation"))}
    found = everything(folder(tmp_path / "f", IMAGES | files))
    assert any(isinstance(entry, Note) and "name 1 images more than once" in entry.text for entry in found)
