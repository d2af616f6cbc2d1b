"""What the scenarios share: classes, images, and a meter of kernels and waits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from fake_gpu import FakeCuda

NAMES = ("angry", "fear", "happy")
Figures = dict[str, float]


class Meter:
    """Kernels and waits between the moments it is asked."""

    def __init__(self, gpu: FakeCuda) -> None:
        self.gpu, self.seen = gpu, list[tuple[int, int]]()
        self.libraries = set[tuple[bool, str]]()  # what was asked of them then

    def note(self) -> None:
        self.libraries.add((torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()))
        self.seen.append((self.gpu.log.kernels, sum(self.gpu.log.syncs.values())))

    def per_step(self, first: int, last: int) -> Figures:
        """The mean over the steps between two notes."""
        (kernels, syncs), (more_kernels, more_syncs) = self.seen[first], self.seen[last]
        steps = last - first
        return {"kernels": (more_kernels - kernels) / steps, "syncs": (more_syncs - syncs) / steps}


def samples(count: int, size: int = 24, seed: int = 0) -> Any:
    """`classifiers.Samples` of noise in three classes."""
    from classifiers import Samples

    rng = np.random.default_rng(seed)
    return Samples(rng.integers(0, 256, (count, 1, size, size), np.uint8), np.arange(count) % len(NAMES))


@contextlib.contextmanager
def metered_steps(gpu: FakeCuda) -> Iterator[Meter]:
    """A meter that notes the beginning of every step of a classifier's training."""
    from classifiers.state import Run

    meter, reseed = Meter(gpu), Run.reseed

    def noting(run: Run) -> np.random.Generator:
        meter.note()
        return reseed(run)

    with mock.patch.object(Run, "reseed", noting):
        yield meter


def made_ready(gpu: FakeCuda, meter: Meter) -> None:
    """What a training asks of the libraries, until its end; the other GPUs of the machine are left alone."""
    assert meter.libraries == {(True, "high")}, meter.libraries
    assert not torch.backends.cudnn.benchmark
    assert torch.get_float32_matmul_precision() == "highest"
    assert gpu.forked == {str(gpu.device)}, gpu.forked
