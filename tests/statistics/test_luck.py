"""The variance of seeds, folds and generators: what it is where the truth is known."""

import numpy as np
import pytest
from scipy import stats

from ganfer.statistics.luck import Part, fold_part, generator_part, seed_part


def false_alarms(figures: np.ndarray) -> float:
    """Of arms 0 and 1 that are alike: how often their difference is called one at 95%, by the seeds alone."""
    parts = [seed_part(one, 0, 1) for one in figures]
    error = np.array([part.variance**0.5 for part in parts])
    limit = stats.t.ppf(0.975, [part.freedom for part in parts])
    return float(np.mean(np.abs(figures[:, 0].mean(axis=1) - figures[:, 1].mean(axis=1)) > limit * error))


@pytest.mark.parametrize(("arms", "seeds"), [(2, 3), (4, 2), (5, 3), (10, 5)])
def test_identical_arms_differ_as_rarely_as_they_should(arms: int, seeds: int) -> None:
    rng = np.random.default_rng([arms, seeds])
    shared = rng.normal(size=(1500, 1, seeds))  # what a seed brings to every arm is no luck of a difference
    assert 0.03 < false_alarms(rng.normal(size=(1500, arms, seeds)) + 2 * shared) < 0.075


def test_all_arms_give_more_degrees_of_freedom_than_the_pair() -> None:
    figures = np.random.default_rng(0).normal(size=(200, 5, 3))
    freedom = [seed_part(one, 0, 1).freedom for one in figures]
    assert np.median(freedom) >= 6
    assert {seed_part(one[:2], 0, 1).freedom for one in figures} == {2.0}


def test_a_wild_arm_is_left_out_and_speaks_for_itself() -> None:
    rng = np.random.default_rng(1)
    figures = rng.normal(size=(400, 5, 5))
    figures[:, 4] *= 20
    others = np.array([seed_part(one, 0, 1).variance for one in figures])
    assert np.mean(others) == pytest.approx(2 / 5, rel=0.15)  # as if it were not there
    pairs = np.array([seed_part(one, 4, 1).variance for one in figures])
    assert np.mean(pairs) == pytest.approx((400 + 1) / 5, rel=0.15)
    assert false_alarms(figures[:, [4, 1, 0, 2, 3]]) < 0.075


def test_the_folds_own_luck_is_what_images_and_seeds_leave() -> None:
    rng = np.random.default_rng(2)
    tau, noise, folds = 0.03, 0.02, 5
    found = [
        fold_part(rng.normal(0, tau, (folds, 1)) + rng.normal(0, noise, (folds, 1)), noise**2 / folds, 0.0).variance
        for _ in range(2000)
    ]
    overlap = 1 / folds + 1 / (folds - 1)
    assert np.mean(found) == pytest.approx(tau**2 * overlap, rel=0.15)
    assert fold_part(np.full((5, 3), 0.1), 1.0, 1.0) == Part(0.0, 4.0)  # never below nothing
    assert fold_part(np.array([[0.1], [np.nan]]), 0.0, 0.0).variance == 0.0  # one fold knows nothing


def test_several_generators_count_as_many_as_they_are() -> None:
    change, which = np.array([0.01, 0.02, 0.05, 0.06, 0.03, 0.04]), np.array([0, 0, 1, 1, 2, 2])
    found = generator_part(change, which, Part(1e-6, 10))
    assert found.freedom == 2
    assert found.variance == pytest.approx(np.var([0.015, 0.055, 0.035], ddof=1) / 3)
    assert generator_part(change, np.zeros(6), Part(1e-6, 10)) == Part(1e-6, 10)
    assert generator_part(change, which, Part(1.0, 10)).variance == 1.0
    uneven = generator_part(np.array([0.0, 0.0, 0.0, 0.02]), np.array([0, 0, 0, 1]), Part(0.0, 3))
    assert uneven.variance == pytest.approx(np.var([0.0, 0.02], ddof=1) * (0.75**2 + 0.25**2))
