"""Many trainings at once, each exactly as it would be alone: one process per core, or several to a GPU.

A small network leaves most of a machine idle: two threads don't halve its time, and a GPU waits for kernel launches.
Processes side by side fill it without touching the arithmetic (benchmarks/classifier_many.py compares the ways).
"""

from __future__ import annotations

import json
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classifiers.config import TrainConfig
from classifiers.device import resolve_device
from classifiers.errors import ClassifierError, StorageError
from classifiers.files import read_weights
from classifiers.mps import overlapping
from classifiers.parts import total_steps
from classifiers.prediction import WEIGHTS
from classifiers.probe import precision_of
from classifiers.samples import Samples
from classifiers.training import Advance, Progress, TrainResult, find_finished, silent, train

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
) -> list[TrainResult]:
    """`train` every job, `workers` at a time (none: as many as measure well); results in the jobs' order.

    auto_precision: what precision "auto" comes to; none is what a finished one of the jobs had, else what is measured
    once for all jobs of one kind. Each result is bit for bit what `train` gives alone at the same number of `threads`.
    When jobs fail, the others are finished first; then ClassifierError names the failures, and the same call again only
    does what is missing.

    Example: `train_many([Job(config, faces, val_faces, names, f"run-{seed}", seed) for seed in range(3)])`.
    """
    folders = [Path(job.folder).resolve() for job in jobs]
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if folders.count(folder) > 1)
        raise ClassifierError(f"{twice}: two trainings want this folder; give each its own")
    found = [_found(job) if resume else None for job in jobs]
    left = [number for number, result in enumerate(found) if result is None]
    workers = min(workers or _default_workers(device, threads), len(left))
    steps = [total_steps(job.config, max(1, len(job.train))) for job in jobs]
    bar = nullcontext(silent) if progress is None else progress(f"train {len(jobs)} classifiers", sum(steps))
    with bar as advance:
        advance(sum(steps) - sum(steps[number] for number in left))
        todo = [jobs[number] for number in left]
        done = next((r.card for r in found if r is not None and r.card["config"].get("precision") == "auto"), None)
        if auto_precision is None and done is not None and str(done.get("device", "")).startswith("cpu"):
            auto_precision = str(done.get("precision", "32-true"))
        precisions = [auto_precision or _settled(job, device, threads) for job in todo]
        if workers <= 1:
            fresh = _one_by_one(todo, precisions, device, threads, advance, resume)
        else:
            gpu = resolve_device(device).type == "cuda"
            with _scratch(folders) as scratch, overlapping(workers * gpu) as shared:
                described = _described(todo, precisions, device, resume, scratch)
                fresh = _side_by_side(described, todo, workers, threads, advance, shared)
    results = dict(zip(left, fresh, strict=True))
    return [result or results[number] for number, result in enumerate(found)]


@contextmanager
def _scratch(folders: Sequence[Path]) -> Iterator[Path]:
    """A folder for the arrays that workers map, beside the trainings: a system's /tmp is often small, or memory.

    Its name says whose it is, so that what a killed process left there goes before the next one begins.
    """
    place = Path(os.path.commonpath([folder.parent for folder in folders]))
    try:
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob(".arrays-*"):
            host, _, pid = left.name.removeprefix(".arrays-").rpartition("-")[0].rpartition("-")
            if host == platform.node() and pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".arrays-{platform.node()}-{os.getpid()}-", dir=place) as scratch:
            yield Path(scratch)
    except OSError as error:
        reason = error.strerror or "no space left"  # NumPy's own error of a short write says nothing more
        raise StorageError(f"{place}: the arrays for the workers cannot be written ({reason})") from error


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _found(job: Job) -> TrainResult | None:
    """The job's result when its folder holds it; bad input is left for the training itself to refuse."""
    with suppress(ClassifierError):
        return find_finished(job.config, job.train, job.val, job.class_names, job.folder, seed=job.seed)
    return None


