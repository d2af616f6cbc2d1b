"""A classifier whose answers are known, and the reading of logs."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classifiers import Predictor


class ByBrightness(Predictor):
    """happy where a crop is bright, sad where it is dark; remembers how many crops came at a time."""

    def __init__(self, names: Sequence[str] = ("happy", "sad"), size: int = 16) -> None:
        self.class_names, self.size, self.channels, self.temperature = list(names), size, 1, 1.0
        self.digest, self.calls = "digest", []

    def logits(self, images: np.ndarray, *, tta: str = "none", batch_size: int = 512) -> np.ndarray:
        self.calls.append(len(images))
        bright = images.reshape(len(images), -1).mean(axis=1) / 32 - 4
        return np.stack((bright, -bright), axis=1).astype(np.float32)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
