"""Augmentation of whole batches on the device: one resampling for all geometry, a few fused operations for the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Strength:
    """Ranges drawn from uniformly, per image. Each applies as plus or minus around "unchanged"."""

    rotate: float = 0.0  # degrees
    shift: float = 0.0  # share of the image's side
    zoom: float = 0.0  # log2 of the scale
    shear: float = 0.0  # tangent
    flip: float = 0.0  # probability of a mirror image
    brightness: float = 0.0  # added, in 0..1
    contrast: float = 0.0  # log2 of the gain around the image's mean
    cutout: float = 0.0  # probability of a blanked square
    cutout_size: float = 0.0  # largest side of that square as a share of the image's


STRENGTHS = {
    "none": Strength(),
    "light": Strength(rotate=10, shift=0.08, zoom=0.15, flip=0.5, brightness=0.1, contrast=0.3),
    "strong": Strength(
        rotate=15,
        shift=0.1,
        zoom=0.25,
        shear=0.1,
        flip=0.5,
        brightness=0.15,
        contrast=0.5,
        cutout=0.5,
        cutout_size=0.45,
    ),
}


def augment(images: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """uint8 (B, C, H, W) -> float (B, C, H, W) in 0..1, each image changed by its own random draw."""
    x = images.to(torch.float32).div_(255)
    if strength == STRENGTHS["none"]:
        return x
    draw = torch.rand((9, len(x)), generator=generator, device=x.device)
    x = _warp(x, draw, strength)
    if strength.brightness or strength.contrast:
        x = _light(x, draw[5], draw[6], strength)
    if strength.cutout:
        x = _cutout(x, draw[7], draw[8], strength, generator)
    return x


def _warp(x: Tensor, draw: Tensor, s: Strength) -> Tensor:
    """Flip, rotate, zoom, shear and shift in a single bilinear resampling; the border is mirrored."""
    if not (s.rotate or s.shift or s.zoom or s.shear or s.flip):
        return x
    centred = draw * 2 - 1
    angle = centred[0] * math.radians(s.rotate)
    scale = torch.exp2(-centred[1] * s.zoom)
    mirror = torch.where(draw[2] < s.flip, -1.0, 1.0)
    shear = torch.frac(draw[2] * 1024) * 2 - 1  # the low bits of the flip's draw are a fresh uniform number
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shear = shear * s.shear
    # Rows map output to input coordinates, which run from -1 to 1 (a shift of the whole side is 2).
    row_x = torch.stack([cos * mirror, shear * cos - sin, centred[3] * 2 * s.shift], 1)
    row_y = torch.stack([sin * mirror, shear * sin + cos, centred[4] * 2 * s.shift], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _light(x: Tensor, brightness: Tensor, contrast: Tensor, s: Strength) -> Tensor:
    gain = torch.exp2((contrast * 2 - 1) * s.contrast).view(-1, 1, 1, 1)
    level = x.mean((1, 2, 3), keepdim=True)
    add = ((brightness * 2 - 1) * s.brightness).view(-1, 1, 1, 1)
    return torch.addcmul(level * (1 - gain) + add, x, gain).clamp_(0, 1)


def _cutout(x: Tensor, apply: Tensor, extent: Tensor, s: Strength, generator: torch.Generator) -> Tensor:
    """DeVries & Taylor 2017: a square of random place and side is set to mid-grey."""
    h, w = x.shape[2:]
    centre = torch.rand((2, len(x)), generator=generator, device=x.device)
    half = torch.where(apply < s.cutout, extent * s.cutout_size * 0.5, -1.0).view(-1, 1, 1)
    ys = ((torch.arange(h, device=x.device) + 0.5) / h).view(1, -1, 1)
    xs = ((torch.arange(w, device=x.device) + 0.5) / w).view(1, 1, -1)
    inside = ((ys - centre[0].view(-1, 1, 1)).abs() < half) & ((xs - centre[1].view(-1, 1, 1)).abs() < half)
    return x.masked_fill_(inside.unsqueeze(1), 0.5)


def mix(x: Tensor, targets: Tensor, mixup: float, cutmix: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019) of a batch with its own reverse order.

    x (B, C, H, W) float, targets (B, K); an alpha of 0 is off, with both on each batch draws one of the two.
    """
    if not (mixup or cutmix):
        return x, targets
    if cutmix and (not mixup or rng.random() < 0.5):
        h, w = x.shape[2:]
        side = math.sqrt(1 - rng.beta(cutmix, cutmix))
        cy, cx = rng.random(2)
        top, bottom = (int(np.clip(round((cy + s * side / 2) * h), 0, h)) for s in (-1, 1))
        left, right = (int(np.clip(round((cx + s * side / 2) * w), 0, w)) for s in (-1, 1))
        x = x.clone()
        x[:, :, top:bottom, left:right] = x.flip(0)[:, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (h * w)
    else:
        share = float(rng.beta(mixup, mixup))
        x = torch.lerp(x.flip(0), x, share)
    return x, torch.lerp(targets.flip(0), targets, share)
