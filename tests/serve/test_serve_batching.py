"""Batches across callers: together, in order, within the bounds."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from ganfer.serve.batching import Batcher
from ganfer.serve.errors import Busy, Refused


def squares(items: Sequence[int]) -> list[int]:
    return [item * item for item in items]


def test_callers_share_a_batch_and_each_gets_its_own_results() -> None:
    sizes: list[int] = []

    async def story() -> None:
        batcher = Batcher(
            squares, max_batch=8, max_wait=0.0, max_queued=100, observe=lambda items, seconds: sizes.append(items)
        )
        calls = [batcher.submit(list(range(start, start + 3))) for start in (0, 10, 20)]
        waiting = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)  # all three are in the queue before anybody works
        batcher.start()
        assert await asyncio.gather(*waiting) == [[0, 1, 4], [100, 121, 144], [400, 441, 484]]
        await batcher.close()

    asyncio.run(story())
    assert sizes == [8, 1]  # full, then what was left of the third caller


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def story() -> None:
        batcher = Batcher(squares, max_batch=4, max_wait=0.0, max_queued=4)
        first = asyncio.ensure_future(batcher.submit([1, 2, 3]))
        await asyncio.sleep(0)
        with pytest.raises(Busy) as caught:
            await batcher.submit([4, 5])
        assert caught.value.status == 429
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 1
        with pytest.raises(Refused, match="limit is 4") as too_many:
            await batcher.submit([1, 2, 3, 4, 5])
        assert too_many.value.status == 413
        batcher.start()
        assert await first == [1, 4, 9]
        assert await batcher.submit([4, 5]) == [16, 25]
        await batcher.close()

    asyncio.run(story())


def test_waits_for_those_on_their_way_but_not_longer_than_the_budget() -> None:
    sizes: list[int] = []
    arriving = 1

    async def story() -> None:
        nonlocal arriving
        batcher = Batcher(
            squares, max_batch=8, max_wait=30.0, max_queued=100, arriving=lambda: arriving,
            observe=lambda items, seconds: sizes.append(items),
        )  # fmt: skip
        batcher.start()
        first = asyncio.ensure_future(batcher.submit([1]))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not first.done()
        arriving = 0
        assert await asyncio.gather(first, batcher.submit([2])) == [[1], [4]]
        assert sizes == [2]
        arriving = 1
        batcher.max_wait = 0.0  # nobody comes, and the budget is spent at once
        assert await batcher.submit([3]) == [9]
        await batcher.close()

    asyncio.run(story())


def test_who_goes_away_leaves_the_queue() -> None:
    seen: list[int] = []

    def watch(items: Sequence[int]) -> list[int]:
        seen.extend(items)
        return list(items)

    async def story() -> None:
        batcher = Batcher(watch, max_batch=8, max_wait=0.0, max_queued=4)
        gone = asyncio.ensure_future(batcher.submit([1, 2, 3]))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert batcher.queued == 0
        batcher.start()
        assert await batcher.submit([7, 8]) == [7, 8]
        await batcher.close()

    asyncio.run(story())
    assert seen == [7, 8]


def test_a_failure_reaches_its_callers_and_the_next_batch_works() -> None:
    def picky(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise RuntimeError("thirteen")
        return list(items)

    async def story() -> None:
        batcher = Batcher(picky, max_batch=2, max_wait=0.0, max_queued=100)
        batcher.start()
        with pytest.raises(RuntimeError, match="thirteen"):
            await batcher.submit([1, 13, 2, 3, 4])  # spread over three batches; the rest of them is dropped
        assert batcher.queued == 0
        assert await batcher.submit([5]) == [5]
        short = Batcher(lambda items: [], max_batch=2, max_wait=0.0, max_queued=9)
        short.start()
        with pytest.raises(RuntimeError, match="0 results for 1 items"):
            await short.submit([1])
        await batcher.close()
        await short.close()

    asyncio.run(story())


def test_closing_finishes_what_waits_and_takes_no_more() -> None:
    release = threading.Event()

    def slow(items: Sequence[int]) -> list[int]:
        release.wait(60)
        return list(items)

    async def story() -> None:
        batcher = Batcher(slow, max_batch=1, max_wait=0.0, max_queued=100)
        batcher.start()
        waiting = [asyncio.ensure_future(batcher.submit([i])) for i in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="stopping"):
            await batcher.submit([9])
        release.set()
        assert await asyncio.gather(*waiting) == [[0], [1], [2]]
        await closing

    asyncio.run(story())
