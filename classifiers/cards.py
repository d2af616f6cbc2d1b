"""What a classifier's card may say. A classifier may come from a stranger: its card is data of known types, no more."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.errors import ClassifierError
from classifiers.models import ImageClassifier, create_model

#: Far above any classifier of faces; they keep a forged card from asking for a network of terabytes.
MAX_CLASSES, MAX_NAME = 10_000, 200
FITTED = "fitted_biases"  # of a card: what was added to the last layer's biases after the training
_ARCHITECTURE = re.compile(r"(timm:)?[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class Card:
    """The part of a card that a network is built from. `options`: numbers and booleans of `create_model`'s options."""

    architecture: str
    class_names: list[str]
    channels: int
    size: int
    temperature: float
    options: dict[str, Any]


def read_card(card: dict[str, Any], file: Path) -> Card:
    """The typed part. ClassifierError for what is missing, of another type, or no business of a card."""

    def wrong(key: str) -> ClassifierError:
        return ClassifierError(f"{file}: the card's {key} is missing or not of its kind; train or copy it again")

    def whole(key: str, low: int, high: int) -> int:
        value = card.get(key)
        if type(value) is not int or not low <= value <= high:
            raise wrong(key)
        return value

    architecture, names, temperature = card.get("architecture"), card.get("class_names"), card.get("temperature")
    if not isinstance(architecture, str) or not _ARCHITECTURE.fullmatch(architecture):
        raise wrong("architecture")
    if not isinstance(names, list) or not 2 <= len(names) <= MAX_CLASSES:
        raise wrong("class_names")
    if not all(isinstance(name, str) and 1 <= len(name) <= MAX_NAME for name in names):
        raise wrong("class_names")
    if len(set(names)) < len(names):
        raise ClassifierError(f"{file}: the card names a class twice; train or copy it again")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float):
        raise wrong("temperature")
    if not 1e-6 <= temperature <= 1e6 or not math.isfinite(temperature):
        raise wrong("temperature")
    options = _options(card.get("model_options", {}), file)
    return Card(architecture, names, whole("channels", 1, 3), whole("size", 16, 1024), float(temperature), options)


def fitted_biases(card: dict[str, Any], file: Path) -> list[float]:
    """What was added to the last layer's biases after the training; empty where nothing was."""
    found = card.get(FITTED) or []
    if not isinstance(found, list) or not all(isinstance(x, int | float) and math.isfinite(x) for x in found):
        raise ClassifierError(f"{file}: the card's {FITTED} are not numbers; train or copy it again")
    return found


def _options(given: Any, file: Path) -> dict[str, Any]:
    """`dropout` and `batch_norm`. Where weights come from is never a card's to say: they are beside it."""
    if not isinstance(given, dict):
        raise ClassifierError(f"{file}: the card's model_options are not an object; train or copy it again")
    options: dict[str, Any] = {}
    for key, value in given.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if key == "dropout" and is_number and 0 <= value < 1:
            options[key] = float(value)
        elif key == "batch_norm" and isinstance(value, bool):
            options[key] = value
        else:
            raise ClassifierError(
                f"{file}: the card's model_options set {key[:40]!r}, which a card may not; only dropout (0 to 1) and "
                "batch_norm are read"
            )
    return options


def _shapes(make: Callable[[], ImageClassifier]) -> dict[str, tuple[int, ...]] | None:
    """Every tensor's shape without its memory; None for the few networks (RegNet) that compute while they are made."""
    try:
        with torch.device("meta"):
            return {name: tuple(tensor.shape) for name, tensor in make().state_dict().items()}
    except (ClassifierError, RuntimeError) as error:
        if "meta" in str(error):
            return None
        raise


def build(card: Card, tensors: dict[str, Tensor], file: Path) -> ImageClassifier:
    """The network with its weights. What the card describes is compared with the tensors before memory is taken."""

    def make() -> ImageClassifier:
        return create_model(card.architecture, len(card.class_names), card.channels, card.size, **card.options)

    try:
        wanted = _shapes(make)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if wanted is not None and wanted != shapes:
            odd = sorted(name for name in wanted.keys() | shapes.keys() if wanted.get(name) != shapes.get(name))
            raise ValueError(f"{len(odd)} tensors differ, the first is {odd[0][:80]!r}")
        if bad := [name for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]:
            raise ValueError(f"{bad[0]} holds NaN or infinite values")
        model = make()
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ClassifierError(f"{file}: weights and card don't fit together ({reason}); train it again") from None
    return model
