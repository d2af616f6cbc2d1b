"""DiffAugment (Zhao et al. 2020): differentiable augmentation of real and generated images alike, batch-wise."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganfer.errors import ConfigError, did_you_mean

TRANSLATION = 0.125  # of the side
CUTOUT = 0.5  # of the side


def parse_policies(text: str) -> tuple[str, ...]:
    """`"color,translation"` as names; ConfigError for one that does not exist."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in POLICIES:
            raise ConfigError(f"gan.augment names {name!r}.", did_you_mean(name, POLICIES))
    return names


def diff_augment(
    images: Tensor, policies: Sequence[str], rng: torch.Generator, probability: Tensor | None = None
) -> Tensor:
    """Images (N, C, H, W) in -1..1 with every policy applied, each image with its own random strength.

    With a probability (scalar tensor) each policy changes an image only that often (ADA, Karras et al. 2020).
    """
    for name in policies:
        changed = POLICIES[name](images, rng)
        if probability is None:
            images = changed
        else:
            picked = torch.rand((len(images), 1, 1, 1), generator=rng, device=images.device) < probability
            images = torch.where(picked, changed, images)
    return images


def _uniform(images: Tensor, low: float, high: float, rng: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1, 1)
    return torch.rand(shape, generator=rng, device=images.device, dtype=images.dtype) * (high - low) + low


def _color(images: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness ±0.5, saturation ×0..2 (colour only), contrast ×0.5..1.5."""
    images = images + _uniform(images, -0.5, 0.5, rng)
    if images.shape[1] == 3:
        grey = images.mean(dim=1, keepdim=True)
        images = (images - grey) * _uniform(images, 0.0, 2.0, rng) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * _uniform(images, 0.5, 1.5, rng) + mean


def _translation(images: Tensor, rng: torch.Generator) -> Tensor:
    """Shifts by up to an eighth of the side each way; what comes in is zero (mid-grey)."""
    n, channels, height, width = images.shape
    device = images.device

    def shifted(x: Tensor, dim: int, side: int) -> Tensor:
        reach = round(side * TRANSLATION)
        shift = torch.randint(-reach, reach + 1, (n, 1), generator=rng, device=device)
        source = torch.arange(side, device=device) + shift  # (N, side)
        inside = ((source >= 0) & (source < side)).to(x.dtype)
        view = [n, 1, 1, 1]
        view[dim] = side
        index = source.clamp(0, side - 1).view(view).expand(n, channels, height, width)
        return x.gather(dim, index) * inside.view(view)

    return shifted(shifted(images, 2, height), 3, width)


def _cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """A square of half the side, anywhere (also partly outside), becomes zero."""
    n, _, height, width = images.shape
    device = images.device

    def outside(side: int) -> Tensor:
        length = int(side * CUTOUT + 0.5)
        centre = torch.randint(0, side + (1 - length % 2), (n, 1), generator=rng, device=device)
        start = centre - length // 2
        position = torch.arange(side, device=device)
        return (position < start) | (position >= start + length)  # (N, side)

    keep = outside(height)[:, None, :, None] | outside(width)[:, None, None, :]
    return images * keep.to(images.dtype)


POLICIES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
