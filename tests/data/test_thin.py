"""Thinning: the shape of the tail, what is kept, and that smaller thinnings lie inside larger ones."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textures import image_set

from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set, save_set
from ganfer.data.thin import kept, long_tail, plan, thin
from ganfer.errors import DataError
from ganfer.workspace import Run, Workspace

COUNTS = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 5000), min_size=1)


def faces(train: tuple[int, ...] = (30, 50, 8), other: int = 4) -> ImageSet:
    """Blank images with these counts per class for training, and `other` of each class for val and test."""
    labels = [i for i, count in enumerate(train) for _ in range(count)] + [0, 1, 2] * (2 * other)
    split = ["train"] * sum(train) + ["val"] * (3 * other) + ["test"] * (3 * other)
    return image_set(np.zeros((len(labels), 1, 8, 8), dtype=np.uint8), split=split, labels=labels)


def workspace_with(images: ImageSet) -> tuple[Workspace, Run]:
    workspace = Workspace("work")
    run = workspace.run("data", "faces", {"inputs": {}})
    with run.work("data add"):
        run.finish(digest=save_set(run.path, images), figures={})
    workspace.activate_data(run)
    return workspace, run


def test_the_long_tail_is_the_published_one() -> None:
    """CIFAR-10-LT at imbalance 100 (Cui et al. 2019): 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50."""
    balanced = {f"class {i}": 5000 for i in range(10)}
    published = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert np.abs(np.array(list(long_tail(balanced, 100).values())) - published).max() <= 1  # they round down


def test_the_tail_follows_the_sizes_and_never_asks_for_more_than_there_is() -> None:
    assert long_tail({"angry": 400, "disgust": 20, "happy": 700, "sad": 500}, 50) == {
        "angry": 52,  # 700 * 50 ** (-2/3)
        "disgust": 14,
        "happy": 700,
        "sad": 190,
    }
    assert long_tail({"a": 100, "b": 99, "c": 3}, 4)["c"] == 3


@settings(deadline=None)
@given(COUNTS, st.floats(1, 1000))
def test_long_tail_properties(before: dict[str, int], imbalance: float) -> None:
    after = long_tail(before, imbalance)
    assert list(after) == list(before)
    assert all(min(1, before[name]) <= after[name] <= before[name] for name in before)
    assert max(after.values()) == max(before.values())
    ranked = sorted(before, key=lambda name: -before[name])
    assert all(after[big] >= after[small] for big, small in pairwise(ranked))
    assert long_tail(before, 1) == before


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
def test_a_smaller_thinning_lies_inside_a_larger_one(one: int, other: int, seed: int) -> None:
    images = faces()
    fewer, more = (
        set(kept(images, {"angry": count, "happy": 5, "sad": 8}, seed).tolist()) for count in sorted((one, other))
    )
    assert fewer <= more


def test_what_is_kept_depends_on_the_image_and_not_on_its_neighbours() -> None:
    images = faces()
    chosen = set(images.ids[kept(images, {"angry": 10, "happy": 10, "sad": 3}, 0)].tolist())
    without = images.select(np.flatnonzero(~np.isin(np.arange(len(images)), [1, 2, 40])))
    still = set(without.ids[kept(without, {"angry": 10, "happy": 10, "sad": 3}, 0)].tolist())
    assert len(chosen - still) <= 3  # at most those that were taken away
    assert chosen & set(without.ids.tolist()) <= still


def test_another_seed_keeps_other_images() -> None:
    images = faces()
    after = {"angry": 10, "happy": 10, "sad": 3}
    assert kept(images, after, 0).tolist() != kept(images, after, 1).tolist()


def test_thin_makes_an_active_variant_and_leaves_val_and_test_alone() -> None:
    workspace, run = workspace_with(faces())
    result = thin(workspace, Config(), run, counts={"sad": 3, "happy": 20})
    active = workspace.active_data
    assert active is not None
    assert active.path == result.path
    assert active.name.startswith("faces-thin-")
    made = read_set(active.path)
    assert made.counts("train") == {"angry": 30, "happy": 20, "sad": 3}
    assert made.counts("val") == made.counts("test") == {"angry": 4, "happy": 4, "sad": 4}
    assert active.record["key"]["inputs"] == {"data": run.digest}
    again = thin(workspace, Config(), run, counts={"sad": 3, "happy": 20})
    assert again.path == result.path
    assert thin(workspace, Config(seed=1), run, counts={"sad": 3, "happy": 20}).path != result.path


def test_a_variant_of_a_variant_keeps_what_thinning_at_once_would_keep() -> None:
    workspace, run = workspace_with(faces())
    first = thin(workspace, Config(), run, counts={"happy": 30})
    assert first.path is not None
    twice = thin(workspace, Config(), Run(first.path), counts={"happy": 10})
    once = thin(workspace, Config(), run, counts={"happy": 10})
    assert twice.path is not None
    assert once.path is not None
    assert read_set(twice.path).ids.tolist() == read_set(once.path).ids.tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "neither was given"),
        ({"imbalance": 10, "counts": {"sad": 1}}, "not both"),
        ({"imbalance": 0.5}, "--imbalance 0.5 is out of range. It must be at least 1."),
        ({"imbalance": float("nan")}, "out of range"),
        ({"counts": {"hapy": 1}}, "The data has no class 'hapy'. Did you mean 'happy'?"),
        ({"counts": {"sad": 9}}, "--class sad=9 asks for more than the 8 training images of sad"),
        ({"counts": {"sad": 0}}, "Ask for at least 1."),
    ],
)
def test_wrong_requests_say_what_to_do(options: dict, words: str) -> None:
    with pytest.raises(DataError) as error:
        plan(faces().counts("train"), **{"imbalance": None, "counts": {}, **options})
    assert words in str(error.value)
