"""A torch network from elsewhere as a generator: drawn by seed, brought to the data's size and channels, steerable.

For the entry point of another package (docs/extending/generator.md). Weights are read as weights: a file that holds
anything else is refused, and nothing in it is run.
"""

import math
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.device_set import to_device
from classifiers.memory import is_of_the_gpu
from ganfer.errors import GanferError
from ganfer.gan.sampling import GanGenerator
from ganfer.gan.spec import NetworkSpec
from ganfer.runtime.device import resolve_device

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as images are made grey when they are added


class Fitted(nn.Module):
    """The network's images (N, C', S', S') in -1..1 at another size and number of channels; differentiable."""

    def __init__(self, network: nn.Module, latent_shape: Sequence[int], size: int, channels: int) -> None:
        super().__init__()
        self.network, self.latent_shape, self.size, self.channels = network, tuple(latent_shape), size, channels

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, latents) -> (N, channels, size, size), about -1..1; labels are those of a generator without classes."""
        del labels
        images: Tensor = self.network(z.reshape(-1, *self.latent_shape))
        if images.shape[1] == 3 and self.channels == 1:
            luma = to_device(torch.tensor(_LUMA, dtype=images.dtype), images.device).view(1, 3, 1, 1)
            images = (images * luma).sum(dim=1, keepdim=True)
        elif images.shape[1] == 1 and self.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        if images.shape[2:] != (self.size, self.size):
            side = (self.size, self.size)
            images = F.interpolate(images, side, mode="bilinear", antialias=True, align_corners=False)
        return images


def generator_of(
    network: nn.Module,
    *,
    name: str,
    digest: str,
    latent_shape: Sequence[int],
    size: int,
    channels: int,
    device: str = "auto",
) -> GanGenerator:
    """A network that makes images (N, C, S, S) in -1..1 of Gaussian latents (N, *latent_shape), as ganfer draws.

    name: for records. digest: of its weights. size, channels: of the data, as the entry point is given them; the images
    are scaled and made grey (or colour) to fit. GanferError for a network that makes something else.
    """
    fitted = Fitted(network.eval(), latent_shape, size, channels)
    count = math.prod(latent_shape)
    place = resolve_device(device)
    _try(name, network.to(place), torch.zeros(2, *latent_shape, device=place))
    spec = NetworkSpec(name, size, channels, num_classes=0, latent_dim=count, base_channels=0)
    return GanGenerator(fitted, spec, None, digest=digest, device=place)


def _try(name: str, network: nn.Module, latents: Tensor) -> None:
    remedy = "Look at latent_shape; it must return images (N, C, S, S), C = 1 or 3, in -1..1."
    try:
        with torch.no_grad():
            images = network(latents)
    except (RuntimeError, ValueError, TypeError) as error:
        if is_of_the_gpu(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise GanferError(f"{name} does not take latents of {tuple(latents.shape)} ({reason}).", remedy) from error
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] not in (1, 3):
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise GanferError(f"{name} gives {shape}, which are no images.", remedy)
    if not bool(images.isfinite().all()) or float(images.abs().max()) > 2:
        raise GanferError(f"{name} gives values outside -1..1 ({float(images.abs().max()):.3g}).", remedy)


def read_weights(path: Path, *keys: str) -> dict[str, Tensor]:
    """The tensors in a torch file, by `keys` from its outermost dict inwards; no code in the file is run.

    GanferError for a file that holds more than tensors and plain containers, that is damaged, or lacks a key.

    Example: `network.load_state_dict(read_weights(path, "netG_state_dict"))`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old formats
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GanferError(f"{path} does not exist.", "Give the file of the network's weights.") from None
    except pickle.UnpicklingError as error:
        raise GanferError(
            f"{path} holds more than weights; nothing in it was run.",
            "Ask its maker for the state_dict alone, best as safetensors.",
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise GanferError(f"{path} cannot be read as a torch file ({reason}).", "Download it again.") from error
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            known = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            raise GanferError(f"{path} has no {key!r} (it has {known[:160]}).", "Name the part that holds the weights.")
        found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise GanferError(f"{path} holds no state_dict there.", "Name the part that holds the weights.")
    return {str(name): value for name, value in found.items()}
