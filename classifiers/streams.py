"""Streams of a GPU beside the current one: for a step that is recorded, and for a batch that is read ahead.

torch has 32 streams on a GPU and hands them out in turn, so that two of them may be the same. Trainings that run at the
same time must not share one: cuBLAS keeps one workspace for each stream, and a recorded step goes on using it. `lane`
therefore says which ones a training takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

MOST_LANES = 10  # of three streams each


@dataclass(frozen=True)
class Streams:
    """What one training runs on, records on, and reads ahead on."""

    main: torch.cuda.Stream
    record: torch.cuda.Stream
    read: torch.cuda.Stream


_own: ContextVar[Streams | None] = ContextVar("streams", default=None)


def lanes(device: torch.device, number: int) -> list[Streams | None]:
    """Streams for so many trainings at a time (`MOST_LANES` at most), no two the same; None for each on a processor."""
    if device.type != "cuda":
        return [None] * number
    if number > MOST_LANES:
        raise ValueError(f"{number} lanes: there are streams for {MOST_LANES}")
    return [Streams(*(torch.cuda.Stream(device) for _ in range(3))) for _ in range(number)]


@contextmanager
def lane(streams: Streams | None, device: torch.device) -> Iterator[None]:
    """Run on these streams; on the current one without."""
    if streams is None:
        yield
        return
    before = _own.set(streams)
    try:
        with on(streams.main, device):
            yield
    finally:
        _own.reset(before)


@contextmanager
def on(stream: torch.cuda.Stream, device: torch.device) -> Iterator[None]:
    """On a stream of the device. By itself `torch.cuda.stream` also makes a context on the GPU that was current."""
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield


def to_record(device: torch.device) -> torch.cuda.Stream:
    """A stream for recordings."""
    own = _own.get()
    return torch.cuda.Stream(device) if own is None else own.record


def to_read(device: torch.device) -> torch.cuda.Stream:
    """A stream for copies to the device."""
    own = _own.get()
    return torch.cuda.Stream(device) if own is None else own.read
