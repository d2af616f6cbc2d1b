"""Augmentation of whole batches on the device: one resampling for all geometry, a few fused operations for the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classifiers.device_set import to_device


@dataclass(frozen=True)
class Strength:
    """How far each image may be changed; drawn uniformly from minus to plus the value around "unchanged"."""

    rotate: float = 0.0  # degrees
    shift: float = 0.0  # share of the image's side
    zoom: float = 0.0  # 0.2 scales by 1 / 1.2 to 1.2
    shear: float = 0.0  # tangent
    flip: float = 0.0  # probability of a mirror image
    brightness: float = 0.0  # added, in 0..1
    contrast: float = 0.0  # 0.3 scales the distance from the image's mean by 1 / 1.3 to 1.3
    cutout: float = 0.0  # probability of a blanked square
    cutout_size: float = 0.45  # largest side of that square as a share of the image's
    ops: int = 0  # RandAugment's operations per image
    magnitude: float = 0.3  # RandAugment's strength, 0..1 (the paper's M / 30)


STRENGTHS = {
    "none": Strength(),
    "light": Strength(rotate=10, shift=0.08, zoom=0.11, flip=0.5, brightness=0.1, contrast=0.23),
    "strong": Strength(rotate=15, shift=0.1, zoom=0.2, shear=0.1, flip=0.5, brightness=0.15, contrast=0.4, cutout=0.5),
    # What the earlier projects had from Keras' ImageDataGenerator.
    "classic": Strength(rotate=10, shift=0.1, zoom=0.1, shear=0.1, flip=0.5),
    "randaugment": Strength(flip=0.5, shift=0.05, ops=2, cutout=0.5),
}


def make_strength(level: str, **overrides: float | None) -> Strength:
    """The level's strength, with the given values in place of its own (None leaves them)."""
    given: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    return replace(STRENGTHS[level], **given)


@dataclass
class Change:
    """What happens to each image of a batch; every field has the shape (B,). Neutral: 0, for `scale` and `gain` 1."""

    angle: Tensor  # radians
    scale: Tensor
    shear: Tensor
    mirror: Tensor  # 1 or -1
    dx: Tensor  # shares of the side
    dy: Tensor
    add: Tensor
    gain: Tensor


