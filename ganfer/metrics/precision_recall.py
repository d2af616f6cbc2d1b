"""Improved precision and recall (Kynkäänniemi et al. 2019): how much of the fakes is real-like, how much of the real
is reached; and the realism of a single image."""

from dataclasses import dataclass

import numpy as np
import torch

from ganfer.errors import GanferError
from ganfer.metrics.neighbours import Device, as_tensor, distance_blocks, radii

NEIGHBOURS = 3  # k of the paper


@dataclass(frozen=True)
class PrecisionRecall:
    """precision: share of fakes within the real manifold. recall: share of real images within the fakes' manifold."""

    precision: float
    recall: float


def precision_recall(
    fake: np.ndarray, real: np.ndarray, *, k: int = NEIGHBOURS, device: Device = "cpu"
) -> PrecisionRecall:
    """Of fake features (N, d) and real ones (M, d), N, M > k. A manifold is the union of balls to k-th neighbours.

    Both depend on the number of images: compare at equal N = M.

    Example: `precision_recall(fake_features, real_features).recall`.
    """
    require_more_than(k, fake, real)
    real_reach = as_tensor(radii(real, k, device=device), device)
    fake_reach = as_tensor(radii(fake, k, device=device), device)[:, None]
    reached = real_reach < 0  # nothing yet
    inside = 0
    for rows, distances in distance_blocks(fake, real, device=device):
        inside += int((distances <= real_reach).any(dim=1).sum())
        reached |= (distances <= fake_reach[rows]).any(dim=0)
    return PrecisionRecall(inside / len(fake), float(reached.cpu().double().mean()))


def require_more_than(k: int, fake: np.ndarray, real: np.ndarray) -> None:
    """GanferError unless both sets have k-th neighbours."""
    if min(len(fake), len(real)) <= k:
        raise GanferError(
            f"{len(fake)} fakes against {len(real)} real images have no {k}-th neighbours.",
            f"More than {k} images are needed on each side.",
        )


@dataclass(frozen=True)
class Manifold:
    """Real images of one kind as balls; the larger half of the balls, which reach into nothing, is left out."""

    centres: np.ndarray
    reach: np.ndarray

    @classmethod
    def fit(cls, real: np.ndarray, *, k: int = NEIGHBOURS, device: Device = "cpu") -> "Manifold":
        """From real features (M, d), M > k."""
        reach = radii(real, k, device=device, dtype=torch.float32)
        inner = np.flatnonzero(reach <= np.median(reach))
        return cls(np.asarray(real[inner], dtype=np.float32), reach[inner])

    def realism(self, features: np.ndarray, *, device: Device = "cpu") -> np.ndarray:
        """The realism of each image (N, d) -> (N,): the largest ball radius over distance; 1 and above is inside.

        An image that is one of the real ones has infinite realism.
        """
        reach = as_tensor(self.reach, device, torch.float32)
        found = np.empty(len(features))
        for rows, distances in distance_blocks(features, self.centres, device=device, dtype=torch.float32):
            ratio = reach / distances
            ratio[torch.isnan(ratio)] = torch.inf  # a ball of radius 0: the real image has equals, and so has this one
            found[rows] = ratio.amax(dim=1).cpu().double().numpy()
        return found
