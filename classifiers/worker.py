"""A worker process of `train_many`: takes jobs as JSON lines on stdin, answers with JSON lines on stdout.

Started as `python -m classifiers.worker THREADS`. A process of its own rather than multiprocessing's, which would
run the caller's script a second time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np


def main() -> None:
    # Whatever else prints (libraries do) must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    _end_with_parent()
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        _work(json.loads(line), answers)


def _end_with_parent() -> None:
    """Ends this process soon after the one that asks, however that ended: resume points are written whole."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _work(job: dict[str, Any], answers: TextIO) -> None:
    from classifiers.config import TrainConfig
    from classifiers.errors import ClassifierError
    from classifiers.training import train

    def answer(**message: Any) -> None:
        answers.write(json.dumps({"job": job["job"], **message}) + "\n")
        answers.flush()

    @contextmanager
    def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
        yield lambda n=1, note="": answer(advance=n, note=note)

    try:
        result = train(
            TrainConfig(**job["config"]),
            _samples(job["train"]),
            _samples(job["val"]),
            job["class_names"],
            job["folder"],
            seed=job["seed"],
            device=job["device"],
            progress=progress,
            resume=job["resume"],
        )
        answer(steps=result.steps, seconds=result.seconds, notes=result.notes)
    except ClassifierError as error:
        answer(error=error.message)


def _samples(files: dict[str, str]) -> Any:
    from classifiers.samples import Samples

    return Samples(**{name: np.load(path, mmap_mode="r") for name, path in files.items()})


if __name__ == "__main__":
    main()
