"""Gradients of a batch in as many micro-batches as memory demands, agreed on by all processes of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from classifiers.errors import ClassifierError
from classifiers.memory import is_out_of_memory

if TYPE_CHECKING:
    from classifiers.state import Run

Sources = np.ndarray | None  # which images of a batch are synthetic, (B,) bool; None where nothing asks
TRIALS = 2  # first passes of a kind that several processes try: the second has the optimiser's state in memory, too
_LIMITED = ("cuda",)  # devices whose memory can run out in the middle of a training


def backward(run: Run, images: Tensor, targets: Tensor, synthetic: Sources = None, *, early: bool = False) -> Tensor:
    """Gradients of the batch's weighted mean loss; returns the loss. early: images are the smaller ones.

    A batch that does not fit is split further until it does. Several processes find out together, before they exchange
    gradients: one that tried again alone would leave the others waiting.
    """
    weight = run.fabric.all_reduce(targets.sum(), reduce_op="mean").clamp_min(1e-8)  # all of a batch may weigh nothing
    several = run.fabric.world_size > 1
    if several and images.device.type in _LIMITED and run.tried[early] < TRIALS:
        _agree(run, images, targets, weight, synthetic)
        run.tried[early] += 1
    while True:
        loss = _tried(run, images, targets, weight, synthetic)
        if loss is not None:
            return loss
        if several:  # the other processes wait for this one's gradients
            raise ClassifierError(
                f"out of GPU memory at batch_size = {run.config.batch_size} on {run.fabric.world_size} processes, in "
                "the middle of the training: set a smaller batch_size; the same command goes on"
            )
        _split_further(run, len(images))


def _agree(run: Run, images: Tensor, targets: Tensor, weight: Tensor, synthetic: Sources) -> None:
    """Passes without an exchange of gradients, until the batch fits on every process; nothing is left of them."""
    smallest = run.order.batch_size // run.fabric.world_size  # images of a process, the same for all
    while True:
        loss = _tried(run, images, targets, weight, synthetic, exchange=False)
        lacking = torch.tensor(float(loss is None), device=images.device)
        enough = float(run.fabric.all_reduce(lacking, reduce_op="sum")) == 0
        if enough:
            _undo(run)
            return
        _split_further(run, smallest)


def _split_further(run: Run, images: int) -> None:
    """Twice as many micro-batches, of a batch of so many images."""
    if run.micro_batches >= images:
        raise ClassifierError(f"out of GPU memory for a single image ({run.lacked}): use a smaller model or size")
    _undo(run)
    run.micro_batches *= 2
    run.note_micro_batches()
    torch.cuda.empty_cache()


def _undo(run: Run) -> None:
    """As before the pass: no gradients, batch norm's statistics and the step's random numbers at their beginning."""
    run.optimizer.zero_grad()
    run.statistics.put_back()
    run.reseed()


def _tried(
    run: Run, images: Tensor, targets: Tensor, weight: Tensor, synthetic: Sources, *, exchange: bool = True
) -> Tensor | None:
    """The loss of a pass; None where memory ran out, whose tensors are free once this has returned."""
    run.statistics.keep()
    try:
        return _in_micro_batches(run, images, targets, weight, synthetic, exchange)
    except RuntimeError as error:
        # where it is being recorded the batch has fitted before: the step then goes on plainly, and whole
        recorded = images.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if recorded or not is_out_of_memory(error):
            raise
        run.lacked = str(error).partition("\n")[0][:200]
    return None


def _in_micro_batches(
    run: Run, images: Tensor, targets: Tensor, weight: Tensor, synthetic: Sources, exchange: bool
) -> Tensor:
    """One pass over the batch in `run.micro_batches` pieces; the last one exchanges gradients, if any does.

    A pass without exchange goes past torch's wrapper, which would remember on one process alone that it broke off.
    """
    total, begin, objective = torch.zeros((), device=images.device), 0, run.aim()[0]
    pieces = list(zip(images.chunk(run.micro_batches), targets.chunk(run.micro_batches), strict=True))
    for i, (x, t) in enumerate(pieces, 1):
        with run.fabric.no_backward_sync(run.net, enabled=i < len(pieces)):
            apart = () if run.split is None or synthetic is None else (synthetic[begin : begin + len(x)],)
            loss = objective(_logits(run, x, apart, exchange).float(), t).sum() / weight
            run.fabric.backward(loss)
        total += loss.detach()
        begin += len(x)
    return total


def _logits(run: Run, images: Tensor, apart: tuple[np.ndarray, ...], exchange: bool) -> Tensor:
    if exchange:
        return run.net(images, *apart)
    with run.fabric.autocast():
        logits: Tensor = (run.split or run.model)(images, *apart)
    return logits
