"""Every file below PATH is used or named with the reason; known layouts by name; whatever tables and archives hold."""

import io
import json
import os
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making_sources import FORMS, classes, folder, packed, pixels, png, tarred, zipped

from ganfer.data.sources import open_source, survey
from ganfer.data.sources.items import Item, Note, ReadOptions, Refused
from ganfer.data.sources.trees import is_junk
from ganfer.errors import DataError

PNG = png(1)


def read(path: Path, kind: str | None = None, **options: int) -> tuple[str, list[Item], dict[str, str], list[str]]:
    """Kind, items, reasons by name, notes."""
    source = open_source(path, kind, ReadOptions(**options))
    everything = list(source.items())
    refused = {entry.id: entry.reason for entry in everything if isinstance(entry, Refused)}
    notes = [entry.text for entry in everything if isinstance(entry, Note)]
    return source.kind, [entry for entry in everything if isinstance(entry, Item)], refused, notes


def row(seed: int) -> str:
    return " ".join(map(str, pixels(seed).reshape(-1)))


# --- nothing falls under the table ------------------------------------------------------------------------------------

STRAY = {
    "cover.png": "not in a class folder",
    "happy/IMG_1.JXL": "JXL cannot be read (save it as JPEG or PNG)",
    "happy/raw.NEF": "NEF cannot be read (save it as JPEG or PNG)",
    "happy/noextension": "not an image (no extension)",
    "notes.txt": "not an image (.txt)",
    "extra.csv": "a table that was not read",
    ".gitattributes": "hidden file",
    ".venv/": "hidden folder",
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_class_image_is_named_in_every_container(form: str, tmp_path: Path) -> None:
    junk = {"happy/.DS_Store": b"x", "__MACOSX/happy/._0.png": b"x", "happy/Thumbs.db": b"x", ".venv/lib/x.png": PNG}
    stray = {name: PNG for name in STRAY if not name.endswith("/")}
    _, items, refused, _ = read(packed(form, tmp_path, classes("happy sad", 9) | stray | junk))
    assert len(items) == 18
    assert refused == STRAY


def test_links_and_special_files_of_a_folder_are_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", classes("happy sad", 3))
    (path / "happy" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (path / "sad" / "round").symlink_to("round")
    (path / "sad" / "again").symlink_to(path)
    os.mkfifo(path / "sad" / "pipe.png")
    _, items, refused, _ = read(path)
    assert len(items) == 6
    assert refused == {
        "happy/gone.png": "a link to nothing",
        "sad/round": "a link to nothing",
        "sad/again/": "a link to a folder that is read anyway",
        "sad/pipe.png": "no regular file",
    }


def test_images_that_a_table_does_not_name(tmp_path: Path) -> None:
    files = classes("happy sad", 2, "test/") | {f"train/{i}.png": png(i) for i in range(3)}
    files["train/metadata.csv"] = b"file_name,label\n0.png,happy\n1.png,sad\n9.png,sad\n"
    kind, items, refused, _ = read(folder(tmp_path / "h", files))
    assert (kind, [item.id for item in items]) == ("huggingface", ["train/0.png", "train/1.png"])
    unnamed = ["train/2.png", *(name for name in files if name.startswith("test/"))]
    assert refused == dict.fromkeys(unnamed, "not named in the metadata") | {
        "train/9.png": "named in the metadata, but not there"
    }


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_a_workspace_inside_a_source_is_left_out(form: str, tmp_path: Path) -> None:
    own = {
        "ganfer-work/workspace.json": json.dumps({"format": 1, "ganfer": "0"}).encode(),
        "ganfer-work/data/x/sheets/happy.png": PNG,
        "ganfer-work/synthetic/x/metadata.csv": b"file_name\n",
    }
    other = {"app/workspace.json": b'{"version": 2, "projects": {}}'}  # another program's
    kind, items, refused, _ = read(packed(form, tmp_path, classes("happy sad", 3, "faces/") | own | other))
    assert kind == "folder"
    assert len(items) == 6
    assert refused == {"ganfer-work/": "a workspace of ganfer's", "app/workspace.json": "a table that was not read"}
    with pytest.raises(DataError, match="is a workspace of ganfer's"):
        read(folder(tmp_path / "w", {"workspace.json": b'{"format": 1}', "data/a.png": PNG}))


def test_heic_is_read_where_its_reader_is_and_named_where_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "x", classes("happy sad", 3) | {"sad/1.HEIC": b"x"})
    for there in (True, False):
        monkeypatch.setattr(survey, "find_spec", lambda name, there=there: there or None)
        survey._readable.cache_clear()
        _, items, refused, _ = read(path)
        assert ("sad/1.HEIC" in {item.id for item in items}) == there
        assert refused == ({} if there else {"sad/1.HEIC": survey.unreadable_picture("1.heic")})
    monkeypatch.undo()
    survey._readable.cache_clear()


PIECES = st.sampled_from(
    ["happy", "sad", "train", "test", ".git", "ä", "S001", "a.png", "b.PNG", "metadata.csv", "x.heic", "y", "Thumbs.db",
     "fer2013.csv", "dataset.json", "label.lst", "S001_001_00000001.png", "AF01ANS.png", "z.npy", "0_exp.npy"]
)  # fmt: skip
CONTENT = st.sampled_from(
    [
        PNG,
        b"",
        b"file_name,label\na.png,happy\n",
        b'{"labels": [["a.png", 0]]}',
        b"emotion,pixels\n0,1 2 3 4\n",
        b"\xff\xfe",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.lists(PIECES, min_size=1, max_size=4).map("/".join), CONTENT, max_size=14), st.booleans())
def test_every_file_is_an_item_or_has_a_reason_whatever_lies_there(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], as_zip: bool
) -> None:
    names = {name for name in files if not any(other.startswith(name + "/") for other in files)}
    files = {name: files[name] for name in names}
    root = tmp_path_factory.mktemp("x")
    path = zipped(root / "x.zip", files) if as_zip else folder(root / "x", files)
    try:
        source = open_source(path)
        everything = list(source.items())
    except DataError:
        return
    told = {entry.id.partition("#")[0] for entry in everything if isinstance(entry, (Item, Refused))}
    read_as_labels = {"metadata.csv", "fer2013.csv", "dataset.json", "label.lst", "0_exp.npy"}
    for name in names:
        hidden = any(name.startswith(prefix) for prefix in told if prefix.endswith("/"))
        if not is_junk(name) and not hidden and name.rpartition("/")[2] not in read_as_labels:
            assert any(name in (entry, f"x/{entry}") or name.endswith(entry) for entry in told), name


