"""The earlier projects' networks: the FER-6 baseline and CNNs, happy versus angry, and the eight-class CNN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.errors import ClassifierError
from classifiers.models.base import ImageClassifier


class FullyConnected(ImageClassifier):
    """`fnn`: two hidden layers on the bare pixels."""

    def __init__(self, num_classes: int, in_channels: int = 1, size: int = 48, dropout: float = 0.5) -> None:
        super().__init__(num_classes, in_channels, size)
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * size * size, 1024),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(1024, 512),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(512, num_classes))


class TwoConvolutions(ImageClassifier):
    """`cnn` (5x5 kernels, 9,496,454 parameters at 48x48 grey, six classes) and `cnn-sgd` (4x4, 9,477,734).

    Convolution to 32 planes, pool, to 64 planes, pool, 1024 units, dropout; the planes keep their size.
    """

    def __init__(
        self, num_classes: int, in_channels: int = 1, size: int = 48, dropout: float = 0.5, kernel: int = 5
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        before, after = (kernel - 1) // 2, kernel // 2  # an even kernel needs one pixel more on the far side
        pad = nn.ZeroPad2d((before, after, before, after))
        self.body = nn.Sequential(
            pad,
            nn.Conv2d(in_channels, 32, kernel),
            nn.ReLU(),
            nn.MaxPool2d(2),
            pad,
            nn.Conv2d(32, 64, kernel),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (size // 4) ** 2, 1024),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(1024, num_classes))


class Binary(ImageClassifier):
    """`cnn-binary`: 3x3 convolution to 8 planes, pool, one unit with a sigmoid; made for 32x32 grey, two classes.

    Its one output z is handed on as the logits (0, z), whose softmax is the sigmoid of z.
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 1, size: int = 32, dropout: float = 0.0) -> None:
        if num_classes != 2:
            raise ClassifierError(f"cnn-binary tells 2 classes apart, not {num_classes}; use cnn or compact")
        super().__init__(num_classes, in_channels, size)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(dropout)
        )
        self.head = SigmoidUnit(8 * (size // 2) ** 2)


class SigmoidUnit(nn.Linear):
    """One output z, as the two logits (0, z)."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, 2)."""
        return F.pad(super().forward(x), (1, 0))


class EightClass(ImageClassifier):
    """`cnn-8class`: four convolutions and two dense layers, each with batch norm (optional) and dropout after it."""

    def __init__(
        self, num_classes: int, in_channels: int = 1, size: int = 48, dropout: float = 0.25, batch_norm: bool = True
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        layers: list[nn.Module] = []
        channels = in_channels
        for width, kernel in ((64, 3), (128, 5), (256, 3), (512, 3)):
            layers.append(nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=not batch_norm))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(dropout)]
            channels = width
        layers.append(nn.Flatten())
        units = 512 * (size // 16) ** 2
        for width in (256, 512):
            layers.append(nn.Linear(units, width, bias=not batch_norm))
            layers += [nn.BatchNorm1d(width)] if batch_norm else []
            layers += [nn.ReLU(), nn.Dropout(dropout)]
            units = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(units, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # Without batch norm, torch's own initialisation loses the signal over six layers.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        torch.nn.init.normal_(self.head.weight, std=0.01)
