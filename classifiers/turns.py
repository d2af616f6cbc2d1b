"""Several trainings in one process, a step of each in turn; on a GPU each on a stream of its own.

Small networks leave most of a GPU idle. A step recorded as a graph costs its process one launch, so one process keeps
many of them going, and their kernels run at the same time, without NVIDIA's MPS and with the libraries loaded once.
The arithmetic of each training is what it is alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Generic, TypeVar

import torch

from classifiers.training import alone

T = TypeVar("T")
Steps = Generator[None, None, T]


class _Lane(Generic[T]):
    """One training, its stream and its random numbers.

    A replayed graph reads the seed from its generator's memory on the device, which the next training's seed would
    overwrite too early: each has a state of its own behind torch's generator of that device.
    """

    def __init__(self, number: int, steps: Steps[T], device: torch.device, stream: torch.cuda.Stream | None) -> None:
        self.number, self._steps, self.stream = number, steps, stream
        self._generator, self._random = None, torch.default_generator
        if stream is not None:
            self._generator = torch.cuda.default_generators[device.index or 0]
            self._random = self._generator.clone_state()

    def step(self) -> None:
        """The next step; StopIteration with the result, or what went wrong."""
        with self._set():
            next(self._steps)

    def close(self) -> None:
        """End the training where it is."""
        with self._set():
            self._steps.close()

    @contextmanager
    def _set(self) -> Iterator[None]:
        on: AbstractContextManager[object] = nullcontext() if self.stream is None else torch.cuda.stream(self.stream)
        with on:
            if self._generator is None:
                yield
                return
            before = self._generator.graphsafe_get_state()
            self._generator.graphsafe_set_state(self._random)
            try:
                yield
            finally:
                self._random = self._generator.graphsafe_get_state()
                self._generator.graphsafe_set_state(before)


def rounds(
    trainings: Sequence[Callable[[], Steps[T]]], device: torch.device, at_once: int
) -> Generator[list[tuple[int, T | Exception]], None, None]:
    """Trainings as `step_by_step` makes them, a step of each in every round, at most `at_once` begun and not ended.

    Gives after every round those that ended with it: their numbers, with their results or with what they raised. The
    others go on.
    """
    waiting, lanes = deque(enumerate(trainings)), list[_Lane[T]]()
    # a stream that is free again is taken again: what was freed on it is kept for it alone
    streams = [torch.cuda.Stream(device) if device.type == "cuda" else None for _ in range(at_once)]
    with alone(device):
        try:
            while waiting or lanes:
                while waiting and len(lanes) < at_once:
                    number, begin = waiting.popleft()
                    lanes.append(_Lane(number, begin(), device, streams.pop()))
                ended: list[tuple[int, T | Exception]] = []
                for lane in list(lanes):
                    try:
                        lane.step()
                        continue
                    except StopIteration as end:
                        ended.append((lane.number, end.value))
                    except Exception as error:
                        ended.append((lane.number, error))
                    lanes.remove(lane)
                    streams.append(lane.stream)
                yield ended
        finally:
            for lane in lanes:  # broken off
                lane.close()