# --- layouts by their names -------------------------------------------------------------------------------------------


def test_stylegan_dataset_json(tmp_path: Path) -> None:
    names = [f"{i // 4:05d}/img{i:08d}.png" for i in range(8)]
    labels = json.dumps({"labels": [[name, i % 2] for i, name in enumerate(names[:7])]}).encode()
    files = {name: png(i) for i, name in enumerate(names)} | {"dataset.json": labels}
    for form in ("folder", "zip", "tar"):
        kind, items, refused, notes = read(packed(form, tmp_path, files))
        assert kind == "stylegan"
        assert {item.id: item.label for item in items} == {name: str(i % 2) for i, name in enumerate(names[:7])}
        assert refused == {names[7]: "not named in dataset.json"}
        assert "--rename 0=angry" in notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"labels": null}', "has no labels"),
        ('{"labels": [["a/0.png"]]}', "no list of"),
        ('{"labels": [["a/0.png", 0.5]]}', "label 0.5"),
        ('{"labels": [["a/0.png", true]]}', "label True"),
        ('{"labels": [["a/0.png", 3]], "classes": ["x"]}', "1 class names"),
        ("[]", "no object"),
        ("{", "no valid JSON"),
    ],
)
def test_a_wrong_dataset_json(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(folder(tmp_path / "s", {"a/0.png": PNG, "dataset.json": content.encode()}))


def test_named_and_one_hot_classes_of_dataset_json(tmp_path: Path) -> None:
    content = {"labels": {"a/0.png": [0, 1], "a/1.png": 0, "a/2.png": "sad"}, "class_names": ["fear", "happy"]}
    _, items, _, notes = read(
        folder(
            tmp_path / "s", {f"a/{i}.png": png(i) for i in range(3)} | {"dataset.json": json.dumps(content).encode()}
        )
    )
    assert [item.label for item in items] == ["happy", "fear", "sad"]
    assert notes == []


def test_ck_as_released(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for subject, code in ((5, 1), (10, 5), (11, 0)):
        stem = f"S{subject:03d}/001/S{subject:03d}_001_0000000"
        files |= {f"cohn-kanade-images/{stem}{k}.png": png(subject + k) for k in (1, 2)}
        files[f"Emotion/{stem}2_emotion.txt"] = f"   {float(code):.7e}\n".encode()
        files[f"Landmarks/{stem}2_landmarks.txt"] = b"1 2\n"
    kind, items, refused, notes = read(folder(tmp_path / "CK+", files))
    assert kind == "ck+"
    assert [(item.label, item.group) for item in items] == [("anger", "S005"), ("happy", "S010"), ("neutral", "S011")]
    assert all(item.id.endswith("2.png") for item in items)
    assert set(refused.values()) == {"CK+: not a labelled peak frame"}
    assert len(refused) == 3
    assert "3 peak frames" in notes[0]
    files["Emotion/S005/001/S005_001_00000002_emotion.txt"] = b"9"
    with pytest.raises(DataError, match="class 9"):
        read(folder(tmp_path / "bad", files))
    frames = {name: data for name, data in files.items() if name.startswith("cohn")}
    with pytest.raises(DataError, match="without their labels"):
        read(folder(tmp_path / "frames", frames))


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        ("kdef", ("AF01/AF01ANS.JPG", "BM35/BM35SUHL.JPG"), [("angry", "F01"), ("surprised", "M35")]),
        ("jaffe", ("KA.AN1.39.png", "YM.FE3.69.png"), [("angry", "KA"), ("fear", "YM")]),
        (
            "rafd",
            ("Rafd090_01_Caucasian_female_angry_frontal.jpg", "Rafd090_02_Caucasian_male_contemptuous_left.jpg"),
            [("angry", "01"), ("contemptuous", "02")],
        ),
        ("cfd", ("CFD-WF-001-003-N.jpg", "CFD-BM-002-013-HO.jpg"), [("neutral", "WF-001"), ("happy", "BM-002")]),
    ],
)  # fmt: skip
def test_names_that_tell_expression_and_subject(
    kind: str, names: tuple[str, str], expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    found, items, _, _ = read(folder(tmp_path / "x", {name: png(i) for i, name in enumerate(names)}))
    assert found == kind
    assert sorted((item.label, item.group) for item in items) == sorted(expected)
    last = [name.rpartition("/")[2] for name in names]
    sorted_by_hand = {f"sad/{last[0]}": PNG, f"fear/{last[1]}": PNG}
    _, items, _, _ = read(folder(tmp_path / "y", sorted_by_hand))
    assert sorted(item.label for item in items) == ["fear", "sad"]  # folders were somebody's decision


def test_two_layouts_with_a_claim_are_both_named(tmp_path: Path) -> None:
    table = f"emotion,pixels,Usage\n0,{row(1)},Training\n".encode()
    path = folder(tmp_path / "x", classes("happy sad", 3) | {"fer2013.csv": table})
    with pytest.raises(DataError, match="--as fer2013, or --as folder"):
        read(path)
    assert len(read(path, "fer2013")[1]) == 1
    _, items, refused, _ = read(path, "folder")
    assert len(items) == 6
    assert refused == {"fer2013.csv": "a table that was not read"}
    with pytest.raises(DataError, match="are for class folders"):
        read(path, "fer2013", class_level=1)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values"),
    [("usage", "Training PublicTest PrivateTest"), ("SPLIT", "train valid test"), ("Set", "TRAIN dev Testing"),
     ("data_subset", "train val test"), ("partition", "training validation tst"), ("train_or_test", "train val test")],
)  # fmt: skip
def test_the_split_column_by_any_name(column: str, values: str, tmp_path: Path) -> None:
    lines = [f"Emotion,PIXELS,{column}", *(f"{i},{row(i)},{value}" for i, value in enumerate(values.split()))]
    (tmp_path / "fer.csv").write_text("\n".join(lines))
    _, items, _, notes = read(tmp_path / "fer.csv")
    assert [item.split for item in items] == ["train", "val", "test"]
    assert notes == []
    table = "\n".join([f"file_name,Label,{column}", *(f"{i}.png,happy,{v}" for i, v in enumerate(values.split()))])
    _, items, _, _ = read(
        folder(tmp_path / "h", {f"{i}.png": png(i) for i in range(3)} | {"metadata.csv": table.encode()})
    )
    assert [item.split for item in items] == ["train", "val", "test"]


