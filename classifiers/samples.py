"""What a classifier is trained on: labelled images with optional weights and soft labels, and their checks."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from classifiers.errors import ClassifierError

WHOLE = 64 << 20  # bytes of images up to which all of them go into a fingerprint


@dataclass
class Samples:
    """Labelled images: `images` uint8 (N, C, H, W), array or memory map; `labels` int64 (N,) in 0..K-1.

    `weights` float32 (N,) >= 0 scales each sample's loss, or with the balanced sampler how often it is drawn;
    `soft_labels` float32 (N, K), rows summing to 1, replaces the one-hot target. `synthetic` bool (N,) says which
    images no camera took; settings that treat them differently ask for it. All three are optional.

    `fresh` uint8 (P, F, C, H, W): images that the passes over the set take in turn in the place of the last F, whose
    labels and weights they share: the first pass the set's own, the second fresh[0], after P + 1 passes from the start
    again. `fresh_soft_labels` float32 (P, F, K) go with them where there are soft labels.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None
    soft_labels: np.ndarray | None = None
    synthetic: np.ndarray | None = None
    fresh: np.ndarray | None = None
    fresh_soft_labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


def check_images(images: np.ndarray, what: str, *, channels: int | None = None, size: int | None = None) -> None:
    """Refuse anything but uint8 (N, C, H, H) with C = 1 or 3, of the channels and size asked for."""
    if not isinstance(images, np.ndarray):
        raise ClassifierError(f"{what}: must be a numpy array, not {type(images).__name__}")
    if images.dtype != np.uint8:
        raise ClassifierError(f"{what}: pixels must be uint8 (0 to 255), not {images.dtype}; convert them first")
    if images.ndim != 4:
        raise ClassifierError(f"{what}: must have the shape (N, C, H, W), not {images.shape}")
    _, c, h, w = images.shape
    if c not in (1, 3):
        raise ClassifierError(f"{what}: must have 1 or 3 channels, not {c} (shape {images.shape}; order is N, C, H, W)")
    if h != w:
        raise ClassifierError(f"{what}: must be square, not {h}x{w}; crop or resize them first")
    if channels is not None and c != channels:
        raise ClassifierError(
            f"{what}: have {c} channel(s) where {channels} are expected; convert between grey and colour"
        )
    if size is not None and h != size:
        raise ClassifierError(f"{what}: are {h}x{w} pixels where {size}x{size} are expected; resize them to {size}")


def check_samples(
    samples: Samples, what: str, class_names: Sequence[str], *, channels: int | None = None, size: int | None = None
) -> None:
    """Refuse empty sets, wrong shapes or types, labels out of range, and impossible weights or soft labels."""
    num_classes = len(class_names)
    check_images(samples.images, f"{what} images", channels=channels, size=size)
    labels, n = np.asarray(samples.labels), len(samples.images)
    if n == 0:
        raise ClassifierError(f"the {what} set is empty; it needs at least one labelled image")
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ClassifierError(f"{what} labels: must be {n} integers, not {labels.dtype} of shape {labels.shape}")
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        first = int(wrong[0])
        raise ClassifierError(
            f"{what} labels: {wrong.size} of {n} out of range, the first is {labels[first]} at index {first}; "
            f"{num_classes} classes allow 0 to {num_classes - 1}"
        )
    if samples.weights is not None:
        weights = np.asarray(samples.weights)
        if weights.shape != (n,) or not np.all(np.isfinite(weights)) or weights.min() < 0 or weights.sum() <= 0:
            raise ClassifierError(f"{what} weights: must be {n} finite numbers >= 0 that are not all 0")
    if samples.soft_labels is not None:
        soft = np.asarray(samples.soft_labels)
        good = soft.shape == (n, num_classes) and np.all(soft >= 0) and np.allclose(soft.sum(1), 1, atol=1e-3)
        if not good:
            raise ClassifierError(
                f"{what} soft labels: must have the shape ({n}, {num_classes}), values >= 0 and rows that sum to 1"
            )
    if samples.synthetic is not None:
        mask = np.asarray(samples.synthetic)
        if mask.shape != (n,) or mask.dtype != np.bool_:
            raise ClassifierError(
                f"{what} synthetic: must be {n} truth values (bool), not {mask.dtype} of shape {mask.shape}"
            )
    if samples.fresh is not None:
        _check_fresh(samples, what, num_classes)