def _default_workers(device: str, threads: int) -> int:
    """A process per core on the CPU; with GPUs ten each, as far as there is a core for each to launch kernels with."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if resolve_device(device).type != "cuda":
        return max(1, cores // threads)
    return max(1, min(_WORKERS_PER_GPU * torch.cuda.device_count(), cores - 2))


def _settled(job: Job, device: str, threads: int) -> str | None:
    """What precision "auto" comes to for this job, measured at the threads it will have; bad input is refused later."""
    place = resolve_device(device)
    if job.config.precision != "auto" or place.type != "cpu" or job.train.images.ndim != 4:
        return None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shape = (max(1, len(job.train)), *job.train.images.shape[1:3])
        return precision_of(job.config, shape, len(job.class_names), place)
    finally:
        torch.set_num_threads(before)


def _one_by_one(
    jobs: Sequence[Job],
    precisions: Sequence[str | None],
    device: str,
    threads: int,
    advance: Advance,
    resume: bool,
) -> list[TrainResult]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    results, failures = [], []
    try:
        for job, precision in zip(jobs, precisions, strict=True):
            try:
                results.append(
                    train(job.config, job.train, job.val, job.class_names, job.folder, seed=job.seed, device=device,
                          progress=lambda *_: nullcontext(advance), resume=resume, auto_precision=precision)
                )  # fmt: skip
            except ClassifierError as error:
                failures.append(f"{job.folder}: {error.message}")
    finally:
        torch.set_num_threads(before)
    _raise(failures, len(jobs))
    return results


def _described(
    jobs: Sequence[Job], precisions: Sequence[str | None], device: str, resume: bool, scratch: Path
) -> list[dict[str, Any]]:
    """The jobs as JSON; arrays go to files that the workers map, each array once."""
    written: dict[int, str] = {}

    def file_of(array: np.ndarray) -> str:
        if id(array) not in written:
            written[id(array)] = str(scratch / f"{len(written)}.npy")
            np.save(written[id(array)], array)
        return written[id(array)]

    def files(samples: Samples) -> dict[str, str]:
        arrays = {field.name: getattr(samples, field.name) for field in fields(samples)}
        return {name: file_of(array) for name, array in arrays.items() if array is not None}

    return [
        {
            "job": number, "config": asdict(job.config), "train": files(job.train), "val": files(job.val),
            "class_names": list(job.class_names), "folder": str(Path(job.folder).resolve()), "seed": job.seed,
            "device": device, "resume": resume, "auto_precision": precision,
        }
        for number, (job, precision) in enumerate(zip(jobs, precisions, strict=True))
    ]  # fmt: skip


def _side_by_side(
    todo: list[dict[str, Any]],
    jobs: Sequence[Job],
    workers: int,
    threads: int,
    advance: Advance,
    environment: dict[str, str],
) -> list[TrainResult]:
    """Feed the workers one job after another until all are done."""
    answers: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    processes = [_start(number, threads, answers, environment) for number in range(workers)]
    waiting, running, finished = list(reversed(todo)), dict[int, int](), dict[int, dict[str, Any]]()
    try:
        for number in range(workers):
            running[number] = _give(processes[number], waiting, number)
        while running:
            number, message = answers.get()
            if message is None:  # the process ended in the middle of a job
                if number in running:
                    finished[running.pop(number)] = {"error": f"its process died (exit {processes[number].wait()})"}
            elif "advance" in message:
                advance(message["advance"], note=message["note"])
            else:
                finished[message["job"]] = message
                del running[number]
                if waiting:
                    running[number] = _give(processes[number], waiting, number)
    finally:
        for process in processes:
            process.kill()  # idle by now, unless we were interrupted: then the resume points remain
            process.wait()
            _close(process)
    for left in waiting:
        finished[left["job"]] = {"error": "not begun: every worker process died; use workers=1 to see why"}
    failures = [f"{jobs[n].folder}: {m['error']}" for n, m in sorted(finished.items()) if "error" in m]
    _raise(failures, len(jobs))
    return [_result(jobs[number], finished[number]) for number in range(len(jobs))]


def _start(
    number: int,
    threads: int,
    answers: queue.Queue[tuple[int, dict[str, Any] | None]],
    environment: dict[str, str],
) -> subprocess.Popen[str]:
    """A worker process, and a thread that puts its answers into the queue (None when it ends)."""
    here = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    # torchrun's: a worker is a world of its own.
    env = {k: v for k, v in os.environ.items() if k not in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK")}
    env |= environment | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, "-m", "classifiers.worker", str(threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        start_new_session=True,  # Ctrl-C is for the process that asks; it ends this one
    )  # fmt: skip

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                answers.put((number, json.loads(line)))
        answers.put((number, None))

    threading.Thread(target=listen, daemon=True).start()
    return process


def _give(process: subprocess.Popen[str], waiting: list[dict[str, Any]], worker: int) -> int:
    """Hand the next job to a worker; returns its number."""
    job = waiting.pop()
    job = job | {"device": device_of(worker, job["device"])}
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # a worker that has died: its listener says so
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    return int(job["job"])


def device_of(worker: int, device: str) -> str:
    """The device of a worker: with several GPUs each takes the next, where none was chosen by its number."""
    if resolve_device(device).type != "cuda" or ":" in device:
        return device
    return f"cuda:{worker % torch.cuda.device_count()}"


def _close(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


def _result(job: Job, message: dict[str, Any]) -> TrainResult:
    folder = Path(job.folder)
    _, card = read_weights(folder / WEIGHTS)
    return TrainResult(folder, card, card["history"], message["steps"], message["seconds"], message["notes"])


def _raise(failures: list[str], number: int) -> None:
    if failures:
        raise ClassifierError(
            f"{len(failures)} of {number} trainings failed (the others are done and will be found): "
            + "; ".join(failures)
        )