@pytest.mark.parametrize(("column", "value"), [("fold", "3"), ("kind", "train"), ("is_test", "0")])
def test_a_column_that_only_looks_like_a_split_is_named(column: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "fer.csv").write_text(f"emotion,pixels,{column}\n0,{row(0)},{value}\n")
    _, items, _, notes = read(tmp_path / "fer.csv")
    assert [item.split for item in items] == [""]
    assert notes == [f"The column {column!r} ({value!r} in the first row) was not used as the split."]


@pytest.mark.parametrize("val", ["val", "Valid", "validation", "dev", "fer_val"])
def test_a_csv_per_split(val: str, tmp_path: Path) -> None:
    files = {f"{name}.csv": f"emotion,pixels\n0,{row(i)}\n".encode() for i, name in enumerate(("train", val, "test"))}
    files["readme.csv"] = b"a,b\n"
    _, items, refused, notes = read(folder(tmp_path / "fer", files))
    assert sorted(item.split for item in items) == ["test", "train", "val"]
    assert refused == {"readme.csv": "a table that was not read"}
    assert notes == ["Not read: readme.csv."]


def test_contempt_as_class_seven(tmp_path: Path) -> None:
    (tmp_path / "ck.csv").write_text(f"emotion,pixels\n7,{row(0)}\n")
    with pytest.raises(DataError, match=r"class 7.*--as ck\+csv"):
        read(tmp_path / "ck.csv")
    assert [item.label for item in read(tmp_path / "ck.csv", "ck+csv")[1]] == ["contempt"]
    (tmp_path / "ckextended.csv").write_text(f"emotion,pixels\n7,{row(0)}\nhappy,{row(1)}\n")
    kind, items, _, _ = read(tmp_path / "ckextended.csv")
    assert (kind, [item.label for item in items]) == ("ck+csv", ["contempt", "happy"])


