"""Features of a trained classifier: its penultimate layer, named so in every figure made with it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from classifiers import Classifier
from classifiers.calibration import softmax
from classifiers.device_set import to_device
from ganfer.runtime.console import Advance
from ganfer.runtime.files import atomic_path, remove_abandoned, write_npy_parts
from ganfer.runtime.parts import PART

NAME = "classifier"
_LARGEST = 65504.0  # of float16


def features_and_probabilities(classifier: Classifier, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Penultimate features (N, d) and calibrated probabilities (N, K), float32, of uint8 images in one pass."""
    features = classifier.features(images)
    with torch.inference_mode():
        logits = classifier.model.head(to_device(torch.from_numpy(features), classifier.device)).float().cpu().numpy()
    return features, softmax(logits, classifier.temperature)


def halved(features: np.ndarray) -> np.ndarray:
    """Features as they are stored: float16, the largest of which stands for larger ones."""
    return np.clip(features, -_LARGEST, _LARGEST).astype(np.float16)


def chunks(count: int, size: int = PART) -> Iterator[slice]:
    """Slices over `count` images, each small enough for memory."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def stored_features(
    file: Path,
    classifier: Classifier,
    count: int,
    read: Callable[[Sequence[int]], np.ndarray],
    advance: Advance | None = None,
) -> np.ndarray:
    """The features (count, d) float16 of images 0..count-1, computed once into `file` and memory-mapped from there.

    read: the pixels (n, C, H, W) uint8 at some indices.
    """
    if not file.is_file():
        width = classifier.features(read(range(1))).shape[1]

        def parts() -> Iterator[np.ndarray]:
            for part in chunks(count):
                features = classifier.features(read(range(part.start, part.stop)))
                yield halved(features)
                if advance:
                    advance(len(features))

        with atomic_path(file) as temporary:
            remove_abandoned(file.parent)
            write_npy_parts(temporary, (count, width), np.float16, parts())
    stored: np.ndarray = np.load(file, mmap_mode="r")
    return stored
