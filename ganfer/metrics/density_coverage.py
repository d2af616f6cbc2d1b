"""Density and coverage (Naeem et al. 2020): like precision and recall, but robust against single outliers."""

from dataclasses import dataclass

import numpy as np

from ganfer.metrics.neighbours import Device, as_tensor, distance_blocks, radii
from ganfer.metrics.precision_recall import require_more_than

NEIGHBOURS = 5  # k of the paper


@dataclass(frozen=True)
class DensityCoverage:
    """density: how many real balls hold a fake, on average, over k; about 1 for real images, above for typical ones.

    coverage: share of real images with a fake among their k nearest, 0..1.
    """

    density: float
    coverage: float


def density_coverage(
    fake: np.ndarray, real: np.ndarray, *, k: int = NEIGHBOURS, device: Device = "cpu"
) -> DensityCoverage:
    """Of fake features (N, d) and real ones (M, d), N, M > k. Coverage depends on N: compare at equal N = M.

    Example: `density_coverage(fake_features, real_features).coverage`.
    """
    require_more_than(k, fake, real)
    reach = as_tensor(radii(real, k, device=device), device)
    covered = reach < 0  # nothing yet
    inside = 0
    for _, distances in distance_blocks(fake, real, device=device):
        within = distances <= reach
        inside += int(within.sum())
        covered |= within.any(dim=0)
    return DensityCoverage(inside / (k * len(fake)), float(covered.cpu().double().mean()))