def test_one_image_with_two_labels_and_one_column_twice(tmp_path: Path) -> None:
    path = folder(tmp_path / "h", {"a.png": PNG, "metadata.csv": b"file_name,label\na.png,happy\na.png,sad\n"})
    with pytest.raises(DataError, match=r"line 3: a.png is sad, and happy in .*line 2"):
        read(path)
    for column, one, two in (("split", "train", "test"), ("subject", "ann", "bob")):
        table = f"file_name,label,{column}\na.png,happy,{one}\na.png,happy,{two}\n"
        (path / "metadata.csv").write_text(table)
        with pytest.raises(DataError, match=rf"line 3: a.png is happy, {two}, and happy, {one} in .*line 2"):
            read(path)
    (path / "metadata.csv").write_bytes(b"file_name,label,Label\na.png,happy,sad\n")
    with pytest.raises(DataError, match="two columns 'label'"):
        read(path)


# --- archives ---------------------------------------------------------------------------------------------------------


def test_a_zip_with_backslashes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in (r"faces\train\happy\1.png", r"faces\test\sad\2.png", r"faces\..\..\out.png"):
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, PNG)
    _, items, refused, _ = read(tmp_path / "x.zip")
    assert {(item.id, item.label, item.split) for item in items} == {
        ("faces/train/happy/1.png", "happy", "train"), ("faces/test/sad/2.png", "sad", "test"),
    }  # fmt: skip
    assert list(refused.values()) == ["path leads out of the archive"]


