"""What every network of the zoo shares: its own preprocessing, `features` and a linear `head`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """Images in, logits out. A subclass sets `body` (images to feature vectors) and `head` (features to logits).

    uint8 images are divided by 255, float images are taken as 0..1; both are then normalised by the `mean` and
    `std` buffers, one value per channel, which travel with the weights.
    """

    mean: Tensor
    std: Tensor
    body: nn.Module
    head: nn.Module
    optimizer = "adamw"  # the one it learns best with (`TrainConfig.optimizer`)
    progressive = 0.0  # share of a training's steps that smaller images serve as well (`TrainConfig.progressive`)
    own_normalisation = False  # True: mean and std belong to pretrained weights; training leaves them alone

    def __init__(self, num_classes: int, in_channels: int, size: int) -> None:
        super().__init__()
        self.num_classes, self.in_channels, self.size = num_classes, in_channels, size
        self.register_buffer("mean", torch.full((in_channels,), 0.5))
        self.register_buffer("std", torch.full((in_channels,), 0.25))

    def preprocess(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 or float in 0..1 -> normalised float, same shape."""
        if not images.is_floating_point():
            images = images.to(self.mean.dtype).div_(255)
        return (images - self.mean.view(1, -1, 1, 1)) / self.std.view(1, -1, 1, 1)  # (C,) -> (1, C, 1, 1)

    def features(self, images: Tensor) -> Tensor:
        """The penultimate features, (N, D)."""
        return self.body(self.preprocess(images))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W), uint8 or float in 0..1 -> logits (N, num_classes)."""
        return self.head(self.features(images))
