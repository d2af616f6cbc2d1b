"""Several trainings on one GPU of the stand-in, in processes and in turns."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from fake_gpu import FakeCuda
from scenarios_common import NAMES, Figures, samples


@contextlib.contextmanager
def inside() -> Iterator[list[int]]:
    """Workers of `train_many` that are this process, which is on the stand-in; gives what they were limited to."""
    from classifiers import many, sharing
    from classifiers.tasks import Here

    limited = list[int]()

    class Inside(Here):
        overlaps = True

        def limit(self, workers: int) -> None:
            limited.append(workers)

    def opened(*_: Any, **__: Any) -> Any:
        return contextlib.nullcontext(Inside())

    with contextlib.ExitStack() as patched:
        patched.enter_context(mock.patch.object(many, "opened", opened))
        patched.enter_context(mock.patch.object(sharing, "Local", Inside))
        patched.enter_context(mock.patch.object(sharing, "_WINDOW", 0.1))
        patched.enter_context(mock.patch.object(many, "_default_workers", return_value=10))
        yield limited


def many(gpu: FakeCuda, folder: Path) -> Figures:
    """Trainings side by side: as many as fit into its memory, by a few steps of the one with the largest batch."""
    from classifiers import Job, TrainConfig, train_many

    said = list[str]()
    jobs = [
        Job(TrainConfig(model="compact-small", steps=3, batch_size=batch, tensorboard=False, freeze=0.5), samples(48),
            samples(12, seed=1), NAMES, folder / str(batch))
        for batch in (8, 12, 16, 9)
    ]  # fmt: skip
    with inside() as limited:
        done = train_many(jobs, device="cuda", say=said.append)
    assert [result.steps for result in done] == [3] * 4
    assert limited == [3]
    (line,) = said
    assert line == (
        "3 trainings at a time on the GPU of Fake H100; each takes 3.2 of 18.3 GB: at the same time, by NVIDIA's MPS."
    )
    return {"syncs": 0.0}


def in_turns(gpu: FakeCuda, folder: Path) -> Figures:
    """Trainings in one process, each on a stream of its own, are what they are alone; which way is measured.

    One that fails leaves the others alone, and the same call finds those that are done."""
    from classifiers import ClassifierError, Job, TrainConfig, sharing, train, train_many
    from classifiers.files import read_weights

    config = TrainConfig(
        model="compact-small", steps=8, batch_size=12, dropout=0.3, progressive=0.0, tensorboard=False
    )  # fmt: skip
    jobs = [Job(config, samples(48), samples(12, seed=1), NAMES, folder / f"{n}", n) for n in range(4)]
    bad = Job(config, replace(samples(48), labels=np.zeros(48, int)), samples(12, seed=1), NAMES, folder / "bad", 9)
    said = list[str]()
    with inside() as limited, mock.patch.dict(os.environ, {sharing.SWITCH: "streams"}):
        gpu.log.reset()
        with pytest.raises(ClassifierError, match=r"1 of 5 trainings failed.*all of one class"):
            train_many([*jobs, bad], device="cuda", say=said.append)
        replays = gpu.log.launches["graph replay"]
        assert [result.already_done for result in train_many(jobs, device="cuda")] == [True] * 4
    assert limited == [1]
    assert replays >= 4 * (8 - 3), replays
    assert said[0].startswith("4 trainings at a time"), said
    assert said[0].endswith("in turns in one process, each on a stream of its own."), said
    for job in jobs:
        train(*(job.config, job.train, job.val, NAMES, folder / f"alone {job.seed}"), seed=job.seed, device="cuda")
        one, other = (
            read_weights(Path(f) / "model.safetensors")[0] for f in (job.folder, folder / f"alone {job.seed}")
        )
        assert all(torch.equal(one[name], other[name]) for name in one), job.seed
    with inside() as limited, mock.patch.object(sharing, "LONG", 0.0):
        train_many([replace(job, folder=f"{job.folder} measured") for job in jobs], device="cuda", say=said.append)
    assert limited in ([1], [3]), limited
    assert re.search(r"\([\d,]+ steps a second on streams, [\d,]+ in processes\)\.$", said[1]), said[1]
    return {"syncs": 0.0}
