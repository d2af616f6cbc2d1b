"""The StyleGAN2 generator for inference, written from the papers (Karras et al. 2020a, 2020b), in plain PyTorch.

Latents z become w in the mapping network; w steers the synthesis network, which starts from a learned 4 x 4 constant
and doubles the resolution block by block. A convolution's weight is modulated, w' = s_i * w (2020a, equation 1), and
demodulated, w' / sqrt(sum of w'^2 + epsilon) (equation 3): see `ops.modulated_conv2d`. Parameter names are those of
NVIDIA's releases, so that weights move over unchanged.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stylegan_bridge.config import ACTIVATION_GAINS, GeneratorConfig
from stylegan_bridge.ops import (
    Derived,
    activate_,
    finish_,
    modulated_conv2d,
    normalize_second_moment,
    split_gain,
    upsample2d,
)

NoiseMode = Literal["const", "random", "none"]
#: One image per row and one (H, W) map per noisy layer, in the order of the layers; None: that layer gets no noise.
Noises = list[Tensor | None]


class Linear(nn.Module):
    """A fully connected layer with run-time weight scaling ("equalized learning rate", Karras et al. 2018).

    Always in float32, also under autocast: latents and styles are small, and every pixel depends on them.
    """

    def __init__(self, inputs: int, outputs: int, *, lr_multiplier: float = 1.0, bias_init: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self.weight_gain = lr_multiplier / inputs**0.5
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs) float32."""
        with torch.autocast(x.device.type, enabled=False):
            return torch.addmm(self.bias, x.float(), self.weight.t(), beta=self.bias_gain, alpha=self.weight_gain)


class MappingNetwork(nn.Module):
    """z, and for a conditional network the class, to w."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        if config.c_dim:
            self.embed = Linear(config.c_dim, config.embed_features)
        hidden = [config.mapping_features] * (config.mapping_layers - 1)
        widths = [config.z_dim + config.embed_features, *hidden, config.w_dim]
        self.layers: list[Linear] = []
        for index in range(config.mapping_layers):
            layer = Linear(widths[index], widths[index + 1], lr_multiplier=config.mapping_lr_multiplier)
            self.add_module(f"fc{index}", layer)
            self.layers.append(layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, z_dim), labels (N, c_dim) one-hot -> w (N, w_dim), before truncation."""
        x = normalize_second_moment(z.to(torch.float32))
        if self.config.c_dim:
            assert labels is not None
            x = torch.cat([x, normalize_second_moment(self.embed(labels.to(torch.float32)))], dim=1)
        name = self.config.mapping_activation
        for layer in self.layers:
            x = activate_(layer(x), name) * ACTIVATION_GAINS[name]
        return x


class SynthesisLayer(nn.Module):
    """A modulated 3 x 3 convolution, optionally upsampling, with noise and activation."""

    noise_const: Tensor

    def __init__(self, config: GeneratorConfig, inputs: int, outputs: int, resolution: int, *, up: bool) -> None:
        super().__init__()
        self.config, self.up, self.derived = config, up, Derived()
        self.affine = Linear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3).to(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if config.use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, taps: Tensor, *, gain: float = 1.0) -> Tensor:
        """x (N, I, H, W), w (N, w_dim), noise (H', W') or (N, 1, H', W') unscaled -> (N, O, H', W')."""
        before, after = split_gain(self.config.activation, gain)
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            demodulate=True,
            gain=before,
            bias=self.bias * before,
            taps=taps if self.up else None,
            derived=self.derived,
        )
        if noise is not None:
            x = x.add_((noise * (self.noise_strength * before)).to(x.dtype))
        clamp = self.config.conv_clamp
        return finish_(x, self.config.activation, after, None if clamp is None else clamp * gain)


