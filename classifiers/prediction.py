"""Prediction: a trained classifier loaded from its folder, run in batches over any number of images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from classifiers.calibration import softmax
from classifiers.device import resolve_device
from classifiers.errors import ClassifierError
from classifiers.files import read_weights
from classifiers.models import ImageClassifier, create_model
from classifiers.samples import check_images

WEIGHTS = "model.safetensors"
Tta = Literal["none", "flip"]


class Classifier:
    """A trained network with its class names and calibration. Images are uint8 (N, C, H, W) arrays or memory maps."""

    def __init__(
        self,
        model: ImageClassifier,
        class_names: list[str],
        *,
        temperature: float = 1.0,
        digest: str = "",
        card: dict[str, Any] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.class_names, self.size, self.channels = list(class_names), model.size, model.in_channels
        self.temperature, self.digest, self.card = float(temperature), digest, card or {}

    def logits(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        """Uncalibrated logits, float32 (N, K). `tta="flip"` averages them with the mirror image's."""
        return self._map(images, batch_size, lambda x: _with_tta(self.model, x, tta), len(self.class_names))

    def probabilities(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        """Calibrated probabilities, float32 (N, K): the softmax of logits / temperature."""
        return softmax(self.logits(images, tta=tta, batch_size=batch_size), self.temperature)

    def features(self, images: np.ndarray, *, batch_size: int = 512) -> np.ndarray:
        """The penultimate features, float32 (N, D)."""
        return self._map(images, batch_size, self.model.features, None)

    def _map(
        self, images: np.ndarray, batch_size: int, function: Callable[[Tensor], Tensor], width: int | None
    ) -> np.ndarray:
        check_images(images, "images", channels=self.channels, size=self.size)
        if len(images) == 0:
            return np.zeros((0, width or 0), np.float32)
        parts = [part.float().cpu().numpy() for part in map_batches(function, images, self.device, batch_size)]
        return np.concatenate(parts)


def map_batches(
    function: Callable[[Tensor], Tensor], images: np.ndarray, device: torch.device, batch_size: int
) -> Iterator[Tensor]:
    """`function` over batches of images on the device, in order; a batch that runs out of memory is halved, and
    the smaller size is kept."""
    start = 0
    with torch.inference_mode():
        while start < len(images):
            batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
            try:
                result = function(batch.contiguous(memory_format=torch.channels_last))
            except torch.OutOfMemoryError:
                if batch_size == 1:
                    raise ClassifierError(f"out of memory on {device} for a single image; use device='cpu'") from None
                batch_size = (batch_size + 1) // 2
                continue
            yield result
            start += len(batch)


def _with_tta(model: ImageClassifier, images: Tensor, tta: Tta) -> Tensor:
    if tta == "none":
        return model(images)
    if tta == "flip":
        return (model(images) + model(images.flip(3))) / 2
    raise ClassifierError(f"tta = {tta!r}: must be none or flip")


def load_classifier(path: str | Path, device: str = "auto") -> Classifier:
    """The classifier in a run's folder or a .safetensors file; ClassifierError when missing, damaged or mismatched."""
    path = Path(path)
    file = path / WEIGHTS if path.is_dir() else path
    tensors, card = read_weights(file)
    try:
        names, channels, size = list(card["class_names"]), int(card["channels"]), int(card["size"])
        model = create_model(card["architecture"], len(names), channels, size, **card.get("model_options", {}))
        model.load_state_dict(tensors)
        temperature = float(card["temperature"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ClassifierError(f"{file}: weights and card don't fit together ({reason}); train it again") from None
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Classifier(model, names, temperature=temperature, digest=digest, card=card, device=resolve_device(device))
