"""The whole rule where the truth is known, in short; benchmarks/verdict_rule.py is the long form."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ganfer.statistics.verdict import changes, measure

NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def rule() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))  # it takes parts from the script beside it
    yield importlib.import_module("verdict_rule")
    sys.path.remove(str(BENCHMARKS))


def words(rule: ModuleType, count: int, seed: int = 0, **scenario: Any) -> list[str]:
    rng = np.random.default_rng(seed)
    row = rule.Row(rule.SMALL_TEST, **{"seeds": 3, **scenario})
    return [rule.trial(rng, row)["word"] for _ in range(count)]


def test_faces_that_bring_nothing_rarely_help_and_a_large_gain_is_found(rule: ModuleType) -> None:
    assert words(rule, 150).count("helps") <= 5
    assert words(rule, 30, seeds=5, **rule.faces(0.7)).count("helps") >= 15
    assert words(rule, 30, **rule.faces(-0.7)).count("helps") == 0


def test_a_moved_threshold_is_no_help(rule: ModuleType) -> None:
    """On a balanced test it costs no accuracy: only the comparison with fitted biases stands in its way."""
    rng = np.random.default_rng(1)
    row = rule.Row((100,) * 7, 5, shift=rule.MOVED)
    found = [rule.trial(rng, row) for _ in range(60)]
    assert sum(one["change"].low > 0 for one in found) >= 5  # balanced accuracy alone would call it one
    assert [one["word"] for one in found].count("helps") <= 4


def test_the_exact_variance_is_what_many_resamples_give(rule: ModuleType) -> None:
    rng = np.random.default_rng(2)
    row = rule.Row(rule.SMALL_TEST)
    test = rule.experiment(rng, row, np.array(row.counts), {arm: rule.lucks(rng, row, arm) for arm in rule.ARMS})
    labels = test["labels"]
    exact = rule.compared(test, "synthetic", "original", False, False, rule.levels_of(test, 0))
    wrong = (labels + 1) % 7
    arm, base = (
        measure(labels, np.where(test[name][0], labels, wrong), NAMES, resamples=4000)
        for name in ("synthetic", "original")
    )
    for name, change in changes(arm, base).items():
        if name in exact:
            assert exact[name].mean == pytest.approx(change.mean)
            assert exact[name].error == pytest.approx(change.error, rel=0.06), name
