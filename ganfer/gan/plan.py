"""What a GAN is trained on: the training split's real images, and a held-back part to judge snapshots by.

And what is said before training about classes that are too small.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ganfer.config import GanConfig
from ganfer.data.imageset import ImageSet
from ganfer.errors import DataError
from ganfer.gan.batches import class_shares, pool_share
from ganfer.runtime.seeding import stream

FEW = 500  # a class with fewer training images than this cannot be learned from its own images alone
TOO_FEW = 50  # and below this its samples will resemble its few images
FEWEST_HELD = 4  # images a class holds back at least, where it has twice as many
MOST_HELD = 150  # and at most: more make snapshots slow, not the choice better


@dataclass(frozen=True)
class TrainingPlan:
    """Images (N, C, H, W) uint8 and labels (N,) int64 into class_names; the same of the held-back images.

    Unconditional: class_names is None and every label 0. missing: classes of the data without a training image. pool:
    (M, C, H, W) uint8 images without labels beside them; an unconditional training has those among its images.
    """

    images: np.ndarray
    labels: np.ndarray
    held_images: np.ndarray
    held_labels: np.ndarray
    class_names: tuple[str, ...] | None
    missing: tuple[str, ...]
    pool: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names for the rows of grids and tables, also without classes."""
        return self.class_names or ("all",)

    @property
    def counts(self) -> np.ndarray:
        """Images per class that are trained on."""
        return np.bincount(self.labels, minlength=len(self.names))


def plan_training(data: ImageSet, config: GanConfig, seed: int, pool: np.ndarray | None = None) -> TrainingPlan:
    """Split off the held-back images, by class and reproducibly. DataError when there is nothing to train on.

    pool: real images without labels; none of them is held back, so snapshots are chosen by labelled ones alone.
    """
    usable = (data.split == "train") & (data.source == "real")
    if config.conditional:
        usable &= data.labels >= 0
    train = data.select(np.flatnonzero(usable))
    if not len(train):
        raise DataError("There is no real training image to train a GAN on.", "Add images: ganfer data add PATH.")
    if config.conditional:
        present = np.flatnonzero(np.bincount(train.labels, minlength=len(data.class_names)))
        names: tuple[str, ...] | None = tuple(data.class_names[i] for i in present)
        labels = np.searchsorted(present, train.labels)
        missing = tuple(name for name in data.class_names if name not in (names or ()))
    else:
        names, missing, labels = None, (), np.zeros(len(train), dtype=np.int64)
    held = _held_back(labels, config.holdout, seed, limit=MOST_HELD if names else MOST_HELD * 7)
    images, labels_seen = train.images[~held], labels[~held]
    if pool is not None and names is None:
        images, pool = np.concatenate([images, pool]), None
        labels_seen = np.zeros(len(images), dtype=np.int64)
    return TrainingPlan(images, labels_seen, train.images[held], labels[held], names, missing, pool)


def _held_back(labels: np.ndarray, share: float, seed: int, limit: int) -> np.ndarray:
    """Mask (N,) of the images held back: `share` of every class, a few at least where the class can spare them."""
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels) if share > 0 else ():
        members = np.flatnonzero(labels == label)
        wanted = max(round(share * len(members)), FEWEST_HELD if len(members) >= 2 * FEWEST_HELD else 0)
        chosen = stream(seed, "gan-holdout", int(label)).permutation(members)[: min(wanted, limit)]
        held[chosen] = True
    return held


def resized(plan: TrainingPlan, side: int) -> TrainingPlan:
    """The plan with its images (N, C, side, side), antialiased; the same one where they are of that size."""
    if plan.images.shape[2] == side:
        return plan
    pool = None if plan.pool is None else _to_side(plan.pool, side)
    return replace(plan, images=_to_side(plan.images, side), held_images=_to_side(plan.held_images, side), pool=pool)


def _to_side(images: np.ndarray, side: int) -> np.ndarray:
    import torch

    out = np.empty((*images.shape[:2], side, side), np.uint8)
    for start in range(0, len(images), 1024):
        part = torch.from_numpy(np.array(images[start : start + 1024])).float()
        large = torch.nn.functional.interpolate(
            part, size=(side, side), mode="bicubic", antialias=True, align_corners=False
        )
        out[start : start + 1024] = large.round().clamp(0, 255).to(torch.uint8).numpy()
    return out


def plan_lines(plan: TrainingPlan, config: GanConfig) -> list[str]:
    """What the user should know before training starts: counts, small classes and what is done about them."""
    counts = plan.counts
    held = (
        "none held back"
        if not len(plan.held_labels)
        else f"{len(plan.held_labels):,} held back to choose the best snapshot"
    )
    lines = [f"Training {config.network} on {counts.sum():,} real images ({held})."]
    if plan.pool is not None:
        part = pool_share(int(counts.sum()), len(plan.pool))
        lines.append(
            f"{len(plan.pool):,} real images without labels teach what all classes share: {part:.0%} of every batch."
        )
    if len(plan.held_labels) < 2:
        lines.append("Too few images to hold any back: the last snapshot is kept, not the best.")
    if plan.missing:
        lines.append(f"No training images of {_and(plan.missing)}: the generator will not know {_it(plan.missing)}.")
    if plan.class_names is None:
        if counts[0] < FEW:
            lines.append(f"{counts[0]:,} images are few for a GAN: expect near-copies. Add images if you can.")
        return lines
    shares, plain = class_shares(counts, config.balance), counts / counts.sum()
    for name, count, share, own in zip(plan.class_names, counts, shares, plain, strict=True):
        if count < FEW and len(counts) > 1:
            lines.append(f"{name} has {count:,} images, too few to learn alone: {_remedies(config, share / own)}.")
        if count < TOO_FEW:
            lines.append(
                f"{name}: with {count:,} images its faces will resemble those few; add images or merge classes."
            )
    return lines


def _remedies(config: GanConfig, boost: float) -> str:
    """What the settings do for a small class, in words."""
    parts = ["it shares the other classes' structure"]
    if config.transition > 0:
        parts.append(
            f"conditioning is switched on over the first {math.ceil(100 * config.transition)}% of the training"
        )
    if boost > 1.05:
        parts.append(f"it is drawn {boost:.1f}× as often as its share (balance {config.balance:g})")
    if config.guidance > 0:
        parts.append("a guide (a small classifier) shows the generator what it looks like")
    if config.augment:
        parts.append("DiffAugment keeps the discriminator from memorising it")
    return ", ".join(parts)


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"
