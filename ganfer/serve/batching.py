"""Dynamic batching: items of many callers go through one function together, within a latency budget and a bound.

While one batch is computed the next one gathers, so a busy server fills its batches by itself. An idle one waits, at
most `max_wait` seconds, and only while other requests are known to be on their way.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ganfer.serve.errors import Busy, Refused

T = TypeVar("T")
R = TypeVar("R")

_LONGEST_WAIT = 60  # seconds a client is asked to stay away at most
_MEMORY = 0.8  # share of the old rate in the moving average


@dataclass(eq=False)
class _Job(Generic[T, R]):
    """One caller's items: `taken` of them are in a batch, `results` are done."""

    items: Sequence[T]
    future: asyncio.Future[list[R]]
    arrived: float
    taken: int = 0
    results: list[R] = field(default_factory=list)


class Batcher(Generic[T, R]):
    """Runs `function` on one thread of its own, over at most `max_batch` items at a time, first come first served."""

    def __init__(
        self,
        function: Callable[[list[T]], Sequence[R]],
        *,
        max_batch: int,
        max_wait: float,
        max_queued: int,
        arriving: Callable[[], int] = lambda: 0,
        observe: Callable[[int, float], None] = lambda items, seconds: None,
        name: str = "batch",
    ) -> None:
        """max_queued: items waiting at most. arriving: requests on their way that have not submitted yet.

        observe: is told each batch's items and seconds.
        """
        self.max_batch, self.max_wait, self.max_queued = max_batch, max_wait, max_queued
        self._function, self._arriving, self._observe = function, arriving, observe
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._jobs: deque[_Job[T, R]] = deque()
        self._queued = 0
        self._rate = 0.0  # items per second, a moving average
        self._wake = asyncio.Event()
        self._closing = False
        self._worker: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Items that wait."""
        return self._queued

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def prepare(self, function: Callable[[], None]) -> None:
        """Do this in the thread that is to work; where it fails, the thread ends."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def submit(self, items: Sequence[T]) -> list[R]:
        """The results of `items`, in order. Busy when the queue has no room; Refused (413) for more than it ever has.

        A caller that is cancelled leaves the queue.
        """
        if self._closing:
            raise Refused(503, "The server is stopping.", retry_after=5)
        if not items:
            return []
        self.check_count(len(items))
        if self._queued + len(items) > self.max_queued:
            raise Busy(f"{self._queued} images wait already, the limit is {self.max_queued}.", self.retry_after())
        loop = asyncio.get_running_loop()
        job: _Job[T, R] = _Job(items, loop.create_future(), loop.time())
        self._jobs.append(job)
        self._queued += len(items)
        self._wake.set()
        try:
            return await job.future
        finally:
            self._forget(job)

    def check_count(self, items: int) -> None:
        """Refused (413) for more items than the queue ever holds."""
        if items > self.max_queued:
            raise Refused(413, f"{items} images in one request; the limit is {self.max_queued}. Send fewer.")

    def retry_after(self) -> int:
        """Whole seconds until what waits now is done, from the rate so far."""
        seconds = self._queued / self._rate if self._rate else 1.0
        return min(_LONGEST_WAIT, max(1, math.ceil(seconds)))

    def nudge(self) -> None:
        """Look again whether anybody is still on the way."""
        self._wake.set()

    async def close(self) -> None:
        """Take no more, finish what waits, end the thread."""
        self._closing = True
        self._wake.set()
        if self._worker is not None:
            await self._worker
        self._thread.shutdown(wait=True)

    def _forget(self, job: _Job[T, R]) -> None:
        """Take what is left of a job out of the queue: its caller went away, or its batch failed."""
        left = len(job.items) - job.taken
        if left:
            self._queued -= left
            job.taken = len(job.items)
            self._jobs.remove(job)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._jobs:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            await self._gather()
            parts = self._take()
            items = [item for job, start, stop in parts for item in job.items[start:stop]]
            if not items:
                continue
            began = loop.time()
            try:
                results = list(await loop.run_in_executor(self._thread, self._function, items))
                if len(results) != len(items):
                    raise RuntimeError(f"{len(results)} results for {len(items)} items")
            except Exception as error:  # whatever the model raised belongs to the callers of this batch
                for job, _, _ in parts:
                    _settle(job, error)
                continue
            seconds = max(loop.time() - began, 1e-6)
            rate = len(items) / seconds
            self._rate = _MEMORY * self._rate + (1 - _MEMORY) * rate if self._rate else rate
            self._observe(len(items), seconds)
            self._hand_out(parts, results)

    async def _gather(self) -> None:
        """Wait for more items as long as it pays: room in the batch, time left, somebody on the way."""
        loop = asyncio.get_running_loop()
        while self._jobs and self._queued < self.max_batch and self._arriving() > 0 and not self._closing:
            left = self._jobs[0].arrived + self.max_wait - loop.time()
            if left <= 0:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _take(self) -> list[tuple[_Job[T, R], int, int]]:
        """The next batch: (job, start, stop) of its items; a large job is spread over several batches."""
        parts = []
        room = self.max_batch
        while self._jobs and room:
            job = self._jobs[0]
            start, stop = job.taken, min(job.taken + room, len(job.items))
            job.taken = stop
            room -= stop - start
            self._queued -= stop - start
            parts.append((job, start, stop))
            if stop == len(job.items):
                self._jobs.popleft()
        return parts

    @staticmethod
    def _hand_out(parts: list[tuple[_Job[T, R], int, int]], results: list[R]) -> None:
        at = 0
        for job, start, stop in parts:
            job.results += results[at : at + stop - start]
            at += stop - start
            if len(job.results) == len(job.items) and not job.future.done():
                job.future.set_result(job.results)


def _settle(job: _Job[T, R], error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
