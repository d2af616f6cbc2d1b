"""Decoding on several processes: the same as on one, in order, bounded, and alive after a worker's death."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from making_sources import png

from ganfer.data import decode_many
from ganfer.data.decode import Decoded, Target, Task, decode_chunk
from ganfer.data.decode_many import decode_items
from ganfer.data.sources.items import Item

TARGET = Target(20, 1)
FATAL = b"kill this worker"


def items(count: int, fatal: tuple[int, ...] = ()) -> Iterator[Item]:
    image = [png(k) for k in range(7)]
    for i in range(count):
        yield Item(str(i), "x", FATAL if i in fatal else image[i % 7])


def crashing(tasks: list[Task], target: Target) -> Decoded:
    """What a decoder with a fatal bug does."""
    if any(task.data == FATAL for task in tasks):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode_chunk(tasks, target)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_many, "_SMALL_IMAGES", 10)
    monkeypatch.setattr(decode_many, "CHUNK_IMAGES", 8)


@pytest.mark.usefixtures("small")
def test_two_workers_give_what_one_gives_in_the_same_order() -> None:
    alone = list(decode_items(items(50), TARGET, workers=1))
    together = list(decode_items(items(50), TARGET, workers=2))
    for one, two in zip(alone, together, strict=True):
        assert [item.id for item in one[0]] == [item.id for item in two[0]]
        assert np.array_equal(one[1].pixels, two[1].pixels)
    assert [item.id for batch in together for item in batch[0]] == [str(i) for i in range(50)]


@pytest.mark.usefixtures("small")
def test_an_image_that_kills_its_worker_is_skipped_and_all_others_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_many, "CHUNK_IMAGES", 4)
    monkeypatch.setattr(decode_many, "decode_chunk", crashing)
    reasons = [r for _, decoded in decode_items(items(22, fatal=(13,)), TARGET, workers=2) for r in decoded.reasons]
    assert [i for i, reason in enumerate(reasons) if reason] == [13]
    assert len(reasons) == 22
    assert set(reasons) == {"", "crashes the decoder"}


@pytest.mark.usefixtures("small")
def test_the_source_is_read_no_further_than_a_few_chunks_ahead() -> None:
    read = 0

    def counting() -> Iterator[Item]:
        nonlocal read
        for item in items(500):
            read += 1
            yield item

    batches = decode_items(counting(), TARGET, workers=2)
    next(batches)
    assert read <= 8 * (2 + 3)
    batches.close()  # type: ignore[attr-defined]


def test_chunks_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_many, "CHUNK_BYTES", 3 * len(png(0)))
    assert max(len(batch) for batch, _ in decode_items(items(20), TARGET, workers=1)) <= 4


def test_a_few_heavy_images_go_to_the_workers_and_a_few_light_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(decode_many, "_parallel", lambda chunks, target, workers: used.append(workers) or chunks)
    list(decode_items(items(20), TARGET, workers=2))
    assert used == []
    monkeypatch.setattr(decode_many, "_SMALL_BYTES", 10 * len(png(0)))
    assert sum(len(chunk) for chunk in decode_items(items(20), TARGET, workers=2)) == 20
    assert used == [2]


def test_workers_of_a_killed_import_end_too(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os\n"
        "from classifiers.scheduler import Local, Task, run\n"
        "def sleep(place):\n"
        "    import os, time\n"
        "    place.tell(os.getpid())\n"
        "    time.sleep(60)\n"
        "list(run([Task('sleep', sleep, hear=lambda pid: print(pid, flush=True))], Local(2)))\n"
    )
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
