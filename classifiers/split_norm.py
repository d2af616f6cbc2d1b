"""Batch norm that keeps real and synthetic images apart in training (AdvProp, Xie et al. 2020).

Synthetic images are normalised by the statistics of their own part of the batch and never reach the network's running
ones, with which it predicts. What is trained, averaged and saved stays the plain network.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from classifiers.config import TrainConfig
from classifiers.device_set import to_device
from classifiers.errors import ClassifierError
from classifiers.models import ImageClassifier, create_model


class SplitNorm(nn.Module):
    """A network and a second set of its batch norms, for training alone.

    affine: the second set has gains and biases of its own as well, else it shares the network's.
    """

    def __init__(self, model: ImageClassifier, name: str, *, affine: bool) -> None:
        super().__init__()
        norms = _norms(model)
        if not norms:
            raise ClassifierError(f"auxiliary_norm: model '{name}' has no batch norm; leave it out")
        self.model = model
        self.auxiliary = nn.ModuleDict({key.replace(".", "/"): copy.deepcopy(norm) for key, norm in norms.items()})
        for norm in self.auxiliary.values() if not affine else ():
            for parameter in list(norm._parameters):
                norm.register_parameter(parameter, None)

    def forward(self, images: Tensor, synthetic: np.ndarray) -> Tensor:
        """(B, C, H, W) and which of them are synthetic, (B,) bool -> logits (B, K)."""
        if not synthetic.any():
            return self._main(images)
        if synthetic.all():
            return self._own(images)
        order = np.argsort(synthetic, kind="stable")  # the real ones first
        real = int((~synthetic).sum())
        sorted_images = images[to_device(torch.from_numpy(order), images.device)]
        logits = torch.cat([self._main(sorted_images[:real]), self._own(sorted_images[real:])])
        return logits[to_device(torch.from_numpy(np.argsort(order)), images.device)]

    def _main(self, images: Tensor) -> Tensor:
        with _statistics(self.model, len(images)):
            logits: Tensor = self.model(images)
        return logits

    def _own(self, images: Tensor) -> Tensor:
        tensors = {
            f"{key.replace('/', '.')}.{name}": tensor
            for key, norm in self.auxiliary.items()
            for part in (norm.named_parameters(recurse=False), norm.named_buffers(recurse=False))
            for name, tensor in part
        }
        with _statistics(self.model, len(images)):
            logits: Tensor = functional_call(self.model, tensors, (images,))
        return logits


def has_batch_norm(config: TrainConfig) -> bool:
    """Whether the architecture has any, so that synthetic images can have their own."""
    classes = 2 if config.model == "cnn-binary" else 3
    return bool(_norms(create_model(config.model, classes, 1, 64, batch_norm=config.batch_norm)))


def _norms(model: nn.Module) -> dict[str, nn.Module]:
    return {key: module for key, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)}


@contextmanager
def _statistics(model: nn.Module, count: int) -> Iterator[None]:
    """A single image has no statistics of its own: its batch norms use the running ones."""
    norms = [norm for norm in _norms(model).values() if norm.training]
    for norm in norms if count == 1 else ():
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
