"""What the scheduler costs: per task, beside bare joblib; what two processes bring; what 200 jobs hold in memory.

    python benchmarks/scheduler.py [--tasks 300] [--steps 150] [--rounds 3] [--cluster]

Overhead is the time of tasks that do nothing, on two warm workers, per task. Efficiency is the rate of trainings on two
processes over twice the rate on one (one thread each, start of the processes and loading included and left out); what
is below 1 is lost to memory bandwidth, caches and the scheduler together. Memory is the growth of the parent's peak
over 200 jobs that share an array of 100 MB. Writes benchmarks/results/scheduler.json with the machine's load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import Job, Samples, TrainConfig, train_many
from classifiers.cluster import Cluster
from classifiers.cluster_worker import processor
from classifiers.processes import scratch_beside
from classifiers.scheduler import Engine, Local, Place, Task, run

CLASSES, SIZE, BATCH, JOBS = 7, 48, 128, 200


def nothing(place: Place) -> None:
    """A task."""


def touch(place: Place) -> int:
    """A task that reads a part of the shared array."""
    return int(place.arrays["images"][:1000].sum())


def per_task(engine: Engine, tasks: int, rounds: int) -> list[float]:
    """Milliseconds per task that does nothing, per round; the first round warms the workers up and is left out."""
    found = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        assert sum(1 for _ in run((Task(str(n), nothing) for n in range(tasks)), engine)) == tasks
        found.append(1000 * (time.perf_counter() - begun) / tasks)
    return found[1:]


def joblib_per_task(tasks: int, rounds: int) -> list[float]:
    """The same through joblib.Parallel, with its batches of several tasks off, as ours are."""
    from joblib import Parallel, delayed

    found = []
    with Parallel(2, batch_size=1, return_as="generator_unordered") as parallel:
        for _ in range(rounds + 1):
            begun = time.perf_counter()
            assert sum(1 for _ in parallel(delayed(int)() for _ in range(tasks))) == tasks
            found.append(1000 * (time.perf_counter() - begun) / tasks)
    return found[1:]


def rate(workers: int, jobs: int, steps: int) -> float:
    """Optimiser steps per second of `jobs` trainings side by side, all of it."""
    rng = np.random.default_rng(0)
    data = Samples(rng.integers(0, 256, (2048, 1, SIZE, SIZE), np.uint8), np.arange(2048) % CLASSES)
    config = TrainConfig(steps=steps, batch_size=BATCH, tensorboard=False, validations=1, precision="32-true")
    names = [f"class-{k}" for k in range(CLASSES)]
    with tempfile.TemporaryDirectory() as folder:
        val = Samples(data.images[:70], data.labels[:70])
        many = [Job(config, data, val, names, Path(folder) / str(seed), seed) for seed in range(jobs)]
        begun = time.perf_counter()
        train_many(many, device="cpu", workers=workers)
        return jobs * steps / (time.perf_counter() - begun)


def efficiency(steps: int, rounds: int) -> dict[str, Any]:
    """Rates of one process (this one, which is warm) and two, and their ratio to twice one, per round."""
    rate(1, 1, 2)
    pairs = [(rate(1, 2, steps), rate(2, 4, steps)) for _ in range(rounds)]
    return {
        "unit": "optimiser steps per second",
        "one": [one for one, _ in pairs],
        "two": [two for _, two in pairs],
        "two_over_twice_one": [two / (2 * one) for one, two in pairs],
        "steps": steps,
    }


def memory() -> dict[str, float]:
    """MB by which this process's peak grows over the jobs."""
    images = np.zeros((100, 1 << 20), np.uint8)
    images[:] = 1

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    with (
        tempfile.TemporaryDirectory() as folder,
        scratch_beside([Path(folder) / "jobs"]) as scratch,
        closing(Local(2, scratch=scratch)) as engine,
    ):
        marks = {}
        tasks = (Task(str(n), touch, arrays={"images": images}) for n in range(JOBS))
        for done, _ in enumerate(run(tasks, engine), 1):
            if done in (1, JOBS):
                marks[done] = peak()
    return {"jobs": JOBS, "after_the_first_mb": marks[1], "after_the_last_mb": marks[JOBS]}


def main() -> None:
    """All of it, into one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cluster", action="store_true", help="Measure two Dask workers on the loopback, too")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scheduler.json")
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(memory()))
        return
    load = [os.getloadavg()[0]]
    with closing(Local(2)) as engine:
        overhead = {"ours": per_task(engine, options.tasks, options.rounds)}
    overhead["joblib"] = joblib_per_task(options.tasks, options.rounds)
    if options.cluster:
        with tempfile.TemporaryDirectory() as folder, closing(Cluster("local:2", Path(folder))) as cluster:
            overhead["dask"] = per_task(cluster, options.tasks, options.rounds)
    alone = subprocess.run([sys.executable, __file__, "--memory"], check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = {
        "overhead_ms_per_task": overhead,
        "overhead_ms_per_task_median": {name: statistics.median(values) for name, values in overhead.items()},
        "efficiency": efficiency(options.steps, options.rounds),
        "memory_of_the_parent": json.loads(alone.stdout),
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "load_average_before_and_after": [*load, os.getloadavg()[0]],
        "tasks": options.tasks,
        "rounds": options.rounds,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
