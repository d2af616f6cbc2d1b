"""The arms of the experiment: what each trains on and how, and what came of it. The registry is a dict."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from classifiers.config import TrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.errors import ConfigError, did_you_mean
from ganfer.runtime.seeding import stream

Role = Literal["baseline", "cheap", "synthetic", "placebo"]


@dataclass(frozen=True)
class Material:
    """What arms are made of.

    real: the real training images. kept: the synthetic faces that the screen kept, with their labels. unscreened: as
    many of each class from the whole batch, labelled as what they were asked to be. weight: loss weight of a synthetic
    face. seed: of the placebos' draws. best: the rebalancing arm that is best on validation, "" until that is known.
    """

    real: ImageSet
    kept: ImageSet
    unscreened: ImageSet
    weight: float = 1.0
    seed: int = 0
    best: str = ""


@dataclass(frozen=True)
class TrainingData:
    """What an arm trains on: the images, each one's loss weight (N,) float32, and how it is trained."""

    images: ImageSet
    weights: np.ndarray
    config: TrainConfig


@dataclass(frozen=True)
class Trained:
    """One trained model: what it says of validation and, from its only look at it, of the test split.

    validation: (V, K), probabilities: (N, K) float32, calibrated. seconds: of its training.
    """

    probabilities: np.ndarray
    validation: np.ndarray
    temperature: float
    seconds: float
    device: str


# material, common settings -> training data
Build = Callable[[Material, TrainConfig], TrainingData]


@dataclass(frozen=True)
class Arm:
    """One way of training: `build` makes its data and settings from the material."""

    name: str
    title: str
    description: str
    build: Build = field(repr=False)
    role: Role = "cheap"

    @property
    def synthetic(self) -> bool:
        """Whether the verdict may be about it."""
        return self.role == "synthetic"


@dataclass(frozen=True)
class Outcome:
    """One arm's run: what it trained on, its optimiser steps, and one `Trained` per paired seed."""

    arm: Arm
    data: TrainingData
    steps: int
    trained: tuple[Trained, ...]


def _real_only(**changes: Any) -> Build:
    def build(material: Material, config: TrainConfig) -> TrainingData:
        real = material.real
        return TrainingData(real, np.ones(len(real), np.float32), dataclasses.replace(config, **changes))

    return build


def with_faces(material: Material, config: TrainConfig, faces: ImageSet | None = None) -> TrainingData:
    """The real images and the faces (none: the kept ones), these with the material's weight."""
    faces = material.kept if faces is None else faces
    real = np.ones(len(material.real), np.float32)
    weights = np.concatenate([real, np.full(len(faces), material.weight, np.float32)])
    return TrainingData(joined(material.real, faces), weights, config)


def _with_best(material: Material, config: TrainConfig) -> TrainingData:
    assert material.best, "the rebalancing arms are trained first"
    rebalanced = ARMS[material.best].build(material, config).config
    return with_faces(material, rebalanced)


def _duplicated(material: Material, config: TrainConfig) -> TrainingData:
    """As many copies of each class's real images as there are kept faces; every image once before one twice."""
    rng = stream(material.seed, "duplicated")
    real, wanted = material.real, material.kept.counts()
    chosen = []
    for k, name in enumerate(real.class_names):
        members = rng.permutation(np.flatnonzero(real.labels == k))
        if len(members):
            chosen.append(np.resize(members, wanted[name]))
    copies = real.select(np.concatenate(chosen))
    named = np.array([f"copy {i} of {name}" for i, name in enumerate(copies.ids)], dtype=np.str_)
    return with_faces(material, config, dataclasses.replace(copies, ids=named))


def _shuffled(material: Material, config: TrainConfig) -> TrainingData:
    order = stream(material.seed, "shuffled").permutation(len(material.kept))
    soft = material.kept.soft_labels
    faces = dataclasses.replace(
        material.kept, labels=material.kept.labels[order], soft_labels=None if soft is None else soft[order]
    )
    return with_faces(material, config, faces)


def _unscreened(material: Material, config: TrainConfig) -> TrainingData:
    return with_faces(material, config, material.unscreened)


