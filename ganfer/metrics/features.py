"""Fixed random convolution features: cheap, without weights to download, the same on every machine.

Not the published Inception features: figures made with them say `random-conv`. A random network keeps what tells
textures, shapes and layouts apart (Naeem et al. 2020 use one for images far from ImageNet); it ranks
snapshots of one training, it does not compare papers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classifiers.device_set import to_device
from classifiers.prediction import arriving
from ganfer.runtime.seeding import stream

NAME = "random-conv"
_WIDTHS = (32, 64, 64)
_GRID = 4  # features are averaged over a grid of this side, so that eyes and mouths stay apart
_BATCH = 256


class RandomConvFeatures:
    """Three random convolution layers, their responses averaged over a 4×4 grid: images uint8 to (N, d) float32."""

    def __init__(self, channels: int, device: torch.device | str = "cpu", seed: int = 0) -> None:
        rng = stream(seed, "random-conv-features")
        self.device = torch.device(device)
        self.layers: list[tuple[Tensor, Tensor]] = []
        for narrow, wide in pairwise((channels, *_WIDTHS)):
            weight = rng.standard_normal((wide, narrow, 4, 4)) * np.sqrt(2.0 / (narrow * 16))
            weight -= weight.mean(axis=(1, 2, 3), keepdims=True)  # sees contrasts, not the overall brightness
            bias = rng.standard_normal(wide) * 0.1
            self.layers.append(tuple(torch.from_numpy(a.astype(np.float32)).to(self.device) for a in (weight, bias)))  # type: ignore[arg-type]
        self.dim = sum(_WIDTHS) * _GRID**2

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H, W) uint8 to (N, d) float32, a batch at a time."""
        batches = (self._batch(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH))
        parts = [part.numpy() for part in arriving(batches)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)

    def _batch(self, images: np.ndarray) -> Tensor:
        x = to_device(torch.from_numpy(np.ascontiguousarray(images)), self.device)
        return self.pooled(x.float().div_(127.5).sub_(1.0))

    def pooled(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in -1..1 to (N, d), differentiable."""
        pooled = []
        for weight, bias in self.layers:
            x = F.leaky_relu(F.conv2d(x, weight, bias, stride=2, padding=1), 0.2)
            pooled.append(F.adaptive_avg_pool2d(x, _GRID).flatten(1))
        return torch.cat(pooled, dim=1)


@dataclass(frozen=True)
class Standardiser:
    """Features shifted and scaled to mean 0 and variance 1 over a reference set, so that each counts the same."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> "Standardiser":
        """From reference features (N, d), N >= 1; a feature that never varies gets scale 1."""
        deviation = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(deviation > 1e-6, deviation, 1.0))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        standard: np.ndarray = (features - self.mean) / self.scale
        return standard


def spread(features: np.ndarray) -> float:
    """How much a set varies: mean squared distance of features (N, d) from their mean, per dimension; N >= 2."""
    return float(features.var(axis=0, ddof=1).mean())


def by_class(features: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """The rows of each class by its name."""
    return {name: features[labels == index] for index, name in enumerate(classes)}
