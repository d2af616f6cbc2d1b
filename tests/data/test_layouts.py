"""Every layout ganfer reads, on files made here: names, classes, splits, subjects, boxes, votes."""

import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from making_sources import FORMS, classes, encoded, face, folder, packed, pixels, png, zipped

from ganfer.data.decode import Target, Task, decode_chunk
from ganfer.data.sources import KINDS, open_source
from ganfer.data.sources.items import Item, Note, ReadOptions, Refused
from ganfer.data.sources.tables import named
from ganfer.errors import DataError


def read(path: Path, kind: str | None = None, **options: object) -> tuple[str, list[Item], list[Refused]]:
    """The kind found, the items and what was refused."""
    source = open_source(path, kind, ReadOptions(**options))  # type: ignore[arg-type]
    everything = list(source.items())
    items = [item for item in everything if isinstance(item, Item)]
    return source.kind, items, [item for item in everything if isinstance(item, Refused)]


def array_of(item: Item, size: int = 20, channels: int = 1) -> np.ndarray:
    return decode_chunk([Task(item.data, item.box)], Target(size, channels)).pixels[0]


@pytest.mark.parametrize("form", FORMS)
def test_class_folders_in_every_container(form: str, tmp_path: Path) -> None:
    path = packed(form, tmp_path, classes("happy sad", 3, "root/"))
    kind, items, refused = read(path)
    assert kind == "folder"
    assert refused == []
    assert {(item.id, item.label, item.split) for item in items} == {
        (f"root/{name}/{i}.png", name, "") for name in ("happy", "sad") for i in range(3)
    }
    assert np.array_equal(array_of(next(i for i in items if i.id == "root/sad/2.png"))[0], np.asarray(face(1002)))


@pytest.mark.parametrize("form", FORMS)
def test_split_folders_in_every_container(form: str, tmp_path: Path) -> None:
    files = classes("happy sad", 2, "Training/") | classes("happy sad", 1, "valid/") | classes("happy sad", 1, "test/")
    _, items, _ = read(packed(form, tmp_path, files))
    counted = Counter((item.split, item.label) for item in items)
    assert counted == {(s, c): n for s, n in (("train", 2), ("val", 1), ("test", 1)) for c in ("happy", "sad")}


def test_stray_images_and_other_files_are_told_apart(tmp_path: Path) -> None:
    files = classes("ann bob", 2) | {
        "cover.png": png(9),
        "readme.txt": b"hello",
        ".DS_Store": b"x",
        "__MACOSX/ann/1.png": b"x",
    }
    _, items, refused = read(folder(tmp_path / "faces", files))
    assert len(items) == 4
    assert {entry.id: entry.reason for entry in refused} == {
        "cover.png": "not in a class folder", "readme.txt": "not an image (.txt)",
    }  # fmt: skip


def test_a_folder_reached_by_a_link_to_itself_ends(tmp_path: Path) -> None:
    path = folder(tmp_path / "faces", classes("happy sad", 2))
    (path / "happy" / "again").symlink_to(path)
    assert len(read(path)[1]) == 4


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_ck_takes_the_subject_from_the_name(form: str, tmp_path: Path) -> None:
    names = {
        f"CK+48/{label}/S{s:03d}_004_000000{n}.png": png(s)
        for label in ("anger", "contempt")
        for s in (10, 130)
        for n in (17, 18)
    }
    kind, items, _ = read(packed(form, tmp_path, names))
    assert kind == "ck+48"
    assert Counter((item.label, item.group) for item in items) == {
        ("anger", "S010"): 2, ("anger", "S130"): 2, ("contempt", "S010"): 2, ("contempt", "S130"): 2,
    }  # fmt: skip


# --- FER2013 and FERPlus


def row(seed: int, side: int = 20) -> str:
    return " ".join(str(v) for v in np.asarray(face(seed, side)).reshape(-1))


