"""The running average of the generator's weights that is drawn from, and batch-norm statistics made to fit it."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

RAMP_UP = 0.05  # early on the half-life is at most this share of the images seen (Karras et al. 2020)


def average_of(network: nn.Module) -> nn.Module:
    """A copy of the network to hold the average: no gradients, evaluation mode."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update_average(
    average: nn.Module, network: nn.Module, *, batch_size: int, images_seen: int, half_life: float
) -> None:
    """Move the average towards the network by a step of `batch_size` images; half_life in images, 0 = a plain copy."""
    half = min(half_life, images_seen * RAMP_UP)
    keep = 0.5 ** (batch_size / half) if half > 0 else 0.0
    torch._foreach_lerp_([p.data for p in average.parameters()], [p.detach() for p in network.parameters()], 1.0 - keep)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


@torch.no_grad()
def recalibrate(network: nn.Module, inputs: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """Batch-norm statistics measured anew over (z, labels) batches ("standing statistics", Brock et al. 2019).

    Averaged weights do not fit the statistics of the training network. Changes the network in place.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for z, labels in inputs:
        network(z, labels)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
