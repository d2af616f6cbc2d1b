"""WebDataset tar shards: read as a stream, by file, folder, pattern; every sample accounted for."""

import csv
from pathlib import Path

import numpy as np
import pytest
from making_parquet import samples
from making_sources import pixels, png, tarred

from ganfer.config import load_config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.ingest import add
from ganfer.errors import DataError
from ganfer.results import Result
from ganfer.workspace import Workspace

CONFIG = load_config(overrides={"data.size": 20, "data.workers": 1})
TURNS = ("angry", "happy")


def shards(folder: Path, split: str, count: int, each: int = 10, **facts: object) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        tarred(folder / f"{split}-{n:06d}.tar", samples([TURNS[i % 2] for i in range(each)], 1000 * n, **facts))
        for n in range(count)
    ]


def imported(*paths: Path | str, **options: object) -> tuple[Result, ImageSet]:
    result = add(Workspace("w"), CONFIG, paths[0] if len(paths) == 1 else paths, **options)  # type: ignore[arg-type]
    assert result.path is not None
    return result, read_set(result.path)


def test_shards_of_a_folder_have_splits_by_name(tmp_path: Path) -> None:
    shards(tmp_path / "s", "train", 3)
    shards(tmp_path / "s", "test", 1, 6)
    result, images = imported(tmp_path / "s")
    assert result.figures["kind"] == "webdataset"
    assert "\n".join(result.figures["reading"]).count("split: by the shards' names") == 1
    assert images.counts("test") == {"angry": 3, "happy": 3}
    assert len(images) == 36
    place = list(images.ids).index("train-000001.tar/001004.png")
    assert np.array_equal(images.images[place, 0], pixels(1004))
    assert not (result.path / "skipped.csv").read_text().splitlines()[1:]  # type: ignore[operator]


def test_one_shard_a_list_and_a_pattern(tmp_path: Path) -> None:
    files = shards(tmp_path, "faces", 3)
    for given, count in (
        ([files[0]], 10),
        (files[:2], 20),
        ([f"{tmp_path}/faces-*.tar"], 30),
        ([f"{tmp_path}/faces-{{000000..000002}}.tar"], 30),
        ([f"{tmp_path}/faces-00000{{0,2}}.tar"], 20),
    ):
        assert add(Workspace("w"), CONFIG, given, dry_run=True).figures["images"] == count
    with pytest.raises(DataError, match="faces-000003.tar does not exist"):
        add(Workspace("w"), CONFIG, f"{tmp_path}/faces-{{000000..000003}}.tar")


def test_json_has_class_split_and_subject(tmp_path: Path) -> None:
    facts = {"label": [*"01" * 10], "split": ["train"] * 14 + ["test"] * 6, "subject": [f"S{i}" for i in range(20)]}
    files = samples(["x"] * 20, **facts)
    tar = tarred(tmp_path / "a.tar", {name: data for name, data in files.items() if not name.endswith(".cls")})
    with pytest.raises(DataError, match=r"has class 0, and nothing names the numbers.*--class-names"):
        imported(tar)
    _, images = imported(tar, class_names=("sad", "fear"))
    assert images.counts() == {"fear": 10, "sad": 10}
    assert (images.split == "test").sum() == 6
    assert images.group[0].startswith("S")
    with pytest.raises(DataError, match=r"class 1, and --class-names names 1"):
        imported(tar, class_names=("sad",))


def test_what_is_no_whole_sample_is_listed(tmp_path: Path) -> None:
    files = samples([TURNS[i % 2] for i in range(20)])
    del files["000003.png"], files["000004.cls"]
    files["000005.png"] = b"no image"
    files["000006.jpg"] = png(6)
    files["000007.txt"] = b"a caption"
    files["000008.json"] = b"[1]"
    result, images = imported(tarred(tmp_path / "a.tar", dict(sorted(files.items()))))
    assert len(images) == 17
    with (result.path / "skipped.csv").open(newline="") as file:  # type: ignore[operator]
        found = {row["file_name"]: row["reason"] for row in csv.DictReader(file)}
    assert found == {
        "000003": "no image in the sample",
        "000004.png": "no class in the sample",
        "000005.png": "unreadable (not an image)",
        "000006.png": "a second image of its key",
    }


