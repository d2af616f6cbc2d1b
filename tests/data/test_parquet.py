"""Parquet as Hugging Face writes it: one plan for class and split, streamed, every row accounted for."""

import csv
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
import fuzzing  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from making_parquet import HUB, features, parquet  # noqa: E402
from making_sources import pixels, png  # noqa: E402

from ganfer.cli.main import cli  # noqa: E402
from ganfer.config import load_config  # noqa: E402
from ganfer.data.imageset import ImageSet, read_set  # noqa: E402
from ganfer.data.ingest import add  # noqa: E402
from ganfer.data.parquet import write_parquet  # noqa: E402
from ganfer.data.sources import parquet_files, parquet_probe  # noqa: E402
from ganfer.data.sources.several import missing_shards  # noqa: E402
from ganfer.data.unlabelled import add_pool  # noqa: E402
from ganfer.errors import DataError  # noqa: E402
from ganfer.results import Result  # noqa: E402
from ganfer.workspace import Workspace  # noqa: E402

CONFIG = load_config(overrides={"data.size": 20, "data.workers": 1})


def imported(*paths: Path | str, **options: object) -> tuple[Result, ImageSet]:
    result = add(Workspace("w"), CONFIG, paths[0] if len(paths) == 1 else paths, **options)  # type: ignore[arg-type]
    assert result.path is not None
    return result, read_set(result.path)


def skipped(result: Result) -> dict[str, str]:
    assert result.path is not None
    with (result.path / "skipped.csv").open(newline="") as file:
        return {row["file_name"]: row["reason"] for row in csv.DictReader(file)}