_ALL = (
    Arm("original", "Original", "the real training images as they are", _real_only(), "baseline"),
    Arm("oversample", "Oversampling", "real images, every class drawn equally often", _real_only(sampler="balanced")),
    Arm("class-weighted", "Class weights", "real images, loss weighted by class", _real_only(loss="class-weighted")),
    Arm(
        "logit-adjusted",
        "Logit adjustment",
        "real images, logits shifted by the class priors (Menon et al. 2021)",
        _real_only(loss="logit-adjusted"),
    ),
    Arm(
        "strong-augment",
        "Strong augmentation",
        "real images, RandAugment with mixup or CutMix",
        _real_only(augment="randaugment", mixup=0.2, cutmix=1.0),
    ),
    Arm("synthetic", "Real + synthetic", "real images and the kept synthetic faces", with_faces, "synthetic"),
    Arm(
        "synthetic+best",
        "Synthetic + best",
        "real images, the kept synthetic faces, and the rebalancing that is best on validation",
        _with_best,
        "synthetic",
    ),
    Arm(
        "duplicated",
        "Placebo: duplicates",
        "copies of real images in place of the synthetic faces",
        _duplicated,
        "placebo",
    ),
    Arm("shuffled", "Placebo: shuffled", "the synthetic faces with their labels shuffled", _shuffled, "placebo"),
    Arm("unscreened", "Placebo: unscreened", "as many faces that no screen has seen", _unscreened, "placebo"),
)
ARMS: Mapping[str, Arm] = {arm.name: arm for arm in _ALL}
REBALANCING = ("oversample", "class-weighted", "logit-adjusted")
QUICK = ("original", "logit-adjusted", "synthetic", "synthetic+best")


def chosen_arms(names: str) -> list[Arm]:
    """The arms of a comma-separated list; `quick` and `all` stand for lists. `original`, the baseline, comes first."""
    lists = {"quick": QUICK, "all": tuple(ARMS)}
    given = [name.strip() for name in names.split(",") if name.strip()]
    wanted = [part for name in given for part in lists.get(name, (name,))]
    for name in wanted:
        if name not in ARMS:
            raise ConfigError(f"Unknown arm {name!r}.", did_you_mean(name, [*ARMS, *lists]))
    if len(set(wanted)) < 2 or "original" not in wanted:
        raise ConfigError(f"retrain.arms = {names!r}.", "Give original and at least one arm to compare with it.")
    if "synthetic+best" in wanted and not set(wanted) & set(REBALANCING):
        raise ConfigError(
            "synthetic+best needs a way of rebalancing to choose from.",
            f"Add one or more of {', '.join(REBALANCING)}, or take --quick.",
        )
    return [ARMS["original"], *(ARMS[name] for name in dict.fromkeys(wanted) if name != "original")]


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Two sets of the same classes, size and channels, one after the other; further columns are left out."""
    assert first.class_names == second.class_names
    both: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("images", "labels", "split", "group", "source", "ids")
    }
    soft = None
    if first.soft_labels is not None or second.soft_labels is not None:
        soft = np.concatenate([_targets(first), _targets(second)])
    return ImageSet(class_names=first.class_names, soft_labels=soft, **both)


def _targets(images: ImageSet) -> np.ndarray:
    """(N, K) float32: the soft labels, one-hot ones where there are none."""
    if images.soft_labels is not None:
        return images.soft_labels
    hard: np.ndarray = np.eye(len(images.class_names), dtype=np.float32)[images.labels]
    return hard


def rare_first(existing: Sequence[int], available: Sequence[int], total: int) -> list[int]:
    """How many of each class to add, `total` in all: each next one to the class that is rarest by then.

    existing: real images per class. available: faces per class, which no class gets more of; with too few in all, all
    are taken.
    """
    added = [0] * len(existing)
    left = min(total, sum(available))
    while left:
        open_ones = [k for k in range(len(existing)) if added[k] < available[k]]
        levels = sorted({existing[k] + added[k] for k in open_ones})
        lowest = [k for k in open_ones if existing[k] + added[k] == levels[0]]
        room = [available[k] - added[k] for k in lowest]
        rise = min([*room, *([levels[1] - levels[0]] if len(levels) > 1 else [])])
        if rise * len(lowest) > left:
            rise = left // len(lowest)
        if not rise:  # the last few, one each
            lowest, rise = lowest[:left], 1
        for k in lowest:
            added[k] += rise
        left -= rise * len(lowest)
    return added


def portion(faces: ImageSet, counts: Sequence[int], seed: int) -> ImageSet:
    """`counts[k]` faces of each class k, in the set's order. Portions are nested: a larger one holds a smaller one."""
    rng = stream(seed, "portion")
    chosen = []
    for k, count in enumerate(counts):
        members = np.flatnonzero(faces.labels == k)
        chosen.append(rng.permutation(members)[:count])
    return faces.select(np.sort(np.concatenate(chosen)))