def test_tars_that_are_no_shards_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tarred(tmp_path / f"{name}.tar", {f"{name}/{i}.png": png(i) for i in range(3)})
    with pytest.raises(DataError, match="no WebDataset shards"):
        imported(tmp_path)


def test_a_folder_of_classes_with_json_beside_its_images_stays_one(tmp_path: Path) -> None:
    files = {
        f"{name}/{i}.{end}": png(i) if end == "png" else b"{}"
        for name in TURNS
        for i in range(4)
        for end in ("png", "json")
    }
    assert add(Workspace("w"), CONFIG, tarred(tmp_path / "a.tar", files), dry_run=True).figures["kind"] == "folder"


def test_a_class_belongs_to_the_image_before_it(tmp_path: Path) -> None:
    """Keys end at the first dot, so that all of these are one: the first image is not given the last one's class."""
    files = samples(["happy"] * 5) | {f"v1.{i}.{end}": data for i, name in enumerate(TURNS) for end, data in
                                      (("png", png(50 + i)), ("cls", name.encode()))}  # fmt: skip
    result, images = imported(tarred(tmp_path / "a.tar", files))
    assert images.class_names[images.labels[list(images.ids).index("v1.0.png")]] == "angry"
    assert result.figures["skipped"] == {"a second image of its key": 1, "a second .cls of its key": 1}
    with pytest.raises(DataError, match=r"single class \(angry\), of what is not left out \(a second image"):
        imported(tarred(tmp_path / "b.tar", {name: data for name, data in files.items() if name[0] == "v"}))


def test_classes_are_read_as_tables_are(tmp_path: Path) -> None:
    """UTF-16, a number as pandas writes it, and -1 for none."""
    files = samples([TURNS[i % 2] for i in range(20)])
    files["000003.cls"] = "happy".encode("utf-16")
    _, images = imported(tarred(tmp_path / "a.tar", files))
    assert images.class_names == ("angry", "happy")
    files = samples([f"{i % 2}.0" for i in range(20)])
    files["000004.cls"] = b"-1"
    result, images = imported(tarred(tmp_path / "b.tar", files), class_names=("sad", "fear"))
    assert images.counts() == {"fear": 10, "sad": 9}
    assert result.figures["skipped"] == {"no class in the sample": 1}


def test_a_sample_whose_label_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """The others stay. Its group may have been in there, so what else is known of it is not used either."""
    files = samples(["sad", "fear"] * 10, subject=[f"S{i}" for i in range(20)])
    files |= {"000005.cls": b"\xff\xfa\xff", "000006.json": b'{"subject": "S6"', "000007.json": b"[" * 10**5}
    result, images = imported(tarred(tmp_path / "a.tar", files))
    assert len(images) == 17
    assert result.figures["skipped"] == {"unreadable": 3}
    (listed,) = tmp_path.rglob("skipped.csv")
    for words in ("000005.png", "000005.cls is no UTF-8 text", "000006.json is no valid JSON", "nests too deep"):
        assert words in listed.read_text()


def test_two_classes_of_one_image_stop(tmp_path: Path) -> None:
    said = [TURNS[i % 2] for i in range(20)]
    assert len(imported(tarred(tmp_path / "a.tar", samples(said, label=said)))[1]) == 20
    with pytest.raises(DataError, match=r"000000 has class angry in its .cls, and happy in its .json"):
        imported(tarred(tmp_path / "b.tar", samples(said, label=said[::-1])))


def test_a_shard_that_is_cut_off_is_said_before_the_first_is_read(tmp_path: Path) -> None:
    _, last = shards(tmp_path, "train", 2)
    last.write_bytes(last.read_bytes()[: 512 * 8])
    with pytest.raises(DataError, match=r"train-000001.tar is damaged.*end mark"):
        add(Workspace("w"), CONFIG, tmp_path, dry_run=False)
    assert not Path("w").exists()


def test_a_class_and_a_person_that_say_nothing(tmp_path: Path) -> None:
    names = ["angry", "happy", "nan", "-1", " "] * 6
    people = [float(i % 7) if i % 5 else float("nan") for i in range(30)]
    result, images = imported(tarred(tmp_path / "a.tar", samples(names, subject=people)))
    assert images.class_names == ("angry", "happy")
    assert set(images.group) == {"", *(str(i % 7) for i in range(1, 30, 5))}
    assert result.figures["skipped"] == {"no class in the sample": 18}
