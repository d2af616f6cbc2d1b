"""Properties that every split has, whatever the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganfer.data.splits import NO_GROUP, TEST, TRAIN, VAL, Splits, assign, hold_out, rank_of

FEW = settings(max_examples=60, deadline=None)


def ranks(names: list[str]) -> np.ndarray:
    return np.array([rank_of(name) for name in names], dtype=np.uint64)


def split(
    labels: list[int], groups: list[int] | None = None, own: list[int] | None = None, **options: object
) -> Splits:
    n = len(labels)
    names = [f"image-{i}" for i in range(n)]
    chosen: dict[str, object] = {"val_fraction": 0.1, "test_fraction": 0.2, "seed": 0} | options
    return assign(
        np.array(own if own is not None else [-1] * n, dtype=np.int8),
        np.array(labels, dtype=np.int64),
        np.array(groups if groups is not None else [NO_GROUP] * n, dtype=np.int32),
        ranks(names),
        **chosen,  # type: ignore[arg-type]
    )


@FEW
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_every_class_gives_its_share_and_keeps_one(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    codes = split(labels.tolist(), seed=seed).codes
    for label, count in enumerate(counts):
        mine = codes[labels == label]
        test = min(max(round(count * 0.2), 1), count - 1)
        val = min(max(round((count - test) * 0.1), 1), count - test - 1)
        assert [(mine == code).sum() for code in (TEST, VAL, TRAIN)] == [test, val, count - test - val]


@FEW
@given(
    data=st.data(), n=st.integers(1, 120), classes=st.integers(1, 5), people=st.integers(1, 25), seed=st.integers(0, 99)
)
def test_no_subject_is_on_two_sides_and_no_class_leaves_train(
    data: st.DataObject, n: int, classes: int, people: int, seed: int
) -> None:
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    groups = data.draw(st.lists(st.integers(NO_GROUP, people - 1), min_size=n, max_size=n))
    codes = split(labels, groups, seed=seed).codes
    for person in set(groups) - {NO_GROUP}:
        assert len(set(codes[np.array(groups) == person])) == 1
    assert set(np.array(labels)[codes == TRAIN]) == set(labels)


@FEW
@given(
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=80),
    people=st.sampled_from([0, 5, 12]),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 9),
)
def test_the_order_of_the_files_does_not_matter(labels: list[int], people: int, order: object, seed: int) -> None:
    n = len(labels)
    named = ranks([f"image-{i}" for i in range(n)])
    person = np.array([i * 7 % people if people else NO_GROUP for i in range(n)], dtype=np.int32)
    shuffled = list(range(n))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    at = np.array(shuffled)
    # as an importer does it, subjects are numbered in the order in which they come
    _, first_come = np.unique(person[at], return_inverse=True)
    renumbered = (first_come * 31 % 37).astype(np.int32) if people else person[at]
    straight = hold_out(np.array(labels), person, named, 0.2, seed=seed, purpose="test")
    mixed = hold_out(np.array(labels)[at], renumbered, named[at], 0.2, seed=seed, purpose="test")
    assert np.array_equal(straight[at], mixed)


def test_the_seed_changes_who_is_held_out_and_nothing_else_does() -> None:
    labels = [0, 1] * 200
    first, again, other = (split(labels, seed=seed).codes for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    both = (first == TEST) & (other == TEST)
    assert 2 <= both.sum() <= 32  # chance says 16 of 80
    # and val is no copy of test's choice
    assert not ((first == TEST) & (first == VAL)).any()


def test_subjects_are_held_out_near_the_wanted_share_of_every_class() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 9)
    labels = rng.integers(0, 4, 900)
    codes = split(labels.tolist(), groups.tolist()).codes
    for label in range(4):
        assert 0.15 < (codes[labels == label] == TEST).mean() < 0.25
        assert 0.05 < (codes[labels == label] == VAL).mean() < 0.12


def test_the_sources_own_splits_stay_and_only_what_is_missing_is_held_out() -> None:
    own = [0] * 80 + [2] * 20
    result = split([0, 1] * 50, own=own)
    assert (result.codes[80:] == TEST).all()
    assert (result.codes == VAL).sum() == 8
    assert [note.split(":")[0] for note in result.notes] == ["val"]
    whole = split([0, 1] * 50, own=[0] * 60 + [1] * 20 + [2] * 20)
    assert whole.notes == []
    assert whole.codes.tolist() == [0] * 60 + [1] * 20 + [2] * 20


def test_a_lone_validation_split_is_the_test_where_its_users_say_so() -> None:
    own = [0] * 80 + [1] * 20
    as_test = split([0, 1] * 50, own=own, lone_val_is_test=True).codes
    assert (as_test[80:] == TEST).all()
    as_val = split([0, 1] * 50, own=own).codes
    assert (as_val[80:] == VAL).all()
    assert (as_val[:80] == TEST).sum() == 16


def test_a_source_without_training_images_is_split_anew() -> None:
    result = split([0, 1] * 50, own=[2] * 100)
    assert (result.codes == TRAIN).sum() == 72
    assert "no training split" in result.notes[0]


def test_pinned_images_stay_in_train() -> None:
    pinned = np.arange(100) < 90
    codes = split([0, 1] * 50, pinned=pinned).codes
    assert (codes[:90] == TRAIN).all()
    assert (codes[90:] == TEST).sum() == 2


def test_one_subject_or_one_image_cannot_be_held_out() -> None:
    assert not hold_out(
        np.zeros(9, int), np.zeros(9, int), ranks([str(i) for i in range(9)]), 0.2, seed=0, purpose="x"
    ).any()
    assert not hold_out(
        np.arange(5), np.full(5, NO_GROUP), ranks([str(i) for i in range(5)]), 0.2, seed=0, purpose="x"
    ).any()


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5])
def test_fractions_of_groups(fraction: float) -> None:
    groups = np.repeat(np.arange(60), 5)
    labels = np.tile(np.arange(5), 60)
    held = hold_out(labels, groups, ranks([str(i) for i in range(300)]), fraction, seed=3, purpose="x")
    assert held.mean() == pytest.approx(fraction, abs=0.02)


def test_names_have_ranks_of_their_own() -> None:
    assert rank_of("a/1.png") == 0x8005F3E28D65D436  # BLAKE2b, 8 bytes: changing it would change every split
    assert len({rank_of(f"{i}.png") for i in range(10_000)}) == 10_000
