"""Images of common classes pushed into a rare one along a trained classifier's gradient (M2m, Kim, Jeong & Shin 2020).

The settings are the paper's for 32-pixel colour images; steps grow with the square root of the number of pixels, so
that a pixel is moved as far at any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classifiers.prediction import Classifier

STEPS, STEP, START = 10, 0.1, 0.5  # of the gradient; their L2 norm and that of the noise before the first, at 32x32x3
_BATCH = 128


@dataclass(frozen=True)
class Pushed:
    """Images (M, C, H, W) uint8, `source` (M,) the rows they come from, and `confidence` (M,) with which the guide
    calls them the class they were pushed into."""

    images: np.ndarray
    source: np.ndarray
    confidence: np.ndarray


def chosen_sources(
    labels: np.ndarray, counts: np.ndarray, target: int, number: int, beta: float, seed: int
) -> np.ndarray:
    """(number,) rows of images to push into the class `target`: of class k with a probability in proportion to
    1 - beta^(n_k - n_target), so none of a class that is no larger; within a class evenly."""
    odds = 1.0 - beta ** np.maximum(counts - counts[target], 0).astype(np.float64)
    rng = np.random.default_rng([seed, 1, target])
    classes = rng.choice(len(counts), number, p=odds / odds.sum())
    rows = np.empty(number, np.int64)
    for k in np.unique(classes):
        mine = classes == k
        rows[mine] = rng.choice(np.flatnonzero(labels == k), int(mine.sum()))
    return rows


def pushed(
    guide: Classifier,
    other: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    target: int,
    number: int,
    *,
    seed: int = 0,
    beta: float = 0.999,
    lam: float = 0.5,
    advance: Callable[[int], object] = lambda n: None,
) -> Pushed:
    """`number` images of larger classes, moved until `guide` sees the class `target` and `other` no longer their own.

    images (N, C, H, W) uint8, labels (N,). Each image depends on its place and the seed alone. lam: weight of `other`'s
    logit of the old class. An image is worth training on where `confidence` is high; the paper asks for 0.9,
    see `usual_confidence`.
    """
    counts = np.bincount(labels, minlength=len(guide.class_names))
    rows = chosen_sources(labels, counts, target, number, beta, seed)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + target)
    noise_seeds = torch.randint(2**62, (number,), generator=generator).tolist()
    found, confidence = np.empty((number, *images.shape[1:]), np.uint8), np.empty(number, np.float32)
    for begin in range(0, number, _BATCH):
        part = slice(begin, begin + _BATCH)
        start = torch.from_numpy(images[rows[part]]).float() / 255
        x = (start + _noise(start.shape, noise_seeds[part])).clamp(0, 1).to(guide.device)
        moved = _descend(guide, other, x, target, torch.from_numpy(labels[rows[part]]).to(guide.device), lam)
        found[part] = (moved * 255).round().to(torch.uint8).cpu().numpy()
        confidence[part] = guide.probabilities(found[part])[:, target]
        advance(len(x))
    return Pushed(found, rows, confidence)


def usual_confidence(guide: Classifier, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,): how sure the guide is of the images (N, C, H, W) of each class that it gets right, on average; for a class
    of which it gets none right, of all that it does; 1 where there are none.

    A network that was trained with smoothed labels, and calibrated, is never as sure as the paper's: what is asked of a
    pushed image is a share of this.
    """
    probabilities = guide.probabilities(images)
    right = probabilities.argmax(axis=1) == labels
    sure = probabilities.max(axis=1)
    of_all = float(sure[right].mean()) if right.any() else 1.0
    count = probabilities.shape[1]
    mine = [right & (labels == k) for k in range(count)]
    return np.array([float(sure[rows].mean()) if rows.any() else of_all for rows in mine])


def largest_move(shape: tuple[int, ...]) -> float:
    """The furthest an image (C, H, W) in 0..1 can get from where it began, as an L2 norm."""
    return (START + STEPS * STEP) * _scale(shape)


def _scale(shape: tuple[int, ...]) -> float:
    return math.sqrt(math.prod(shape) / (3 * 32 * 32))


def _noise(shape: torch.Size, seeds: list[int]) -> Tensor:
    """(B, C, H, W) of one length each, every image's from its own seed."""
    noise = torch.stack([torch.randn(shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    return noise * (START * _scale(shape[1:]) / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1))


def _descend(guide: Classifier, other: Classifier, x: Tensor, target: int, old: Tensor, lam: float) -> Tensor:
    """Gradient steps of one length on cross-entropy to the target plus the old class's logit."""
    wanted, length = torch.full_like(old, target), STEP * _scale(x.shape[1:])
    for _ in range(STEPS):
        x = x.detach().requires_grad_(True)
        away = other.model(x).gather(1, old[:, None]).sum()
        loss = F.cross_entropy(guide.model(x), wanted, reduction="sum") + lam * away
        (gradient,) = torch.autograd.grad(loss, x)
        norm = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-10)
        x = (x.detach() - length * gradient / norm).clamp(0, 1)
    return x.detach()
