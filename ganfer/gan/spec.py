"""What fixes the shape of a GAN's networks: the sizes they reach and how wide their layers are. Loads no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ganfer.errors import GanferError

_LEAST = 16  # pixels, the smallest `data.size`
_TITLES = {"dcgan": "A DCGAN", "resgan": "A resgan"}
_SIZES = sorted(side << k for side in (3, 4) for k in range(2, 9) if side << k >= _LEAST)
WIDEST = 8  # hidden layers are at most this many times `base_channels` wide


@dataclass(frozen=True)
class NetworkSpec:
    """What fixes the shape of both networks. num_classes 0: unconditional.

    layout: of a StyleGAN2 that was not planned here, as `stylegan_bridge.GeneratorConfig.to_dict` gives it. filtered:
    its discriminator is the papers' own. draws: side of the images it gives out, where that is not `size` (0: it is).
    """

    network: str
    size: int
    channels: int
    num_classes: int
    latent_dim: int
    base_channels: int
    layout: Mapping[str, Any] | None = None
    filtered: bool = False
    draws: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for cards and digests; what is unset is left out, as in files made before it was known."""
        values = asdict(self)
        return {name: value for name, value in values.items() if value or name not in ("layout", "filtered", "draws")}


def per_image(strength: Any) -> Any:
    """How far the class counts, ready to scale rows (N, F): one number for all, or (N,) made (N, 1).

    An image without a label has 0: then neither network knows a class for it, and no class learns from it.
    """
    return strength[:, None] if getattr(strength, "ndim", 0) else strength


def reaches(size: int) -> bool:
    """Whether dcgan and resgan can draw images of this side."""
    return size in _SIZES


def plan_size(size: int, network: str = "dcgan") -> tuple[int, int]:
    """(side of the smallest feature map, doublings up to `size`). GanferError for a size it does not reach."""
    for side in (4, 3):
        doublings = (size // side).bit_length() - 1
        if doublings >= 2 and side << doublings == size:
            return side, doublings
    near = min(_SIZES, key=lambda other: abs(other - size))
    raise GanferError(
        f"{_TITLES[network]} cannot draw {size}×{size} images: the size must be 3 or 4 doubled at least twice.",
        f"Add the data again with --size {near} (or any of {', '.join(map(str, _SIZES[:9]))}).",
    )


def hidden_widths(spec: NetworkSpec) -> list[int]:
    """Channels of the feature maps from the highest resolution to the lowest."""
    _, doublings = plan_size(spec.size)
    return [spec.base_channels * min(2**level, WIDEST) for level in range(doublings)]
