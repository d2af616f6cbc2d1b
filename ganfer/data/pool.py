"""Decoding on all cores: chunks go to worker processes and come back in order, a bounded number at a time.

Processes, not threads: Pillow decodes under the interpreter's lock, and an image that crashes a C decoder takes its
worker with it, not the import.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from ganfer.data.decode import Decoded, Target, Task, decode_chunk
from ganfer.data.sources.items import Item, Pixels
from ganfer.data.workers import start_workers

CHUNK_IMAGES = 256
CHUNK_BYTES = 4 * 2**20
_SMALL_IMAGES = 1024  # fewer, and lighter, images are decoded sooner than workers start
_SMALL_BYTES = 8 * 2**20
_CRASHED = "crashes the decoder"

Batch = tuple[list[Item], Decoded]


def decode_items(items: Iterable[Item], target: Target, workers: int = 0) -> Iterator[Batch]:
    """Items with their pixels, in order, a chunk at a time. workers: 0 = one per core, 1 = in this process.

    At most workers + 2 chunks (256 images or 4 MB each) are in memory, whatever the number of items.
    """
    workers = workers or _cores()
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
    waiting: deque[tuple[list[Item], Future[Decoded]]] = deque()
    pool = _Pool(workers)
    try:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_tasks(chunk), target)))
            if len(waiting) >= workers + 2:
                yield pool.result(waiting, target)
        while waiting:
            yield pool.result(waiting, target)
    finally:
        pool.close()


class _Pool:
    """Worker processes that are started again when one of them dies."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._executor = start_workers(workers)

    def submit(self, tasks: list[Task], target: Target) -> Future[Decoded]:
        try:
            return self._executor.submit(decode_chunk, tasks, target)
        except BrokenProcessPool:
            broken: Future[Decoded] = Future()
            broken.set_exception(BrokenProcessPool())  # decoded again when its turn comes
            return broken

    def result(self, waiting: deque[tuple[list[Item], Future[Decoded]]], target: Target) -> Batch:
        """The oldest chunk's result. When the workers died, all waiting chunks are handed to new ones."""
        chunk, future = waiting.popleft()
        try:
            return chunk, future.result()
        except BrokenProcessPool:
            self.close()
            decoded = self._one_by_one(_tasks(chunk), target)
            self._executor = start_workers(self._workers)
            for i, (later, old) in enumerate(waiting):
                if not (old.done() and old.exception() is None):
                    waiting[i] = (later, self.submit(_tasks(later), target))
            return chunk, decoded

    def _one_by_one(self, tasks: list[Task], target: Target) -> Decoded:
        """Find the images that kill: the chunk is halved until each is alone, with a worker that is replaced when it
        dies.
        """
        parts: list[Decoded] = []
        open_parts = [tasks]  # the next one last
        executor = start_workers(1)
        try:
            while open_parts:
                part = open_parts.pop()
                try:
                    parts.append(executor.submit(decode_chunk, part, target).result())
                except BrokenProcessPool:
                    executor.shutdown(wait=True, kill_workers=True)
                    executor = start_workers(1)
                    if len(part) > 1:
                        half = len(part) // 2
                        open_parts += [part[half:], part[:half]]
                    else:
                        empty = np.empty((0, target.channels, target.size, target.size), np.uint8)
                        parts.append(Decoded(empty, [_CRASHED], [False]))
        finally:
            executor.shutdown(wait=True, kill_workers=True)
        return Decoded(
            np.concatenate([part.pixels for part in parts]),
            [reason for part in parts for reason in part.reasons],
            [mark for part in parts for mark in part.synthetic],
        )

    def close(self) -> None:
        self._executor.shutdown(wait=True, kill_workers=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tasks(chunk: list[Item]) -> list[Task]:
    return [Task(item.data, item.box) for item in chunk]


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
