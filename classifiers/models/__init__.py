"""The zoo: a dict of constructors, `create_model` and `list_models`."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from classifiers.errors import ClassifierError
from classifiers.models.base import ImageClassifier
from classifiers.models.compact import Compact

REGISTRY: dict[str, Callable[..., ImageClassifier]] = {
    "compact": Compact,
}


def list_models() -> list[str]:
    """The names `create_model` knows, sorted."""
    return sorted(REGISTRY)


def create_model(
    name: str, num_classes: int, in_channels: int = 1, size: int = 48, *, dropout: float | None = None
) -> ImageClassifier:
    """A fresh network: images (N, in_channels, size, size), uint8 or float in 0..1, to logits (N, num_classes).

    `dropout` overrides the architecture's own rate. Raises ClassifierError for an unknown name or impossible size.
    """
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=1, cutoff=0.4)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ClassifierError(f"no model '{name}'{hint} (there are: {', '.join(list_models())})")
    if num_classes < 2:
        raise ClassifierError(f"num_classes = {num_classes}: a classifier needs at least 2 classes")
    if in_channels not in (1, 3):
        raise ClassifierError(f"in_channels = {in_channels}: must be 1 (grey) or 3 (colour)")
    if not 16 <= size <= 1024:
        raise ClassifierError(f"size = {size}: must lie between 16 and 1024 pixels")
    extra = {} if dropout is None else {"dropout": dropout}
    return REGISTRY[name](num_classes=num_classes, in_channels=in_channels, size=size, **extra)


__all__ = ["REGISTRY", "ImageClassifier", "create_model", "list_models"]
