"""`compact`: a small residual network for 48 to 64 pixel faces, quick on a CPU and strong for its size.

Residual blocks as in He et al. 2016, relu(x + F(x)), with the last norm's gain starting at 0 (Goyal et al. 2017).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.models.base import ImageClassifier


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity; starts as the identity (the last norm's gain is 0)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = ConvNorm(channels, channels), ConvNorm(channels, channels)
        nn.init.zeros_(self.second[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class Compact(ImageClassifier):
    """Residual stages at 1/2, 1/4 and 1/8 of the image, then mean and maximum over the plane."""

    optimizer = "muon"

    def __init__(self, num_classes: int, in_channels: int = 1, size: int = 48, dropout: float = 0.2, width: int = 32):
        super().__init__(num_classes, in_channels, size)
        self.body = nn.Sequential(
            # (N, C, S, S) -> (N, width, S/2, S/2): the image is halved at once, early planes cost most on a CPU
            ConvNorm(in_channels, width, 5, 2),
            nn.ReLU(),
            Residual(width),
            ConvNorm(width, 2 * width, 3, 2),  # (N, 2 width, S/4, S/4)
            nn.ReLU(),
            Residual(2 * width),
            ConvNorm(2 * width, 4 * width, 3, 2),  # (N, 4 width, S/8, S/8)
            nn.ReLU(),
            Residual(4 * width),
            ConvNorm(4 * width, 8 * width),  # (N, 8 width, S/8, S/8)
            nn.ReLU(),
            MeanMax(),  # (N, 16 width)
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(16 * width, num_classes))


class MeanMax(nn.Module):
    """(N, C, H, W) -> (N, 2C): mean and maximum of each plane."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2C)."""
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
