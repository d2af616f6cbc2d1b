"""Is a generated face a copy of a training image? Its nearest training image by features and by pixels, judged by how
near held-back real images come to theirs.

1. Candidates: the nearest training images by features, and by thumbnails of the band-passed picture, also mirrored.
2. Likeness: the best candidate's cross-correlation over small shifts (`ganfer.data.duplicates.similarity`), -1..1.
3. Isolation: the distance to the nearest training image in features, relative to the mean distance to the next ones
   (after Carlini et al. 2023): a copy has one image that is far nearer than all others, a typical face has many.
4. A copy is as similar as two files of the same picture (`NEAR`), or more similar *and* more isolated than 99% of
   held-back images.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from ganfer.data.damage import grey_chunks
from ganfer.data.duplicates import NEAR, SIDE, band_pass, similarity
from ganfer.metrics.neighbours import Device
from ganfer.metrics.pictures import correlations, pictures
from ganfer.metrics.search import Search

SHARE = 0.01  # of held-back images that each of the two criteria takes for too near
_THUMBNAIL = 16
_CHUNK = 4096
_TOGETHER = 512  # images whose candidates are compared at once: 40 MB of pictures and as much again of transforms
_NEXT = 16  # neighbours after the nearest that isolation is relative to
_BY_FEATURES, _BY_PIXELS = 2, 2  # candidates
_ROUNDING = 1e-4  # of correlations by the batch against those one by one


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each of N images.

    index: (N,) int64, the most similar candidate's place in the training index. likeness: (N,) in -1..1. mirrored:
    (N,) bool, whether it is like the mirror image. isolation: (N,) in 0..1, 0 for the very image. distance: (N,) to the
    nearest in features.
    """

    index: np.ndarray
    likeness: np.ndarray
    mirrored: np.ndarray
    isolation: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class CopyRule:
    """From which likeness, with which isolation, an image counts as a copy; see the module's text."""

    likeness: float
    isolation: float

    @classmethod
    def fit(cls, held_back: Nearest, share: float = SHARE) -> "CopyRule":
        """From held-back real images; those that are in the training data themselves (`NEAR`) set no limit."""
        own = held_back.likeness < NEAR
        if not own.any():
            return cls(NEAR, 0.0)
        likeness = float(np.quantile(held_back.likeness[own], 1 - share))
        return cls(likeness, float(np.quantile(held_back.isolation[own], share)))

    def copies(self, found: Nearest) -> np.ndarray:
        """(N,) bool."""
        near = (found.likeness > self.likeness) & (found.isolation < self.isolation)
        copies: np.ndarray = (found.likeness >= NEAR) | near
        return copies


