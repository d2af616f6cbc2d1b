"""Adversarial losses as pairs of pure functions of logits (N,), and the gradient penalty."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Conditioned = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """discriminator(real, fake) and generator(fake, real) give scalars to minimise.

    paired: the generator's loss reads real logits too (relativistic losses); else `real` is None.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor | None], Tensor]
    paired: bool = False


def _non_saturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _non_saturating_generator(fake: Tensor, real: Tensor | None) -> Tensor:
    return F.softplus(-fake).mean()


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def _hinge_generator(fake: Tensor, real: Tensor | None) -> Tensor:
    return -fake.mean()


def _relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(fake - real).mean()


def _relativistic_generator(fake: Tensor, real: Tensor | None) -> Tensor:
    assert real is not None
    return F.softplus(real - fake).mean()


LOSSES = {
    # Goodfellow et al. 2014
    "non-saturating": AdversarialLoss(_non_saturating_discriminator, _non_saturating_generator),
    # Lim & Ye 2017, Miyato et al. 2018
    "hinge": AdversarialLoss(_hinge_discriminator, _hinge_generator),
    # Jolicoeur-Martineau 2019; Huang et al. 2024 (R3GAN): pair by pair, so no class or mode can be given up unpunished
    "relativistic": AdversarialLoss(_relativistic_discriminator, _relativistic_generator, paired=True),
}


def gradient_penalty(discriminate: Conditioned, images: Tensor) -> Tensor:
    """Mean over the batch of the squared gradient norm of the logits at `images`; a scalar.

    At real images it is R1, at generated ones R2 (Mescheder et al. 2018).
    """
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminate(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
