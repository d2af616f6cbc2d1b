"""Kappa and shares against values worked out by hand."""

import pytest

from ganfer.statistics.agreement import cohen_kappa, share


def pairs(*counts: tuple[str, str, int]) -> tuple[list[str], list[str]]:
    one = [a for a, _, n in counts for _ in range(n)]
    return one, [b for _, b, n in counts for _ in range(n)]


def test_kappa_and_its_interval_by_hand() -> None:
    one, other = pairs(("yes", "yes", 20), ("yes", "no", 5), ("no", "yes", 10), ("no", "no", 15))
    found = cohen_kappa(one, other)
    # agreement 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    assert (found.n, found.agreement, found.kappa) == (50, pytest.approx(0.7), pytest.approx(0.4))
    # 0.4 (1 - 1.1 * 0.6)^2 + 0.3 (1 - 0.9 * 0.6)^2 = 0.10972; 0.36 (0.1 * 1.1^2 + 0.2 * 0.9^2) = 0.10188; 0.1^2
    error = ((0.10972 + 0.10188 - 0.01) / (50 * 0.25)) ** 0.5
    assert error == pytest.approx(0.12699, abs=1e-5)
    assert (found.low, found.high) == (pytest.approx(0.4 - 1.959964 * error), pytest.approx(0.4 + 1.959964 * error))


def test_kappa_at_its_ends() -> None:
    perfect = cohen_kappa(["a", "b", "a"], ["a", "b", "a"])
    assert (perfect.kappa, perfect.low, perfect.high) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    opposite = cohen_kappa(["a", "b"], ["b", "a"])
    assert opposite.kappa == pytest.approx(-1)
    assert opposite.low == pytest.approx(-1)
    same = cohen_kappa(["a", "a"], ["a", "a"])
    assert (same.agreement, same.kappa, same.low) == (1, None, None)


def test_a_share_has_wilsons_interval() -> None:
    # 8 of 10: (0.8 + z^2/20 -+ z sqrt(0.8 * 0.2 / 10 + z^2 / 400)) / (1 + z^2 / 10) with z = 1.96
    found = share(8, 10)
    assert (found["share"], found["low"], found["high"]) == (
        0.8,
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
