"""Many trainings at once, each exactly as it would be alone: one process per core, or several to a GPU.

A small network leaves most of a machine idle: two threads don't halve its time, and a GPU waits for kernel launches.
Processes side by side fill it without touching the arithmetic (benchmarks/classifier_many.py compares the ways), and on
a GPU one process that gives each training a stream (`turns`); a cluster's machines do, too. Where they run is
`scheduler`'s business, how they share a GPU `sharing`'s.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from classifiers import sharing
from classifiers.config import TrainConfig
from classifiers.device import device_of, resolve_device
from classifiers.errors import ClassifierError
from classifiers.files import read_weights
from classifiers.memory import is_dead
from classifiers.parts import total_steps
from classifiers.prediction import WEIGHTS
from classifiers.probe import precision_of
from classifiers.samples import Samples, arrays_of, samples_of
from classifiers.scheduler import Died, Place, Task, Tell, cores, opened, run
from classifiers.start import placed
from classifiers.tasks import end_if_dead
from classifiers.training import Advance, Progress, TrainResult, find_finished, silent, step_by_step
from classifiers.turns import rounds

log = logging.getLogger("classifiers")

_WORKERS_PER_GPU = 10


@dataclass(frozen=True)
class Job:
    """One training, as `train` takes it. Jobs that share arrays share them in memory, too."""

    config: TrainConfig
    train: Samples
    val: Samples
    class_names: Sequence[str]
    folder: str | Path
    seed: int = 0


def train_many(
    jobs: Sequence[Job],
    *,
    device: str = "auto",
    workers: int | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    resume: bool = True,
    auto_precision: str | None = None,
    cluster: str = "",
    say: Callable[[str], None] = log.info,
) -> list[TrainResult]:
    """`train` every job, `workers` at a time (none: as many as measure well); results in the jobs' order.

    auto_precision: what precision "auto" comes to; none is what a finished one of the jobs had, else what is measured
    once for all jobs of one kind. Each result is what `train` gives alone: the same steps, seeds and batches; on a CPU
    bit for bit, at the same number of `threads`.
    cluster: a Dask scheduler's address, or local:N; none is this machine's processes. say: gets one line on how many
    trainings share a GPU, and how, which a few steps of the largest one decide (`sharing`). When jobs fail, the others
    are finished first; then ClassifierError names the failures, and the same call again only does what is missing.

    Example: `train_many([Job(config, faces, val_faces, names, f"run-{seed}", seed) for seed in range(3)])`.
    """
    folders = [Path(job.folder).resolve() for job in jobs]
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if folders.count(folder) > 1)
        raise ClassifierError(f"{twice}: two trainings want this folder; give each its own")
    found = [_found(job) if resume else None for job in jobs]
    left = [number for number, result in enumerate(found) if result is None]
    if not left:
        return [result for result in found if result is not None]
    steps = [total_steps(job.config, max(1, len(job.train))) for job in jobs]
    done = next((r.card for r in found if r is not None and r.card["config"].get("precision") == "auto"), None)
    if auto_precision is None and done is not None and str(done.get("device", "")).startswith("cpu"):
        auto_precision = str(done.get("precision", "32-true"))
    gpu = not cluster and resolve_device(device).type == "cuda"
    measure = gpu and workers is None and len(left) >= sharing.FEWEST
    slots = max(2, sharing.gpus(device)) if measure else 1  # workers to measure with
    if not cluster:
        workers = min(workers or _default_workers(device, threads), len(left))
    bar = nullcontext(silent) if progress is None else progress(f"train {len(jobs)} classifiers", sum(steps))
    with bar as advance:
        total = sum(steps[number] for number in left)
        advance(sum(steps) - total)
        failures, bugs = dict[int, str](), list[Exception]()
        beside = [folders[number] for number in left]
        with opened(
            max(slots, workers or 1) if measure else workers, threads, beside, cluster=cluster, gpu=gpu
        ) as engine:
            groups, at_once = [[number] for number in left], 1
            if gpu:
                largest = max((jobs[number] for number in left), key=lambda job: job.config.batch_size)
                arrays = arrays_of("train", largest.train) | arrays_of("val", largest.val)
                example = sharing.Example(largest.config, list(largest.class_names), arrays, device, auto_precision)
                at_once = sharing.settle(engine, example, len(left), total, workers or 1, say, measure=measure)
                groups = dealt(left, steps, sharing.gpus(device)) if at_once > 1 else groups

            def task(group: list[int]) -> Task:
                parts = [_part(jobs[n], folders[n], device, threads, auto_precision, bool(cluster)) for n in group]
                hear = partial(_hear, [heard_steps(steps[number], advance) for number in group])
                arrays: dict[str, np.ndarray] = {}
                for place, number in enumerate(group):
                    arrays |= arrays_of(f"train-{place}", jobs[number].train)
                    arrays |= arrays_of(f"val-{place}", jobs[number].val)
                how = (parts, device, threads, resume, at_once)
                return Task(str(jobs[group[0]].folder), _train, how, folders[group[0]], arrays, hear, about=group)

            for each, values in run([task(group) for group in groups], engine):
                for place, number in enumerate(each.about):
                    value = values if isinstance(values, Exception) else values[place]
                    if isinstance(value, Died) and resume and (done_before := _found(jobs[number])):
                        found[number] = done_before  # it had ended when another of its process's brought that down
                        continue
                    if isinstance(value, ClassifierError | Died):
                        said = value.message if isinstance(value, ClassifierError) else value.advised
                        failures[number] = f"{jobs[number].folder}: {said}"
                    elif isinstance(value, Exception):
                        bugs.append(value)
                    else:
                        found[number] = _result(jobs[number], value)
    if bugs:
        raise bugs[0]
    if failures:
        raise ClassifierError(
            f"{len(failures)} of {len(left)} trainings failed (the others are done and will be found): "
            + "; ".join(failures[number] for number in sorted(failures))
        )
    return [result for result in found if result is not None]


def _found(job: Job) -> TrainResult | None:
    """The job's result when its folder holds it; bad input is left for the training itself to refuse."""
    with suppress(ClassifierError):
        return find_finished(job.config, job.train, job.val, job.class_names, job.folder, seed=job.seed)
    return None


