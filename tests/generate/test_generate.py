"""How many faces of which class: arithmetic on counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganfer.errors import DataError, GanferError
from ganfer.generate.draw import plan_quota

COUNTS = {"angry": 40, "disgust": 4, "happy": 70}


def test_n_is_spread_evenly_and_the_rest_goes_to_the_rarest():
    assert plan_quota(COUNTS, n=9).counts == {"angry": 3, "disgust": 3, "happy": 3}
    assert plan_quota(COUNTS, n=10).counts == {"angry": 3, "disgust": 4, "happy": 3}
    assert plan_quota(COUNTS, n=2).counts == {"angry": 1, "disgust": 1}


def test_balance_fills_up_to_the_largest_class_or_to_a_number():
    assert plan_quota(COUNTS, balance=True).counts == {"angry": 30, "disgust": 66}
    assert plan_quota(COUNTS, to=50).counts == {"angry": 10, "disgust": 46}
    assert plan_quota(COUNTS, balance=True, to=100).counts == {"angry": 60, "disgust": 96, "happy": 30}


def test_balance_with_n_raises_the_rarest_first():
    assert plan_quota(COUNTS, balance=True, n=20).counts == {"disgust": 20}
    assert plan_quota(COUNTS, balance=True, n=46).counts == {"angry": 5, "disgust": 41}
    assert plan_quota(COUNTS, balance=True, n=10_000).counts == {"angry": 30, "disgust": 66}


def test_exact_counts_per_class_keep_the_data_sets_order():
    assert list(plan_quota(COUNTS, classes={"happy": 2, "angry": 1}).counts.items()) == [("angry", 1), ("happy", 2)]


def test_a_class_without_real_images_gets_nothing_on_its_own():
    counts = COUNTS | {"sad": 0}
    assert "sad" not in plan_quota(counts, n=40).counts
    assert "sad" not in plan_quota(counts, balance=True).counts


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"classes": {"hapy": 3}}, "no class 'hapy'.*'happy'"),
        ({"classes": {"happy": 3}, "n": 5}, "goes with none of"),
        ({"classes": {"happy": 3}, "balance": True}, "goes with none of"),
        ({"classes": {"happy": 0}}, "Every count given is 0"),
        ({"to": 4}, "Nothing to draw: every class has 4 .*--to N"),
        ({"n": 0}, "at least 1"),
    ],
)
def test_what_makes_no_sense_is_one_line(asked, message):
    with pytest.raises(GanferError, match=message):
        plan_quota(COUNTS, **asked)


def test_a_set_without_real_images_is_one_line():
    with pytest.raises(DataError, match="no labelled real image"):
        plan_quota({"angry": 0}, n=5)


@given(
    counts=st.lists(st.integers(1, 200), min_size=1, max_size=8),
    to=st.integers(1, 300),
    limit=st.integers(1, 1500),
)
def test_filling_keeps_to_its_limits(counts, to, limit):
    names = {f"c{i}": count for i, count in enumerate(counts)}
    try:
        quota = plan_quota(names, balance=True, to=to, n=limit)
    except GanferError:
        assert min(counts) >= to
        return
    wanted = sum(max(0, to - count) for count in counts)
    assert quota.total == min(limit, wanted)
    levels = {name: count + quota.counts.get(name, 0) for name, count in names.items()}
    assert all(levels[name] <= max(to, names[name]) for name in names)
    filled = [levels[name] for name in quota.counts]
    lowest = min(levels.values())
    assert max(filled) - lowest <= 1 or quota.total == wanted  # nobody is ahead while another is rarer


def test_the_plan_reads_as_a_table():
    lines = plan_quota(COUNTS, to=50).lines()
    assert lines[0] == "generate 56 faces:"
    assert lines[-1].split() == ["all", "44", "56", "100"]
    assert [line.split() for line in lines if line.startswith("disgust")] == [["disgust", "4", "46", "50"]]
