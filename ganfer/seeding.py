"""One seed, many independent random streams: each purpose gets its own, named, so that none disturbs another."""

import zlib

import numpy as np


def stream(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """A generator for one purpose (`stream(0, "split")`); the same arguments always give the same numbers."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *index])))


def image_seeds(seed: int, count: int, start: int = 0) -> np.ndarray:
    """Seeds of images start..start+count-1 of a batch named by `seed`: (count,) int64, distinct across batches.

    The batch's seed is the high part and the index the low part, so batches of up to 2**32 images never share one.
    """
    return (np.int64(seed) << np.int64(32)) + np.arange(start, start + count, dtype=np.int64)
