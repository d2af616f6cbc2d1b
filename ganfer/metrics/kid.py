"""The kernel inception distance (Binkowski et al. 2018): unbiased, so meaningful for hundreds of images too.

It is a distance between two sets of features; which features those are belongs to whoever calls, and into the name
under which the figure is reported.
"""

from dataclasses import dataclass

import numpy as np

from ganfer.errors import GanferError
from ganfer.seeding import stream

SMALLEST = 2  # images a set needs for an unbiased estimate


@dataclass(frozen=True)
class Kid:
    """value: mean over subsets; spread: standard deviation over subsets; subset_size: images per subset and set."""

    value: float
    spread: float
    subset_size: int


def polynomial_kernel(x: np.ndarray, y: np.ndarray, degree: int = 3, coef0: float = 1.0) -> np.ndarray:
    """(x·y / d + coef0)^degree for features x (N, d), y (M, d); (N, M) float64."""
    return (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + coef0) ** degree


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of x (N, d) and y (M, d), N, M >= 2; may come out below zero."""
    n, m = len(x), len(y)
    if min(n, m) < SMALLEST:
        raise GanferError(f"KID of {n} against {m} images.", f"It needs at least {SMALLEST} on each side.")
    xx, yy = polynomial_kernel(x, x), polynomial_kernel(y, y)
    within_x = (xx.sum() - np.trace(xx)) / (n * (n - 1))
    within_y = (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within_x + within_y - 2.0 * polynomial_kernel(x, y).mean())


def kid(x: np.ndarray, y: np.ndarray, *, subsets: int = 50, subset_size: int = 1000, seed: int = 0) -> Kid:
    """KID of features x (N, d) and y (M, d) with its spread over random subsets, drawn without replacement.

    A set smaller than twice `subset_size` gives subsets of half of it, so that they differ from each other.
    """
    smallest = min(len(x), len(y))
    if smallest < 2 * SMALLEST:
        return Kid(mmd2(x, y), float("nan"), smallest)
    size = min(subset_size, smallest // 2)
    rng = stream(seed, "kid")
    values = [
        mmd2(x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)])
        for _ in range(subsets)
    ]
    return Kid(float(np.mean(values)), float(np.std(values)), size)
