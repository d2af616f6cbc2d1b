"""Many images through a function, part by part: in processes of this machine, or on a cluster, where that pays.

Each part's arrays are kept in a file, so that the same command goes on where it was interrupted. Parts begin and end at
the same places wherever they are computed: the bits are those of one process with one thread.
"""

import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from pickle import Pickler, Unpickler
from typing import Any
from zipfile import BadZipFile

import numpy as np

from classifiers.many import with_threads
from classifiers.scheduler import Place, Task, cores, opened, results
from ganfer.runtime import ranks
from ganfer.runtime.console import Advance, say, silent
from ganfer.runtime.files import atomic_path

PART = 2048  # images in memory; whole batches of every step in a function
LARGE = 131_072  # images from which this machine's processes are worth their start: benchmarks/parts.py, two cores
ON_CLUSTER = 16_384  # and from which other machines' are
_MAPPED = 1 << 16  # bytes from which an array travels by itself, to be mapped
_REST = "function"

Arrays = dict[str, np.ndarray]
Function = Callable[[np.ndarray], Arrays]
Read = Callable[[Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class Spread:
    """Where parts may be computed. workers: processes; 0 is one per core, or all that a cluster has.

    device: that of the function; a GPU is not shared out.
    """

    workers: int = 1
    cluster: str = ""
    device: str = "cpu"

    def over(self, count: int) -> bool:
        """Whether so many images are worth processes of their own; with a cluster, the reason against is said."""
        alone, fewest = "", ON_CLUSTER if self.cluster else LARGE
        if ranks.count() > 1:
            alone = "torchrun's processes share them"
        elif self.device.partition(":")[0] != "cpu":
            alone = f"{self.device} takes them"
        elif count < fewest:
            alone = f"fewer than {fewest:,} are quicker"
        if alone and self.cluster:
            say(f"The cluster is not asked about {count:,} images: {alone} here.")
        return not alone and (bool(self.cluster) or (self.workers or cores()) > 1)


def kept_parts(
    function: Function,
    count: int,
    read: Read,
    folder: Path,
    *,
    spread: Spread,
    advance: Advance = silent,
    start: int = 0,
) -> Iterator[Arrays]:
    """What a function says of images start..count-1, part after part, each kept in `folder` and found there again.

    function: of (n, C, H, W) uint8 to arrays of n; it must go through pickle where parts are spread. read: the pixels
    at some indices. Under torchrun every process computes a share of the parts and gets all.
    """
    parts = [(part, known is None) for part, known in _parts(start, count, folder)]
    todo = [part for part, missing in parts if missing]
    advance(count - start - sum(part.stop - part.start for part in todo))
    if todo and spread.over(count - start):
        where = f"the cluster at {spread.cluster}" if spread.cluster else "processes of one thread each"
        say(f"{sum(part.stop - part.start for part in todo):,} images go to {where}.")
        computed = _spread(function, todo, read, folder, spread)
    else:
        # by the place among all parts: another process may have stored some since
        mine = [part for i, (part, missing) in enumerate(parts) if missing and i % ranks.count() == ranks.rank()]
        computed = ((part, function(read(range(part.start, part.stop)))) for part in mine)
    with closing(computed):
        for part, arrays in computed:
            with atomic_path(folder / f"{part.start:09d}.npz") as temporary, temporary.open("wb") as out:
                np.savez(out, **dict[str, Any](arrays))
            advance((part.stop - part.start) * ranks.count())
    ranks.barrier()
    return (known for _, known in _parts(start, count, folder) if known is not None)


def _parts(start: int, count: int, folder: Path) -> Iterator[tuple[slice, Arrays | None]]:
    """The parts, and what is kept of each; those kept may have any length."""
    while start < count:
        known = _stored(folder / f"{start:09d}.npz")
        length = len(next(iter(known.values()))) if known else 0
        if not 0 < length <= count - start:
            length, known = min(PART, count - start), None
        yield slice(start, start + length), known
        start += length


def _stored(file: Path) -> Arrays | None:
    """The arrays in a file; None when it is not there or damaged, to be made again."""
    try:
        with file.open("rb") as stored, np.load(stored, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


# --- in other processes -----------------------------------------------------------------------------------------------


def _spread(
    function: Function, parts: Sequence[slice], read: Read, folder: Path, spread: Spread
) -> Generator[tuple[slice, Arrays]]:
    workers = spread.workers or None if spread.cluster else min(spread.workers or cores(), len(parts))
    key, arrays = secrets.token_hex(8), _packed(function)

    def of(part: slice) -> Task:
        name = f"images {part.start:,} to {part.stop:,}"
        return Task(name, _apply, (key, read(range(part.start, part.stop))), folder, arrays, about=part)

    with opened(workers, 1, [folder], cluster=spread.cluster) as engine:
        for task, value in results(map(of, parts), engine):
            yield task.about, value


def _packed(function: Function) -> Arrays:
    """A function as arrays: each large one that it holds, which workers map, and the pickle of the rest."""
    arrays: Arrays = {}

    class Packer(Pickler):
        def persistent_id(self, value: Any) -> str | None:
            if not isinstance(value, np.ndarray) or value.nbytes < _MAPPED:
                return None
            arrays[str(id(value))] = value
            return str(id(value))

    out = BytesIO()
    Packer(out).dump(function)
    return {**arrays, _REST: np.frombuffer(out.getvalue(), np.uint8)}


def _unpacked(arrays: dict[str, np.ndarray]) -> Function:
    class Opener(Unpickler):
        def persistent_load(self, name: Any) -> np.ndarray:
            return arrays[name]

    function: Function = Opener(BytesIO(arrays[_REST].tobytes())).load()
    return function


_last: tuple[str, Function] | None = None  # of a worker, which gets part after part for the same function


def _apply(place: Place, key: str, pixels: np.ndarray) -> Arrays:
    global _last
    if _last is None or _last[0] != key:
        _last = (key, _unpacked(dict(place.arrays)))
    with with_threads(1):
        return _last[1](pixels)
