"""A figure of fakes beside the same figure of real images: held-back real images are halved, one half is the measure,
the other half shows what real images reach at the same number. Many random halvings give the interval.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ganfer.seeding import stream

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
    halvings: int = 10,
    most: int = 2000,
    seed: int = 0,
) -> Compared:
    """measure(candidates, reference) of fake features (N, d), and of real ones (M, d), against halves of the real.

    All at n = min(M // 2, N, most) images on each side. Over random halves a smooth figure varies as much as over new
    draws of all M images (the delete-half jackknife; Shao & Wu 1989), so the interval is mean +- 1.96 standard
    deviations over the halvings.
    """
    n = min(len(real) // 2, len(fake), most)
    rng = stream(seed, "halves")
    rows: dict[str, list[Mapping[str, float]]] = {"fake": [], "real": []}
    for _ in range(halvings):
        order = rng.permutation(len(real))
        reference = real[order[:n]]
        rows["real"].append(measure(real[order[n : 2 * n]], reference))
        rows["fake"].append(measure(fake[rng.permutation(len(fake))[:n]], reference))
    return Compared(_estimates(rows["fake"]), _estimates(rows["real"]), n)


def _estimates(rows: list[Mapping[str, float]]) -> dict[str, Estimate]:
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        mean = float(values.mean())
        reach = NORMAL_95 * float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[name] = Estimate(mean, mean - reach, mean + reach)
    return found
