"""How several trainings share a GPU: how many at a time, and in one process or in several. Measured by a few steps.

Memory that runs out would split their batches, which changes what is learnt, and a process that launches kernels keeps
a core busy. Kernels of several trainings run at the same time on streams of one process (`turns`), or in several
processes with NVIDIA's MPS (`mps`); without it processes take turns on the GPU.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classifiers import recorder
from classifiers.config import TrainConfig
from classifiers.device import device_of, resolve_device
from classifiers.errors import ClassifierError
from classifiers.mps import given
from classifiers.samples import samples_of
from classifiers.scheduler import Engine, Local, Place, Task, run
from classifiers.streams import MOST_LANES
from classifiers.training import step_by_step, train
from classifiers.turns import rounds

STEPS = 8  # three plain ones, one that is recorded, and some to spare
FEWEST = 3  # trainings for which it is worth asking
CONTEXT = 1 << 30  # bytes that a process takes of a GPU before its first tensor, its libraries included: an allowance
SWITCH = "CLASSIFIERS_SHARING"  # streams or processes: not measured
LONG = 180.0  # seconds of one training after the other from which on it is worth measuring how they share
MARGIN = 1.15  # by which streams have to be faster: while one training validates, the others of its process wait
_WINDOW, _PATIENCE = 2.0, 120.0  # seconds: measured, and waited at most for the others to begin
_SPARE = 0.9  # of the free memory, which breaks into pieces
_ENOUGH = 1_000_000  # steps that no window reaches


@dataclass(frozen=True)
class Need:
    """Bytes of GPU memory that a training reserved at most, and those that were free before, its process apart; the
    seconds of a step."""

    taken: int
    free: int
    gpu: str
    step: float = 0.0


@dataclass(frozen=True)
class Example:
    """The training that is measured, which stands for all: one of those with the largest batch."""

    config: TrainConfig
    names: list[str]
    arrays: Mapping[str, np.ndarray]
    device: str
    precision: str | None

    def how(self) -> tuple[TrainConfig, list[str]]:
        """The first arguments of the tasks."""
        return self.config, self.names


def wanted() -> str:
    """The switch: "", streams or processes. ClassifierError for anything else."""
    said = os.environ.get(SWITCH, "")
    if said not in ("", "streams", "processes"):
        raise ClassifierError(f"{SWITCH}={said!r}: must be streams or processes; leave it out to have it measured")
    return said


def _brief(config: TrainConfig, steps: int) -> TrainConfig:
    """So many steps as most of the training's are, all of one kind: of full-size images, nothing frozen."""
    return replace(
        config, steps=steps, epochs=1, validations=1, tensorboard=False, progressive=0.0, freeze=0.0, refit=0.0,
        refit_on="all", patience=0, checkpoint_seconds=86_400.0, mixup=0.0, cutmix=0.0,
    )  # fmt: skip


def need_of(
    place: Place, config: TrainConfig, names: Sequence[str], device: str, precision: str | None
) -> Need:  # in a worker, as the training itself
    """What a training with these settings needs, by a few of its steps on its own images."""
    where = resolve_device(device)
    torch.cuda.init()
    free = torch.cuda.mem_get_info(where)[0]
    torch.cuda.reset_peak_memory_stats(where)
    with tempfile.TemporaryDirectory(prefix="ganfer-need-") as folder:
        train(
            _brief(config, STEPS), samples_of("train", place.arrays), samples_of("val", place.arrays), names,
            Path(folder), device=device, resume=False, auto_precision=precision,
        )  # fmt: skip
    taken = torch.cuda.max_memory_reserved(where)
    pace = pace_of(place, config, names, device, precision, 1)
    return Need(taken, free + CONTEXT, torch.cuda.get_device_name(where), 1 / pace)


def pace_of(
    place: Place, config: TrainConfig, names: Sequence[str], device: str, precision: str | None, together: int,
    meeting: Path | None = None, others: int = 0,
) -> float:  # fmt: skip
    """Steps a second of `together` such trainings in turns in this process, validation apart.

    meeting: a folder where it waits, once it is warm, until `others` processes beside it are warm, too.
    """
    where = resolve_device(device)
    train_set, val_set = (samples_of(name, place.arrays) for name in ("train", "val"))
    with tempfile.TemporaryDirectory(prefix="ganfer-pace-") as folder, _met(meeting, others) as meet:
        each = [
            lambda number=number: step_by_step(
                _brief(config, _ENOUGH), train_set, val_set, names, Path(folder) / str(number), seed=number,
                device=device, resume=False, auto_precision=precision,
            )
            for number in range(together)
        ]  # fmt: skip
        try:
            with closing(rounds(each, where, together)) as turns:
                for _ in range(2 * recorder.WARM_UP):
                    if failed := [error for _, error in next(turns) if isinstance(error, Exception)]:
                        raise failed[0]
                meet()
                torch.cuda.synchronize(where)
                began, done = time.monotonic(), 0
                while time.monotonic() < began + _WINDOW:
                    next(turns)
                    done += together
                torch.cuda.synchronize(where)
                return done / (time.monotonic() - began)
        finally:
            gc.collect()
            torch.cuda.empty_cache()  # the next ones are to find it free


