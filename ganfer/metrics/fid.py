"""The Fréchet distance of two sets of features (Heusel et al. 2017), sound also with fewer images than dimensions.

With Inception features it is the published FID; with others it is named after them. It is biased upwards by what a
covariance of few images lacks, so two values compare at the same number of images only (Chong & Forsyth 2020).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganfer.errors import GanferError
from ganfer.metrics.neighbours import Device, as_tensor

SMALLEST = 2  # images a set needs for a covariance
PUBLISHED = 10_000  # images from which papers report it


@dataclass(frozen=True)
class Fid:
    """value: squared distance, >= 0. num_images: of the smaller set. dims: of the features."""

    value: float
    num_images: int
    dims: int

    @property
    def warning(self) -> str:
        """What to keep in mind at this number of images; empty when there is nothing."""
        if self.num_images > self.dims and self.num_images >= PUBLISHED:
            return ""
        rank = f", fewer than the {self.dims} dimensions" if self.num_images <= self.dims else ""
        return (
            f"FID of {self.num_images:,} images{rank}, is biased upwards: "
            "compare it at equal numbers only, or read KID, which is not."
        )


def fid(x: np.ndarray, y: np.ndarray, *, device: Device = "cpu") -> Fid:
    """The Fréchet distance of features x (N, d) and y (M, d); N, M >= 2.

    tr sqrt(Sx Sy) is the sum of the singular values of A B', where A and B are the centred features over sqrt(n - 1).
    Reduced by QR, they need neither a covariance nor the root of a singular one.

    Example: `fid(fake_features, real_features).value`.
    """
    if min(len(x), len(y)) < SMALLEST:
        raise GanferError(f"FID of {len(x)} against {len(y)} images.", f"It needs at least {SMALLEST} on each side.")
    a, mean_a, trace_a = _factor(as_tensor(x, device))
    b, mean_b, trace_b = _factor(as_tensor(y, device))
    overlap = torch.linalg.svdvals(a @ b.T).sum()
    value = (mean_a - mean_b).square().sum() + trace_a + trace_b - 2 * overlap
    return Fid(max(0.0, float(value)), min(len(x), len(y)), x.shape[1])


def _factor(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R (min(n, d), d) with R'R the covariance, the mean (d,), and the covariance's trace."""
    mean = features.mean(0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R, mean, centred.square().sum()
