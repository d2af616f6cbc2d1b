"""Decoding on all cores: chunks go to worker processes and come back in order, a bounded number at a time.

Processes, not threads: Pillow decodes under the interpreter's lock, and an image that crashes a C decoder takes its
worker with it, not the import.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from classifiers.scheduler import Died, Local, Place, Task, cores, run
from ganfer.data.decode import Decoded, Target, decode_chunk
from ganfer.data.decode import Task as DecodeTask
from ganfer.data.sources.items import Item, Pixels

CHUNK_IMAGES = 256
CHUNK_BYTES = 4 * 2**20
_SMALL_IMAGES = 1024  # fewer, and lighter, images are decoded sooner than workers start
_SMALL_BYTES = 8 * 2**20
_CRASHED = "crashes the decoder"

Batch = tuple[list[Item], Decoded]


def decode_items(items: Iterable[Item], target: Target, workers: int = 0) -> Iterator[Batch]:
    """Items with their pixels, in order, a chunk at a time. workers: 0 = one per core, 1 = in this process.

    At most two chunks per worker (256 images or 4 MB each) are in memory, whatever the number of items.
    """
    workers = workers or cores()
    stream = iter(items)
    first = _first(stream) if workers > 1 else deque[Item]()
    few = len(first) < _SMALL_IMAGES and sum(map(_weight, first)) < _SMALL_BYTES
    chunks = _chunks(_emptied(first, stream))
    if workers == 1 or few:
        yield from ((chunk, decode_chunk(_tasks(chunk), target)) for chunk in chunks)
    else:
        yield from _parallel(chunks, target, workers)


def _first(stream: Iterator[Item]) -> deque[Item]:
    """The stream's beginning: as much of it as is still small work, or a little more."""
    first: deque[Item] = deque()
    weight = 0
    while len(first) < _SMALL_IMAGES and weight < _SMALL_BYTES and (item := next(stream, None)) is not None:
        first.append(item)
        weight += _weight(item)
    return first


def _emptied(first: deque[Item], rest: Iterator[Item]) -> Iterator[Item]:
    while first:
        yield first.popleft()  # and is held no longer
    yield from rest


def _parallel(chunks: Iterator[list[Item]], target: Target, workers: int) -> Iterator[Batch]:
    """Chunks on worker processes; what killed one is decoded again, an image at a time, with a new one after each
    death."""
    orders = (Task("chunk", _decode, (decode_chunk, _tasks(chunk), target), about=chunk) for chunk in chunks)
    with closing(Local(workers, ahead=1)) as engine:
        for task, decoded in run(orders, engine, retries=0, in_order=True):
            if isinstance(decoded, Died):
                decoded = _one_by_one(task.about, target)
            elif isinstance(decoded, Exception):
                raise decoded
            yield task.about, decoded


def _decode(place: Place, decode: Callable[..., Decoded], tasks: list[DecodeTask], target: Target) -> Decoded:
    return decode(tasks, target)


def _one_by_one(chunk: list[Item], target: Target) -> Decoded:
    empty = np.empty((0, target.channels, target.size, target.size), np.uint8)
    crashed = Decoded(empty, [_CRASHED], [False])
    orders = (Task(item.id, _decode, (decode_chunk, _tasks([item]), target)) for item in chunk)
    with closing(Local(1)) as engine:
        found = [part for _, part in run(orders, engine, retries=0, in_order=True)]
    parts = [crashed if isinstance(part, Died) else part for part in found]
    return Decoded(
        np.concatenate([part.pixels for part in parts]),
        [reason for part in parts for reason in part.reasons],
        [mark for part in parts for mark in part.synthetic],
    )


def _tasks(chunk: list[Item]) -> list[DecodeTask]:
    return [DecodeTask(item.data, item.box) for item in chunk]


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += _weight(item)
        if len(chunk) >= CHUNK_IMAGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _weight(item: Item) -> int:
    """Bytes of the encoded image, which stand for its share of work and memory."""
    if isinstance(item.data, Path):
        try:
            return item.data.stat().st_size
        except OSError:
            return 0  # the worker will find it unreadable and say so
    return len(item.data.text if isinstance(item.data, Pixels) else item.data)
