"""How many trainings share a GPU: as many as its memory and the cores allow, found by a few steps of one of them.

Memory that runs out would split their batches, which changes what is learnt, and a process that launches kernels keeps
a core busy. Whether kernels of several processes overlap is NVIDIA's MPS's to say (`mps`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from classifiers.config import TrainConfig
from classifiers.device import resolve_device
from classifiers.samples import samples_of
from classifiers.tasks import Place

STEPS = 8  # three plain ones, one that is recorded, and some to spare
FEWEST = 3  # trainings for which it is worth asking
CONTEXT = 1 << 30  # bytes that a process takes of a GPU before its first tensor, its libraries included: an allowance
_SPARE = 0.9  # of the free memory, which breaks into pieces


@dataclass(frozen=True)
class Need:
    """Bytes of GPU memory that a training reserved at most, and those that were free before, its process apart."""

    taken: int
    free: int
    gpu: str


def need_of(
    place: Place, config: TrainConfig, names: Sequence[str], device: str, precision: str | None
) -> Need:  # in a worker, as the training itself
    """What a training with these settings needs, by a few of its steps on its own images."""
    from classifiers.training import train

    where = resolve_device(device)
    torch.cuda.init()
    free = torch.cuda.mem_get_info(where)[0]
    torch.cuda.reset_peak_memory_stats(where)
    brief = replace(config, steps=STEPS, validations=1, tensorboard=False, progressive=0.0, freeze=0.0, refit=0.0)
    brief = replace(brief, refit_on="all") if config.refit_on != "all" else brief
    with tempfile.TemporaryDirectory(prefix="ganfer-need-") as folder:
        train(
            brief, samples_of("train", place.arrays), samples_of("val", place.arrays), names, Path(folder),
            device=device, resume=False, auto_precision=precision,
        )  # fmt: skip
    taken = torch.cuda.max_memory_reserved(where)
    torch.cuda.empty_cache()
    return Need(taken, free + CONTEXT, torch.cuda.get_device_name(where))


def workers_for(need: Need, most: int, gpus: int) -> int:
    """As many trainings at a time as fit on all GPUs, one at least."""
    each = max(1, int(_SPARE * need.free) // (need.taken + CONTEXT))
    return max(1, min(most, each * gpus))


def in_words(workers: int, need: Need | None, *, overlap: bool) -> str:
    """One line on what was chosen."""
    how = "at the same time, by NVIDIA's MPS" if overlap else "taking turns on it"
    how = "one after the other" if workers == 1 else how
    room = f" of {need.gpu}; each takes {need.taken / 1e9:.1f} of {need.free / 1e9:.1f} GB" if need else ""
    return f"{workers} training{'s' * (workers > 1)} at a time on the GPU{room}: {how}."
