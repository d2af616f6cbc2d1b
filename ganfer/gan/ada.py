"""Adaptive augmentation (ADA, Karras et al. 2020): as much as keeps the discriminator from learning by heart.

The sign of its logits on real training images says how sure it is of them; where that lead grows beyond the target,
images are augmented more often, where it falls below, less often. What leaks from always-on augmentation into the
generated images is avoided, and with few images the training holds on.
"""

import torch
from torch import Tensor

from ganfer.runtime import ranks
from ganfer.runtime.device import mean_

RAMP = 50_000  # images over which the probability can go from 0 to 1
MEMORY = 0.95  # of the running lead, per step


def fresh_ada(device: torch.device) -> Tensor:
    """The state (2,) float32: the probability of each augmentation, and the running lead."""
    return torch.zeros(2, device=device)


@torch.no_grad()
def adapt(state: Tensor, real: Tensor, fake: Tensor, *, target: float, paired: bool) -> None:
    """Move the state by one step, in place and without waiting for the device; real, fake: logits (N,).

    The lead is E[sign(D(real))], and for relativistic losses, whose logits have no zero, E[sign(D(real) - D(fake))].
    """
    lead = mean_((real - fake if paired else real).float().sign().mean())
    state[1].lerp_(lead, 1 - MEMORY)
    images = len(real) * ranks.count()  # a rank's own are a share of the batch
    state[0].add_((state[1] - target).sign() * (images / RAMP)).clamp_(0, 1)
