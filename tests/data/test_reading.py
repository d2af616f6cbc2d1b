"""The plan of a source's folders: which is class, subject and split; one rule for all, every image accounted for."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganfer.data.names import EXPRESSIONS
from ganfer.data.sources.reading import Place, Reading, read_folders
from ganfer.data.sources.words import expression_in, kind_of, split_word
from ganfer.errors import DataError

Where = tuple[str, str, str]


def found(*folders: str, counts: Mapping[str, int] | None = None, **levels: int) -> dict[str, Where]:
    plan = read_folders(counts or dict.fromkeys(folders, 3), "faces", **levels)
    return {folder: (place.split, place.label, place.group) for folder, place in plan.places.items()}


SPLIT_WORDS = {
    "train": ("train", "TrainData", "train ", "training_set", "train2017", "Training"),
    "val": ("val", "Valid", "validation-images", "DEV", "publictest", "Public_Test"),
    "test": ("test", "test-set", "testing", "testset", "PrivateTest", "Test (20%)", "hold-out"),
    "eval": ("eval", "Evaluation"),
    "": ("train_test_split", "attest", "valley", "fer_train", "happy", "contest", "devil"),
}


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in SPLIT_WORDS.items() for name in names])
def test_a_word_in_a_name_is_the_split(split: str, name: str) -> None:
    assert split_word(name) == split


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ({"S001", "S130"}, "subject"), ({"person_1", "Person 2"}, "subject"), ({"AF01", "BM35"}, "subject"),
        ({"001", "002"}, "number"), ({"00000", "00001"}, "shard"), ({"0", "6"}, "word"), ({"1", "19"}, "word"),
        ({"n01440764", "n02102040"}, "word"), ({"ann", "S01"}, "word"), ({"sad"}, "word"),
        ({"1001_IEO_ANG_HI", "1002_IEO_ANG_HI", "1001_IEO_SAD_HI", "1002_IEO_SAD_HI"}, "clip"),
        ({"01-01-03-01", "02-01-03-02"}, "clip"), ({"S005_001", "S006_002"}, "clip"), ({"class_1", "class_2"}, "word"),
        ({"grin1", "frown2"}, "word"),
    ],
)  # fmt: skip
def test_what_a_levels_names_look_like(names: set[str], kind: str) -> None:
    assert kind_of(names) == kind


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("happy sad", {"happy": ("", "happy", ""), "sad": ("", "sad", "")}),
        # an unknown name beside known ones is a class at the same level, whatever lies below it
        (
            "happy/subject1 happy/subject2 confused/subject1",
            {
                "happy/subject1": ("", "happy", "subject1"),
                "happy/subject2": ("", "happy", "subject2"),
                "confused/subject1": ("", "confused", "subject1"),
            },
        ),
        ("S01/happy S02/bored S02/happy", {"S01/happy": ("", "happy", "S01"), "S02/bored": ("", "bored", "S02")}),
        ("S01/smile S02/frown", {"S01/smile": ("", "smile", "S01"), "S02/frown": ("", "frown", "S02")}),
        ("smile/S01 smile/S02 frown/S01", {"smile/S02": ("", "smile", "S02"), "frown/S01": ("", "frown", "S01")}),
        # the innermost split counts
        ("training/train/sad training/test/sad", {"training/test/sad": ("test", "sad", "")}),
        (
            "train_data/sad test_data/sad",
            {"train_data/sad": ("train", "sad", ""), "test_data/sad": ("test", "sad", "")},
        ),
        ("fer_train/sad fer_test/sad", {"fer_train/sad": ("train", "sad", ""), "fer_test/sad": ("test", "sad", "")}),
        ("train_sad test_sad train_happy", {"train_sad": ("train", "sad", ""), "test_sad": ("test", "sad", "")}),
        ("train/sad eval/sad", {"eval/sad": ("test", "sad", "")}),
        ("train/sad eval/sad test/sad", {"eval/sad": ("val", "sad", ""), "test/sad": ("test", "sad", "")}),
        ("ann/train ann/test bob/train", {"ann/test": ("test", "ann", ""), "bob/train": ("train", "bob", "")}),
        ("train/n01 train/n02 val/n01", {"val/n01": ("val", "n01", "")}),
        ("test_anxiety calmness", {"test_anxiety": ("", "test_anxiety", "")}),  # a class, not a split
        # mixed depth
        ("root/ann root/ann/session root/bob", {"root/ann/session": ("", "ann", ""), "root/bob": ("", "bob", "")}),
        ("happy extra/happy sad", {"happy": ("", "happy", ""), "extra/happy": ("", "happy", "")}),
        ("surprise-set/happy surprise-set/sad", {"surprise-set/happy": ("", "happy", "")}),
        ("data/happy data/sad docs/img", {"data/sad": ("", "sad", ""), "docs/img": ("", "", "")}),
        ("0 1 2 6", {"6": ("", "6", "")}),
        ("01_happy/001 02_sad/002", {"01_happy/001": ("", "01_happy", "001")}),
    ],
)
def test_one_rule_for_all_folders(folders: str, expected: dict[str, Where]) -> None:
    assert expected.items() <= found(*folders.split()).items()


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ("ann/smile ann/frown bob/smile", r"open which .*--class-level 1: ann, bob; or --class-level 2: frown, smile"),
        ("happy/sad sad/happy", r"open which .*--class-level 1: happy.*--class-level 2: sad"),
        ("00000 00001", "numbered shards"),
        ("S001 S002", "look like subjects"),
        ("images photos", "look like places to keep images"),
        ("S001/001 S001/002 S002/001", "open which"),
        ("ann bob/day1 bob/day2", "open which"),
    ],
)
def test_what_can_be_read_in_two_ways_stops_with_both(folders: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        found(*folders.split())


def test_the_users_level_decides() -> None:
    folders = ("ann/smile", "ann/frown", "bob/smile")
    assert found(*folders, class_level=2, subject_level=1)["bob/smile"] == ("", "smile", "bob")
    assert found(*folders, class_level=1)["bob/smile"] == ("", "bob", "")
    assert found(*folders, class_level=-1)["bob/smile"] == ("", "smile", "")
    assert found("00000", "00001", class_level=1)["00001"] == ("", "00001", "")
    with pytest.raises(DataError, match="no folders at level 3"):
        found(*folders, class_level=3)
    with pytest.raises(DataError, match="level 1 is the splits"):
        found("train/a", "test/b", class_level=1)


def test_a_set_that_lies_mostly_outside_its_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"1,000 of 1,010 images lie in no class folder"):
        found(counts={"": 1000, "ann": 5, "bob": 5})
    assert found(counts={"": 2, "ann": 5, "bob": 5})[""] == ("", "", "")


def test_the_plan_says_what_it_takes_and_leaves() -> None:
    counts = {"train/ann/happy": 4, "test/bob/happy": 2, "test/bob/sad": 1, "unseen/bob/sad": 3, "docs": 2}
    plan = read_folders(counts, "faces")
    assert plan.lines == (
        "class: folder level 3 (happy, sad)",
        "split: train from train; test from test",
        "no split: 3 images lie in no split's folder and stay in train (unseen/: 3)",
        "not used: folder level 2 (ann, bob); --subject-level 2 makes it the subject; "
        "a split's folder is named train, val or test",
        "left out: 2 images in no class folder (docs/: 2)",
    )


# --- whatever the names -----------------------------------------------------------------------------------------------

EVAL_OR_MORE = ("eval", "train_happy", "fer_train", "Test Data", "PublicTest")
SUBJECTS = ("S001", "p 2", "001", "00000", "ann", "bob")
OTHERS = ("calm", "Anger", "train", "test", "val", "images", "test_anxiety", "\udcff", "ä", "a b")
NAMES = st.sampled_from([*EXPRESSIONS, *EVAL_OR_MORE, *SUBJECTS, *OTHERS])
FOLDERS = st.dictionaries(st.lists(NAMES, max_size=5).map("/".join), st.integers(0, 50), min_size=1, max_size=12)


@settings(max_examples=400, deadline=None)
@given(FOLDERS)
def test_every_folder_has_a_place_or_the_plan_stops(counts: dict[str, int]) -> None:
    try:
        plan = read_folders(counts, "faces")
    except DataError:
        return
    assert plan.places.keys() == counts.keys()
    inside = sum(count for folder, count in counts.items() if plan.places[folder].label)
    assert 2 * inside >= sum(counts.values())
    outside = sum(counts.values()) - inside
    assert any(line.startswith(f"left out: {outside:,} images") for line in plan.lines) == bool(outside)
    for folder, place in plan.places.items():
        parts = folder.split("/")
        assert place.label in ("", *parts) or any(expression_in(place.label) and place.label in part for part in parts)
        assert place.group in ("", *parts)


@settings(max_examples=200, deadline=None)
@given(FOLDERS)
def test_a_folder_below_a_plain_split_is_never_in_another(counts: dict[str, int]) -> None:
    try:
        plan = read_folders(counts, "faces")
    except DataError:
        return
    for folder, place in plan.places.items():
        parts = folder.split("/")
        plain = [part for part in parts if part in ("train", "test", "val")]
        if plain and not set(parts) & set(EVAL_OR_MORE):
            assert place.split == plain[-1]


@settings(max_examples=100, deadline=None)
@given(FOLDERS, st.integers(-5, 5).filter(bool), st.integers(-5, 5).filter(bool))
def test_a_level_from_the_user_is_obeyed(counts: dict[str, int], class_level: int, subject_level: int) -> None:
    try:
        plan: Reading = read_folders(counts, "faces", class_level=class_level, subject_level=subject_level)
    except DataError:
        return
    for folder, place in plan.places.items():
        parts = folder.split("/") if folder else []
        at = class_level - 1 if class_level > 0 else class_level
        if -len(parts) <= at < len(parts):
            assert place.label != ""
            assert place.label in parts[at]
        else:
            assert place == Place(place.split)