def test_a_folder_of_the_hub_has_splits_by_name_and_classes_by_metadata(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    for i in range(3):
        parquet(hub / "data" / f"train-{i:05d}-of-00003.parquet", 20, 100 * i)
    parquet(hub / "data" / "validation-00000-of-00001.parquet", 6, 400)
    parquet(hub / "data" / "test-00000-of-00001.parquet", 8, 500)
    (hub / "README.md").write_text("a card")
    plan = add(Workspace("w"), CONFIG, hub, dry_run=True)
    assert not Path("w").exists()
    assert plan.figures["counts"]["train"] == {"angry": 30, "happy": 30}
    said = "\n".join(plan.lines)
    assert "read as parquet" in said
    assert "split: by the files' names (test 8, train 60, val 6)" in said
    assert "class: column 'label', numbers named by the file's names (angry, happy)" in said
    result, images = imported(hub)
    assert result.figures["skipped"] == {}
    assert (images.counts("train"), images.counts("val"), images.counts("test")) == (
        {"angry": 30, "happy": 30}, {"angry": 3, "happy": 3}, {"angry": 4, "happy": 4},
    )  # fmt: skip
    place = list(images.ids).index("happy/101.png")
    assert np.array_equal(images.images[place, 0], pixels(101))


def test_files_by_list_and_pattern_are_one_source(tmp_path: Path) -> None:
    files = [parquet(tmp_path / f"train-{i:05d}-of-00003.parquet", 10, 100 * i) for i in range(3)]
    for given in (files, [f"{tmp_path}/train-*.parquet"], [f"{tmp_path}/train-{{00000..00002}}-of-00003.parquet"]):
        assert add(Workspace("w"), CONFIG, given, dry_run=True).figures["images"] == 30
    assert add(Workspace("w"), CONFIG, files[1], dry_run=True).figures["images"] == 10
    assert add(Workspace("w"), CONFIG, files[:2], dry_run=True).figures["images"] == 20
    for wrong, message in (
        ([f"{tmp_path}/train-{{00000..00003}}-of-00003.parquet"], "train-00003-of-00003.parquet does not exist"),
        ([f"{tmp_path}/test-*.parquet"], "No file is named like"),
        ([files[0], __file__], "several kinds"),
        ([f"{tmp_path}/{{0..999999}}.parquet"], "no range of at most"),
    ):
        with pytest.raises(DataError, match=message):
            add(Workspace("w"), CONFIG, wrong, dry_run=True)


def test_split_subject_and_attributes_come_from_columns(tmp_path: Path) -> None:
    places = ["train"] * 10 + ["test"] * 6 + ["dev"] * 4
    file = parquet(
        tmp_path / "faces.parquet", 20, split=places, subject=[f"S{i:03d}" for i in range(20)], age=list(range(20)),
        embedding=[[0.5]] * 20,
    )  # fmt: skip
    result, images = imported(file)
    assert (images.split == "test").sum() == 6
    assert (images.split == "val").sum() == 4
    assert set(images.group) == {f"S{i:03d}" for i in range(20)}
    assert list(images.attributes) == ["age"]
    assert "Columns without a place in the set, not read: embedding." in result.figures["notes"]
    assert "  subject: column 'subject'" in result.figures["reading"]


def test_classes_as_text_as_dictionary_and_as_numbers_that_the_user_names(tmp_path: Path) -> None:
    words = ["angry", "happy"] * 10
    plain = parquet(tmp_path / "a.parquet", metadata=None, label=words)
    shared = parquet(tmp_path / "b.parquet", metadata=None, label=pa.array(words).dictionary_encode())
    numbers = parquet(tmp_path / "c.parquet", metadata=None)
    for file in (plain, shared):
        assert imported(file)[1].counts() == {"angry": 10, "happy": 10}
    with pytest.raises(DataError, match=r"holds numbers.*--class-names"):
        imported(numbers)
    _, images = imported(numbers, class_names=("sad", "fear"))
    assert images.counts() == {"fear": 10, "sad": 10}
    with pytest.raises(DataError, match=r"row 2: class 1\. It must be 0 to 0"):
        imported(numbers, class_names=("sad",))


def test_a_column_of_another_name_is_named_by_the_user(tmp_path: Path) -> None:
    file = parquet(
        tmp_path / "a.parquet",
        metadata=None,
        label=None,
        feeling=["sad", "fear"] * 10,
        crop=[png(i) for i in range(20)],
    )
    with pytest.raises(DataError, match=r"no column label.*--column label=NAME"):
        imported(file, columns={"image": "image"})
    with pytest.raises(DataError, match="has no column 'feling'.*Did you mean 'feeling'"):
        imported(file, columns={"label": "feling"})
    _, images = imported(file, columns={"label": "feeling", "image": "crop"})
    assert images.counts() == {"fear": 10, "sad": 10}


def test_every_row_that_cannot_be_used_is_listed(tmp_path: Path) -> None:
    images = [{"bytes": png(i), "path": None} for i in range(20)]
    images[3] = {"bytes": b"no image", "path": None}
    images[4] = {"bytes": None, "path": "elsewhere/4.png"}
    images[5] = None  # type: ignore[call-overload]
    labels = [i % 2 for i in range(20)]
    labels[6], labels[7] = -1, None  # type: ignore[call-overload]
    result, found = imported(parquet(tmp_path / "faces.parquet", image=images, label=labels))
    assert len(found) == 15
    assert skipped(result) == {
        "faces/row-4": "unreadable (not an image)",
        "elsewhere/4.png": "only a file's name in the row, no image",
        "faces/row-6": "no image in the row",
        "faces/row-7": "no class in the row",
        "faces/row-8": "no class in the row",
    }


def test_colour_and_grey_values_as_text(tmp_path: Path) -> None:
    rows = [" ".join(map(str, pixels(i).ravel())) for i in range(20)]
    grey = parquet(
        tmp_path / "fer.parquet", image=None, label=None, metadata=None, emotion=["sad", "fear"] * 10, pixels=rows
    )
    _, images = imported(grey)
    assert np.array_equal(images.images[0, 0], pixels(0))
    colour = load_config(overrides={"data.size": 20, "data.workers": 1, "data.channels": 3})
    done = add(Workspace("colour"), colour, parquet(tmp_path / "b.parquet"))
    assert done.path is not None
    assert read_set(done.path).images.shape[1] == 3


def test_the_command_takes_several_files_and_names(tmp_path: Path) -> None:
    from click.testing import CliRunner

    for i in range(2):
        parquet(tmp_path / f"train-{i}.parquet", 10, 100 * i, metadata=None)
    call = ["data", "add", *map(str, sorted(tmp_path.glob("*.parquet"))), "--class-names", "sad,fear", "--dry-run"]
    shown = CliRunner().invoke(cli, call)
    assert shown.exit_code == 0, shown.output
    assert "20 images become" in shown.output
    wrong = CliRunner().invoke(cli, [*call, "--column", "picture=image"])
    assert wrong.exit_code == 2
    assert "is not MEANING=NAME" in wrong.output


def test_memory_stays_flat_whatever_the_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of one row group of 24 MB is read in batches of what the reader allows itself."""
    big = [{"bytes": np.random.default_rng(i).bytes(120_000), "path": f"{i}.png"} for i in range(200)]
    table = pa.table({"image": big, "label": [i % 2 for i in range(200)]}).replace_schema_metadata(HUB)
    file = tmp_path / "big.parquet"
    pq.write_table(table, file, write_batch_size=4, use_dictionary=False)
    assert pq.ParquetFile(file).num_row_groups == 1
    monkeypatch.setattr(parquet_files, "_BATCH_BYTES", 2**20)
    before, most = pa.total_allocated_bytes(), 0
    with parquet_files.ParquetFile(file, "big") as opened:
        for _ in opened.read(["image", "label"], "image"):
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 8 * 2**20


# --- what a stranger may send -----------------------------------------------------------------------------------------


def test_one_value_that_many_rows_share_is_no_bomb(tmp_path: Path) -> None:
    """The dictionary trick: a few bytes of indices that would decode to gigabytes."""
    value = png(1, 64) + bytes(2**20)
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 4000, pa.int32()), pa.array([value], pa.binary()))
    table = pa.table({"image": shared, "label": [i % 2 for i in range(4000)]}).replace_schema_metadata(HUB)
    pq.write_table(table, tmp_path / "bomb.parquet", dictionary_pagesize_limit=2**26)
    assert (tmp_path / "bomb.parquet").stat().st_size < 200_000
    before = pa.total_allocated_bytes()
    with parquet_files.ParquetFile(tmp_path / "bomb.parquet", "bomb") as file, pytest.raises(DataError, match="bomb"):
        for _ in file.read(["image", "label"], "image"):
            assert pa.total_allocated_bytes() - before < 32 * 2**20


def test_more_rows_than_bytes_can_hold_are_refused(tmp_path: Path) -> None:
    count = 2_000_000
    table = pa.table({"image": pa.nulls(count, pa.binary()), "label": pa.array(np.zeros(count, np.int64))})
    pq.write_table(table.replace_schema_metadata(HUB), tmp_path / "rows.parquet", row_group_size=count)
    with pytest.raises(DataError, match=r"2,000,000 rows in [\d,]+ bytes"):
        imported(tmp_path / "rows.parquet")


def test_what_unpacks_to_absurd_sizes_is_refused(tmp_path: Path) -> None:
    empty = [{"bytes": bytes(40 * 2**20), "path": None}, {"bytes": bytes(40 * 2**20), "path": None}]
    parquet(tmp_path / "zip.parquet", 2, image=empty)
    table = pq.read_table(tmp_path / "zip.parquet")
    pq.write_table(table, tmp_path / "zip.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(DataError, match="decompression bomb"):
        imported(tmp_path / "zip.parquet")


@pytest.mark.parametrize("damage", ["footer", "cut", "magic", "empty", "middle"])
def test_damage_is_one_line(damage: str, tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet")
    content = bytearray(file.read_bytes())
    if damage == "footer":
        content[-8:-4] = struct.pack("<I", 2**31)
    elif damage == "cut":
        del content[-100:]
    elif damage == "magic":
        content[:4] = b"ABCD"
    elif damage == "empty":
        content.clear()
    else:
        content[40:4000] = bytes(3960)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"(damaged or no Parquet file|None of the)") as error:
        imported(file)
    assert "\n" not in str(error.value)
    assert not list(Path("w").glob("data/*/images.npy"))


def test_a_footer_that_ends_the_process_that_reads_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parquet_probe, "_read_footer", lambda path, limits: __import__("os").abort())
    file = parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet is damaged or no Parquet file \(its footer ends the process"):
        imported(file)
    assert "Fatal" not in capfd.readouterr().err
    monkeypatch.undo()
    assert len(imported(file)[1]) == 20, "the next file has a process again"


def test_statistics_of_another_size_than_they_say(tmp_path: Path) -> None:
    """pyarrow 26 aborts at this damage ("Definition level histogram size mismatch"); earlier ones read one class."""
    (tmp_path / "a.parquet").write_bytes(fuzzing.damaged(fuzzing._parquet_seeds(), 151))
    with pytest.raises(DataError, match="damaged|has a single class"):
        imported(tmp_path / "a.parquet")


def test_names_and_classes_from_a_file_do_not_act_on_a_terminal(tmp_path: Path) -> None:
    told = features({"label": {"names": ["\x1b[2Jangry", "ha\u202eppy"], "_type": "ClassLabel"}})
    result, images = imported(parquet(tmp_path / "a.parquet", metadata=told))
    assert all(name.isprintable() for name in images.class_names)
    assert all(line.isprintable() for line in result.figures["reading"])
    assert len(images) == 20


def test_a_file_in_an_archive_is_named(tmp_path: Path) -> None:
    from making_sources import zipped

    inside = zipped(tmp_path / "a.zip", {"data/train.parquet": parquet(tmp_path / "b.parquet").read_bytes()})
    with pytest.raises(DataError, match=r"train.parquet is in an archive\. Unpack it"):
        imported(inside)


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    for i in (0, 2):
        parquet(tmp_path / "hub" / f"train-{i:05d}-of-00004.parquet", 20, 100 * i)
    result, _ = imported(tmp_path / "hub")
    line = "left out: of train-...-of-00004, 2 of 4 files are not there (00001, 00003)"
    assert line in result.figures["notes"]
    assert missing_shards(["a/train-0-of-1.tar", "b/train-00000-of-00001-0f.parquet", "s-3.tar"]) == []
    assert missing_shards(["t-9-of-3"]) == ["left out: of t-...-of-3, 3 of 3 files are not there (0, 1, 2)"]


@pytest.mark.parametrize(
    ("values", "holds"),
    [([0.0, 1.0] * 10, "neither text nor whole numbers"), ([True, False] * 10, "neither"), ([["sad"]] * 20, "lists")],
)
def test_a_column_of_classes_that_holds_none_is_not_called_absent(values: list, holds: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    file = parquet(tmp_path / "a.parquet", label=values, metadata=None)
    with pytest.raises(DataError, match=f"column 'label' holds {holds}"):
        imported(file)


def test_of_two_columns_of_classes_the_one_that_is_taken_is_said(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", emotion=["sad", "fear"] * 10)
    result, images = imported(file)
    assert images.class_names == ("angry", "happy")
    assert any("--column label=emotion" in note for note in result.figures["notes"])
    chosen, other = imported(file, columns={"label": "emotion"})
    assert other.class_names == ("fear", "sad")
    assert not any("--column label" in note for note in chosen.figures["notes"])


def test_rows_with_a_files_name_alone_say_so(tmp_path: Path) -> None:
    cells = [{"bytes": png(i) if i else None, "path": f"{i}.png"} for i in range(20)]
    result, _ = imported(parquet(tmp_path / "a.parquet", image=cells))
    assert skipped(result) == {"angry/0.png": "only a file's name in the row, no image"}


def test_a_pool_of_parquet_is_refused_by_its_name(tmp_path: Path) -> None:
    imported(parquet(tmp_path / "a.parquet"))
    with pytest.raises(DataError, match=r"more.parquet holds no image files"):
        add_pool(Workspace("w"), CONFIG, parquet(tmp_path / "more.parquet", 6, 900))


@pytest.mark.parametrize("names", [["angry", None], ["angry", ""], "angry"])
def test_classes_without_a_name_are_asked_for(names: object, tmp_path: Path) -> None:
    told = features({"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}})
    with pytest.raises(DataError, match=r"holds numbers, and the file does not name.*--class-names"):
        imported(parquet(tmp_path / "a.parquet", metadata=told))


def test_no_two_classes_fall_together_by_their_names(tmp_path: Path) -> None:
    told = features({"image": {"_type": "Image"}, "label": {"names": ["sad", "sad"], "_type": "ClassLabel"}})
    with pytest.raises(DataError, match="calls two classes 'sad'"):
        imported(parquet(tmp_path / "a.parquet", metadata=told))
    with pytest.raises(DataError, match="--class-names gives 'sad' to two classes"):
        imported(parquet(tmp_path / "b.parquet", metadata=None), class_names=("sad", "sad"))


def test_names_that_would_have_no_effect_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names its classes itself \(angry, happy\).*--rename"):
        imported(parquet(tmp_path / "a.parquet"), class_names=("sad", "fear"))
    words = parquet(tmp_path / "b.parquet", metadata=None, label=["sad", "fear"] * 10)
    result, _ = imported(words, class_names=("angry", "happy"))
    assert "--class-names was not used: no class of the source is a number." in result.figures["notes"]
    digits = parquet(tmp_path / "c.parquet", metadata=None, label=["0", "1"] * 10)
    result, images = imported(digits, class_names=("sad", "fear"))
    assert images.counts() == {"fear": 10, "sad": 10}
    assert not any("--class-names" in note for note in result.figures["notes"])
    (tmp_path / "faces" / "sad").mkdir(parents=True)
    (tmp_path / "faces" / "sad" / "1.png").write_bytes(png(1))
    with pytest.raises(DataError, match="--column is for Parquet; .* is read as folder"):
        imported(tmp_path / "faces", columns={"label": "feeling"})


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [("label", [0, 1] * 9 + [0, 7], "row 20: class 7"), ("split", ["train"] * 19 + ["banana"], "split is 'banana'")],
)
def test_a_class_or_split_that_cannot_be_is_said_before_an_image_is_decoded(
    column: str, values: list[object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganfer.data.importer.decode_items", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=words):
        imported(parquet(tmp_path / "a.parquet", **{column: values}))
    assert not Path("w").exists()


def test_views_are_bytes_and_text(tmp_path: Path) -> None:
    images = pa.array([png(i) for i in range(20)], pa.binary_view())
    labels = pa.array(["sad", "fear"] * 10, pa.string_view())
    try:
        file = parquet(tmp_path / "a.parquet", metadata=None, image=images, label=labels)
    except pa.ArrowNotImplementedError:
        pytest.skip("this version of pyarrow writes no views")
    _, found = imported(file)
    assert found.counts() == {"fear": 10, "sad": 10}


@pytest.mark.parametrize(
    ("values", "holds"), [(["1.png"] * 20, "text"), ([[png(1)]] * 20, "lists"), ([1] * 20, "whole numbers")]
)
def test_a_column_of_images_that_holds_none_is_not_called_absent(values: list, holds: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    file = parquet(tmp_path / "a.parquet", image=values)
    with pytest.raises(DataError, match=f"column 'image' holds {holds}, no encoded images"):
        imported(file)
    if holds == "text":
        with pytest.raises(DataError, match="column 'image' holds text that is no grey values"):
            imported(file, columns={"image": "image"})


def test_a_file_without_rows_says_so(tmp_path: Path) -> None:
    full = pq.read_table(parquet(tmp_path / "full.parquet"))
    pq.write_table(full.slice(0, 0), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds no images"):
        imported(tmp_path / "a.parquet")


def test_a_table_of_images_within_parquet_files_names_those_files(tmp_path: Path) -> None:
    parquet(tmp_path / "batch" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "batch" / "contact.png").write_bytes(png(1))
    (tmp_path / "batch" / "metadata.csv").write_text(
        "file_name,label\ndata/train-00000-of-00001.parquet::0.png,angry\n"
    )
    with pytest.raises(DataError, match=r"lies in a file of many images.*Add those files themselves: data of"):
        imported(tmp_path / "batch")


def test_a_class_and_a_person_that_say_nothing(tmp_path: Path) -> None:
    names = ["angry", "happy", "nan", "-1", " "] * 6
    people = [float(i % 7) if i % 5 else float("nan") for i in range(30)]
    file = parquet(tmp_path / "faces.parquet", 30, metadata=None, label=names, subject=people)
    result, images = imported(file)
    assert images.class_names == ("angry", "happy")
    assert set(images.group) == {"", *(str(i % 7) for i in range(1, 30, 5))}
    assert result.figures["skipped"] == {"no class in the row": 18}


def test_a_file_is_written_in_a_folder_whose_name_is_no_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / os.fsdecode(b"f\xfc")
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_parquet(Path("a.parquet"), [("1.png", png(1), "angry", {})], ["angry"], {})
    assert sorted(os.listdir()) == ["a.parquet"]
    assert pq.read_table(io.BytesIO(Path("a.parquet").read_bytes())).num_rows == 1
