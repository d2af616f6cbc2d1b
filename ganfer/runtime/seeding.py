"""One seed, many independent random streams: each purpose gets its own, named, so that none disturbs another."""

import zlib

import numpy as np

from ganfer.errors import GanferError

MOST_RANGE = 10_000_000  # numbers that one range may stand for
MOST_SEED = 2**63 - 1


def stream(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """A generator for one purpose (`stream(0, "split")`); the same arguments always give the same numbers."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *index])))


def image_seeds(seed: int, count: int, start: int = 0) -> np.ndarray:
    """Seeds of images start..start+count-1 of a batch named by `seed`: (count,) int64, distinct across batches.

    The batch's seed is the high part and the index the low part, so batches of up to 2**32 images never share one.
    """
    return (np.int64(seed) << np.int64(32)) + np.arange(start, start + count, dtype=np.int64)


def short_seeds(seed: int, count: int, limit: int) -> np.ndarray:
    """Seeds for a generator that takes 0..limit only: (count,) int64 counted from seed * 2**20, around at the end.

    Batch 0 has the seeds 0, 1, 2, ...; batches of up to 2**20 images share none until the numbers are used up.
    """
    first = (seed << 20) % (limit + 1)
    return (np.arange(count, dtype=np.int64) + first) % (limit + 1)


def parse_ranges(text: str, highest: int, option: str) -> list[int]:
    """`"0-3,7,12-"` as [0, 1, 2, 3, 7, 12, ...], up to `highest` where no end is given. GanferError for all else."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise GanferError(
                f"{option} {text!r}: {part.strip()!r} is not a number or range.", "Write it like 0-99,200."
            )
        low, high = int(first), int(last) if last else (highest if dash else int(first))
        if low > high or high > highest:
            raise GanferError(
                f"{option} {text!r}: {part.strip()!r} is outside 0..{highest}.", "Write it like 0-99,200."
            )
        if high - low >= MOST_RANGE:
            raise GanferError(f"{option} {text!r} is more than {MOST_RANGE:,} numbers.", "Give a shorter range.")
        numbers += range(low, high + 1)
    return numbers