def test_a_zip_that_forgets_to_say_utf_8(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "x.zip", {"fröhlich/1.png": PNG, "sad/1.png": PNG}).read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(mark + b"")
        while place >= 0:
            data[place + at + 1] &= ~0x08 & 0xFF  # the flag that says the name is UTF-8
            place = data.find(mark, place + 1)
    (tmp_path / "x.zip").write_bytes(bytes(data))
    assert {item.label for item in read(tmp_path / "x.zip")[1]} == {"fröhlich", "sad"}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from(["zip", "tar", "tar.gz"]), st.integers(1, 20))
def test_damaged_archives_end_in_one_line_or_in_reasons(
    tmp_path_factory: pytest.TempPathFactory, seed: int, form: str, flips: int
) -> None:
    path = packed(form, tmp_path_factory.mktemp("a"), classes("happy sad", 4))
    data, rng = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(flips):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data[: rng.choice((len(data), rng.randrange(1, len(data))))]))
    try:
        entries = list(open_source(path).items())
    except DataError:
        return
    assert all(isinstance(entry, (Item, Refused, Note)) for entry in entries)


TABLES = {
    "fer.csv": [
        "emotion",
        "pixels",
        "Usage",
        "0",
        "7",
        "1 2 3 4",
        "Training",
        "PublicTest",
        "\x00",
        "é",
        '"',
        "\udc80",
    ],
    "metadata.csv": ["file_name", "label", "split", "a.png", "happy", "train", "fold", "\x07", '"', "nan"],
    "metadata.jsonl": ['{"file_name": "a.png", "label": "sad"}', "{", "[]", '{"file_name": 3}', "null", '"\\ud800"'],
    "dataset.json": ['{"labels": [["a.png", 1]]}', "[]", "null", '{"labels": {"a.png": []}}', "1e999", '{"labels": 3}'],
    "label.lst": ["a.png 0 1 2 3 4 50 3", "a.png", "x 0 nan 1 1 1 1 1", "a.png 0 1 2 3 4 5 99"],
    "list_patition_label.txt": ["train_00001.jpg 5", "a.png 1", "train_00001.jpg x", "train_00001.jpg \u0663"],
}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(TABLES)), st.data())
def test_tables_of_any_content_end_in_one_line_or_in_items(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    cells = st.lists(st.sampled_from(TABLES[name]), max_size=4)
    separator = "\n" if name.endswith(("json", "jsonl", "lst", "txt")) else ","
    text = "\n".join(separator.join(line) for line in data.draw(st.lists(cells, max_size=5)))
    files = {name: text.encode("utf-8", "surrogateescape")} | (
        {} if name == "fer.csv" else {"x/a.png": PNG, "a.png": PNG}
    )
    try:
        source = open_source(folder(tmp_path_factory.mktemp("t") / "t", files))
        source.lines()
        list(source.labels() or ())
        entries = list(source.items())
    except DataError:
        return
    assert all(isinstance(entry, (Item, Refused, Note)) for entry in entries)


def test_a_name_twice_in_a_tar_is_still_two_items(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar", classes("happy sad", 2))
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("happy/0.png")
        info.size = len(PNG)
        archive.addfile(info, io.BytesIO(PNG))
    assert [item.id for item in read(path)[1]].count("happy/0.png") == 2
