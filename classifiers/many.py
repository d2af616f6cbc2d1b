"""Many trainings at once, each exactly as it would be alone: one process per core, or several to a GPU.

A small network leaves most of a machine idle: two threads don't halve its time, and a GPU waits for kernel launches.
Processes side by side fill it without touching the arithmetic (benchmarks/classifier_many.py compares the ways); a
cluster's machines do, too. Where they run is `scheduler`'s business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from classifiers import sharing
from classifiers.config import TrainConfig
from classifiers.device import resolve_device
from classifiers.errors import ClassifierError
from classifiers.files import read_weights
from classifiers.mps import given
from classifiers.parts import total_steps
from classifiers.prediction import WEIGHTS
from classifiers.probe import precision_of
from classifiers.samples import Samples, arrays_of, samples_of
from classifiers.scheduler import Died, Engine, Local, Place, Task, Tell, cores, opened, run
from classifiers.training import Advance, Progress, TrainResult, find_finished, silent, train

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
    once for all jobs of one kind. Each result is bit for bit what `train` gives alone at the same number of `threads`.
    cluster: a Dask scheduler's address, or local:N; none is this machine's processes. say: gets one line on how many
    trainings share a GPU, which a few steps of the largest one decide. When jobs fail, the others are
    finished first; then ClassifierError names the failures, and the same call again only does what is missing.

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
    asked, gpu = workers, not cluster and resolve_device(device).type == "cuda"
    if not cluster:
        workers = min(workers or _default_workers(device, threads), len(left))
    bar = nullcontext(silent) if progress is None else progress(f"train {len(jobs)} classifiers", sum(steps))
    with bar as advance:
        advance(sum(steps) - sum(steps[number] for number in left))
        tasks = []
        for number in left:
            job = jobs[number]
            settled = auto_precision or _settled(job, device, threads)
            hear = heard_steps(steps[number], advance)
            arrays = {**arrays_of("train", job.train), **arrays_of("val", job.val)}
            how = (job.config, list(job.class_names), job.seed, device, threads, resume, settled)
            tasks.append(Task(str(job.folder), _train, how, folders[number], arrays, hear, about=number))
        failures, bugs = dict[int, str](), list[Exception]()
        with opened(workers, threads, [folders[number] for number in left], cluster=cluster, gpu=gpu) as engine:
            if gpu:
                _share(engine, [jobs[number] for number in left], workers or 1, device, auto_precision, say, asked)
            for task, value in run(tasks, engine):
                if isinstance(value, ClassifierError):
                    failures[task.about] = f"{task.name}: {value.message}"
                elif isinstance(value, Died):
                    failures[task.about] = f"{task.name}: {value}"
                elif isinstance(value, Exception):
                    bugs.append(value)
                else:
                    found[task.about] = _result(jobs[task.about], value)
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


def _share(
    engine: Engine, jobs: Sequence[Job], most: int, device: str, precision: str | None, say: Callable[[str], None],
    asked: int | None,
) -> None:  # fmt: skip
    """Let no more trainings run at a time than fit into the GPUs' memory, and say so."""
    need, workers = None, most
    if isinstance(engine, Local) and asked is None and len(jobs) >= sharing.FEWEST:
        job = max(jobs, key=lambda job: job.config.batch_size)
        arrays = {**arrays_of("train", job.train), **arrays_of("val", job.val)}
        how = (job.config, list(job.class_names), device_of(0, device), precision)
        ((_, found),) = run([Task("memory", sharing.need_of, how, arrays=arrays)], engine)
        if isinstance(found, sharing.Need):  # what else there is to say, its training says
            need, workers = found, sharing.workers_for(found, most, 1 if ":" in device else torch.cuda.device_count())
            engine.limit(workers)
    say(sharing.in_words(workers, need, overlap=given() or (isinstance(engine, Local) and engine.overlaps)))


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


def _train(
    place: Place, config: TrainConfig, names: list[str], seed: int, device: str, threads: int, resume: bool,
    precision: str | None,
) -> tuple[int, float, list[str]]:  # fmt: skip
    """One training, where it runs: steps, seconds and notes. Everything else is in its folder."""
    steps, told = 0, float("-inf")

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal steps, told
        steps += n
        if note or time.monotonic() - told >= place.pace:
            told = time.monotonic()
            place.tell((steps, note))

    train_set, val_set = (samples_of(name, place.arrays) for name in ("train", "val"))
    own = device_of(place.worker, device)
    with with_threads(threads):
        result = train(
            config, train_set, val_set, names, place.folder, seed=seed, device=own,
            progress=lambda *_: nullcontext(advance), resume=resume, auto_precision=precision,
        )  # fmt: skip
    place.tell((steps, ""))
    return result.steps, result.seconds, result.notes


@contextmanager
def with_threads(number: int | None) -> Iterator[None]:
    """So many threads of torch's in the block; none: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_of(worker: int, device: str) -> str:
    """The device of a worker: with several GPUs each takes the next, where none was chosen by its number."""
    if resolve_device(device).type != "cuda" or ":" in device:
        return device
    return f"cuda:{worker % torch.cuda.device_count()}"


def _result(job: Job, said: tuple[int, float, list[str]]) -> TrainResult:
    folder = Path(job.folder)
    _, card = read_weights(folder / WEIGHTS)
    return TrainResult(folder, card, card["history"], *said)
