"""The arms of the experiment: what each trains on and how, and what came of it. The registry is a dict."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from classifiers.config import TrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class TrainingData:
    """What an arm trains on: the images, each one's loss weight (N,) float32, and how it is trained."""

    images: ImageSet
    weights: np.ndarray
    config: TrainConfig


@dataclass(frozen=True)
class Trained:
    """One trained model's only look at the test split. probabilities: (N, K) float32, calibrated."""

    probabilities: np.ndarray
    temperature: float
    seconds: float
    device: str


# real training images, kept synthetic images, weight of a synthetic image, common settings -> training data
Build = Callable[[ImageSet, ImageSet, float, TrainConfig], TrainingData]


@dataclass(frozen=True)
class Arm:
    """One way of training: `build` makes its data and settings from the real and the synthetic training images."""

    name: str
    title: str
    description: str
    build: Build = field(repr=False)
    synthetic: bool = False


@dataclass(frozen=True)
class Outcome:
    """One arm's run: what it trained on, its optimiser steps, and one `Trained` per paired seed."""

    arm: Arm
    data: TrainingData
    steps: int
    trained: tuple[Trained, ...]


def _real_only(**changes: Any) -> Build:
    def build(real: ImageSet, synthetic: ImageSet, weight: float, config: TrainConfig) -> TrainingData:
        del synthetic, weight
        return TrainingData(real, np.ones(len(real), np.float32), dataclasses.replace(config, **changes))

    return build


def _balanced(real: ImageSet, synthetic: ImageSet, weight: float, config: TrainConfig) -> TrainingData:
    weights = np.concatenate([np.ones(len(real), np.float32), np.full(len(synthetic), weight, np.float32)])
    return TrainingData(joined(real, synthetic), weights, config)


_ALL = (
    Arm("original", "Original", "the real training images as they are", _real_only()),
    Arm("oversample", "Oversampled", "real images, every class drawn equally often", _real_only(sampler="balanced")),
    Arm("class-weighted", "Class weights", "real images, loss weighted by class", _real_only(loss="class-weighted")),
    Arm(
        "logit-adjusted",
        "Logit adjustment",
        "real images, logits shifted by the class priors (Menon et al. 2021)",
        _real_only(loss="logit-adjusted"),
    ),
    Arm("synthetic", "Real + synthetic", "real images and the kept synthetic faces", _balanced, synthetic=True),
)
ARMS: Mapping[str, Arm] = {arm.name: arm for arm in _ALL}


def chosen_arms(names: str) -> list[Arm]:
    """The arms of a comma-separated list. The first must be `original`, the baseline of every comparison."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in ARMS:
            raise ConfigError(f"Unknown arm {name!r}.", did_you_mean(name, ARMS))
    if len(set(wanted)) < 2 or "original" not in wanted:
        raise ConfigError(f"retrain.arms = {names!r}.", "Give original and at least one arm to compare with it.")
    return [ARMS["original"], *(ARMS[name] for name in dict.fromkeys(wanted) if name != "original")]


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Two sets of the same classes, size and channels, one after the other."""
    assert first.class_names == second.class_names
    both: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("images", "labels", "split", "group", "source", "ids")
    }
    soft = None
    if first.soft_labels is not None:
        one_hot = np.eye(len(first.class_names), dtype=np.float32)[second.labels]
        soft = np.concatenate([first.soft_labels, one_hot if second.soft_labels is None else second.soft_labels])
    return ImageSet(class_names=first.class_names, soft_labels=soft, **both)
