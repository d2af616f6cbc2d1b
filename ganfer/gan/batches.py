"""Training images on the device as uint8, and batches of them that are a function of (seed, step) alone.

Nothing has to be remembered between steps, so a resumed training draws what the uninterrupted one would have drawn.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from classifiers.device_set import on_device, to_device
from ganfer.runtime import ranks
from ganfer.runtime.device import wide_float
from ganfer.runtime.seeding import stream

MOST_POOL = 0.5


@dataclass(frozen=True)
class Batch:
    """real (N, C, H, W) float in -1..1; labels (N,) int64; z (N, latent_dim).

    known: (N,) float, 1 where the label is the image's own and 0 where it has none; None where all have one.
    """

    real: Tensor
    labels: Tensor
    z: Tensor
    known: Tensor | None = None

    def conditioning(self, strength: float | Tensor) -> float | Tensor:
        """How far the class counts for each image: `strength`, or (N,) with 0 for those that have none."""
        return strength if self.known is None else self.known * strength


def class_shares(counts: np.ndarray, power: float) -> np.ndarray:
    """How often each class is drawn: shares ∝ count^(1 - power). power 0 = as the data is, 1 = all classes equally."""
    weights = np.where(counts > 0, counts.astype(np.float64) ** (1.0 - power), 0.0)
    return weights / weights.sum()


def pool_share(labelled: int, unlabelled: int) -> float:
    """The part of every batch that has no label: as the images are, but half at most, for the classes' sake."""
    return min(MOST_POOL, unlabelled / (labelled + unlabelled))


class Batches:
    """Draws random batches: first the class by its share, then an image of it, each as likely as the others.

    The images without a label are drawn as one more group, whose share is `pool_share`.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, num_classes: int, *, balance: float, latent_dim: int,
        batch_size: int, flip: bool, seed: int, device: torch.device, pool: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """images (N, C, H, W) uint8, labels (N,) int64 in 0..num_classes-1, N >= 1. pool: (M, C, H, W) without any."""
        order = np.argsort(labels, kind="stable")
        counts = np.bincount(labels, minlength=num_classes)
        shares = class_shares(counts, balance)
        self.host = np.ascontiguousarray(images[order])
        self.labelled: Tensor | None = None  # the part of a batch that has labels, where not all of it has
        if pool is not None and len(pool):
            part = pool_share(len(images), len(pool))
            self.class_ends = _ends(shares, device)
            self.labelled = torch.tensor(1 - part, dtype=self.class_ends.dtype, device=device)
            self.host = np.concatenate([self.host, pool])
            counts, shares = np.append(counts, len(pool)), np.append(shares * (1 - part), part)
        self.images = on_device(self.host, device)
        self.counts = torch.from_numpy(counts).to(device)
        self.starts = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        self.share_ends = _ends(shares, device)
        self.latent_dim, self.batch_size, self.flip, self.device = latent_dim, batch_size, flip, device
        self.seed = seed
        self.rng = torch.Generator(device)

    def draw(self, step: int) -> Batch:
        """The batch of this step. `rng` is left where the batch ended, for the step's other random numbers."""
        self.seed_step(step)
        return self.draw_next()

    def seed_step(self, step: int) -> None:
        """Bring `rng` to where the step's random numbers begin."""
        own = (ranks.rank(),) if ranks.rank() else ()  # every process draws its own part of the batch
        self.rng.manual_seed(int(stream(self.seed, "gan-step", step, *own).integers(2**63 - 1)))

    def draw_next(self) -> Batch:
        """The batch that `rng` stands before. Nothing here asks the device for a value, if all images are there."""
        n, device, rng = self.batch_size, self.device, self.rng
        which, where = torch.rand((2, n), generator=rng, device=device, dtype=self.share_ends.dtype)
        labels = torch.searchsorted(self.share_ends, which, right=True).clamp_(max=len(self.counts) - 1)
        index = self.starts[labels] + (where * self.counts[labels]).long()
        real = self._pixels(index).float().div_(127.5).sub_(1.0)
        if self.flip:
            mirror = torch.rand((n, 1, 1, 1), generator=rng, device=device) < 0.5
            real = torch.where(mirror, real.flip(3), real)
        known = None
        if self.labelled is not None:
            have = which < self.labelled
            # what is switched off for the others needs a class all the same: one by its share, from the same number
            spare = (which - self.labelled) / (1 - self.labelled)
            other = torch.searchsorted(self.class_ends, spare, right=True).clamp_(max=len(self.class_ends) - 1)
            labels, known = torch.where(have, labels, other), have.float()
        return Batch(real, labels, torch.randn((n, self.latent_dim), generator=rng, device=device), known)

    def _pixels(self, index: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8 at `index` (N,): there, or sent over where the set is larger than the device."""
        if self.images is not None:
            return self.images[index]
        return to_device(torch.from_numpy(self.host[index.cpu().numpy()]), self.device)


def _ends(shares: np.ndarray, device: torch.device) -> Tensor:
    """Where each group's part of 0..1 ends, (K,)."""
    ends = np.cumsum(shares)
    ends[-1] = 1.0
    return torch.from_numpy(ends).to(wide_float(device)).to(device)
