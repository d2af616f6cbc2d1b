"""Exact and near duplicates among images: a perceptual hash proposes pairs, a comparison of the pixels decides.

1. Equal pixels, by a digest of the bytes; the search goes on with one image of each such group.
2. The 64 lowest DCT frequencies of the image at 48 x 48; their signs are the hash (pHash). A mirror image's hash is
   the same with the odd horizontal frequencies flipped, so mirror images cost no second transform.
3. Hashes within a Hamming radius (`hamming.close_pairs`), kept where the 64 coefficients' cosine is high too.
4. The pair's similarity: the highest normalised cross-correlation over shifts of up to 4 of 48 pixels, of the images
   band-passed, which leaves out the light and much of what all frontal faces share. Thresholds: docs/data-check.md.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ganfer.data.damage import grey_chunks
from ganfer.data.hamming import bands_for, close_pairs, radius_of
from ganfer.runtime.console import Advance

NEAR = 0.85  # similarity from which two images count as the same picture
SURE = 0.95  # from which they do although the data say that two people are on them: docs/data-check.md
SIDE = 48  # pixels at which images are compared
SHIFT = 4  # pixels of SIDE by which one picture may be displaced against the other
_COSINE = 0.8  # of the hash's coefficients; below it the pixels are not compared
FINE, COARSE = 0.8, 4.0  # sigmas of the band-pass, in pixels of SIDE
_FLUSH = 1 << 20


@dataclass(frozen=True)
class Duplicates:
    """Which images show the same picture.

    same_as: (N,) int64, for each image the one that stands for all with the same pixels (itself if there is no other).
    first, second: (P,) int64 near pairs among those, first < second. similarity: (P,) float32 in NEAR..1.
    mirrored: (P,) bool, whether the pair matches as mirror images. radius: Hamming distance searched completely.
    """

    same_as: np.ndarray
    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    mirrored: np.ndarray
    radius: int


def find_duplicates(
    images: np.ndarray, usable: np.ndarray, rank: np.ndarray, advance: Advance | None = None
) -> Duplicates:
    """Duplicates among (N, C, H, W) uint8 images; those not `usable` (N,) bool are left out.

    rank: (N,) int. Of images with the same pixels the one of highest rank stands for all, the earliest among equals.
    advance: moves a progress bar by images (N in all for the fingerprints).
    """
    same_as = same_pixels(images, usable, rank)
    chosen = np.flatnonzero(usable & (same_as == np.arange(len(images))))
    coefficients = _coefficients(images, chosen, advance)
    bands = bands_for(len(chosen))
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    picture = _pictures(images)
    for mirrored in (False, True):
        for i, j in _candidates(coefficients, mirrored, bands).tolist():
            pair = (int(chosen[i]), int(chosen[j]))
            if pair not in found:
                value = similarity(picture(pair[0], False), picture(pair[1], mirrored))
                if value >= NEAR:
                    found[pair] = (value, mirrored)
    pairs = sorted(found)
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    values = np.array([found[pair][0] for pair in pairs], dtype=np.float32)
    flags = np.array([found[pair][1] for pair in pairs], dtype=bool)
    return Duplicates(same_as, ends[:, 0], ends[:, 1], values, flags, radius_of(bands))


def same_pixels(images: np.ndarray, usable: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """(N,) int64: for each image the highest-ranking one with the very same pixels; see `find_duplicates`."""
    digests = [hashlib.blake2b(images[i].tobytes(), digest_size=16).digest() for i in range(len(images))]
    standing: dict[bytes, int] = {}
    for i in np.argsort(-np.asarray(rank), kind="stable").tolist():
        if usable[i]:
            standing.setdefault(digests[i], i)
    same = [standing[digest] if usable[i] else i for i, digest in enumerate(digests)]
    return np.array(same, dtype=np.int64)


def band_pass(grey: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (SIDE, SIDE) float32: details between two blurs, without lighting and without pixel noise."""
    small = at_side(grey).astype(np.float32)
    fine = cv2.GaussianBlur(small, (0, 0), FINE)
    return np.asarray(fine - cv2.GaussianBlur(small, (0, 0), COARSE), dtype=np.float32)


