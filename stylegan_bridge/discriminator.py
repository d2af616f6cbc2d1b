"""StyleGAN2's discriminator, for those who go on training a network (Karras et al. 2020a, the residual one).

Parameter names are those of NVIDIA's releases, so that weights move over unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_bridge.network import Linear

GROUP = 4  # images over which the discriminator sees how much they differ
_TAPS = (1.0, 3.0, 3.0, 1.0)


class Conv(nn.Module):
    """A convolution with run-time weight scaling; with `halve` a low-pass filter and a stride of 2 come first."""

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, halve: bool = False, active: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.gain, self.halve, self.active = (inputs * kernel**2) ** -0.5, halve, active
        taps = torch.tensor(_TAPS, device="cpu") / sum(_TAPS)
        self.register_buffer("taps", torch.outer(taps, taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W), or half the sides."""
        half = self.weight.shape[2] // 2
        if not self.halve:
            x = F.conv2d(x, self.weight * self.gain, padding=half)
        else:
            filters = self.taps.to(x.dtype).expand(x.shape[1], 1, -1, -1)
            x = F.conv2d(x, filters, padding=1 + half, groups=x.shape[1])
            x = F.conv2d(x, self.weight * self.gain, stride=2)
        if self.bias is None:
            return x
        return F.leaky_relu(x + self.bias[None, :, None, None], 0.2) * 2**0.5


class Block(nn.Module):
    """One resolution: two convolutions and a shortcut to half the side; the highest has the colour layer."""

    def __init__(self, img_channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        if img_channels:
            self.fromrgb = Conv(img_channels, inputs, 1)
        self.conv0 = Conv(inputs, inputs, 3)
        self.conv1 = Conv(inputs, outputs, 3, halve=True)
        self.skip = Conv(inputs, outputs, 1, halve=True, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W), or an image, -> (N, outputs, H/2, W/2)."""
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        change: Tensor = self.conv1(self.conv0(x))
        return (change + self.skip(x)) * 0.5**0.5


class Last(nn.Module):
    """4 x 4 features, and how much the images of a group differ, to one vector per image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv(width + 1, width, 3)
        self.fc = Linear(width * 16, width)
        self.out = Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, 4, 4) -> (N, width)."""
        x = self.conv(torch.cat([x, variety(x)], dim=1))
        return F.leaky_relu(self.fc(x.flatten(1)), 0.2) * 2**0.5


class Discriminator(nn.Module):
    """Images (N, C, S, S), -1..1, to features (N, width); `b4.out` makes the logit of them."""

    def __init__(self, channels: Sequence[int], img_channels: int) -> None:
        """channels[i]: features at 4 * 2**i px, as a generator's."""
        super().__init__()
        sides = [4 * 2**i for i in range(len(channels))]
        self.sides = sides[:0:-1]
        for i in range(len(channels) - 1, 0, -1):
            colours = img_channels if i == len(channels) - 1 else 0
            self.add_module(f"b{sides[i]}", Block(colours, channels[i], channels[i - 1]))
        self.b4 = Last(channels[0])

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, width)."""
        x = images
        for side in self.sides:
            x = self.get_submodule(f"b{side}")(x)
        features: Tensor = self.b4(x)
        return features


def variety(x: Tensor) -> Tensor:
    """Minibatch standard deviation (Karras et al. 2018): (N, C, H, W) -> (N, 1, H, W), one number per group."""
    n = len(x)
    size = next(size for size in range(min(GROUP, n), 0, -1) if n % size == 0)
    groups = x.reshape(size, n // size, *x.shape[1:])  # (size, N / size, C, H, W)
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (N / size,)
    return deviation.repeat(size).view(n, 1, 1, 1).expand(-1, 1, *x.shape[2:])
