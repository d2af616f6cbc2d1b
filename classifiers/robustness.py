"""Stress evaluation: how much a classifier loses on off-centre, turned, blurred, noisy, dark or bright faces."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classifiers.augment import Change, warp
from classifiers.evaluation import evaluate
from classifiers.prediction import Predictor, Tta
from classifiers.samples import check_images

# Condition -> its strengths: shift in shares of the side, zoom as a scale, rotation in degrees, blur as the Gaussian's
# sigma and noise as its deviation (in pixels and grey levels at 48 pixels), brightness in grey levels of 255.
CONDITIONS: dict[str, tuple[float, ...]] = {
    "shift": (0.05, 0.1, 0.2),
    "zoom": (0.7, 0.85, 1.2, 1.4),
    "rotation": (10, 20, 30),
    "blur": (0.75, 1.5),
    "noise": (8, 16, 32),
    "brightness": (-80, -40, 40, 80),
}


@dataclass(frozen=True)
class StressRow:
    """One condition at one strength: figures in 0..1, and how much of them is lost against the images as they are."""

    condition: str
    strength: float
    accuracy: float
    balanced_accuracy: float
    accuracy_lost: float
    balanced_accuracy_lost: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def stress(
    classifier: Predictor,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    conditions: dict[str, Sequence[float]] | None = None,
    tta: Tta = "none",
    seed: int = 0,
    watch: Callable[[StressRow], None] | None = None,
) -> list[StressRow]:
    """Evaluate under each condition; the first row ("none") is the images as they are. Directions are drawn by seed.

    `watch` is called with every row as soon as it is known.

    Example: `stress(classifier, images, labels)`.
    """
    rows: list[StressRow] = []
    plan = [("none", 0.0)] + [(name, s) for name, values in (conditions or CONDITIONS).items() for s in values]
    for name, strength in plan:
        changed = images if name == "none" else disturb(images, name, strength, seed=seed)
        figures = evaluate(classifier.probabilities(changed, tta=tta), labels, classifier.class_names)
        accuracy, balanced = figures.accuracy, figures.balanced_accuracy
        base = rows[0] if rows else StressRow("none", 0.0, accuracy, balanced, 0.0, 0.0)
        lost = (base.accuracy - accuracy, base.balanced_accuracy - balanced)
        rows.append(StressRow(name, strength, accuracy, balanced, *lost))
        if watch is not None:
            watch(rows[-1])
    return rows


def disturb(images: np.ndarray, condition: str, strength: float, *, seed: int = 0) -> np.ndarray:
    """uint8 (N, C, H, W) -> the same, disturbed. Shifts and turns take a random direction per image, by seed."""
    check_images(images, "images")
    generator = torch.Generator().manual_seed(seed)
    out = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), 1024):
        x = torch.from_numpy(np.array(images[start : start + 1024])).float() / 255
        y = _DISTURB[condition](x, strength, generator)
        out[start : start + 1024] = (y.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return out


def _unchanged(n: int) -> Change:
    zero, one = torch.zeros(n), torch.ones(n)
    return Change(angle=zero, scale=one, shear=zero, mirror=one, dx=zero, dy=zero, add=zero, gain=one)


def _shift(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    change, angle = _unchanged(len(x)), torch.rand(len(x), generator=generator) * 2 * math.pi
    change.dx, change.dy = angle.cos() * share, angle.sin() * share
    return warp(x, change)


def _zoom(x: Tensor, scale: float, _: torch.Generator) -> Tensor:
    change = _unchanged(len(x))
    change.scale = change.scale * scale
    return warp(x, change)


def _rotate(x: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    change, sign = _unchanged(len(x)), torch.rand(len(x), generator=generator).sub(0.5).sign()
    change.angle = sign * math.radians(degrees)
    return warp(x, change)


def _blur(x: Tensor, sigma: float, _: torch.Generator) -> Tensor:
    """A Gaussian of that many pixels on a 48-pixel image, in proportion on others; rows, then columns."""
    sigma = sigma * x.shape[-1] / 48
    radius = min(max(1, math.ceil(3 * sigma)), x.shape[-1] - 1)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n * c, 1, h, w), (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).view(n, c, h, w)


def _noise(x: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return x + torch.randn(x.shape, generator=generator) * (deviation / 255)


def _brightness(x: Tensor, levels: float, _: torch.Generator) -> Tensor:
    return x + levels / 255


_DISTURB = {
    "shift": _shift,
    "zoom": _zoom,
    "rotation": _rotate,
    "blur": _blur,
    "noise": _noise,
    "brightness": _brightness,
}
