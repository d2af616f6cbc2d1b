"""Random pictures that resemble no other, smooth enough to be known again after JPEG, a shift or noise."""

import cv2
import numpy as np

from ganfer.data.imageset import ImageSet

NAMES = ("angry", "happy", "sad")


def textures(count: int, *, seed: int = 0, size: int = 48, channels: int = 1) -> np.ndarray:
    """(count, channels, size, size) uint8."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, channels, size, size), dtype=np.uint8)
    for i in range(count):
        coarse, fine = rng.normal(size=(8, 8, channels)), rng.normal(size=(18, 18, channels))
        field = sum(cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC) for part in (coarse, fine))
        images[i] = np.clip(128 + 45 * field.reshape(size, size, channels), 0, 255).transpose(2, 0, 1)
    return images


def image_set(
    images: np.ndarray,
    *,
    split: str | list[str] = "train",
    labels: list[int] | None = None,
    group: list[str] | None = None,
    names: tuple[str, ...] = NAMES,
) -> ImageSet:
    """A set of these images; by default all angry, all for training, subjects unknown."""
    num = len(images)
    return ImageSet(
        images=images,
        labels=np.array(labels if labels is not None else [0] * num, dtype=np.int64),
        class_names=names,
        split=np.array([split] * num if isinstance(split, str) else split, dtype=np.str_),
        group=np.array(group or [""] * num, dtype=np.str_),
        source=np.full(num, "real"),
        ids=np.array([f"folder/{i:05d}.png" for i in range(num)], dtype=np.str_),
    )