class Pictures(Protocol):
    """Images (M, C, H, W) uint8 that are read by their places (n,): an array, memory-mapped or not, or several."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class TrainingIndex:
    """Training images, ready to be searched: images[rows] of (M, C, H, W) uint8, which may be memory-mapped.

    rows: (N,). features: (N, d), thumbnails: (N, t), both of images[rows].
    """

    images: Pictures
    rows: np.ndarray
    features: np.ndarray
    thumbnails: np.ndarray

    @classmethod
    def of(cls, images: Pictures, features: np.ndarray, rows: np.ndarray | None = None) -> "TrainingIndex":
        """From images and the features (N, d) of those at `rows` (none: all); pixels are read a chunk at a time."""
        rows = np.arange(len(images)) if rows is None else rows
        small = np.zeros((len(rows), _THUMBNAIL**2), np.float32)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            small[part] = thumbnails(np.asarray(images[rows[part]]))
        return cls(images, rows, features, small)

    def __getstate__(self) -> dict[str, np.ndarray]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # what is prepared stays behind

    @cached_property
    def _ready(self) -> dict[str, tuple[Search, Search]]:
        return {}

    def _searches(self, device: Device) -> tuple[Search, Search]:
        """By features and by thumbnails, prepared once."""
        if str(device) not in self._ready:
            self._ready[str(device)] = Search(self.features, device), Search(self.thumbnails, device)
        return self._ready[str(device)]

    def look(self, images: np.ndarray, features: np.ndarray, *, device: Device = "cpu") -> Nearest:
        """The nearest training image of each of these (n, C, H, W) uint8, with features (n, d)."""
        by_feature, by_pixel = self._searches(device)
        distances, by_features = by_feature.nearest(features, _NEXT + 1)
        small = thumbnails(images)
        by_pixels = [by_pixel.nearest(part, _BY_PIXELS)[1] for part in (small, mirrored_thumbnails(small))]
        by_features = by_features[:, :_BY_FEATURES]
        candidates = np.concatenate([by_features, by_features, *by_pixels], axis=1).astype(np.int64)
        flips = np.repeat([False, True, False, True], [by_features.shape[1]] * 2 + [p.shape[1] for p in by_pixels])
        index = np.zeros(len(images), dtype=np.int64)
        likeness, flipped = np.zeros(len(images)), np.zeros(len(images), dtype=bool)
        for start in range(0, len(images), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            index[part], likeness[part], flipped[part] = self._closest(images[part], candidates[part], flips, device)
        rest = distances[:, 1:].mean(axis=1) if distances.shape[1] > 1 else np.ones(len(images))
        isolation = np.divide(distances[:, 0], rest, out=np.zeros(len(images)), where=rest > 0)
        return Nearest(index, likeness, flipped, isolation, distances[:, 0])

    def _closest(
        self, images: np.ndarray, candidates: np.ndarray, flips: np.ndarray, device: Device
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the candidates (n, c), mirrored as flips (c,) says: the most similar, its likeness, whether mirrored."""
        n, c = candidates.shape
        order = np.argsort(candidates * 2 + flips, axis=1)  # of equals the first image wins, and the plain picture
        candidates, flipped = np.take_along_axis(candidates, order, axis=1), flips[order]
        which, place = np.unique(candidates, return_inverse=True)
        pairs = np.stack([np.repeat(np.arange(n), c), place.ravel()], axis=1)
        others = np.asarray(self.images[self.rows[which]])
        mine, theirs = pictures(images, device), pictures(others, device)
        value = correlations(mine, theirs, pairs, flipped.ravel()).reshape(n, c).astype(np.float64)
        for i, k in np.argwhere(value >= NEAR - _ROUNDING):  # nearly the same picture: the other way round as well
            query = picture(images[i])
            query = np.ascontiguousarray(query[:, ::-1]) if flipped[i, k] else query
            value[i, k] = similarity(query, picture(others[place.reshape(n, c)[i, k]]))
        best = value.argmax(axis=1)
        rows = np.arange(n)
        return candidates[rows, best], value[rows, best], flipped[rows, best]


def picture(image: np.ndarray) -> np.ndarray:
    """(C, H, W) uint8 to its details (48, 48) float32: without lighting, without pixel noise."""
    _, grey = next(iter(grey_chunks(image[None])))
    return band_pass(grey[0])


def thumbnails(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) uint8 to (N, 256) float32: details of 16 x 16, as unit vectors; a blank image is 0."""
    rows = np.zeros((len(images), _THUMBNAIL**2), np.float32)
    for start in range(0, len(images), _CHUNK):
        details = pictures(images[start : start + _CHUNK])
        small = torch.nn.functional.avg_pool2d(details, SIDE // _THUMBNAIL).flatten(1)
        rows[start : start + _CHUNK] = small / small.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return rows


def mirrored_thumbnails(small: np.ndarray) -> np.ndarray:
    """The thumbnails (N, 256) of the mirror images."""
    return np.ascontiguousarray(small.reshape(-1, _THUMBNAIL, _THUMBNAIL)[:, :, ::-1]).reshape(len(small), -1)
