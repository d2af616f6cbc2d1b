"""Features of a trained classifier: its penultimate layer, named so in every figure made with it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from classifiers import Classifier
from classifiers.calibration import softmax
from ganfer.console import Advance
from ganfer.files import atomic_path

NAME = "classifier"
_CHUNK = 2048


def features_and_probabilities(classifier: Classifier, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Penultimate features (N, d) and calibrated probabilities (N, K), float32, of uint8 images in one pass."""
    features = classifier.features(images)
    with torch.inference_mode():
        logits = classifier.model.head(torch.from_numpy(features).to(classifier.device)).float().cpu().numpy()
    return features, softmax(logits, classifier.temperature)


def chunks(count: int, size: int = _CHUNK) -> Iterator[slice]:
    """Slices over `count` images, each small enough for memory."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def stored_features(
    file: Path, classifier: Classifier, images: np.ndarray, rows: np.ndarray, advance: Advance | None = None
) -> np.ndarray:
    """The features (len(rows), d) float16 of images[rows], computed once into `file` and memory-mapped from there."""
    if not file.is_file():
        width = classifier.features(images[:0]).shape[1]
        with atomic_path(file) as temporary:
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=(len(rows), width))
            for part in chunks(len(rows)):
                out[part] = np.clip(classifier.features(np.asarray(images[rows[part]])), -65504, 65504)
                if advance:
                    advance(part.stop - part.start)
            out.flush()
            del out
    stored: np.ndarray = np.load(file, mmap_mode="r")
    return stored
