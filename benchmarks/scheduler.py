"""What the scheduler costs: per task, beside bare joblib; what two processes bring; what 200 jobs hold in memory.

    python benchmarks/scheduler.py [--tasks 300] [--steps 60] [--rounds 3] [--cluster]

Overhead is the time of tasks that do nothing, on two warm workers, per task. Efficiency is the rate of trainings on two
warm workers, one thread each, over twice the rate on one; beside it that of two plain processes that know no scheduler,
which is what memory bandwidth, caches and shared cores leave of the machine. Starting the workers is timed by itself. A
round makes 10 x steps optimiser steps (16 with --cluster), and each round is said on stderr. Memory is the growth of
the parent's peak over 200 jobs that share an array of 100 MB. Writes benchmarks/results/scheduler.json with the
machine's load.
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

from classifiers import Samples, TrainConfig, train
from classifiers.cluster import Cluster
from classifiers.cluster_worker import processor
from classifiers.many import with_threads
from classifiers.processes import scratch_beside
from classifiers.scheduler import Engine, Local, Place, Task, results

CLASSES, SIZE, BATCH, JOBS = 7, 48, 128, 200
_BEGUN = time.perf_counter()


def told(what: str) -> None:
    """What is done, and after how many seconds: a slow machine is told from one that hangs."""
    print(f"{time.perf_counter() - _BEGUN:7.1f} s  {what}", file=sys.stderr, flush=True)


def nothing(place: Place) -> None:
    """A task."""


def touch(place: Place) -> int:
    """A task that reads a hundredth of the shared array: reading all of it 200 times would take minutes by itself."""
    return int(place.arrays["images"][0].sum())


def per_task(engine: Engine, tasks: int, rounds: int) -> list[float]:
    """Milliseconds per task that does nothing, per round; the first round warms the workers up and is left out."""
    found = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        assert sum(1 for _ in results((Task(str(n), nothing) for n in range(tasks)), engine)) == tasks
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


def training(place: Place, folder: str, seed: int, steps: int) -> None:
    """A training on one thread."""
    rng = np.random.default_rng(0)
    data = Samples(rng.integers(0, 256, (2048, 1, SIZE, SIZE), np.uint8), np.arange(2048) % CLASSES)
    config = TrainConfig(steps=steps, batch_size=BATCH, tensorboard=False, validations=1, precision="32-true")
    val, names = Samples(data.images[:70], data.labels[:70]), [f"class-{k}" for k in range(CLASSES)]
    with with_threads(1):
        train(config, data, val, names, Path(folder) / f"{seed}-{steps}", seed=seed, device="cpu")


def rate(engine: Engine, workers: int, steps: int) -> tuple[float, float]:
    """Steps per second of two trainings per worker on warm workers, and the seconds in which those got ready."""

    def seconds(jobs: int, steps: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            tasks = (Task(str(seed), training, (folder, seed, steps)) for seed in range(jobs))
            assert sum(1 for _ in results(tasks, engine)) == jobs
            return time.perf_counter() - begun

    start = seconds(workers, 1)
    return 2 * workers * steps / seconds(2 * workers, steps), start


def bare(steps: int) -> float:
    """Steps per second of two plain processes, each with two trainings, once both are warm."""
    call = [sys.executable, __file__, "--bare", "--steps", str(steps)]
    pair = [subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    begun = 0.0
    for word in ("warm", "done"):
        for process in pair:
            assert process.stdout is not None
            assert process.stdout.readline() == word + "\n"
        if word == "warm":
            begun = time.perf_counter()
            for process in pair:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
    seconds = time.perf_counter() - begun
    for process in pair:
        process.communicate()
    return 4 * steps / seconds


def plain_process(steps: int) -> None:
    """One of them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), {})
        training(place, folder, 0, 1)
        print("warm", flush=True)
        sys.stdin.readline()
        for seed in (0, 1):
            training(place, folder, seed, steps)
        print("done", flush=True)


def efficiency(steps: int, rounds: int, cluster: bool) -> dict[str, Any]:
    """Rates on one worker and two, and of two plain processes, turn by turn, and their ratios to twice one."""
    rates, starts = dict[str, list[float]](), dict[str, list[float]]()
    for number in range(rounds):
        for name in ("loky", "dask") if cluster else ("loky",):
            for workers in (1, 2):
                with tempfile.TemporaryDirectory() as folder:
                    made = Local(workers) if name == "loky" else Cluster(f"local:{workers}", Path(folder))
                    with closing(made) as engine:
                        found, start = rate(engine, workers, steps)
                rates.setdefault(f"{name} {workers}", []).append(found)
                starts.setdefault(f"{name} {workers}", []).append(start)
        rates.setdefault("bare 2", []).append(bare(steps))
        last = ", ".join(f"{name}: {values[-1]:.2f}" for name, values in rates.items())
        told(f"round {number + 1} of {rounds}, steps per second: {last}")
    pairs = {"loky 2": "loky 1", "dask 2": "dask 1", "bare 2": "loky 1"}
    return {
        "unit": "optimiser steps per second",
        "rates": rates,
        "over_twice_one": {
            two: [a / (2 * b) for a, b in zip(rates[two], rates[one], strict=True)]
            for two, one in pairs.items()
            if two in rates
        },
        "seconds_to_start": starts,
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
        for done, _ in enumerate(results(tasks, engine), 1):
            if done in (1, JOBS):
                marks[done] = peak()
    return {"jobs": JOBS, "after_the_first_mb": marks[1], "after_the_last_mb": marks[JOBS]}


def main() -> None:
    """All of it, into one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cluster", action="store_true", help="Measure two Dask workers on the loopback, too")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scheduler.json")
    options = parser.parse_args()
    if options.bare:
        plain_process(options.steps)
        return
    if options.memory:
        print(json.dumps(memory()))
        return
    load = [os.getloadavg()[0]]
    with closing(Local(2)) as engine:
        overhead = {"ours": per_task(engine, options.tasks, options.rounds)}
    told("overhead of loky's processes")
    overhead["joblib"] = joblib_per_task(options.tasks, options.rounds)
    told("overhead of joblib")
    if options.cluster:
        with tempfile.TemporaryDirectory() as folder, closing(Cluster("local:2", Path(folder))) as cluster:
            overhead["dask"] = per_task(cluster, options.tasks, options.rounds)
        told("overhead of Dask")
    alone = subprocess.run([sys.executable, __file__, "--memory"], check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = {
        "overhead_ms_per_task": overhead,
        "overhead_ms_per_task_median": {name: statistics.median(values) for name, values in overhead.items()},
        "efficiency": efficiency(options.steps, options.rounds, options.cluster),
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
