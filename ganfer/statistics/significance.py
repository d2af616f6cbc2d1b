"""Beside the intervals: McNemar, Holm's correction and its levels, the smallest change a test can show. Pure."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

from ganfer.statistics.verdict import Estimate


@dataclass(frozen=True)
class McNemar:
    """better, worse: test images that the arm, the baseline, gets right in more seeds. p: exact, two-sided."""

    better: int
    worse: int
    p: float


def mcnemar(labels: np.ndarray, arm: np.ndarray, baseline: np.ndarray) -> McNemar:
    """McNemar's exact test of two arms on the same images (McNemar 1947; the binomial form).

    labels: (N,). arm, baseline: predictions (S, N), rows paired by seed. With several seeds an image counts for the arm
    that gets it right more often, so an image is one observation however many seeds there are. The test speaks of these
    trained models; what other seeds would bring is in the intervals only.

    Example: `mcnemar(labels, after, before).p`.
    """
    right = (arm == labels).sum(axis=0) - (baseline == labels).sum(axis=0)
    better, worse = int((right > 0).sum()), int((right < 0).sum())
    p = float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return McNemar(better, worse, p)


K = TypeVar("K", bound=Hashable)


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """p-values corrected for being a family of claims, by name (Holm 1979): each at most 1, order kept.

    Example: `holm({"angry": 0.01, "sad": 0.04})`.
    """
    corrected: dict[K, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def holm_levels(p_values: Mapping[K, float], alpha: float = 0.05) -> dict[K, float]:
    """By name, the alpha at which Holm judged each claim of a family.

    Its interval at level 1 - alpha excludes 0 exactly when Holm rejects it, so that words and intervals agree.
    """
    order = sorted(p_values, key=lambda name: p_values[name])
    rejected = 0
    for rank, name in enumerate(order):
        if p_values[name] >= alpha / (len(order) - rank):
            break
        rejected = rank + 1
    return {name: alpha / (len(order) - min(order.index(name), rejected)) for name in p_values}


@dataclass(frozen=True)
class Detectable:
    """least: a smaller measured change cannot be told from none. likely: a true change of this size is found with the
    asked power. Both as fractions, at most 1."""

    least: float
    likely: float


def detectable(change: Estimate, *, level: float = 0.95, power: float = 0.8) -> Detectable:
    """The smallest change that this experiment's test images and seeds could show, from the change's standard error.

    `likely` takes the usual normal-theory sum of two quantiles (Cohen 1988).

    Example: `detectable(change).least`.
    """
    if not change.error >= 0:
        return Detectable(1.0, 1.0)
    limit = float(stats.t.ppf(0.5 + level / 2, change.freedom))
    reach = limit + float(stats.t.ppf(power, change.freedom))
    return Detectable(min(1.0, limit * change.error), min(1.0, reach * change.error))


def fewest_images(level: float = 0.95) -> int:
    """Test images without which no change at all can be shown: even if every one of them changed for the better, an
    exact McNemar test would not call it significant. 6 at 95%.

    Example: `fewest_images() == 6`.
    """
    images = 1
    while 2 * 0.5**images >= 1 - level:
        images += 1
    return images
