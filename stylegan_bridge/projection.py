"""Inversion: the latent code whose image is most like a given one, kept where a code can still be edited.

The optimiser of StyleGAN2's projector (Karras et al. 2020a, appendix D) in W+ (Abdal, Qin & Wonka 2019). In the prior's
whitened coordinates two terms hold a code back: its distance from the mean, and how much its layers differ (a code of
W has equal ones); far out and with unlike layers an image is matched better and edited worse (Tov et al. 2021). With
`noise` the noise images are found too, and kept from carrying the picture by their autocorrelation (2020a).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.steering.spaces import LatentSpace, Prior, StyleSpace
from stylegan_bridge.transfer import to_device

#: Images (N, C, H, W) float32 0..255, the found and the wanted ones -> distance (N,), differentiable.
Distance = Callable[[Tensor, Tensor], Tensor]
_PRIOR_CODES = 2048
_RAMP_UP, _RAMP_DOWN = 0.05, 0.25  # shares of the steps


@dataclass(frozen=True)
class ProjectConfig:
    """How images are inverted. `pixels`: weight of the mean square of grey levels, in units of the full range."""

    steps: int = 300
    rate: float = 0.1
    pixels: float = 10.0
    mean_weight: float = 0.005
    layer_weight: float = 0.05
    noise: bool = False
    noise_weight: float = 1e3
    starts: int = 64  # plain codes that are looked at for where to begin


@dataclass(frozen=True)
class Projection:
    """Codes (N, L, D), their images (N, C, H, W) uint8, the distances (N,) and, if asked for, noise images by layer."""

    codes: Tensor
    images: Tensor
    distances: Tensor
    noises: list[Tensor] | None = None


class Projector:
    """Inverts images into one latent space; what does not depend on the image is worked out once."""

    def __init__(self, space: LatentSpace, distance: Distance, config: ProjectConfig, seed: int = 0) -> None:
        if config.noise and not isinstance(space, StyleSpace):
            raise BridgeError("only a StyleGAN2's own space has noise images to find")
        self.space, self.distance, self.config = space, distance, config
        self.prior = Prior(space, space.codes(range(seed, seed + _PRIOR_CODES)))
        with torch.no_grad():
            self.starts = space.codes(range(seed, seed + config.starts))
            self.start_images = self.space.images(self.starts)

    def project(
        self, targets: Tensor, starts: Tensor | None = None, progress: Callable[[int], None] | None = None
    ) -> Projection:
        """Codes of targets (N, C, H, W) float32 or uint8, 0..255, of the space's own size.

        starts: codes (N, L, D) to begin from, as an encoder gives; else each begins at the most similar of some plain
        codes.
        """
        targets = to_device(targets, self.starts.device).float()
        if targets.shape[1:] != self.start_images.shape[1:]:
            raise BridgeError(
                f"images of shape {tuple(targets.shape[1:])}: this network draws {tuple(self.start_images.shape[1:])}"
            )
        begin = self._closest(targets) if starts is None else to_device(starts, targets.device)
        points = self.prior.whitened(begin).detach().requires_grad_()
        noises = self._noises(len(targets))
        optimizer = torch.optim.Adam([points, *(noises or [])], lr=self.config.rate, betas=(0.9, 0.999))
        best = begin.detach().clone()
        least = torch.full((len(targets),), torch.inf, device=targets.device)
        kept = [noise.detach().clone() for noise in noises] if noises else None
        for step in range(self.config.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.config.rate * _ramp(step / self.config.steps)
            optimizer.zero_grad(set_to_none=True)
            codes = self.prior.codes(points)
            images = self._draw(codes, noises)
            found = self._match(images, targets)
            self._total(found, points, noises).backward()
            better = found.detach() < least
            least = torch.where(better, found.detach(), least)  # in place by a mask the device would be waited for
            best = torch.where(better[:, None, None], codes.detach(), best)
            if kept and noises:
                pairs = zip(noises, kept, strict=True)
                kept = [torch.where(better[:, None, None, None], now.detach(), old) for now, old in pairs]
            optimizer.step()
            if noises:
                _normalise(noises)
            if progress:
                progress(1)
        return self._result(best, targets, kept)

    def _match(self, images: Tensor, targets: Tensor) -> Tensor:
        difference = ((images - targets) / 255).square().mean(dim=(1, 2, 3))
        return self.distance(images, targets) + self.config.pixels * difference

    def _total(self, found: Tensor, points: Tensor, noises: list[Tensor] | None) -> Tensor:
        config = self.config
        loss = found + config.mean_weight * points.square().mean(dim=2).mean(dim=1) * points.shape[2] ** 0.5
        apart = (points - points.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))
        loss = loss + config.layer_weight * apart
        if noises:
            loss = loss + config.noise_weight * noise_regularisation(noises)
        return loss.sum()

    def _draw(self, codes: Tensor, noises: Sequence[Tensor] | None) -> Tensor:
        if noises is None:
            return self.space.images(codes)
        assert isinstance(self.space, StyleSpace)
        images = self.space.generator.synthesis(codes, list(noises), allow_fp16=False)
        return images.mul(127.5).add(128).clamp(0, 255)

    @torch.no_grad()
    def _result(self, codes: Tensor, targets: Tensor, noises: list[Tensor] | None) -> Projection:
        if noises is None:
            images = self.space.final(codes)
        else:
            images = self._draw(codes, noises).to(torch.uint8).cpu()
        return Projection(codes, images, self.distance(images.to(targets.device).float(), targets), noises)

    @torch.no_grad()
    def _closest(self, targets: Tensor) -> Tensor:
        """For each target the plain code whose image is nearest to it."""
        count = len(self.starts)
        rows = [self._match(self.start_images, target.expand(count, -1, -1, -1)).argmin() for target in targets]
        return self.starts[torch.stack(rows)]

    def _noises(self, count: int) -> list[Tensor] | None:
        if not self.config.noise:
            return None
        assert isinstance(self.space, StyleSpace)
        saved = [noise for noise in self.space.generator.noises("const") if noise is not None]
        return [noise.detach().expand(count, 1, -1, -1).clone().requires_grad_() for noise in saved] or None


def noise_regularisation(noises: Sequence[Tensor]) -> Tensor:
    """How much the noise images (N, 1, H, H) resemble themselves one pixel on, over a pyramid: (N,), 0 for noise."""
    total = noises[0].new_zeros(len(noises[0]))
    for noise in noises:
        while True:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, dims=axis)).mean(dim=(1, 2, 3)).square()
            if noise.shape[2] <= 8:
                break
            noise = F.avg_pool2d(noise, 2) * 2
    return total


@torch.no_grad()
def _normalise(noises: Sequence[Tensor]) -> None:
    for noise in noises:
        noise -= noise.mean(dim=(1, 2, 3), keepdim=True)
        noise *= (noise.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-12).rsqrt()


def _ramp(progress: float) -> float:
    """The rate's share: up over the first part, down along a cosine over the last."""
    down = min(1.0, (1.0 - progress) / _RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, (progress + 1e-3) / _RAMP_UP)
