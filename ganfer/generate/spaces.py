"""Where faces are steered: the latent spaces of ganfer's own GANs, as `stylegan_bridge.steering` wants them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from classifiers.device_set import to_device
from ganfer.gan.generator import Generator
from ganfer.gan.sampling import GanGenerator
from stylegan_bridge.steering import LatentSpace


class GanSpace:
    """z of one of ganfer's own GANs, for one class of a conditional one.

    layers: latents per code; more than 1 is a latent of its own for every place of the network that one enters at,
    which finds more faces than the generator draws itself, as W+ does.
    """

    def __init__(self, generator: GanGenerator, label: int | None, layers: int = 1) -> None:
        self._generator, self._label, self.layers = generator, label, layers

    def codes(self, seeds: Sequence[int]) -> Tensor:
        """(N, layers, latent_dim): what the generator itself draws these seeds from, the same for every layer."""
        z = torch.from_numpy(self._generator.latents(np.array(seeds, dtype=np.int64)))
        return to_device(z, self._generator.device).unsqueeze(1).repeat(1, self.layers, 1)

    def images(self, codes: Tensor) -> Tensor:
        """Float, 0..255, differentiable."""
        labels = None
        if self._label is not None:
            labels = torch.full((len(codes),), self._label, device=codes.device)
        return self._generator.render(_latents(codes), labels)

    def final(self, codes: Tensor) -> Tensor:
        """To the last bit what `GanGenerator.sample` would draw."""
        labels = None if self._label is None else np.full(len(codes), self._label)
        return torch.from_numpy(self._generator.sample_latents(_latents(codes).detach().cpu().numpy(), labels))

    def gaussian(self, codes: Tensor) -> Tensor:
        """z is Gaussian as it is."""
        return codes

    def from_gaussian(self, points: Tensor) -> Tensor:
        """z is Gaussian as it is."""
        return points


def _latents(codes: Tensor) -> Tensor:
    """(N, L, D) as the generator takes them."""
    return codes[:, 0] if codes.shape[1] == 1 else codes


def latent_space(generator: Generator, label: int | None = None) -> LatentSpace:
    """Where a generator can be steered; label: the class that a conditional one draws. GanferError where it cannot."""
    if isinstance(generator, GanGenerator):
        return GanSpace(generator, label)
    space: LatentSpace = generator.latent_space(label)
    return space