def augment(images: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """uint8 (B, C, H, W) -> float (B, C, H, W) in 0..1, each image changed by its own random draw."""
    x = images.to(torch.float32).div_(255)
    s = strength
    if s == STRENGTHS["none"]:
        return x
    draw = torch.rand((12, len(x)), generator=generator, device=x.device)
    change = _draw(s, draw)
    picks = None
    if s.ops:
        picks = torch.randint(len(OPERATIONS), (s.ops, len(x)), generator=generator, device=x.device)
        signs = torch.rand((s.ops, len(x)), generator=generator, device=x.device).sub_(0.5).sign_()
        _add_randaugment(change, picks, signs, s.magnitude)
    if s.ops or s.rotate or s.shift or s.zoom or s.shear or s.flip:
        x = warp(x, change)
    if s.ops or s.brightness or s.contrast:
        level = x.mean((1, 2, 3), keepdim=True)
        gain = change.gain.view(-1, 1, 1, 1)
        x = torch.addcmul(level * (1 - gain) + change.add.view(-1, 1, 1, 1), x, gain).clamp_(0, 1)
    if picks is not None:
        x = _pixel_operations(x, picks, s.magnitude)
    if s.cutout:
        x = _cutout(x, s, draw[8:])
    return x


def _draw(s: Strength, draw: Tensor) -> Change:
    """The batch's changes from uniform numbers (12, B)."""
    centred = draw * 2 - 1
    return Change(
        angle=centred[0] * math.radians(s.rotate),
        scale=torch.exp(centred[1] * math.log1p(s.zoom)),
        shear=centred[2] * s.shear,
        mirror=torch.where(draw[3] < s.flip, -1.0, 1.0),
        dx=centred[4] * s.shift,
        dy=centred[5] * s.shift,
        add=centred[6] * s.brightness,
        gain=torch.exp(centred[7] * math.log1p(s.contrast)),
    )


def warp(x: Tensor, c: Change) -> Tensor:
    """Everything geometric in a single bilinear resampling; the border is mirrored."""
    cos, sin = c.angle.cos() / c.scale, c.angle.sin() / c.scale
    # Rows map output to input coordinates, which run from -1 to 1 (so that a shift of the whole side is 2).
    row_x = torch.stack([cos * c.mirror, c.shear * cos - sin, 2 * c.dx], 1)
    row_y = torch.stack([sin * c.mirror, c.shear * sin + cos, 2 * c.dy], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


# RandAugment's operations. Of those in the paper, equalize is left out (a histogram per image costs more than all the
# others) and colour, which grey faces don't have; the geometric ones share the one resampling.
OPERATIONS = (
    "identity", "rotate", "shift_x", "shift_y", "shear", "brightness", "contrast",
    "sharpness", "posterize", "solarize", "autocontrast",
)  # fmt: skip


def _add_randaugment(c: Change, picks: Tensor, signs: Tensor, magnitude: float) -> None:
    """Cubuk et al. 2020: the geometric and linear operations, added to the changes of the images that drew them."""

    def total(name: str, full: float) -> Tensor:
        """Sum over an image's operations of +-full * magnitude where it drew `name`."""
        return ((picks == OPERATIONS.index(name)) * signs).sum(0) * (full * magnitude)

    c.angle = c.angle + total("rotate", math.radians(30))
    c.dx, c.dy = c.dx + total("shift_x", 0.33), c.dy + total("shift_y", 0.33)
    c.shear = c.shear + total("shear", 0.3)
    c.add = c.add + total("brightness", 0.45)
    c.gain = c.gain * torch.exp(total("contrast", math.log(2.5)))


def _pixel_operations(x: Tensor, picks: Tensor, magnitude: float) -> Tensor:
    """The operations on pixel values, each worked out for the batch and kept where it was drawn."""

    def drawn(name: str) -> Tensor:
        return (picks == OPERATIONS.index(name)).any(0).view(-1, 1, 1, 1)

    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.where(drawn("sharpness"), (x + (x - blurred) * 3 * magnitude).clamp_(0, 1), x)
    levels = 2 ** round(8 - 4 * magnitude) - 1
    x = torch.where(drawn("posterize"), (x * levels).round() / levels, x)
    x = torch.where(drawn("solarize") & (x > 1 - 0.5 * magnitude), 1 - x, x)
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return torch.where(drawn("autocontrast"), (x - low) / (high - low).clamp_min(0.05), x).clamp_(0, 1)


def _cutout(x: Tensor, s: Strength, draw: Tensor) -> Tensor:
    """DeVries & Taylor 2017: a square of random place and side is set to mid-grey."""
    h, w = x.shape[2:]
    half = torch.where(draw[0] < s.cutout, draw[1] * s.cutout_size * 0.5, -1.0).view(-1, 1, 1)
    ys = ((torch.arange(h, device=x.device) + 0.5) / h).view(1, -1, 1)
    xs = ((torch.arange(w, device=x.device) + 0.5) / w).view(1, 1, -1)
    inside = ((ys - draw[2].view(-1, 1, 1)).abs() < half) & ((xs - draw[3].view(-1, 1, 1)).abs() < half)
    return x.masked_fill_(inside.unsqueeze(1), 0.5)


def early_side(size: int) -> int:
    """The side of the images in the first part of a progressive training: two thirds, in whole eighths."""
    return min(size, max(16, round(size / 12) * 8))


def shrink(x: Tensor, side: int) -> Tensor:
    """Progressive resizing (Howard 2018; Tan & Le 2021, EfficientNetV2): (B, C, H, W) -> (B, C, side, side).

    A convolutional network learns most of what it knows from smaller images, at under half the arithmetic. Antialiased.
    """
    return F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)


def draw_mixing(mixup: float, cutmix: float, h: int, w: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """How a batch of h x w pixels is mixed, "mixup", "cutmix" or "" (not at all), and the numbers (5,) float32 of it.

    mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019); an alpha of 0 is off, with both on each batch draws one.
    """
    if not (mixup or cutmix):
        return "", np.zeros(5, np.float32)
    if cutmix and (not mixup or rng.random() < 0.5):
        side = math.sqrt(1 - rng.beta(cutmix, cutmix))
        cy, cx = rng.random(2)
        top, bottom = (int(np.clip(round((cy + s * side / 2) * h), 0, h)) for s in (-1, 1))
        left, right = (int(np.clip(round((cx + s * side / 2) * w), 0, w)) for s in (-1, 1))
        share = 1 - (bottom - top) * (right - left) / (h * w)
        return "cutmix", np.array([share, top, bottom, left, right], np.float32)
    return "mixup", np.array([rng.beta(mixup, mixup), 0, 0, 0, 0], np.float32)


def mix(x: Tensor, targets: Tensor, how: str, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """A batch mixed with its own reverse order: x (B, C, H, W) float, targets (B, K); `how` and `numbers` (5,) as
    `draw_mixing` gives them, the numbers on the device: a recorded step gets others every time."""
    share, top, bottom, left, right = numbers
    if how == "mixup":
        x = torch.lerp(x.flip(0), x, share)
    else:
        rows, columns = (torch.arange(n, device=x.device) for n in x.shape[2:])
        inside = ((rows >= top) & (rows < bottom)).view(-1, 1) & ((columns >= left) & (columns < right))
        x = torch.where(inside, x.flip(0), x)
    return x, torch.lerp(targets.flip(0), targets, share)


def mix_across(
    x: Tensor, targets: Tensor, synthetic: np.ndarray, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """mixup of every image with one of the other source, real with synthetic; a batch of one source stays as it is.

    x (B, C, H, W) float, targets (B, K), synthetic (B,) bool.
    """
    real, made = np.flatnonzero(~synthetic), np.flatnonzero(synthetic)
    if not (alpha and len(real) and len(made)):
        return x, targets
    partner = np.empty(len(synthetic), np.int64)
    partner[real], partner[made] = rng.choice(made, len(real)), rng.choice(real, len(made))
    share = float(rng.beta(alpha, alpha))
    place = to_device(torch.from_numpy(partner), x.device)
    return torch.lerp(x[place], x, share), torch.lerp(targets[place], targets, share)
