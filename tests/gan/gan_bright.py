"""A GAN in miniature whose latents decide the brightness, and classifiers that read it."""

from typing import Any

import numpy as np
import torch
from gan_tiny import NAMES
from torch import Tensor, nn

from ganfer.gan.networks import NetworkSpec
from ganfer.gan.sampling import GanGenerator

SPEC = NetworkSpec("dcgan", 16, 1, 0, latent_dim=8, base_channels=4)


class Bright(nn.Module):
    """An untrained GAN in miniature: latents decide the brightness, mostly middling, and some texture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.texture = nn.Parameter(torch.randn(8, 16 * 16) * 0.15)
        self.texture.data[0] = 0.45

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        raised = 0.0 if labels is None else (labels.float()[:, None] - 1) * 0.2
        return torch.tanh(0.7 * (z @ self.texture + raised)).view(-1, 1, 16, 16)


def gan(names: tuple[str, ...] | None = None) -> GanGenerator:
    return GanGenerator(Bright(), SPEC, names, digest="b" * 64)


class Level:
    """A stand-in for a trained classifier: three classes by brightness, dark and bright ones beyond `far`."""

    class_names, temperature, digest, device = NAMES, 1.0, "c" * 64, torch.device("cpu")
    card: dict[str, Any] = {"config": {"sampler": "balanced"}}  # noqa: RUF012

    def __init__(self, far: float = 55.0, part: slice = slice(None)) -> None:
        self.far, self.part = far, part
        self.model = nn.Module()
        self.model.forward = lambda images: self._logits(images * 255)  # type: ignore[method-assign]

    def _logits(self, images: Tensor) -> Tensor:
        level = images[:, 0, self.part].float().mean(dim=(1, 2)) - 128
        return torch.stack([-level - self.far, torch.zeros_like(level), level - self.far], dim=1) / 5

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self._logits(torch.from_numpy(images)).numpy()
