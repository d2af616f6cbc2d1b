"""Where steering moves: a latent space with a prior. StyleGAN2's w per layer, or any other generator's z."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.generator import Generator, latents


class LatentSpace(Protocol):
    """What steering needs of a generator. Codes are (N, L, D) float32: L layers of D numbers, L = 1 for a plain z."""

    def codes(self, seeds: Sequence[int]) -> Tensor:
        """One code per seed, as the generator itself would draw it; cheap, no image is made."""
        ...

    def images(self, codes: Tensor) -> Tensor:
        """(N, L, D) -> (N, C, H, W) float32, 0..255 before rounding; differentiable, or steering evolves instead."""
        ...

    def final(self, codes: Tensor) -> Tensor:
        """(N, L, D) -> (N, C, H, W) uint8, to the last bit what drawing the codes again gives."""
        ...

    def gaussian(self, codes: Tensor) -> Tensor:
        """Codes in coordinates in which the generator's own are nearly Gaussian; same shape."""
        ...


class StyleSpace:
    """W of a StyleGAN2 generator, one copy per layer (W+), so that layers can move on their own."""

    def __init__(
        self, generator: Generator, class_index: int | None = None, *, truncation_psi: float = 1.0, batch_size: int = 8
    ) -> None:
        """For a conditional generator `class_index` is the class that its codes are drawn for."""
        generator.classes(class_index, 1)
        self.generator, self.class_index, self.truncation_psi = generator, class_index, truncation_psi
        self.batch_size = batch_size

    @torch.no_grad()
    def codes(self, seeds: Sequence[int]) -> Tensor:
        """(N, num_ws, w_dim)."""
        z = latents(seeds, self.generator.config.z_dim).to(self.generator.device)
        return self.generator.map(
            z, self.generator.labels(self.class_index, len(seeds)), truncation_psi=self.truncation_psi
        )

    def images(self, codes: Tensor) -> Tensor:
        """With the saved noise, so that a code names an image."""
        parts = [self.generator.render(part) for part in codes.split(self.batch_size)]
        return torch.cat(parts).mul(127.5).add(128)

    def final(self, codes: Tensor) -> Tensor:
        """`Generator.sample_ws` of the codes."""
        return self.generator.sample_ws(codes)

    def gaussian(self, codes: Tensor) -> Tensor:
        """w before the mapping network's last leaky ReLU is nearly Gaussian (Zhu et al. 2020, P space)."""
        if self.generator.config.mapping_activation != "lrelu" or self.truncation_psi != 1:
            return codes
        return torch.nn.functional.leaky_relu(codes, 5.0)


class PlainSpace:
    """z of any generator: a callable from (N, D) float32 to images (N, C, H, W), 0..255."""

    def __init__(self, draw: Callable[[Tensor], Tensor], z_dim: int, device: str | torch.device = "cpu") -> None:
        self.draw, self.z_dim, self.device = draw, z_dim, torch.device(device)

    def codes(self, seeds: Sequence[int]) -> Tensor:
        """(N, 1, z_dim)."""
        return latents(seeds, self.z_dim).to(self.device).unsqueeze(1)

    def images(self, codes: Tensor) -> Tensor:
        """What the callable draws."""
        return self.draw(codes[:, 0])

    @torch.no_grad()
    def final(self, codes: Tensor) -> Tensor:
        """One at a time, so that an image does not depend on its company."""
        images = torch.cat([self.draw(codes[i : i + 1, 0]) for i in range(len(codes))])
        return images.clamp(0, 255).to(torch.uint8).cpu()

    def gaussian(self, codes: Tensor) -> Tensor:
        """z is Gaussian as it is."""
        return codes


@dataclass(frozen=True)
class Prior:
    """A Gaussian over one layer's codes, fitted on the generator's own, and the spread of each coordinate."""

    mean: Tensor  # (D,)
    whiten: Tensor  # (D, D)
    scale: Tensor  # (D,), standard deviation of the raw codes

    def distance(self, gaussian: Tensor) -> Tensor:
        """Mean square of the whitened codes, (N, L, D) -> (N, L); about 1 for the generator's own."""
        return ((gaussian - self.mean) @ self.whiten).square().mean(dim=-1)


@torch.no_grad()
def fit_prior(space: LatentSpace, codes: Tensor) -> Prior:
    """From (N, L, D) plain codes, whose layers are alike; directions in which they hardly vary do not blow up."""
    if len(codes) < 2:
        raise BridgeError(f"{len(codes)} codes are too few to know how the generator's codes lie; draw a larger pool")
    points = space.gaussian(codes)[:, 0].double()
    mean = points.mean(dim=0)
    covariance = (points - mean).t() @ (points - mean) / (len(points) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    floor = values.clamp_min(0).max() * 1e-3 + 1e-12
    whiten = vectors * values.clamp_min(floor).rsqrt()
    return Prior(mean.float(), whiten.float(), codes[:, 0].std(dim=0).clamp_min(1e-6))
