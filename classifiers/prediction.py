"""Prediction: trained classifiers, single or as an ensemble, run in batches over any number of images."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classifiers.calibration import fit_temperature, softmax
from classifiers.cards import build, read_card
from classifiers.device import computes_in, resolve_device
from classifiers.device_set import to_device
from classifiers.errors import ClassifierError
from classifiers.files import json_bytes, make_folder, read_weights, save_weights, write_atomic
from classifiers.memory import is_out_of_memory, kept
from classifiers.models import ImageClassifier
from classifiers.samples import check_images

WEIGHTS = "model.safetensors"
_CPU_BATCH = 128  # `compact` labels 1.6 times as fast as in batches of 512, whose planes leave the cache
Tta = Literal["none", "flip", "ten-crop"]


class Predictor(ABC):
    """What a classifier and an ensemble share. Images are uint8 (N, C, H, W), arrays or memory maps."""

    class_names: list[str]
    size: int
    channels: int
    temperature: float
    digest: str

    @abstractmethod
    def logits(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        """Uncalibrated logits, float32 (N, K). `tta` averages them over the image and its mirror image ("flip"), or
        over five crops of each ("ten-crop")."""

    def probabilities(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        """Calibrated probabilities, float32 (N, K): the softmax of logits / temperature."""
        return softmax(self.logits(images, tta=tta, batch_size=batch_size), self.temperature)

    def columns(self, class_names: Sequence[str]) -> np.ndarray:
        """Where each of `class_names` stands in this classifier's output; ClassifierError unless both are the same set,
        in whatever order."""
        if set(class_names) != set(self.class_names):
            raise ClassifierError(
                f"the classifier knows {', '.join(self.class_names)}; the data has {', '.join(class_names)}: "
                "train a classifier on this data, or choose data of these classes"
            )
        return np.array([self.class_names.index(name) for name in class_names])

    def calibrated(self, images: np.ndarray, labels: np.ndarray, *, tta: Tta = "none") -> Self:
        """A copy whose temperature suits these held-out images and that `tta`."""
        other = copy.copy(self)
        other.temperature = fit_temperature(self.logits(images, tta=tta), labels)
        return other


class Classifier(Predictor):
    """A trained network with its class names and calibration."""

    def __init__(
        self,
        model: ImageClassifier,
        class_names: Sequence[str],
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
        # its temperature was fitted in the precision it was trained in, which is also the fastest there
        at_home = str(self.card.get("device", "")).partition(":")[0] == self.device.type
        self.precision = str(self.card.get("precision", "32-true")) if at_home else "32-true"
        #: Sizes to which smaller batches are filled up, ascending: libraries prepare for every new shape.
        self.pad_to: tuple[int, ...] = ()

    def logits(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        return self._map(images, batch_size, lambda x: _with_tta(self.model, x, tta))

    def features(self, images: np.ndarray, *, batch_size: int = 512) -> np.ndarray:
        """The penultimate features, float32 (N, D)."""
        return self._map(images, batch_size, self.model.features)

    def _map(self, images: np.ndarray, batch_size: int, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        check_images(images, "images", channels=self.channels, size=self.size)
        if len(images) == 0:  # one blank image tells the width
            blank = np.zeros((1, self.channels, self.size, self.size), np.uint8)
            return self._map(blank, 1, function)[:0]
        count, padded = len(images), next((size for size in self.pad_to if size >= len(images)), len(images))
        if padded > count:
            images = np.concatenate([images, np.zeros((padded - count, *images.shape[1:]), np.uint8)])
        with computes_in(self.precision, self.device), kept(self.device) if count >= batch_size else nullcontext():
            parts = (part.float() for part in map_batches(function, images, self.device, batch_size))
            found = [part.numpy() for part in arriving(parts)]
        return np.concatenate(found)[:count]


class Ensemble(Predictor):
    """Several classifiers of the same classes, size and channels as one: their calibrated probabilities, averaged."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        if not members:
            raise ClassifierError("an ensemble needs at least one classifier")
        first = members[0]
        for member in members[1:]:
            for what in ("class_names", "size", "channels"):
                if getattr(member, what) != getattr(first, what):
                    raise ClassifierError(
                        f"an ensemble's classifiers must agree on {what}: {getattr(first, what)} and "
                        f"{getattr(member, what)} don't"
                    )
        self.members = list(members)
        self.class_names, self.size, self.channels = first.class_names, first.size, first.channels
        self.temperature = 1.0
        self.digest = hashlib.sha256("".join(member.digest for member in members).encode()).hexdigest()

    def logits(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        """The logarithm of the averaged probabilities, float32 (N, K)."""
        total = sum(member.probabilities(images, tta=tta, batch_size=batch_size) for member in self.members)
        return np.log(np.maximum(np.asarray(total) / len(self.members), 1e-12))


def map_batches(
    function: Callable[[Tensor], Tensor], images: np.ndarray, device: torch.device, batch_size: int
) -> Iterator[Tensor]:
    """`function` over batches of images on the device, in order; a batch that runs out of memory is halved, and
    the smaller size is kept. A CPU takes no more than `_CPU_BATCH` at a time."""
    batch_size = min(batch_size, _CPU_BATCH) if device.type == "cpu" else batch_size
    start = 0
    with torch.inference_mode():
        while start < len(images):
            result = _tried(function, images[start : start + batch_size], device)
            if result is None:
                if batch_size == 1:
                    raise ClassifierError(f"out of memory on {device} for a single image; use device='cpu'")
                batch_size = (batch_size + 1) // 2
                continue
            yield result
            start += len(result)


def _tried(function: Callable[[Tensor], Tensor], images: np.ndarray, device: torch.device) -> Tensor | None:
    """`function` of a batch on the device; None when memory ran out."""
    try:
        batch = to_device(torch.from_numpy(np.array(images)), device)
        return function(batch.contiguous(memory_format=torch.channels_last))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def to_host(tensor: Tensor) -> Callable[[], Tensor]:
    """Begin to copy a tensor to the CPU; the returned function waits until it is there."""
    if tensor.device.type != "cuda":
        arrived = tensor.cpu()
        return lambda: arrived
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(tensor.device))  # which need not be the current GPU

    def wait() -> Tensor:
        copied.synchronize()
        return pinned

    return wait


