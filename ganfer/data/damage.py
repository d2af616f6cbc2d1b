"""Images without a picture: blank, faint, or nearly all of one value."""

from collections.abc import Iterator

import numpy as np

MIN_RANGE = 16  # grey levels between the 1st and 99th percentile; below it a face cannot be made out
MAX_ONE_VALUE = 0.7  # share of pixels with one and the same value; see docs/data-check.md
NO_PICTURE = ("blank", "faint")  # nothing there to compare with other images
_CHUNK = 4096


def grey_chunks(images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(start, (n, H, W) uint8) over (N, C, H, W) images, constant in memory; colour by ITU-R 601 luma."""
    for start in range(0, len(images), _CHUNK):
        chunk = np.asarray(images[start : start + _CHUNK])
        if chunk.shape[1] == 1:
            yield start, chunk[:, 0]
        else:
            red, green, blue = (chunk[:, c].astype(np.uint32) for c in range(3))
            yield start, ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


def damage_of(grey: np.ndarray) -> np.ndarray:
    """(n, H, W) uint8 -> (n,) str: "" for a usable image, else "blank", "faint" or "mostly one value".

    Read from the histograms: "blank" has one value only, "faint" fewer than `MIN_RANGE` grey levels between its 1st and
    99th percentile, "mostly one value" has a single value in at least `MAX_ONE_VALUE` of its pixels (a placeholder, a
    text, a failed crop).
    """
    num, pixels = len(grey), grey[0].size if len(grey) else 1
    offsets = (np.arange(num) * 256)[:, None]
    histogram = np.bincount((grey.reshape(num, -1) + offsets).ravel(), minlength=num * 256).reshape(num, 256)
    share = histogram.max(axis=1) / pixels
    filled = np.cumsum(histogram, axis=1) / pixels
    low, high = (filled >= 0.01).argmax(axis=1), (filled >= 0.99).argmax(axis=1)
    damage = np.where(share >= MAX_ONE_VALUE, "mostly one value", "")
    damage = np.where(high - low < MIN_RANGE, "faint", damage)
    return np.where(share == 1.0, "blank", damage)
