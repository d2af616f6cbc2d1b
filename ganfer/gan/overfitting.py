"""Whether the discriminator has memorised its training images: r_v of Karras et al. 2020 (ADA, eq. 1)."""

import numpy as np
import torch
from torch import Tensor, nn

from ganfer.gan.batches import Batch
from ganfer.gan.plan import TrainingPlan

_IMAGES = 256  # of each kind
FEWEST = 32  # held-back images below which the measure says nothing


@torch.no_grad()
def overfitting(
    discriminator: nn.Module, generator: nn.Module, plan: TrainingPlan, batches: list[Batch], strength: float
) -> float | None:
    """(D(train) - D(held back)) / (D(train) - D(generated)): 0 = none, 1 = held-back images look as false as generated.

    Means over a few hundred images each, without augmentation. None with too few held-back images, or where the
    discriminator tells training images from generated ones no better than by chance.
    """
    if len(plan.held_labels) < FEWEST:
        return None
    device = batches[0].real.device
    chosen = np.linspace(0, len(plan.held_labels) - 1, min(_IMAGES, len(plan.held_labels))).astype(np.int64)
    held = torch.from_numpy(plan.held_images[chosen]).to(device).float().div_(127.5).sub_(1.0)
    held_labels = torch.from_numpy(plan.held_labels[chosen]).to(device)
    was_training = discriminator.training
    discriminator.eval()
    size = len(batches[0].real)
    real = _mean([discriminator(b.real, b.labels, b.conditioning(strength)) for b in batches])
    drawn = [generator(b.z, b.labels, b.conditioning(strength)) for b in batches]
    fake = _mean([discriminator(d, b.labels, b.conditioning(strength)) for d, b in zip(drawn, batches, strict=True)])
    pieces = zip(held.split(size), held_labels.split(size), strict=True)
    seen = _mean([discriminator(images, labels, strength) for images, labels in pieces])
    discriminator.train(was_training)
    lead = real - fake
    return (real - seen) / lead if lead > 1e-3 else None


def _mean(logits: list[Tensor]) -> float:
    return float(torch.cat(logits).float().mean())