def at_side(grey: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (SIDE, SIDE) uint8, antialiased."""
    if grey.shape == (SIDE, SIDE):
        return grey
    method = cv2.INTER_AREA if grey.shape[0] > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=method))


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Highest normalised cross-correlation of two band-passed images over shifts, in -1..1.

    Each image's middle is looked for in the other one and the smaller value counts, so that a part alone that fits
    is no match.
    """
    forward = _best_fit(a, b)
    return min(forward, _best_fit(b, a)) if forward >= NEAR else forward


def _best_fit(part: np.ndarray, whole: np.ndarray) -> float:
    middle = np.ascontiguousarray(part[SHIFT:-SHIFT, SHIFT:-SHIFT])
    value = float(cv2.matchTemplate(whole, middle, cv2.TM_CCOEFF_NORMED).max())
    return min(value, 1.0) if np.isfinite(value) else 0.0  # no detail at all in the middle: nothing to compare


def _pictures(images: np.ndarray) -> Callable[[int, bool], np.ndarray]:
    """The band-passed picture of an image, by its index and whether it is to be mirrored."""

    @lru_cache(maxsize=16384)  # 150 MB at most; pairs come sorted, so the neighbours are needed again soon
    def picture(index: int, mirrored: bool) -> np.ndarray:
        if mirrored:
            return np.ascontiguousarray(picture(index, False)[:, ::-1])
        _, grey = next(grey_chunks(images[index : index + 1]))
        return band_pass(grey[0])

    return picture


def _frequencies() -> np.ndarray:
    """(64, 2) vertical and horizontal frequency of each hash bit: the lowest ones by radius, without the mean."""
    grid = np.argwhere(np.add.outer(np.arange(9), np.arange(9)) > 0)
    return grid[np.argsort((grid**2).sum(axis=1), kind="stable")][:64]


def _coefficients(images: np.ndarray, chosen: np.ndarray, advance: Advance | None) -> np.ndarray:
    """(n, 64) float32 unit vectors: the lowest DCT-II coefficients of the chosen images."""
    vertical, horizontal = _frequencies().T
    waves = np.cos(np.pi * (np.arange(SIDE)[:, None] + 0.5) * np.arange(9)[None] / SIDE)
    waves[:, 0] /= np.sqrt(2)
    basis = (waves[:, None, vertical] * waves[None, :, horizontal]).reshape(SIDE * SIDE, 64).astype(np.float32)
    parts = [np.empty((0, 64), dtype=np.float32)]
    for start, grey in grey_chunks(images):
        here = chosen[(chosen >= start) & (chosen < start + len(grey))] - start
        small = np.array([at_side(grey[k]) for k in here], dtype=np.float32).reshape(len(here), SIDE * SIDE)
        parts.append(small @ basis)
        if advance:
            advance(len(grey))
    raw = np.concatenate(parts)
    unit: np.ndarray = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-6)
    return unit


def _candidates(coefficients: np.ndarray, mirrored: bool, bands: int) -> np.ndarray:
    """(P, 2) sorted pairs whose hashes are close and whose coefficients point the same way."""
    odd = _frequencies()[:, 1] % 2 == 1
    others = coefficients * np.where(odd, -1, 1).astype(np.float32) if mirrored else coefficients
    num = max(1, len(coefficients))
    kept: list[np.ndarray] = [np.empty(0, dtype=np.int64)]  # a pair as one number: sorting those is fast
    waiting: list[np.ndarray] = []

    def flush() -> None:
        if waiting:
            pairs = np.unique(np.concatenate(waiting))
            i, j = np.divmod(pairs, num)
            kept.append(pairs[np.einsum("ij,ij->i", coefficients[i], others[j]) >= _COSINE])
            waiting.clear()

    num_waiting = 0
    for i, j in close_pairs(_hashes(coefficients), _hashes(others), bands):
        waiting.append(i * num + j)
        num_waiting += len(i)
        if num_waiting >= _FLUSH:
            flush()
            num_waiting = 0
    flush()
    return np.stack(np.divmod(np.unique(np.concatenate(kept)), num), axis=1)


def _hashes(coefficients: np.ndarray) -> np.ndarray:
    """(n, 64) coefficients -> (n,) uint64: their signs."""
    bits = np.ascontiguousarray(np.packbits(coefficients > 0, axis=1))
    hashes: np.ndarray = bits.view(np.uint64)[:, 0] if len(bits) else np.empty(0, dtype=np.uint64)
    return hashes