class ToRGB(nn.Module):
    """A modulated 1 x 1 convolution to colours, without demodulation."""

    def __init__(self, config: GeneratorConfig, inputs: int) -> None:
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = Linear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(config.img_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))
        self.weight_gain = inputs**-0.5

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (N, I, H, W), w (N, w_dim) -> (N, img_channels, H, W) float32."""
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x, self.weight, styles, demodulate=False, gain=1.0, bias=self.bias, taps=None)
        return finish_(x, "linear", 1.0, self.clamp).to(torch.float32)


class ResidualSkip(nn.Module):
    """The resnet architecture's shortcut: a 1 x 1 convolution, upsampled."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))

    def forward(self, x: Tensor, taps: Tensor, *, gain: float) -> Tensor:
        """(N, I, H, W) -> (N, O, 2H, 2W)."""
        scale = gain * self.weight.shape[1] ** -0.5
        return upsample2d(nn.functional.conv2d(x, (self.weight * scale).to(x.dtype)), taps)


class SynthesisBlock(nn.Module):
    """All layers of one resolution."""

    def __init__(self, config: GeneratorConfig, inputs: int, outputs: int, resolution: int) -> None:
        super().__init__()
        self.resolution, self.is_residual = resolution, config.architecture == "resnet" and inputs > 0
        self.num_convs = 2 if inputs else 1
        if inputs:
            self.conv0 = SynthesisLayer(config, inputs, outputs, resolution, up=True)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = SynthesisLayer(config, outputs, outputs, resolution, up=False)
        self.torgb = ToRGB(config, outputs) if config.has_torgb(resolution) else None
        self.skip = ResidualSkip(inputs, outputs) if self.is_residual else None

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noises: Noises, taps: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        """x (N, I, H/2, W/2) or None, image so far, ws (N, num_convs + 1, w_dim), a noise per layer -> x, image."""
        if x is None:
            x = self.const.to(dtype).unsqueeze(0).expand(len(ws), -1, -1, -1)  # (N, O, 4, 4)
            x = self.conv1(x.contiguous(memory_format=torch.channels_last), ws[:, 0], noises[0], taps)
        else:
            x = x.to(dtype)
            gain = 0.5**0.5 if self.skip is not None else 1.0
            shortcut = self.skip(x, taps, gain=gain) if self.skip is not None else None
            x = self.conv0(x, ws[:, 0], noises[0], taps)
            x = self.conv1(x, ws[:, 1], noises[1], taps, gain=gain)
            if shortcut is not None:
                x = x + shortcut
        if image is not None:
            image = upsample2d(image, taps)
        if self.torgb is not None:
            colours = self.torgb(x, ws[:, self.num_convs])
            image = colours if image is None else image + colours
        assert x is not None
        return x, image


class SynthesisNetwork(nn.Module):
    """w per layer to an image."""

    taps: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks: list[SynthesisBlock] = []
        inputs = 0
        for resolution, outputs in zip(config.block_resolutions, config.channels, strict=True):
            block = SynthesisBlock(config, inputs, outputs, resolution)
            self.add_module(f"b{resolution}", block)
            self.blocks.append(block)
            inputs = outputs
        taps = torch.tensor(config.resample_filter, dtype=torch.float32, device="cpu")
        self.register_buffer("taps", taps / taps.sum(), persistent=False)

    def noise_shapes(self) -> list[int]:
        """Side in pixels of the noise image of each convolution, in order."""
        return [block.resolution for block in self.blocks for _ in range(block.num_convs)]

    def const_noises(self) -> Noises:
        """The noise images that the network was saved with; none for a network without noise."""
        layers = [layer for b in self.blocks for layer in ((b.conv0, b.conv1) if b.num_convs == 2 else (b.conv1,))]
        return [layer.noise_const if self.config.use_noise else None for layer in layers]

    def forward(self, ws: Tensor, noises: Noises, *, allow_fp16: bool = False) -> Tensor:
        """ws (N, num_ws, w_dim) float32, noises one per convolution -> images (N, C, H, W) float32, about -1..1."""
        x: Tensor | None = None
        image: Tensor | None = None
        first = 0
        for block in self.blocks:
            dtype = torch.float16 if allow_fp16 and self.config.is_fp16(block.resolution) else torch.float32
            last = first + block.num_convs
            x, image = block(x, image, ws[:, first : last + 1], noises[first:last], self.taps, dtype)
            first = last
        assert image is not None
        return image
