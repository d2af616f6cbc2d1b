"""Tiny labelled images that a network learns in seconds: a bright bar whose angle is its class."""

from __future__ import annotations

import numpy as np

from classifiers import Samples, TrainConfig

NAMES = ["flat", "steep", "rising"]


def bars(n: int, *, seed: int = 0, size: int = 16, channels: int = 1, classes: int = 3) -> Samples:
    """n noisy images, classes in turn: horizontal, vertical, diagonal bars (kept apart by neither mean nor mirror)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    distance = np.stack([y, x, (x + y) / np.sqrt(2)])[labels]
    offset = rng.uniform(-3, 3, (n, 1, 1))
    images = 60 + 120 * (np.abs(distance - offset) < 2) + rng.normal(0, 25, (n, size, size))
    images = np.repeat(images[:, None], channels, 1).clip(0, 255).astype(np.uint8)
    return Samples(images, labels.astype(np.int64))


def quick(**changes: object) -> TrainConfig:
    """A training of a second."""
    settings: dict[str, object] = {"epochs": 3, "batch_size": 16, "tensorboard": False, "augment": "none", "ema": 0.9}
    return TrainConfig(**(settings | changes))  # type: ignore[arg-type]
