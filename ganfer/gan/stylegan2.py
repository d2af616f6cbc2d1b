"""`stylegan2`: the bridge's own StyleGAN2 generator, trained here, and a residual discriminator for it.

Karras et al. 2020a (the networks), 2020b (for few images: adaptive augmentation, no path-length regulariser, no style
mixing). Once trained the generator is a StyleGAN2 like any other: `write_bridge_file` saves it as `stylegan_bridge`
reads it.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganfer.errors import GanferError
from ganfer.gan.spec import NetworkSpec, per_image, reaches
from stylegan_bridge.config import GeneratorConfig
from stylegan_bridge.discriminator import Discriminator, variety
from stylegan_bridge.network import Linear, MappingNetwork, Noises, SynthesisNetwork
from stylegan_bridge.ops import normalize_second_moment
from stylegan_bridge.readers.checkpoint import Checkpoint
from stylegan_bridge.readers.native import write_native

BRIDGE_FILE = "stylegan2.safetensors"
SIZES = (16, 32, 64, 128, 256)
W_DIM = 128
MAPPING_LAYERS = 4
WIDEST = 256
_W_MEMORY = 0.998  # of the running average of w, per step


def check_size(size: int) -> None:
    """GanferError for a side that StyleGAN2 does not double up to."""
    if size not in SIZES:
        near = min(SIZES, key=lambda other: abs(other - size))
        instead = ", or use gan.network=resgan" if reaches(size) else ""
        raise GanferError(
            f"A StyleGAN2 cannot draw {size}×{size} images: the size must be one of {', '.join(map(str, SIZES))}.",
            f"Add the data again with --size {near}{instead}.",
        )


def bridge_config(spec: NetworkSpec) -> GeneratorConfig:
    """The generator's layout in the bridge's terms: `base_channels` features at full size, twice as many below."""
    if spec.layout:
        return GeneratorConfig.from_dict(dict(spec.layout))
    sides = [2**k for k in range(2, spec.size.bit_length())]
    channels = tuple(min(spec.base_channels * spec.size // side, max(WIDEST, spec.base_channels)) for side in sides)
    return GeneratorConfig(
        resolution=spec.size, channels=channels, img_channels=spec.channels, z_dim=spec.latent_dim, w_dim=W_DIM,
        c_dim=spec.num_classes, mapping_layers=MAPPING_LAYERS, mapping_features=W_DIM,
        embed_features=W_DIM if spec.num_classes else 0, architecture="skip",
    )  # fmt: skip


class StyleGan2Generator(nn.Module):
    """z (N, latent_dim) and labels (N,) to images (N, C, S, S), about -1..1; parameters are named as the bridge's.

    Noise is drawn anew in training and is the saved one otherwise. `strength` scales the class's part of the mapping's
    input, so conditioning can be switched on gradually; 1 is the network as the bridge runs it.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec, self.config = spec, bridge_config(spec)
        self.depth = self.config.num_ws  # places a latent enters
        self.mapping = MappingNetwork(self.config)
        self.synthesis = SynthesisNetwork(self.config)

    def forward(self, z: Tensor, labels: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """z (N, latent_dim), labels (N,) -> (N, C, S, S), about -1..1.

        z may be (N, depth, latent_dim), a latent of its own for every layer.
        """
        if z.ndim == 3:
            every = None if labels is None else labels.repeat_interleave(z.shape[1])
            ws = self._w(z.flatten(0, 1), every, strength).unflatten(0, z.shape[:2])
            return self.synthesis(ws, self.synthesis.const_noises())
        w = self._w(z, labels, strength)  # (N, W_DIM)
        if self.training:
            with torch.no_grad():
                self.mapping.w_avg.lerp_(_mean_w(w.detach().float(), strength), 1 - _W_MEMORY)
            sides = self.synthesis.noise_shapes()
            noises: Noises = [torch.randn(len(z), 1, side, side, device=z.device) for side in sides]
        else:
            noises = self.synthesis.const_noises()
        images: Tensor = self.synthesis(w.unsqueeze(1).expand(-1, self.config.num_ws, -1), noises)  # (N, num_ws, W_DIM)
        return images

    def _w(self, z: Tensor, labels: Tensor | None, strength: float) -> Tensor:
        mapping = self.mapping
        x = normalize_second_moment(z)
        if self.spec.num_classes:
            assert labels is not None
            one_hot = F.one_hot(labels, self.spec.num_classes).to(x.dtype)
            x = torch.cat([x, per_image(strength) * normalize_second_moment(mapping.embed(one_hot))], dim=1)
        for layer in mapping.layers:
            x = F.leaky_relu(layer(x), 0.2) * 2**0.5
        return x


def _mean_w(w: Tensor, strength: float | Tensor) -> Tensor:
    """The mean (W_DIM,) of w (N, W_DIM) over the images that have a class, where some have none."""
    if not isinstance(strength, Tensor) or not strength.ndim:
        return w.mean(0)
    known = (strength > 0).to(w.dtype)
    return torch.where(known.sum() > 0, known @ w / known.sum().clamp_min(1), w.mean(0))


class EqualConv(nn.Module):
    """A convolution with run-time weight scaling (Karras et al. 2018), bias, and optionally the activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, active: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain = (inputs * kernel**2) ** -0.5
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        x = F.conv2d(x, self.weight * self.gain, self.bias, padding=self.weight.shape[2] // 2)
        return F.leaky_relu(x, 0.2) * 2**0.5 if self.active else x


class Halving(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, each brought to half the side. (N, I, H, W) -> (N, O, H/2, W/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = EqualConv(inputs, inputs, 3), EqualConv(inputs, outputs, 3)
        self.shortcut = EqualConv(inputs, outputs, 1, active=False, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, O, H/2, W/2)."""
        h = F.avg_pool2d(self.second(self.first(x)), 2)
        return (h + self.shortcut(F.avg_pool2d(x, 2))) * 0.5**0.5


class StyleGan2Discriminator(nn.Module):
    """Images (N, C, S, S) in -1..1 and labels (N,) to logits (N,). Its smoothness is the loss's business."""

    def __init__(self, spec: NetworkSpec, smooth: str) -> None:
        super().__init__()
        del smooth
        self.spec = spec
        self.batch_statistics = True  # a batch's own variety is one of its features
        widths = bridge_config(spec).channels[::-1]
        self.stem = EqualConv(spec.channels, widths[0], 1)
        self.halvings = nn.ModuleList(Halving(wide, narrow) for wide, narrow in pairwise(widths))
        self.last = EqualConv(widths[-1] + 1, widths[-1], 3)
        self.dense = Linear(widths[-1] * 16, widths[-1])
        self.logit = Linear(widths[-1], 1)
        if spec.num_classes:
            self.by_class = nn.Embedding(spec.num_classes, widths[-1])

    def forward(self, images: Tensor, labels: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """images (N, C, S, S), labels (N,) -> logits (N,)."""
        x = self.stem(images)  # (N, width, S, S)
        for halving in self.halvings:
            x = halving(x)
        x = self.last(torch.cat([x, variety(x)], dim=1))  # (N, width + 1, 4, 4) -> (N, width, 4, 4)
        h = F.leaky_relu(self.dense(x.flatten(1)), 0.2) * 2**0.5  # (N, width * 16) -> (N, width)
        logit: Tensor = self.logit(h).flatten()
        if self.spec.num_classes:
            logit = logit + strength * (self.by_class(labels) * h).sum(1) * h.shape[1] ** -0.5
        return logit


class FilteredDiscriminator(nn.Module):
    """The papers' own discriminator, as files from elsewhere hold it, with the class by projection as above."""

    def __init__(self, spec: NetworkSpec, smooth: str) -> None:
        super().__init__()
        del smooth
        self.spec = spec
        self.batch_statistics = True
        widths = bridge_config(spec).channels
        self.trunk = Discriminator(widths, spec.channels)
        if spec.num_classes:
            self.by_class = nn.Embedding(spec.num_classes, widths[0])

    def forward(self, images: Tensor, labels: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """images (N, C, S, S), labels (N,) -> logits (N,)."""
        h = self.trunk(images)  # (N, width)
        logit: Tensor = self.trunk.b4.out(h).flatten()
        if self.spec.num_classes:
            logit = logit + strength * (self.by_class(labels) * h).sum(1) * h.shape[1] ** -0.5
        return logit


def discriminator_of(spec: NetworkSpec, smooth: str) -> nn.Module:
    """The discriminator that fits: the one from here, or the papers' own."""
    return (FilteredDiscriminator if spec.filtered else StyleGan2Discriminator)(spec, smooth)


def write_bridge_file(
    folder: Path, weights: Mapping[str, Tensor], spec: NetworkSpec, provenance: Mapping[str, str]
) -> Path:
    """Write the generator as `stylegan_bridge.load_generator` reads it; returns the file."""
    tensors = {name: value.detach().cpu().float().numpy() for name, value in weights.items()}
    path = folder / BRIDGE_FILE
    write_native(Checkpoint("ganfer", bridge_config(spec), tensors), path, dict(provenance))
    return path