@contextmanager
def _met(folder: Path | None, others: int) -> Iterator[Callable[[], None]]:
    """A function that waits until as many others are here, too; not for ever, as one may have died.

    Who fails is here as well, so that nobody waits for it.
    """
    mark = None if folder is None else folder / str(os.getpid())

    def meet() -> None:
        if folder is None or mark is None:
            return
        mark.touch()
        until = time.monotonic() + _PATIENCE
        while len(list(folder.iterdir())) <= others and time.monotonic() < until:
            time.sleep(0.01)

    try:
        yield meet
    finally:
        if mark is not None and mark.parent.is_dir():
            mark.touch()


def settle(
    engine: Engine, example: Example, number: int, steps: int, most: int, say: Callable[[str], None], *, measure: bool
) -> int:
    """How many of `number` trainings, of `steps` steps together, take turns in one process: 1 where each has its own.

    The engine, which has `most` workers, is left with as many as are worth while, and `say` gets a line on what was
    chosen. measure: memory and, of long trainings, paces are measured first.
    """
    way = wanted()
    apart = "mps" if given() or (isinstance(engine, Local) and engine.overlaps) else "processes"
    need: Any = None
    if measure and isinstance(engine, Local) and number >= FEWEST:
        how = (*example.how(), device_of(0, example.device), example.precision)
        ((_, need),) = run([Task("memory", need_of, how, arrays=example.arrays)], engine)
    if not isinstance(engine, Local) or not isinstance(need, Need):  # what is wrong with it, its training says
        if isinstance(engine, Local):
            engine.limit(most)
        say(in_words(most, None, apart))
        return 1
    places = gpus(example.device)
    workers, streams = workers_for(need, most, places), streams_for(need, number, places)
    together, paces = -(-streams // places), list[float]()
    if not way and together > 1 and need.step * steps >= LONG and recorder.wanted(resolve_device(example.device)):
        paces = [_pace(engine, example, *how) for how in ((places, together), (workers, 1))]
        way = "streams" if paces[0] > MARGIN * paces[1] else "processes"
    if way == "streams" and together > 1:
        engine.limit(places)
        say(in_words(streams, need, way, paces))
        return together
    engine.limit(workers)
    say(in_words(workers, need, apart, paces))
    return 1


def _pace(engine: Engine, example: Example, processes: int, together: int) -> float:
    """Steps a second of so many processes, all at the same time, with so many trainings each; 0 where they fail."""
    with tempfile.TemporaryDirectory(prefix="ganfer-meeting-") as meeting:
        tasks = [
            Task(
                "pace", pace_of, (*example.how(), device_of(worker, example.device), example.precision, together,
                                  Path(meeting), min(processes, engine.slots()) - 1), arrays=example.arrays,
            )
            for worker in range(processes)
        ]  # fmt: skip
        found = [pace for _, pace in run(tasks, engine, retries=0)]
        return sum(found) if all(isinstance(pace, float) for pace in found) else 0.0


def gpus(device: str) -> int:
    """The GPUs that trainings on this device are spread over."""
    return 1 if ":" in device else torch.cuda.device_count()


def workers_for(need: Need, most: int, gpus: int) -> int:
    """As many trainings at a time, each in a process, as fit on all GPUs, one at least."""
    each = max(1, int(_SPARE * need.free) // (need.taken + CONTEXT))
    return max(1, min(most, each * gpus))


def streams_for(need: Need, most: int, gpus: int) -> int:
    """The same for trainings in one process for each GPU, whose libraries are there once."""
    each = min(MOST_LANES, max(1, (int(_SPARE * need.free) - CONTEXT) // need.taken))
    return max(1, min(most, each * gpus))


def in_words(number: int, need: Need | None, how: str, paces: Sequence[float] = ()) -> str:
    """One line on what was chosen: streams, processes (that take turns) or MPS; paces: of streams and of processes."""
    ways = {
        "streams": "in turns in one process, each on a stream of its own",
        "processes": "taking turns on it",
        "mps": "at the same time, by NVIDIA's MPS",
    }
    said = "one after the other" if number == 1 else ways[how]
    room = f" of {need.gpu}; each takes {need.taken / 1e9:.1f} of {need.free / 1e9:.1f} GB" if need else ""
    measured = "" if not paces else f" ({paces[0]:,.0f} steps a second on streams, {paces[1]:,.0f} in processes)"
    return f"{number} training{'s' * (number > 1)} at a time on the GPU{room}: {said}{measured}."
