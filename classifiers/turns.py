"""Several trainings in one process, a step of each in turn; on a GPU each on streams of its own.

Small networks leave most of a GPU idle. A step recorded as a graph costs its process one launch, so one process keeps
many of them going, and their kernels run at the same time, without NVIDIA's MPS and with the libraries loaded once.
Each training takes the steps, seeds and batches that it takes alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Generic, TypeVar

import torch

from classifiers.memory import is_dead, let_go
from classifiers.streams import Streams, lane, lanes
from classifiers.training import alone

T = TypeVar("T")
Steps = Generator[None, None, T]


class _Lane(Generic[T]):
    """One training, its streams and its random numbers.

    A replayed graph reads the seed from its generator's memory on the device, which the next training's seed would
    overwrite too early: each has a state of its own behind torch's generator of that device.
    """

    def __init__(self, number: int, steps: Steps[T], device: torch.device, streams: Streams | None) -> None:
        self.number, self.streams, self._steps, self._device = number, streams, steps, device
        self._generator, self._random = None, torch.default_generator
        if streams is not None:
            self._generator = torch.cuda.default_generators[device.index or 0]
            self._random = self._generator.clone_state()

    def step(self) -> T | Exception | None:
        """The next step. The result at the end, or what went wrong; None while it goes on."""
        with self._set():
            try:
                next(self._steps)
            except StopIteration as end:
                result: T = end.value
                return result
            except Exception as error:
                if self.streams is not None:
                    with suppress(RuntimeError):  # of a GPU that answers no more
                        self.streams.main.synchronize()
                if not is_dead(error):  # what lies on such a GPU cannot be destroyed
                    let_go(error)
                return error
        return None

    def close(self) -> None:
        """End the training where it is."""
        with self._set():
            self._steps.close()

    @contextmanager
    def _set(self) -> Iterator[None]:
        with lane(self.streams, self._device):
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
    others go on. To be closed where it is not run to its end.
    """
    waiting, begun, free = deque(enumerate(trainings)), list[_Lane[T]](), lanes(device, at_once)
    with alone(device), ExitStack() as broken_off:
        while waiting or begun:
            while waiting and len(begun) < at_once:
                number, begin = waiting.popleft()
                begun.append(_Lane(number, begin(), device, free.pop()))
                broken_off.callback(begun[-1].close)
            ended: list[tuple[int, T | Exception]] = []
            for one in list(begun):
                result = one.step()
                if result is not None:
                    ended.append((one.number, result))
                    begun.remove(one)
                    free.append(one.streams)
            yield ended
