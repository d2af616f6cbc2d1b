"""How different the images of one class are from each other: the mean perceptual distance of random pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ganfer.errors import GanferError
from ganfer.runtime.seeding import stream

PairDistance = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Diversity:
    """value: mean distance of pairs. error: its standard error over the images. num_images: the pairs are made of."""

    value: float
    error: float
    num_images: int


def diversity(images: np.ndarray, distance: PairDistance, *, rounds: int = 4, seed: int = 0) -> Diversity:
    """The mean distance of pairs of images (N, C, H, W) uint8, N >= 3: every image in 2 x `rounds` pairs.

    0 when all are the same picture. The images are put in a random circle, each compared with its successor, `rounds`
    times. The error treats an image's mean distance as its contribution, the first-order term of a U-statistic.

    Example: `diversity(images, open_perceptual())`.
    """
    n = len(images)
    if n < 3:
        raise GanferError(f"Diversity of {n} image(s).", "It needs at least 3.")
    rng = stream(seed, "diversity")
    total, mine = 0.0, np.zeros(n)
    for _ in range(rounds):
        circle = rng.permutation(n)
        successor = np.roll(circle, -1)
        found = distance(images[circle], images[successor])
        total += float(found.mean())
        mine[circle] += found
        mine[successor] += found
    contributions = mine / (2 * rounds)
    return Diversity(total / rounds, float(2 * contributions.std(ddof=1) / np.sqrt(n)), n)


def relative_entropy_to_uniform(counts: Sequence[int] | np.ndarray) -> float:
    """Entropy of the class shares over that of equal shares: 1 = balanced, 0 = one class only or nothing.

    Example: `relative_entropy_to_uniform([10, 10, 10]) == 1.0`.
    """
    tally = np.asarray(counts, dtype=np.float64)
    if len(tally) < 2 or tally.sum() == 0:
        return 0.0
    shares = tally[tally > 0] / tally.sum()
    return float(abs((shares * np.log(shares)).sum()) / np.log(len(tally)))  # abs: no -0.0 for a single class