def arriving(parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """The tensors on the CPU, in order; each is waited for when the device is at the next one."""
    last: Callable[[], Tensor] | None = None
    for part in parts:
        begun = to_host(part)
        if last is not None:
            yield last()
        last = begun
    if last is not None:
        yield last()


def _with_tta(model: ImageClassifier, images: Tensor, tta: Tta) -> Tensor:
    if tta == "none":
        return model(images)
    if tta == "flip":
        return (model(images) + model(images.flip(3))) / 2
    if tta == "ten-crop":
        crops = _five_crops(images)
        return torch.stack([model(x) + model(x.flip(3)) for x in crops]).mean(0) / 2
    raise ClassifierError(f"tta = {tta!r}: must be none, flip or ten-crop")


def _five_crops(images: Tensor) -> list[Tensor]:
    """The corners and the centre (Krizhevsky et al. 2012), 11/12 of the side, scaled back to the full size: float in
    0..1. Scaling keeps networks usable that take one size only."""
    x, size = images.float() / 255, images.shape[-1]
    side = size - 2 * round(size / 24)  # 44 of 48; the margins are equal
    far, middle = size - side, (size - side) // 2
    places = [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    crops = [x[:, :, top : top + side, left : left + side] for top, left in places]
    return [F.interpolate(crop, size=(size, size), mode="bilinear", align_corners=False) for crop in crops]


def write_folder(folder: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """A classifier's weights and card, as `load_classifier` reads them. ClassifierError where that cannot be."""
    make_folder(folder)
    write_atomic(folder / "card.json", json_bytes(card))
    save_weights(folder / WEIGHTS, tensors, card)  # last: where they are, the training is done


def load_classifier(path: str | Path, device: str = "auto") -> Classifier:
    """The classifier in a run's folder or a .safetensors file; ClassifierError when missing, damaged or mismatched.

    Example: `load_classifier("run").probabilities(images)`.
    """
    path = Path(path)
    file = path / WEIGHTS if path.is_dir() else path
    tensors, content = read_weights(file)
    card = read_card(content, file)
    model = build(card, tensors, file)
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Classifier(
        *(model, card.class_names),
        temperature=card.temperature,
        digest=digest,
        card=content,
        device=resolve_device(device),
    )


def load_ensemble(paths: Sequence[str | Path], device: str = "auto") -> Ensemble:
    """The classifiers at these paths as one.

    Example: `load_ensemble(["run-0", "run-1"]).probabilities(images)`.
    """
    return Ensemble([load_classifier(path, device) for path in paths])
