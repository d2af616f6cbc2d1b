"""All pairs of 64-bit hashes within a Hamming radius, by multi-index hashing (Norouzi, Punjani & Fleet 2012).

The hash is cut into `bands`. Two hashes that differ in fewer than 2 * bands bits agree in some band up to one bit
(pigeonhole), so only buckets whose keys differ in at most one bit are compared: complete within the radius, without
comparing everything with everything. More bands reach further and cost more; `bands_for` trades by the size of the set.
"""

from collections.abc import Iterator

import numpy as np

_BLOCK = 1 << 22  # distances computed at a time


def bands_for(num_hashes: int) -> int:
    """Bands for a set of this size: the radius is 15 up to 65,536 hashes, 11 up to 262,144, then 9."""
    return 8 if num_hashes <= 1 << 16 else 6 if num_hashes <= 1 << 18 else 5


def radius_of(bands: int) -> int:
    """Largest Hamming distance at which no pair is missed."""
    return 2 * bands - 1


def close_pairs(hashes: np.ndarray, others: np.ndarray, bands: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks (i, j), i < j, with hashes[i] within `radius_of(bands)` bits of others[j]; a pair may come more than once.

    hashes, others: (N,) uint64. Hash i must be as far from other j as hash j from other i, which holds for a set
    against itself or against its mirror images.
    """
    radius = radius_of(bands)
    edges = np.linspace(0, 64, bands + 1).round().astype(int)
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        left, left_buckets = _bucket(hashes, low, high - low)
        right, right_buckets = _bucket(others, low, high - low)
        left_hashes, right_hashes = hashes[left], others[right]
        flips = [0, *(1 << bit for bit in range(high - low))]
        for key, (start, stop) in left_buckets.items():
            for flip in flips:
                bounds = right_buckets.get(key ^ flip)
                if bounds is None:
                    continue
                step = max(1, _BLOCK // (bounds[1] - bounds[0]))
                for top in range(start, stop, step):
                    rows = slice(top, min(top + step, stop))
                    block = left_hashes[rows, None] ^ right_hashes[None, slice(*bounds)]
                    near = np.flatnonzero(np.bitwise_count(block) <= radius)
                    if len(near):
                        row, column = np.divmod(near, block.shape[1])
                        i, j = left[rows][row], right[slice(*bounds)][column]
                        ordered = i < j
                        yield i[ordered], j[ordered]


def _bucket(hashes: np.ndarray, shift: int, width: int) -> tuple[np.ndarray, dict[int, tuple[int, int]]]:
    """Order of the hashes by `width` bits from bit `shift`; where each value of those bits starts and stops in it."""
    keys = (hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)
    order = np.argsort(keys, kind="stable")
    values, starts = np.unique(keys[order], return_index=True)
    stops = np.append(starts, len(order))[1:]
    bounds = zip(starts.tolist(), stops.tolist(), strict=True)
    return order, dict(zip(values.tolist(), bounds, strict=True))
