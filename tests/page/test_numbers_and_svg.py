"""Figures as they are written and drawn."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganfer.page import svg
from ganfer.page.blocks import Bin, Stat
from ganfer.page.numbers import (
    change_with_interval,
    confidence,
    count,
    duration,
    in_words,
    points,
    share,
    signed,
    with_interval,
)


def test_points_and_intervals() -> None:
    assert points(0.6234) == "62.3"
    assert points(None) == "–"
    assert signed(0.012) == "+1.2"
    assert signed(-0.003) == "−0.3"
    assert signed(-0.0004) == "0.0"
    assert change_with_interval(0.012, -0.003, 0.027) == "+1.2 [−0.3, +2.7]"
    assert change_with_interval(0.012, None, None) == "+1.2"
    assert change_with_interval(None, None, None) == "–"
    assert with_interval(0.5, 0.25, 1.0) == "50.0 [25.0, 100.0]"


def test_counts_shares_and_words() -> None:
    assert count(28709) == "28,709"
    assert share(1, 8) == "12.5%"
    assert share(0, 0) == "–"
    assert confidence(0.9) == "90%"
    assert confidence(None) == "95%"
    assert [in_words(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.lists(st.floats(-1, 1), min_size=0, max_size=8), st.booleans())
def test_a_nice_scale_holds_all_values_with_few_round_ticks(values: list[float], with_zero: bool) -> None:
    scale = svg.nice_scale(values, include=(0.0,) if with_zero else ())
    assert scale.low < scale.high
    assert all(scale.low - 1e-9 <= value <= scale.high + 1e-9 for value in values)
    assert not with_zero or any(abs(tick) < 1e-12 for tick in scale.ticks)
    assert 2 <= len(scale.ticks) <= 8
    assert (scale.at(scale.low), scale.at(scale.high)) == (0, 100)


def test_an_estimate_is_drawn_where_its_numbers_are() -> None:
    scale = svg.Scale(0.0, 0.5, (0.0, 0.5))
    drawn = svg.estimate(Stat(0.25, 0.1, 0.6), scale)
    assert 'x1="20.00%" x2="100.00%"' in drawn  # an end outside the scale stays on its edge
    assert re.search(r'<svg class="mark[^"]*" x="50.00%"', drawn)
    assert svg.estimate(Stat(None, None, None), scale) == ""
    assert "whisker" not in svg.estimate(Stat(0.2, None, None), scale)


def test_bars_have_the_length_of_their_numbers() -> None:
    assert 'width="25.00%"' in svg.single_bar(5, 20)
    assert "<rect" not in svg.single_bar(0, 20)
    assert "<rect" not in svg.single_bar(0, 0)
    assert 'width="0.35%"' in svg.single_bar(1, 10**6)  # little is still something
    assert svg.single_bar(5, 20, of=10).index('width="50.00%"') < svg.single_bar(5, 20, of=10).index('width="25.00%"')


def test_the_axis_names_its_ticks() -> None:
    scale = svg.Scale(-0.05, 0.05, (-0.05, 0.0, 0.05))
    assert re.findall(r">([^<>]+)</text>", svg.axis(scale, plus=True)) == ["−5", "0", "+5"]
    halves = svg.Scale(0.55, 0.575, (0.55, 0.575))
    assert re.findall(r">([^<>]+)</text>", svg.axis(halves)) == ["55.0", "57.5"]


def test_a_reliability_diagram_puts_perfect_bins_on_the_diagonal() -> None:
    drawn = svg.reliability([Bin(0.0, 0.0, 3), Bin(1.0, 1.0, 9)], 'says "all"')
    line = re.search(r'<line class="reference" x1="(.+?)" y1="(.+?)" x2="(.+?)" y2="(.+?)"/>', drawn)
    assert line
    x1, y1, x2, y2 = map(float, line.groups())
    dots = re.findall(r'<circle class="dot" cx="(.+?)" cy="(.+?)"', drawn)
    assert [(float(x), float(y)) for x, y in dots] == [(x1, y1), (x2, y2)]
    assert 'aria-label="says &#34;all&#34;"' in drawn
