"""The kernel inception distance (Binkowski et al. 2018): unbiased, so meaningful for hundreds of images too.

It is a distance between two sets of features; which features those are belongs to whoever calls, and into the name
under which the figure is reported.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ganfer.errors import GanferError
from ganfer.runtime.seeding import stream

_BLOCK = 2048  # rows of a kernel matrix at a time
SMALLEST = 2  # images a set needs for an unbiased estimate


@dataclass(frozen=True)
class Mmd:
    """value: the unbiased estimate. error: its standard error, by the jackknife."""

    value: float
    error: float


@dataclass(frozen=True)
class Kid:
    """value: mean over subsets; spread: standard deviation over subsets; subset_size: images per subset and set."""

    value: float
    spread: float
    subset_size: int


def mmd2_on(x: np.ndarray, y: np.ndarray, device: torch.device | str, *, within_x: float | None = None) -> float:
    """`mmd2`, computed in float64 on the device: on a GPU while a processor would still be at the first product.

    within_x: `within_on` of x, for a set that many others are compared with: a third of the work is done once.
    """
    _check_sizes(len(x), len(y))
    known = within_on(x, device) if within_x is None else within_x
    return float(known + within_on(y, device) - 2.0 * float(_kernel_on(x, y, device).mean()))


def within_on(x: np.ndarray, device: torch.device | str) -> float:
    """The mean kernel value of two different ones of x (N, d), N >= 2, in float64 on the device."""
    kernel = _kernel_on(x, x, device)
    return float((kernel.sum() - kernel.trace()) / (len(x) * (len(x) - 1)))


def _kernel_on(x: np.ndarray, y: np.ndarray, device: torch.device | str) -> Any:
    """`polynomial_kernel`, on a GPU as a tensor there."""
    if torch.device(device).type != "cuda":
        return polynomial_kernel(x, y)
    a, b = (torch.from_numpy(np.asarray(f, np.float64)).to(device) for f in (x, y))
    inner = a @ b.T / a.shape[1] + 1.0
    return inner * inner * inner


def polynomial_kernel(x: np.ndarray, y: np.ndarray, degree: int = 3, coef0: float = 1.0) -> np.ndarray:
    """(x·y / d + coef0)^degree for features x (N, d), y (M, d); (N, M) float64."""
    inner: np.ndarray = x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + coef0
    return inner * inner * inner if degree == 3 else inner**degree  # a product is ten times as fast as a power


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of x (N, d) and y (M, d), N, M >= 2; may come out below zero.

    Example: `mmd2(fake_features, real_features)`.
    """
    return mmd2_on(x, y, "cpu")


def _check_sizes(n: int, m: int) -> None:
    if min(n, m) < SMALLEST:
        raise GanferError(f"KID of {n} against {m} images.", f"It needs at least {SMALLEST} on each side.")


def mmd2_with_error(x: np.ndarray, y: np.ndarray) -> Mmd:
    """`mmd2` of x (N, d) and y (M, d), N, M >= 3, with its standard error: what other images of the kind would change.

    Leaving one image out changes row sums of the kernel matrices only, so the jackknife costs no second pass; the
    matrices are never held whole.

    Example: `mmd2_with_error(fake_features, real_features)`.
    """
    n, m = len(x), len(y)
    if min(n, m) < SMALLEST + 1:
        raise GanferError(f"KID of {n} against {m} images.", f"Its error needs at least {SMALLEST + 1} on each side.")
    xx, yy = _row_sums(x, x, own=True), _row_sums(y, y, own=True)
    xy, yx = _row_sums(x, y), _row_sums(y, x)
    cross = xy.sum()
    value = xx.sum() / (n * (n - 1)) + yy.sum() / (m * (m - 1)) - 2 * cross / (n * m)

    def without(own: np.ndarray, other: np.ndarray, size: int, others: int) -> np.ndarray:
        """The part of the estimate that changes, with each image of one set left out in turn."""
        within: np.ndarray = (own.sum() - 2 * own) / ((size - 1) * (size - 2))
        return within - 2 * (cross - other) / ((size - 1) * others)

    variance = sum(
        (size - 1) * np.var(without(own, other, size, others))
        for own, other, size, others in ((xx, xy, n, m), (yy, yx, m, n))
    )
    return Mmd(float(value), float(np.sqrt(variance)))


def _row_sums(x: np.ndarray, y: np.ndarray, *, own: bool = False) -> np.ndarray:
    """Sums over the kernel's rows (N,), a block at a time; own: x is y, and its diagonal is left out."""
    sums = np.empty(len(x))
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = polynomial_kernel(x[rows], y)
        sums[rows] = block.sum(axis=1) - (np.diagonal(block, offset=start) if own else 0.0)
    return sums


def kid(x: np.ndarray, y: np.ndarray, *, subsets: int = 50, subset_size: int = 1000, seed: int = 0) -> Kid:
    """KID of features x (N, d) and y (M, d) with its spread over random subsets, drawn without replacement.

    A set smaller than twice `subset_size` gives subsets of half of it, so that they differ from each other.

    Example: `kid(fake_features, real_features).value`.
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