FER = "emotion,pixels,Usage\n" + "".join(
    f"{code},{row(code)},{usage}\n"
    for code, usage in enumerate(["Training"] * 4 + ["PublicTest", "PrivateTest", "Training"])
)
FER_CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def test_fer2013_csv(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(FER)
    kind, items, _ = read(path)
    assert kind == "fer2013"
    assert [item.label for item in items] == FER_CLASSES
    assert [item.split for item in items] == ["train"] * 4 + ["val", "test", "train"]
    assert items[0].id == "fer2013/line-2"
    assert np.array_equal(array_of(items[3])[0], np.asarray(face(3)))
    assert KINDS["fer2013"].lone_val_is_test


def test_the_icml_variant_has_blanks_in_its_header_and_another_order(tmp_path: Path) -> None:
    lines = ["emotion, Usage, pixels", f"3, Training, {row(3)}", f"4, PrivateTest, {row(4)}"]
    archive = zipped(
        tmp_path / "kaggle.zip",
        {"icml/icml_face_data.csv": "\n".join(lines).encode(), "icml/train.csv": b"emotion,pixels\n"},
    )
    kind, items, _ = read(archive)
    assert kind == "fer2013"
    assert [(item.label, item.split) for item in items] == [("happy", "train"), ("sad", "test")]
    assert np.array_equal(array_of(items[1])[0], np.asarray(face(4)))


@pytest.mark.parametrize("form", ["folder", "tar.gz"])
def test_train_csv_with_test_csv(form: str, tmp_path: Path) -> None:
    files = {
        "train.csv": f"emotion,pixels\n0,{row(0)}\n".encode(),
        "test.csv": f"emotion,pixels\n6,{row(6)}\n".encode(),
    }
    _, items, _ = read(packed(form, tmp_path, files))
    assert {(item.label, item.split) for item in items} == {("angry", "train"), ("neutral", "test")}


def test_the_challenges_test_csv_without_labels_is_passed_over(tmp_path: Path) -> None:
    files = {"train.csv": f"emotion,pixels\n0,{row(0)}\n".encode(), "test.csv": f"pixels\n{row(6)}\n".encode()}
    _, items, _ = read(folder(tmp_path / "faces", files))
    assert [item.label for item in items] == ["angry"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotion,Usage\n0,Training\n", "no column 'pixels'"),
        ("pixels,Usage\n1 2 3 4,Training\n", "no column 'emotion'"),
        (f"emotion,pixels,Usage\n7,{row(0)},Training\n", "line 2: class 7. It must be 0 to 6"),
        (f"emotion,pixels,Usage\nx,{row(0)},Training\n", "line 2: emotion is 'x'"),
        (f"emotion,pixels,Usage\n0,{row(0)},Holiday\n", "usage is 'Holiday'"),
    ],
)
def test_a_wrong_csv_is_named_by_column_or_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("text", "reason"), [("1 2 3", "no square"), ("1 2 3 256", "a pixel of 256"), ("1 2 x 4", "x"), ("", "0 pixels")]
)
def test_damaged_pixels_are_refused_not_fatal(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(f"emotion,pixels,Usage\n0,{text},Training\n")
    (item,) = read(path)[1]
    assert reason in decode_chunk([Task(item.data)], Target(2, 1)).reasons[0]


VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
TALLIES = [
    ("8,0,0,0,1,0,0,0,1,0", "neutral", {"neutral": 1.0}),
    ("5,0,0,0,5,0,0,0,0,0", None, {"neutral": 0.5, "anger": 0.5}),  # no more than half
    ("0,0,0,2,0,0,0,0,8,0", None, None),  # unknown
    ("0,0,0,0,0,0,0,0,0,10", None, None),  # no face
    ("0,0,0,0,0,0,0,6,4,0", "contempt", {"contempt": 1.0}),
    ("1,1,1,1,1,1,1,1,1,1", None, None),  # all outliers
    ("0,6,4,0,0,0,0,0,0,0", "happiness", {"happiness": 0.6, "surprise": 0.4}),
]


def ferplus(root: Path) -> Path:
    votes = VOTES + "".join(f"Training,fer{i:07d}.png,{tally}\n" for i, (tally, _, _) in enumerate(TALLIES))
    return folder(root / "fer", {"fer2013.csv": FER.encode(), "fer2013new.csv": votes.encode()})


def test_ferplus_majority(tmp_path: Path) -> None:
    kind, items, refused = read(ferplus(tmp_path))
    assert kind == "ferplus"
    wanted = {f"fer2013/line-{i + 2}": label for i, (_, label, _) in enumerate(TALLIES) if label}
    assert {item.id: item.label for item in items} == wanted
    assert [item.reason for item in refused] == [
        "FERPlus: no majority", "FERPlus: voted unknown", "FERPlus: voted no face", "FERPlus: no agreement",
    ]  # fmt: skip


def test_ferplus_soft_labels_given_its_own_file(tmp_path: Path) -> None:
    kind, items, _ = read(ferplus(tmp_path) / "fer2013new.csv", soft_labels=True)
    assert kind == "ferplus"
    assert [item.votes for item in items] == [pytest.approx(votes) for _, _, votes in TALLIES if votes]


def test_ferplus_of_another_length_is_an_error(tmp_path: Path) -> None:
    path = ferplus(tmp_path)
    (path / "fer2013new.csv").write_text(VOTES + "Training,fer0.png,8,0,0,0,0,0,0,0,0,0\n")
    with pytest.raises(DataError, match="1 rows"):
        read(path)


def ferplus_images(place: str = "", box: str = "") -> dict[str, bytes]:
    """Three folders as FERPlus's script writes them, an image per tally."""
    files: dict[str, bytes] = {}
    for start, name in ((0, "FER2013Train"), (100, "FER2013Valid"), (200, "FER2013Test")):
        rows = [f"fer{start + i:07d}.png,{box}{tally}\n" for i, (tally, _, _) in enumerate(TALLIES)]
        files |= {f"{place}{name}/fer{start + i:07d}.png": png(start + i) for i in range(len(TALLIES))}
        files[f"{place}{name}/label.csv"] = "".join(rows).encode()
    return files


@pytest.mark.parametrize("box", ["", '"(0, 0, 48, 48)",'], ids=["no box", "box"])
@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_ferplus_as_its_own_script_writes_it(form: str, box: str, tmp_path: Path) -> None:
    path = packed(form, tmp_path, ferplus_images("data/", box))
    kind, items, refused = read(path)
    assert kind == "ferplus+images"
    folders = ((0, "FER2013Train", "train"), (100, "FER2013Valid", "val"), (200, "FER2013Test", "test"))
    wanted = {
        (f"data/{name}/fer{start + i:07d}.png", label, split)
        for start, name, split in folders
        for i, (_, label, _) in enumerate(TALLIES) if label
    }  # fmt: skip
    assert {(item.id, item.label, item.split) for item in items} == wanted
    assert Counter(entry.reason for entry in refused) == {
        "FERPlus: no majority": 3, "FERPlus: voted unknown": 3, "FERPlus: voted no face": 3, "FERPlus: no agreement": 3,
    }  # fmt: skip
    assert np.array_equal(array_of(next(i for i in items if i.id.endswith("0000000.png")))[0], pixels(0))
    soft = read(path, soft_labels=True)[1]
    assert [item.votes for item in soft if item.split == "val"] == [
        pytest.approx(votes) for _, _, votes in TALLIES if votes
    ]


def test_one_of_ferplus_folders_under_another_name(tmp_path: Path) -> None:
    path = folder(tmp_path / "mine", {n.rpartition("/")[2]: d for n, d in ferplus_images().items() if "Valid" in n})
    _, items, _ = read(path, "ferplus+images")
    assert [(item.label, item.split) for item in items] == [("neutral", ""), ("contempt", ""), ("happiness", "")]
    for line in (
        "fer0000100.png,1,2\n",
        "fer0000100.png,a,0,0,0,1,0,0,0,1,0\n",
        "fer0000100.png,-8,0,0,0,1,0,0,0,1,0\n",
    ):
        (path / "label.csv").write_text(line)
        with pytest.raises(DataError, match=r"label.csv, line 1: .*10 counts of votes"):
            read(path, "ferplus+images")
    (path / "label.csv").write_text("a.png,9,0,0,0,0,0,0,0,1,0\na.png,0,9,0,0,0,0,0,0,1,0\n")
    with pytest.raises(DataError, match="line 2: a.png has another class before"):
        read(path, "ferplus+images")


ROBOFLOW = b"filename, Angry, Happy face, Sad\n"


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_roboflow(form: str, tmp_path: Path) -> None:
    files = {
        "README.roboflow.txt": b"x",
        "train/_classes.csv": ROBOFLOW
        + b"a_jpg.rf.1f.jpg, 1, 0, 0\na_jpg.rf.2f.jpg, 1, 0, 0\nb_png.rf.3f.jpg, 0, 1, 0\n"
        b"two.jpg, 1, 1, 0\nnone.jpg, 0, 0, 0\ngone.jpg, 0, 0, 1\n",
        "valid/_classes.csv": ROBOFLOW + b"c.rf.4f.jpg, 0, 0, 1\n",
        "test/_classes.csv": ROBOFLOW + b"d.rf.5f.jpg, 0, 0, 1\n",
        **{f"train/{n}.jpg": png(i) for i, n in enumerate(["a_jpg.rf.1f", "a_jpg.rf.2f", "b_png.rf.3f"])},
        **{f"train/{n}.jpg": png(20 + i) for i, n in enumerate(["two", "none", "more"])},
        "valid/c.rf.4f.jpg": png(8),
        "test/d.rf.5f.jpg": png(9),
    }  # fmt: skip
    source = open_source(packed(form, tmp_path, files))
    assert source.kind == "roboflow"
    found = list(source.items())
    assert {(e.id, e.label, e.split, e.group) for e in found if isinstance(e, Item)} == {
        ("train/a_jpg.rf.1f.jpg", "Angry", "train", "a_jpg"), ("train/a_jpg.rf.2f.jpg", "Angry", "train", "a_jpg"),
        ("train/b_png.rf.3f.jpg", "Happy face", "train", "b_png"), ("valid/c.rf.4f.jpg", "Sad", "val", "c"),
        ("test/d.rf.5f.jpg", "Sad", "test", "d"),
    }  # fmt: skip
    assert {e.id: e.reason for e in found if isinstance(e, Refused)} == {
        "train/two.jpg": "Roboflow: more than one class", "train/none.jpg": "Roboflow: no class",
        "train/gone.jpg": "named in _classes.csv, but not there", "train/more.jpg": "not named in _classes.csv",
        "README.roboflow.txt": "not an image (.txt)",
    }  # fmt: skip
    assert any(isinstance(e, Note) and "1 images are augmented copies" in e.text for e in found)


def test_roboflow_without_copies_has_no_groups_and_masks_are_refused(tmp_path: Path) -> None:
    files = {"_classes.csv": ROBOFLOW + b"a.jpg, 0, 1, 0\n", "a.jpg": png(1)}
    (item,) = read(folder(tmp_path / "one", files) / "_classes.csv")[1]
    assert (item.label, item.split, item.group) == ("Happy face", "", "")
    for text, said in (
        (b"Pixel Value, Class\n0, face\n", "no column 'filename'"),
        (ROBOFLOW + b"a.jpg, 0, yes, 0\n", "'yes'"),
        (ROBOFLOW + b"a.jpg, 0, 1, 0\na.jpg, 0, 1, 0\na.jpg, 1, 0, 0\n", "line 4: a.jpg has another class before"),
    ):
        (tmp_path / "one" / "_classes.csv").write_bytes(text)
        with pytest.raises(DataError, match=said):
            read(tmp_path / "one")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_tables_as_spreadsheets_encode_them(form: str, encoding: str, tmp_path: Path) -> None:
    text = "file_name;label;subject\nä.png;happy;Zoë\nb.png;sad;Li\n"
    path = packed(form, tmp_path, {"metadata.csv": text.encode(encoding), "ä.png": png(1), "b.png": png(2)})
    assert [(i.id, i.label, i.group) for i in read(path)[1]] == [("b.png", "sad", "Li"), ("ä.png", "happy", "Zoë")]
    fer = packed(form, folder(tmp_path / "fer", {}), {"fer2013.csv": FER.encode(encoding)})
    plain = packed(form, folder(tmp_path / "plain", {}), {"fer2013.csv": FER.encode()})
    assert [(i.id, i.label, i.split, i.data) for i in read(fer)[1]] == [
        (i.id, i.label, i.split, i.data) for i in read(plain)[1]
    ]


def test_the_separator_that_excel_writes_above_a_table_is_no_heading(tmp_path: Path) -> None:
    table = b"sep=;\nfile_name;label\na.png;happy\n"
    path = folder(tmp_path / "h", {"metadata.csv": table, "a.png": png(1)})
    assert [(i.id, i.label) for i in read(path)[1]] == [("a.png", "happy")]
    (path / "metadata.csv").write_bytes(table + b";sad\n")
    with pytest.raises(DataError, match=r"metadata.csv, line 4: no file_name"):
        read(path)


def test_a_table_cut_within_a_letter_is_one_line(tmp_path: Path) -> None:
    table = "file_name,label\na.png,happy\n".encode("utf-16")[:-1]
    path = folder(tmp_path / "cut", {"metadata.csv": table, "a.png": png(1)})
    with pytest.raises(DataError, match="no UTF-8 text, nor UTF-16") as error:
        read(path)
    assert "\n" not in str(error.value)
    fer = folder(tmp_path / "fer", {"fer2013.csv": FER.encode("utf-16")[:-1]})
    with pytest.raises(DataError, match="no UTF-8 text, nor UTF-16"):
        read(fer)


def test_labels_that_were_marked_for_spreadsheets_are_read_as_they_were(tmp_path: Path) -> None:
    table = b"file_name,label,subject\n./=1.png,'=sad,'-ann\n2.png,'quoted',bob\n"
    _, items, _ = read(folder(tmp_path / "h", {"metadata.csv": table, "=1.png": png(1), "2.png": png(2)}))
    assert {(i.id, i.label, i.group) for i in items} == {("=1.png", "=sad", "-ann"), ("2.png", "'quoted'", "bob")}


# --- data sets with label files


@pytest.mark.parametrize("form", FORMS)
def test_expw_cuts_faces_and_honours_their_confidence(form: str, tmp_path: Path) -> None:
    photo = face(5, 60)
    lines = "a.jpg 0 10 5 30 25 80.5 3\na.jpg 1 40 40 60 60 20.0 0\nb.png 0 0 0 60 60 99 6\ngone.jpg 0 0 0 9 9 99 1\n"
    files = {
        "ExpW/image/origin/a.jpg": encoded(photo),
        "ExpW/image/origin/b.png": png(6, 60),
        "ExpW/label/label.lst": lines.encode(),
    }
    kind, items, refused = read(packed(form, tmp_path, files), face_confidence=50.0)
    assert kind == "expw"
    assert [(item.id, item.label, item.box) for item in sorted(items, key=lambda item: item.id)] == [
        ("a.jpg#0", "happy", (5, 10, 30, 25)),
        ("b.png#0", "neutral", (0, 0, 60, 60)),
    ]
    assert Refused("a.jpg#1", "face confidence below 50") in refused
    assert Refused("gone.jpg#0", "named in label.lst, but not there") in refused
    # the box is 25 wide and 15 high: widened to a 25 x 25 square around its centre, rows 5 to 30
    cut = next(array_of(item, 25) for item in items if item.id == "a.jpg#0")
    assert np.array_equal(cut[0], np.asarray(photo)[5:30, 5:30])


def test_expw_with_a_wrong_line(tmp_path: Path) -> None:
    path = folder(tmp_path / "e", {"image/a.png": png(1), "label/label.lst": b"a.png 0 1 2 3\n"})
    with pytest.raises(DataError, match=r"label.lst, line 1.*It must be: name, face id"):
        read(path)


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_raf_db_prefers_aligned_faces_and_reads_attributes(form: str, tmp_path: Path) -> None:
    files = {
        "basic/EmoLabel/list_patition_label.txt": b"train_00001.jpg 5\ntest_0001.jpg 1\n",
        "basic/Image/original/train_00001.jpg": png(1),
        "basic/Image/aligned/train_00001_aligned.jpg": png(2),
        "basic/Image/aligned/test_0001_aligned.jpg": png(3),
        "basic/Annotation/manual/train_00001_manu_attri.txt": b"1\t2\n3\t4\n5\t6\n7\t8\n9\t10\n1\n2\n3\n",
    }
    kind, items, refused = read(packed(form, tmp_path, files))
    assert kind == "raf-db"
    assert [entry.id for entry in refused] == ["basic/Image/original/train_00001.jpg"]
    found = {item.id: item for item in items}
    assert {(i.id, i.label, i.split) for i in items} == {
        ("train_00001.jpg", "sad", "train"),
        ("test_0001.jpg", "surprise", "test"),
    }
    assert found["train_00001.jpg"].attributes == {"gender": "female", "race": "Asian", "age_group": "40-69"}
    assert np.array_equal(array_of(found["train_00001.jpg"])[0], np.asarray(face(2)))


def test_raf_db_as_numbered_folders(tmp_path: Path) -> None:
    files = {
        "DATASET/train/1/train_00001_aligned.jpg": png(1),
        "DATASET/test/7/test_0001_aligned.jpg": png(2),
        "DATASET/test/9/test_0002_aligned.jpg": png(3),
    }
    kind, items, refused = read(packed("tar", tmp_path, files))
    assert kind == "raf-db"
    assert [(item.label, item.split) for item in items] == [("surprise", "train"), ("neutral", "test")]
    assert len(refused) == 1


class Trap:
    """Unpickling it makes a folder."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


def npy(value: object) -> bytes:
    out = io.BytesIO()
    pickled = isinstance(value, Trap)
    np.save(out, np.array(value, dtype=object if pickled else None), allow_pickle=pickled)
    return out.getvalue()


@pytest.mark.parametrize("form", ["folder", "tar.gz"])
def test_affectnet_arrays(form: str, tmp_path: Path) -> None:
    files = {
        "train_set/annotations/0_exp.npy": npy("6"),
        "train_set/annotations/1_exp.npy": npy("9"),
        "train_set/annotations/0_val.npy": npy("0.5"),
        "train_set/images/0.jpg": png(1),
        "train_set/images/1.jpg": png(2),
        "val_set/annotations/0_exp.npy": npy(["7"]),
        "val_set/images/0.jpg": png(3),
    }
    kind, items, refused = read(packed(form, tmp_path, files))
    assert kind == "affectnet"
    assert [(item.label, item.split) for item in items] == [("angry", "train"), ("contempt", "val")]
    assert refused == [Refused("train_set/images/1.jpg", "AffectNet: uncertain")]
    assert KINDS["affectnet"].lone_val_is_test


def test_affectnet_never_unpickles(tmp_path: Path) -> None:
    files = {"train_set/annotations/0_exp.npy": npy(Trap()), "train_set/images/0.jpg": png(1)}
    with pytest.raises(DataError, match="no plain array"):
        read(folder(tmp_path / "a", files))
    assert not Path("executed").exists()


def test_affectnet_lists_with_boxes(tmp_path: Path) -> None:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    files = {
        "Manually_Annotated_file_lists/training.csv": (
            header + "689/a.jpg,2,3,10,12,1;2,0,0.1,0.2\n1/b.png,NULL,NULL,NULL,NULL,,8,-2,-2\n"
        ).encode(),
        "Manually_Annotated_file_lists/validation.csv": (header + "7/c.jpg,0,0,20,20,,4,0,0\n").encode(),
        "Manually_Annotated_Images/689/a.jpg": png(1),
        "Manually_Annotated_Images/1/b.png": png(2),
        "Manually_Annotated_Images/7/c.jpg": png(3),
    }
    kind, items, refused = read(folder(tmp_path / "a", files))
    assert kind == "affectnet"
    by_id = {item.id: item for item in items}
    assert (by_id["689/a.jpg"].label, by_id["689/a.jpg"].split, by_id["689/a.jpg"].box) == (
        "neutral",
        "train",
        (2, 3, 12, 15),
    )
    assert by_id["689/a.jpg"].attributes == {"valence": "0.1", "arousal": "0.2"}
    assert (by_id["7/c.jpg"].label, by_id["7/c.jpg"].split) == ("fear", "val")
    assert refused == [Refused("Manually_Annotated_Images/1/b.png", "AffectNet: none")]


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_hugging_face_csv(form: str, tmp_path: Path) -> None:
    files = {
        "metadata.csv": b"file_name,expression,split,subject,age\n"
        b"img/1.png,Happiness,train,ann,30\nimg/2.png,sad,validation,bob,\n",
        "img/1.png": png(1),
        "img/2.png": png(2),
        "img/unlisted.png": png(3),
    }
    kind, items, _ = read(packed(form, tmp_path, files))
    assert kind == "huggingface"
    assert [(i.id, i.label, i.split, i.group, i.attributes) for i in items] == [
        ("img/1.png", "Happiness", "train", "ann", {"age": "30"}),
        ("img/2.png", "sad", "val", "bob", {}),
    ]


def test_hugging_face_json_lines_in_split_folders_with_class_folders(tmp_path: Path) -> None:
    files = {
        "train/metadata.jsonl": b'{"file_name": "happy/1.png", "age": 31}\n\n',
        "train/happy/1.png": png(1),
        "test/metadata.jsonl": b'{"file_name": "sad/1.png", "age": null}\n',
        "test/sad/1.png": png(2),
    }
    _, items, _ = read(folder(tmp_path / "h", files))
    assert [(i.id, i.label, i.split, i.attributes) for i in sorted(items, key=lambda i: i.id)] == [
        ("test/sad/1.png", "sad", "test", {}),
        ("train/happy/1.png", "happy", "train", {"age": "31"}),
    ]


def test_a_column_without_a_name_is_neither_person_nor_class(tmp_path: Path) -> None:
    """As pandas writes the numbers of the rows; a blank line may stand above."""
    table = b"\n,file_name,label\n0,1.png,sad\n1,2.png,happy\n"
    path = folder(tmp_path / "h", {"metadata.csv": table, "1.png": png(1), "2.png": png(2)})
    _, items, _ = read(path)
    assert [(item.label, item.group, item.attributes) for item in items] == [("sad", "", {}), ("happy", "", {})]
    (path / "metadata.csv").write_bytes(table + b"2,3.png,nan\n")
    with pytest.raises(DataError, match="line 5: no class"):
        read(path)
    table = b",file_name\n0,sad/1.png\n1,happy/2.png\n"
    by_folder = {"metadata.csv": table, "sad/1.png": png(1), "happy/2.png": png(2)}
    assert [item.label for item in read(folder(tmp_path / "f", by_folder))[1]] == ["happy", "sad"]


def test_json_lines_end_at_line_ends_alone(tmp_path: Path) -> None:
    """JSON allows U+2028 and U+0085 inside a text."""
    table = '{"file_name": "1.png", "label": "sad", "subject": 7.0, "said": "a\u2028b\u0085c"}\n'
    _, items, _ = read(folder(tmp_path / "h", {"metadata.jsonl": table.encode(), "1.png": png(1)}))
    assert [(item.label, item.group, item.attributes["said"]) for item in items] == [("sad", "7", "a\u2028b\u0085c")]


@pytest.mark.parametrize("name", ["my.csv", "metadata.csv"])
def test_a_link_to_a_table_lies_where_its_images_are(name: str, tmp_path: Path) -> None:
    table = f"emotion,pixels\n0,{row(1)}\n" if name == "my.csv" else "file_name,label\n1.png,angry\n"
    kept = folder(tmp_path / "kept", {"table_v2.csv": table.encode()}) / "table_v2.csv"
    link = folder(tmp_path / "h", {"1.png": png(1)}) / name
    link.symlink_to(kept)
    assert [item.label for item in read(link)[1]] == ["angry"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "filename,label\n1.png,happy\n", "no column 'file_name'. Did you mean 'filename'"),
        ("metadata.csv", "file_name\n1.png\n", "line 2: no class"),
        ("metadata.csv", "file_name,label\n1.png,nan\n", r"line 2: no class \(label is 'nan'\)"),
        ("metadata.csv", "file_name,label\n1.png,-1\n", "line 2: no class"),
        ("metadata.jsonl", '{"file_name": "1.png", "label": NaN}\n', "line 1: no class"),
        ("metadata.jsonl", '{"file_name": "1.png", "label": " "}\n', "line 1: no class"),
        ("metadata.csv", "file_name,label,split\n1.png,happy,trian\n", "split is 'trian'.*Did you mean 'train'"),
        ("metadata.jsonl", '{"file_name": "1.png"', "line 1 is no valid JSON"),
        ("metadata.csv", "file_name,label\n2.png,happy\n", "none of which is in"),
        ("metadata.csv", "file_name,label\n", "names no image"),
    ],
)
def test_wrong_metadata(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = folder(tmp_path / "h", {name: text.encode(), "1.png": png(1)})
    with pytest.raises(DataError, match=message):
        read(path)


# --- what is not there


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is empty"),
        ({"a.png": png(1)}, "1 images but no classes"),
        ({"notes.txt": b"x"}, "no image ganfer knows"),
    ],
)
def test_a_folder_without_labelled_images(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        open_source(folder(tmp_path / "x", files))


def test_a_path_that_is_not_there_and_a_file_that_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "letter.doc").write_bytes(b"Dear all")
    with pytest.raises(DataError, match="no folder, zip, tar or label file"):
        open_source(tmp_path / "letter.doc")


def test_an_unknown_kind_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = folder(tmp_path / "x", classes("happy sad", 1))
    with pytest.raises(DataError, match=r"Unknown layout 'rafdb'. Did you mean 'raf-db'\?"):
        open_source(path, "rafdb")
    with pytest.raises(DataError, match="does not look like expw"):
        open_source(path, "expw")


@pytest.mark.parametrize("code", [10**400, -(10**400), float("inf"), float("nan"), 7, 0.5])
def test_a_code_of_no_class_is_one_line_however_long(code: float) -> None:
    with pytest.raises(DataError, match=r"^label.lst, line 3: class ") as caught:
        named(code, ("happy", "sad"), "label.lst", 3)
    assert len(str(caught.value)) < 200