def _check_fresh(samples: Samples, what: str, num_classes: int) -> None:
    fresh = samples.fresh
    assert fresh is not None
    if fresh.ndim != 5 or fresh.dtype != np.uint8 or fresh.shape[2:] != samples.images.shape[1:]:
        raise ClassifierError(
            f"{what} fresh images: must be uint8 of the shape (P, F, {', '.join(map(str, samples.images.shape[1:]))}), "
            f"not {fresh.dtype} of {fresh.shape}"
        )
    if not 0 < fresh.shape[1] <= len(samples):
        raise ClassifierError(
            f"{what} fresh images: {fresh.shape[1]} in each set, but {len(samples)} images to replace"
        )
    soft = samples.fresh_soft_labels
    if (soft is None) != (samples.soft_labels is None) or (
        soft is not None and soft.shape != (*fresh.shape[:2], num_classes)
    ):
        raise ClassifierError(f"{what} fresh soft labels: must be there exactly where soft labels are, (P, F, K)")


def class_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Images per class, int64 (K,)."""
    return np.bincount(np.asarray(labels), minlength=num_classes)


def class_mass(samples: Samples, num_classes: int, *, real: bool = False) -> np.ndarray:
    """Images per class, each counted by its weight, (K,).

    real: the real ones alone; a class that has none keeps its synthetic ones.
    """
    labels = np.asarray(samples.labels)
    weights = None if samples.weights is None else np.asarray(samples.weights, np.float64)
    mass = np.bincount(labels, weights=weights, minlength=num_classes)
    if not real or samples.synthetic is None:
        return mass
    mine = ~np.asarray(samples.synthetic)
    alone = np.bincount(labels[mine], weights=None if weights is None else weights[mine], minlength=num_classes)
    return np.where(alone > 0, alone, mass)


def fingerprint(samples: Samples) -> str:
    """A digest of the set: labels, weights and soft labels whole; pixels evenly thinned in a large one, see
    `every_image`.

    Which images are synthetic is no part of it: see `source_digest`.
    """
    digest = hashlib.sha256()
    stride = max(1, -(-samples.images.nbytes // WHOLE))
    digest.update(repr(samples.images.shape).encode())
    digest.update(np.ascontiguousarray(samples.images[::stride]).data)
    for array in (samples.labels, samples.weights, samples.soft_labels):
        digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    for array in (samples.fresh, samples.fresh_soft_labels):  # without any, the digest is what it always was
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def every_image(samples: Samples) -> str:
    """A digest of all images' checksums, where `fingerprint` thins them; "" elsewhere."""
    if samples.images.nbytes <= WHOLE:
        return ""
    sums = [zlib.crc32(np.ascontiguousarray(image).data) for image in samples.images]
    return hashlib.sha256(np.array(sums, np.uint32).data).hexdigest()


def is_same(stored: object, identity: str) -> bool:
    """Whether a training that was made or begun is this very one. Older ones say nothing of `every_image`, which is the
    part behind the plus."""
    return stored in (identity, identity.partition("+")[0])


def fresh_places(index: np.ndarray, step: int, size: int, sets: int, fresh: int) -> np.ndarray:
    """Which images a batch takes, (B,) int64, where `sets` sets of `fresh` more images lie behind the `size` own ones.

    index: (B,) of the images in the order of the passes; an image of the last `fresh` stands for one of each set, and
    the pass that the place belongs to says which. Depends on the step alone, so a resumed training takes the same.
    """
    places = step * len(index) + np.arange(len(index))
    turn = (places // size) % (sets + 1)
    theirs = (index >= size - fresh) & (turn > 0)
    found: np.ndarray = np.where(theirs, size + (turn - 1) * fresh + index - (size - fresh), index)
    return found


def source_digest(samples: Samples) -> str:
    """A digest of which images are synthetic, for trainings that ask."""
    return hashlib.sha256(np.packbits(np.asarray(samples.synthetic, bool)).data).hexdigest()


def synthetic_mask(samples: Samples) -> np.ndarray | None:
    """(N,) bool, None where no image is synthetic."""
    mask = None if samples.synthetic is None else np.array(samples.synthetic, bool)
    return mask if mask is not None and mask.any() else None


def arrays_of(name: str, samples: Samples) -> dict[str, np.ndarray]:
    """A set's arrays as a task takes them."""
    arrays = {f"{name} {field.name}": getattr(samples, field.name) for field in fields(samples)}
    return {key: array for key, array in arrays.items() if array is not None}


def samples_of(name: str, arrays: Mapping[str, np.ndarray]) -> Samples:
    """The set again, where the task runs."""
    return Samples(**{key.partition(" ")[2]: array for key, array in arrays.items() if key.startswith(f"{name} ")})
