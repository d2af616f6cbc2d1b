"""A figure of fakes beside the same figure of real images: held-back real images are halved, one half is the measure,
the other half shows what real images reach at the same number. Many random halvings give the interval.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ganfer.runtime.seeding import stream

Measure = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """A figure of the fakes and its real-against-real ceiling, at num_images on each side."""

    fake: Mapping[str, Estimate]
    real: Mapping[str, Estimate]
    num_images: int


def compare(
    fake: np.ndarray,
    real: np.ndarray,
    measure: Measure,
    *,
    strata: tuple[np.ndarray, np.ndarray] | None = None,
    halvings: int = 10,
    most: int = 2000,
    seed: int = 0,
) -> Compared:
    """measure(candidates, reference) of fake features (N, d), and of real ones (M, d), against halves of the real.

    All at n = min(M // 2, N, most) images on each side; with strata (class of each fake (N,), of each real image (M,))
    at equal numbers of every class, so that a different mix of classes is no difference. Over random halves a smooth
    figure varies as much as over new draws of all M images (the delete-half jackknife; Shao & Wu 1989), so the interval
    is mean +- 1.96 standard deviations over the halvings.
    """
    fake_classes, real_classes = strata or (np.zeros(len(fake), np.int64), np.zeros(len(real), np.int64))
    sizes = half_sizes(fake_classes, real_classes, most)
    rng = stream(seed, "halves")
    rows: dict[str, list[Mapping[str, float]]] = {"fake": [], "real": []}
    for _ in range(halvings):
        reference, others, fakes = [], [], []
        for k, n in sizes.items():
            order = rng.permutation(np.flatnonzero(real_classes == k))
            reference.append(order[:n])
            others.append(order[n : 2 * n])
            fakes.append(rng.permutation(np.flatnonzero(fake_classes == k))[:n])
        against = real[np.concatenate(reference)]
        rows["real"].append(measure(real[np.concatenate(others)], against))
        rows["fake"].append(measure(fake[np.concatenate(fakes)], against))
    return Compared(_estimates(rows["fake"]), _estimates(rows["real"]), sum(sizes.values()))


def half_sizes(fake_classes: np.ndarray, real_classes: np.ndarray, most: int) -> dict[int, int]:
    """How many images of each class a comparison has on each side; shares of `most` in proportion where it binds."""
    sizes = {}
    for k in np.unique(fake_classes).tolist():
        n = min(int((real_classes == k).sum()) // 2, int((fake_classes == k).sum()))
        if n:
            sizes[k] = n
    total = sum(sizes.values())
    return sizes if total <= most else {k: max(1, n * most // total) for k, n in sizes.items()}


def _estimates(rows: list[Mapping[str, float]]) -> dict[str, Estimate]:
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        mean = float(values.mean())
        reach = NORMAL_95 * float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[name] = Estimate(mean, mean - reach, mean + reach)
    return found
