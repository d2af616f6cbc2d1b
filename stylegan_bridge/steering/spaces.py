"""Where steering moves: a latent space with a prior. StyleGAN2's w per layer, or any other generator's z."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.exact import in_double
from stylegan_bridge.generator import Generator, latents
from stylegan_bridge.transfer import to_device


class LatentSpace(Protocol):
    """What steering needs of a generator. Codes are (N, L, D) float32: L layers of D numbers, L = 1 for a plain z.

    A space may have a `gradient_batch`: how many images' gradients fit into memory at a time.
    """

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

    def from_gaussian(self, points: Tensor) -> Tensor:
        """The way back, differentiable."""
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
        #: Images whose gradients are held at a time: those of 1024 pixels take about a gigabyte each.
        self.gradient_batch = max(1, 2048 // generator.resolution)

    @torch.no_grad()
    def codes(self, seeds: Sequence[int]) -> Tensor:
        """(N, num_ws, w_dim)."""
        z = to_device(latents(seeds, self.generator.config.z_dim), self.generator.device)
        return self.generator.map(
            z, self.generator.labels(self.class_index, len(seeds)), truncation_psi=self.truncation_psi
        )

    def images(self, codes: Tensor) -> Tensor:
        """With the saved noise, so that a code names an image; clamped as `final` is, or the score would see more."""
        draw = self.generator.render_float32 if codes.requires_grad else self.generator.render
        parts = [draw(part) for part in codes.split(self.batch_size)]
        return torch.cat(parts).mul(127.5).add(128).clamp(0, 255)

    def final(self, codes: Tensor) -> Tensor:
        """`Generator.sample_ws` of the codes."""
        return self.generator.sample_ws(codes)

    def gaussian(self, codes: Tensor) -> Tensor:
        """w before the mapping network's last leaky ReLU is nearly Gaussian (Zhu et al. 2020, P space)."""
        return torch.nn.functional.leaky_relu(codes, 5.0) if self._has_p_space else codes

    def from_gaussian(self, points: Tensor) -> Tensor:
        """The leaky ReLU itself."""
        return torch.nn.functional.leaky_relu(points, 0.2) if self._has_p_space else points

    @property
    def _has_p_space(self) -> bool:
        return self.generator.config.mapping_activation == "lrelu" and self.truncation_psi == 1


class PlainSpace:
    """z of any generator: a callable from (N, D) float32 to images (N, C, H, W), 0..255."""

    def __init__(self, draw: Callable[[Tensor], Tensor], z_dim: int, device: str | torch.device = "cpu") -> None:
        self.draw, self.z_dim, self.device = draw, z_dim, torch.device(device)

    def codes(self, seeds: Sequence[int]) -> Tensor:
        """(N, 1, z_dim)."""
        return to_device(latents(seeds, self.z_dim), self.device).unsqueeze(1)

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

    def from_gaussian(self, points: Tensor) -> Tensor:
        """z is Gaussian as it is."""
        return points


class Prior:
    """A Gaussian fitted on the generator's own codes. Steering moves in its whitened coordinates.

    There each coordinate of a plain code varies by 1, so a step costs the same in every direction, and directions in
    which the generator's codes hardly vary are hardly taken.
    """

    def __init__(self, space: LatentSpace, codes: Tensor) -> None:
        """From plain codes (N, L, D), whose layers are alike."""
        if len(codes) < 2:
            raise BridgeError(f"{len(codes)} codes are too few to know how the generator's lie; draw a larger pool")
        self.space = space
        points = in_double(space.gaussian(codes)[:, 0])
        mean = points.mean(dim=0)
        covariance = (points - mean).t() @ (points - mean) / (len(points) - 1)
        values, vectors = torch.linalg.eigh(covariance)
        deviations = values.clamp_min(float(values.max()) * 1e-4 + 1e-12).sqrt()
        parts = mean, vectors / deviations, (vectors * deviations).t().contiguous()
        self.mean, self._whiten, self._colour = (part.float().to(codes.device) for part in parts)
        #: The distance of the furthest plain code.
        self.reach = float(self.distance(self.whitened(codes)).max())

    def whitened(self, codes: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D), mean 0 and variance 1 for plain codes."""
        return (self.space.gaussian(codes) - self.mean) @ self._whiten

    def codes(self, points: Tensor) -> Tensor:
        """The way back, differentiable."""
        return self.space.from_gaussian(points @ self._colour + self.mean)

    @staticmethod
    def distance(points: Tensor) -> Tensor:
        """Mean square of whitened points, over each layer, the largest layer counting: (N, L, D) -> (N,); about 1."""
        return points.square().mean(dim=-1).amax(dim=-1)
