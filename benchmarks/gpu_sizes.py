"""What the goals of gpu.py share: their sizes, targets and images, and a clock of what the device has really done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How large everything is; `dry` ones only show that the goals run."""

    device: str
    model: str
    images: int
    batch: int
    epochs: int
    side: int
    repeats: int
    large: int  # side of the StyleGAN2
    gan_images: int


FULL = Sizes("cuda", "compact", 28_709, 512, 24, 48, 3, 1024, 5_000_000)
DRY = Sizes("cpu", "compact-small", 70, 16, 1, 16, 1, 32, 64)


@dataclass(frozen=True)
class Target:
    """A figure, by its keys, that is to be at least (`least`) or at most (`most`) so much."""

    keys: tuple[str, ...]
    least: float | None = None
    most: float | None = None

    def verdict(self, figures: Figures) -> Figures:
        """What was wanted, what came of it, and whether that is enough."""
        value: Any = figures
        for key in self.keys:
            value = value.get(key) if isinstance(value, dict) else None
        wanted = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        if value is None:  # the figures are worth more than an error
            return {"figure": " / ".join(self.keys), "wanted": wanted, "found": None, "verdict": "not found"}
        enough = value >= self.least if self.least is not None else value <= self.most
        return {
            "figure": " / ".join(self.keys),
            "wanted": wanted,
            "found": value,
            "verdict": "met" if enough else "missed",
        }


@dataclass(frozen=True)
class Goal:
    """run(sizes, shared folder, scratch) gives figures; minutes: its share of the time at most.

    targets: of the full sizes. keeps: the name of a scratch folder that stays, where trainings go on; without, it is a
    fresh one. data: needs FER2013.
    """

    run: Callable[[Sizes, Path, Path], Figures]
    minutes: float
    wanted: str
    targets: tuple[Target, ...] = ()
    keeps: str = ""
    data: bool = False


def textures(number: int, side: int, channels: int = 1) -> Any:
    """Smooth random images (number, channels, side, side) uint8."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    coarse = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (number, channels, 6, 6), np.uint8))
    parts = [F.interpolate(part.float(), size=(side, side), mode="bilinear").byte() for part in coarse.split(4096)]
    return torch.cat(parts).numpy()


def wait(device: str) -> float:
    """The time when the device has done everything."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock:
    """A training's progress that times its steps, once it runs evenly, by what the device has really done."""

    def __init__(self, device: str, steps: int) -> None:
        self._device, self._step = device, 0
        self._marks = (min(60, steps // 4), steps - 1)  # the last step holds a validation
        self._times: list[float] = []

    @contextlib.contextmanager
    def __call__(self, description: str, total: int) -> Iterator[Callable[..., None]]:
        yield self._advance

    def _advance(self, n: int = 1, note: str = "") -> None:
        self._step += n
        if n and self._step in self._marks:
            self._times.append(wait(self._device))

    @property
    def steps_per_second(self) -> float:
        first, last = self._marks
        return (last - first) / (self._times[-1] - self._times[0])
