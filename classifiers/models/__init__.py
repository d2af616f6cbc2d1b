"""The models: a dict of constructors, `create_model` and `list_models`.

`base` is what all share, `compact` the default, `classic` the earlier projects' networks, `pretrained` torchvision's
and timm's.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from classifiers.errors import ClassifierError
from classifiers.models.base import ImageClassifier
from classifiers.models.classic import Binary, EightClass, FullyConnected, TwoConvolutions
from classifiers.models.compact import Compact
from classifiers.models.pretrained import Adapted

_TORCHVISION = (
    "efficientnet_v2_s",
    "mobilenet_v3_large",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet152",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
)

REGISTRY: dict[str, Callable[..., ImageClassifier]] = {
    "cnn": TwoConvolutions,
    "cnn-8class": EightClass,
    "cnn-binary": Binary,
    "cnn-sgd": partial(TwoConvolutions, kernel=4),
    "compact": Compact,
    "compact-large": partial(Compact, width=96),
    "compact-small": partial(Compact, width=16),
    "fnn": FullyConnected,
    **{name: partial(Adapted, name) for name in _TORCHVISION},
}


def list_models() -> list[str]:
    """The names of the zoo, sorted. `create_model` takes any other of torchvision's, and timm:NAME, as well.

    Example: `"compact" in list_models()`.
    """
    return sorted(REGISTRY)


def create_model(
    name: str,
    num_classes: int,
    in_channels: int = 1,
    size: int = 48,
    *,
    dropout: float | None = None,
    batch_norm: bool | None = None,
    pretrained: str | None = None,
) -> ImageClassifier:
    """A network: images (N, in_channels, size, size), uint8 or float in 0..1, to logits (N, num_classes).

    `dropout` and `batch_norm` override the architecture's own, where it has them; `pretrained` is None, "imagenet" or
    a file of weights. Raises ClassifierError for unknown names, impossible sizes, and options a model doesn't have.

    Example: `create_model("compact", num_classes=7)`.
    """
    if num_classes < 2:
        raise ClassifierError(f"num_classes = {num_classes}: a classifier needs at least 2 classes")
    if in_channels not in (1, 3):
        raise ClassifierError(f"in_channels = {in_channels}: must be 1 (grey) or 3 (colour)")
    if not 16 <= size <= 1024:
        raise ClassifierError(f"size = {size}: must lie between 16 and 1024 pixels")
    given = {"dropout": dropout, "batch_norm": batch_norm, "pretrained": pretrained}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    make = require_model(name, **options)
    return make(num_classes=num_classes, in_channels=in_channels, size=size, **options)


def require_model(name: str, **options: Any) -> Callable[..., ImageClassifier]:
    """ClassifierError unless `create_model` knows the name and the model has these options; builds nothing."""
    make = _constructor(name)
    for key, value in options.items():
        if key not in inspect.signature(make).parameters:
            raise ClassifierError(f"{key} = {value!r}: model '{name}' has no such option; leave it out")
    return make


def _constructor(name: str) -> Callable[..., ImageClassifier]:
    if name in REGISTRY:
        return REGISTRY[name]
    if name.startswith("timm:"):
        return partial(Adapted, name)
    from torchvision import models

    known = models.list_models(module=models)
    if name in known:
        return partial(Adapted, name)
    near = difflib.get_close_matches(name, [*REGISTRY, *known], n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ClassifierError(
        f"no model '{name}'{hint} (there are: {', '.join(list_models())}; torchvision's others; timm:NAME)"
    )


__all__ = ["REGISTRY", "ImageClassifier", "create_model", "list_models"]
