"""McNemar, Holm and the smallest change a test can show: values worked out by hand, and what they mean."""

import math

import numpy as np
import pytest
from scipy import stats

from ganfer.statistics.significance import detectable, fewest_images, holm, holm_levels, mcnemar
from ganfer.statistics.verdict import Estimate, changes, measure

NAMES = ("angry", "happy", "sad")


def estimate(mean: float, error: float, freedom: float = math.inf) -> Estimate:
    """An estimate with its 95% interval."""
    half = float(stats.t.ppf(0.975, freedom)) * error
    return Estimate(mean, mean - half, mean + half, (), error, freedom)


def test_mcnemar_by_hand() -> None:
    labels = np.zeros(20, np.int64)
    baseline, arm = np.ones((1, 20), np.int64), np.ones((1, 20), np.int64)
    arm[0, :8] = 0  # eight become right
    baseline[0, 8:10] = 0  # two become wrong
    found = mcnemar(labels, arm, baseline)
    assert (found.better, found.worse) == (8, 2)
    assert found.p == pytest.approx(2 * sum(math.comb(10, k) for k in range(3)) / 2**10)
    assert mcnemar(labels, arm, arm).p == 1.0


def test_mcnemar_takes_an_image_once_however_many_seeds_there_are() -> None:
    labels = np.zeros(12, np.int64)
    baseline, arm = np.ones((1, 12), np.int64), np.zeros((1, 12), np.int64)
    once = mcnemar(labels, arm, baseline)
    many = mcnemar(labels, np.repeat(arm, 5, axis=0), np.repeat(baseline, 5, axis=0))
    assert many == once
    mostly = np.ones((3, 12), np.int64)
    mostly[1:, :9] = 0  # nine images right in two of three seeds, though not in the first
    assert mcnemar(labels, mostly, np.ones((3, 12), np.int64)) == mcnemar(labels, mostly[1:2], baseline)
    split = np.array([[0, 1], [1, 0]])  # right in one seed each: neither better nor worse
    assert mcnemar(labels[:2], split, split[::-1]).p == 1.0


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5})
    assert found == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.5})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_keeps_the_chance_of_any_false_claim() -> None:
    draws = np.random.default_rng(0).uniform(size=(2000, 8))
    any_false = np.mean([min(holm(dict(enumerate(row))).values()) < 0.05 for row in draws])
    assert 0.035 < any_false < 0.065
    assert np.mean((draws < 0.05).any(axis=1)) > 0.3  # which is what it protects against


def test_p_values_and_intervals_agree() -> None:
    assert estimate(0.02, 0.01).p == pytest.approx(2 * stats.norm.sf(2))
    edge = estimate(float(stats.t.ppf(0.975, 4)) * 0.01, 0.01, 4)
    assert edge.low == pytest.approx(0)
    assert edge.p == pytest.approx(0.05)
    assert Estimate(0.5, 0.4, 0.6).p == 1.0  # no standard error is known


def test_fifty_five_images_cannot_show_a_small_change() -> None:
    """With one in eight images changing, as two trainings of the same arm do, 55 images show nothing under 9 points."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [55, 900, 900])
    base = np.where(rng.random((5, len(labels))) < 0.6, labels, (labels + 1) % 3)
    arm = np.where(rng.random(base.shape) < 0.12, (labels + 2) % 3, base)
    found = changes(*(measure(labels, rows, NAMES, resamples=400) for rows in (arm, base)))
    rare, common = detectable(found["recall:angry"]), detectable(found["recall:happy"])
    assert 0.03 < rare.least < 0.12
    assert rare.least > 2.5 * common.least
    assert rare.likely > 1.3 * rare.least
    assert detectable(Estimate(0.0, -1.0, 1.0)).least == 1.0  # an unknown error shows nothing


def test_a_change_of_the_likely_size_is_found_four_times_in_five() -> None:
    error = 0.01
    size = detectable(estimate(0.0, error)).likely
    seen = np.random.default_rng(1).normal(size, error, 4000) > detectable(estimate(0.0, error)).least
    assert 0.77 < seen.mean() < 0.83


def test_fewer_images_than_can_show_anything() -> None:
    least = fewest_images()
    assert least == 6
    assert stats.binomtest(least, least).pvalue < 0.05 <= stats.binomtest(least - 1, least - 1).pvalue


def test_an_interval_at_holms_level_excludes_zero_exactly_where_holm_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        family = dict(enumerate(rng.uniform(0, rng.choice([0.02, 0.1, 1]), 7)))
        corrected, levels = holm(family), holm_levels(family)
        assert [corrected[i] < 0.05 for i in family] == [p < levels[i] for i, p in family.items()]
    assert holm_levels({"a": 0.001, "b": 0.02, "c": 0.9}) == pytest.approx({"a": 0.05 / 3, "b": 0.025, "c": 0.05})
    assert holm_levels({"alone": 0.3}) == {"alone": pytest.approx(0.05)}
    assert holm_levels({}) == {}