def _default_workers(device: str, threads: int) -> int:
    """A process per core on the CPU; with GPUs ten each, as far as there is a core for each to launch kernels with."""
    if resolve_device(device).type != "cuda":
        return max(1, cores() // threads)
    return max(1, min(_WORKERS_PER_GPU * torch.cuda.device_count(), cores() - 2))


def dealt(numbers: Sequence[int], steps: Sequence[int], groups: int) -> list[list[int]]:
    """The trainings in so many groups of about equal length, the longest first."""
    found: list[list[int]] = [[] for _ in range(min(groups, len(numbers)))]
    for number in sorted(numbers, key=lambda number: -steps[number]):
        min(found, key=lambda group: sum(steps[n] for n in group)).append(number)
    return found


def _settled(job: Job, device: str, threads: int) -> str | None:
    """What precision "auto" comes to for this job, measured at the threads it will have; bad input is refused later."""
    place = resolve_device(device)
    if job.config.precision != "auto" or place.type != "cpu" or job.train.images.ndim != 4:
        return None
    with with_threads(threads):
        shape = (max(1, len(job.train)), *job.train.images.shape[1:3])
        return precision_of(job.config, shape, len(job.class_names), place)


def heard_steps(steps: int, advance: Advance) -> Tell:
    """Moves the bar by what a training says: its steps so far, which after a worker's death are fewer again."""
    last = 0

    def hear(said: tuple[int, str]) -> None:
        nonlocal last
        advance(min(said[0], steps) - last, note=said[1])
        last = min(said[0], steps)

    return hear


@dataclass(frozen=True)
class _Part:
    """A training as it travels; its images travel apart. precision: what "auto" comes to."""

    config: TrainConfig
    names: list[str]
    seed: int
    folder: Path
    precision: str | None


def _part(job: Job, folder: Path, device: str, threads: int, precision: str | None, cluster: bool) -> _Part:
    config = placed(job.config) if cluster else job.config
    return _Part(config, list(job.class_names), job.seed, folder, precision or _settled(job, device, threads))


def _hear(hears: Sequence[Tell], said: tuple[int, int, str]) -> None:
    hears[said[0]](said[1:])


_Said = tuple[int, float, list[str]]  # steps, seconds and notes of a training; everything else is in its folder


def _train(
    place: Place, parts: Sequence[_Part], device: str, threads: int, resume: bool, at_once: int
) -> list[_Said | ClassifierError]:
    """Trainings, where they run: one, or several `at_once` in turns."""
    own = device_of(place.worker, device)
    counts, told = [0] * len(parts), [float("-inf")] * len(parts)

    def begun(number: int) -> Generator[None, None, TrainResult]:
        def advance(n: int = 1, note: str = "") -> None:
            counts[number] += n
            if note or time.monotonic() - told[number] >= place.pace:
                told[number] = time.monotonic()
                place.tell((number, counts[number], note))

        part = parts[number]
        train_set, val_set = (samples_of(f"{name}-{number}", place.arrays) for name in ("train", "val"))
        return step_by_step(
            part.config, train_set, val_set, part.names, part.folder if len(parts) > 1 else place.folder,
            seed=part.seed, device=own, progress=lambda *_: nullcontext(advance), resume=resume,
            auto_precision=part.precision,
        )  # fmt: skip

    found: dict[int, _Said | ClassifierError] = {}
    failed: list[Exception] = []
    with with_threads(threads):
        trainings = [partial(begun, number) for number in range(len(parts))]
        with closing(rounds(trainings, resolve_device(own), at_once)) as turns:
            for number, result in chain.from_iterable(turns):
                if isinstance(result, TrainResult):
                    place.tell((number, result.steps, ""))
                    found[number] = result.steps, result.seconds, result.notes
                    continue
                if at_once > 1:
                    end_if_dead(result)  # at once: the others go on in the next process
                if isinstance(result, ClassifierError) and len(parts) > 1 and not is_dead(result):
                    found[number] = result
                else:
                    failed.append(result)
    if failed:  # with its traceback
        raise failed[0]
    return [found[number] for number in range(len(parts))]


@contextmanager
def with_threads(number: int | None) -> Iterator[None]:
    """So many threads of torch's in the block; none: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _result(job: Job, said: _Said) -> TrainResult:
    folder = Path(job.folder)
    _, card = read_weights(folder / WEIGHTS)
    return TrainResult(folder, card, card["history"], *said)
