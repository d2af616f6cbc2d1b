"""The arms of the experiment: what each trains on and how, and what came of it. The registry is a dict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from classifiers.config import TrainConfig
from ganfer.errors import ConfigError, did_you_mean
from ganfer.experiment.builds import (
    distilled,
    distilled_with_faces,
    duplicated,
    label_cleaned,
    less,
    mislabelled,
    moved,
    on_features,
    oracle,
    pool,
    pretrained,
    real_only,
    unscreened,
    with_faces,
)
from ganfer.experiment.cleaned import installed, refuse_without_cleanlab
from ganfer.experiment.material import Build, Material, TrainingData

# copies: of real images, so no synthetic one. ceiling: real images that the others do not have, or fewer of them. pool:
# more real images, whose labels are the labeller's; no *helps* rests on such an arm.
Role = Literal["baseline", "cheap", "synthetic", "pool", "copies", "placebo", "ceiling"]


@dataclass(frozen=True)
class Trained:
    """One trained model: what it says of validation and, from its only look at it, of the test split.

    validation: (V, K), probabilities: (N, K) float32, calibrated. seconds: of its training. history: balanced accuracy
    at each of its validations, in their order. made_on: the kind of device that trained it.
    """

    probabilities: np.ndarray
    validation: np.ndarray
    temperature: float
    seconds: float
    device: str
    history: tuple[float, ...] = ()
    made_on: str = ""


@dataclass(frozen=True)
class Arm:
    """One way of training: `build` makes its data and settings from the material.

    other: a second setting that validation may choose in place of the first, and what its folder's name ends in.
    placebo_of: the arm that it is a control of. after: what must be trained before ("best": the rebalancing arms,
    "teacher": the original); "free" needs no training of its own. rival: the arm that does the same without faces,
    which it must be better than as well.
    """

    name: str
    title: str
    description: str
    build: Build = field(repr=False)
    role: Role = "cheap"
    other: tuple[str, Build] | None = field(default=None, repr=False)
    placebo_of: str = ""
    after: Literal["", "best", "teacher", "free"] = ""
    rival: str = ""

    @property
    def synthetic(self) -> bool:
        """Whether the verdict may be about it."""
        return self.role == "synthetic"

    @property
    def faces(self) -> bool:
        """Whether it trains on the faces, or on something in their place: with the chosen ratio and weight."""
        return self.synthetic or self.role == "pool" or bool(self.placebo_of)


@dataclass(frozen=True)
class Outcome:
    """One arm's run: what it trained on, its optimiser steps, and one `Trained` per paired seed."""

    arm: Arm
    data: TrainingData
    steps: int
    trained: tuple[Trained, ...]

    @property
    def generators(self) -> np.ndarray | None:
        """(S,) which generator drew each seed's faces; None where it was one, or none."""
        turns = len(self.data.turns)
        return np.arange(len(self.trained)) % turns if turns > 1 else None


PRETRAINED = "pretrained"  # which a setting of its own asks for


def build_of(name: str) -> Build:
    """How the training of an arm, in the setting that this folder's name means, is made."""
    if name in ARMS:
        return ARMS[name].build
    return next(arm.other[1] for arm in ARMS.values() if arm.other and arm.name + arm.other[0] == name)


def _rebalanced(material: Material, config: TrainConfig) -> TrainConfig:
    assert material.best, "the rebalancing arms are trained first"
    return build_of(material.best)(material, config).config


def _with_best(material: Material, config: TrainConfig) -> TrainingData:
    return with_faces(material, _rebalanced(material, config))


def _pool_with_best(material: Material, config: TrainConfig) -> TrainingData:
    return pool(material, _rebalanced(material, config))


def _copies_with_best(material: Material, config: TrainConfig) -> TrainingData:
    return duplicated(material, _rebalanced(material, config))


_ALL = (
    Arm("original", "Original", "the real training images as they are", real_only(), "baseline"),
    Arm(
        "oversample", "Oversampling", "real images, every class drawn equally often", real_only(sampler="balanced"),
        other=("-root", real_only(sampler="root")),
    ),
    Arm(
        "logit-adjusted", "Logit adjustment", "real images, logits shifted by the class priors (Menon et al. 2021)",
        real_only(loss="logit-adjusted"), other=("-half", real_only(loss="logit-adjusted", logit_tau=0.5)),
    ),
    Arm(
        "fitted-biases", "Fitted class biases", "the original's models, class biases fitted on validation",
        real_only(), after="free",
    ),
    Arm(
        "deferred-weights", "Deferred class weights",
        "real images, loss weighted by class in the last fifth of the steps (DRW, Cao et al. 2019)",
        real_only(loss="class-weighted", defer=0.8),
        other=("-early", real_only(loss="class-weighted", defer=0.6)),
    ),
    Arm(
        "deferred-sampling", "Deferred oversampling",
        "real images, every class drawn equally often in the last fifth of the steps (DRS, Cao et al. 2019)",
        real_only(sampler="balanced", defer=0.8), other=("-early", real_only(sampler="balanced", defer=0.6)),
    ),
    Arm(
        "ldam", "LDAM with deferred weights",
        "real images, larger margins for rare classes, class weights late (LDAM-DRW, Cao et al. 2019)",
        real_only(loss="ldam", defer=0.8), other=("-wide", real_only(loss="ldam", defer=0.8, ldam_margin=2.0)),
    ),
    Arm(
        "head-refit", "Head fitted again",
        "real images; over the last fifth of the steps a new head on frozen features, classes drawn equally often "
        "(cRT, Kang et al. 2020)",
        real_only(refit=0.2), other=("-long", real_only(refit=0.4)),
    ),
    Arm(
        "mixup", "mixup", "real images, mixed in pairs (Zhang et al. 2018)", real_only(mixup=0.2),
        other=("-strong", real_only(mixup=0.8)),
    ),
    Arm(
        "cmo", "Rare images pasted", "real images, patches of rare classes pasted into others (CMO, Park et al. 2022)",
        real_only(cmo=0.5), other=("-rarely", real_only(cmo=0.25)),
    ),
    Arm(
        "rare-augment", "Rare classes augmented", "real images, those of rare classes changed more strongly",
        real_only(rare_augment="strong"), other=("-randaugment", real_only(rare_augment="randaugment")),
    ),
    Arm(
        "strong-augment", "Strong augmentation", "real images, RandAugment with mixup or CutMix",
        real_only(augment="randaugment", mixup=0.2, cutmix=1.0),
        other=("-plain", real_only(augment="strong")),
    ),
    Arm(
        "distilled", "Distilled ensemble", "real images, half of each target from an ensemble of the original's seeds",
        distilled(0.5), other=("-mostly", distilled(0.8)), after="teacher",
    ),
    Arm(
        "m2m", "Moved images", "real images and, in rare classes, larger classes' images pushed there along the "
        "original's gradient (M2m, Kim, Jeong & Shin 2020)", moved("m2m"), other=("-sure", moved("m2m-sure")),
        after="teacher",
    ),
    Arm(
        "features", "Drawn features",
        "the original's models, the head fitted on their features and on drawn ones of rare classes "
        "(after TailCalibX, Vigneswaran et al. 2021)",
        on_features(), other=("-wide", on_features(spread=2.0)), after="teacher",
    ),
    Arm(
        "clean", "Cleaned labels",
        "real images, their labels cleaned by confident learning (Northcutt et al. 2021)",
        label_cleaned(relabel=False), other=("-relabelled", label_cleaned(relabel=True)),
    ),
    Arm(
        PRETRAINED, "Pretrained weights", "real images, starting from the weights of a classifier trained on others",
        pretrained(), other=("-slowly", pretrained(body_lr=0.1)),
    ),
    Arm("synthetic", "Real + synthetic", "real images and the kept synthetic faces", with_faces, "synthetic"),
    Arm(
        "synthetic+best", "Synthetic + best",
        "real images, the kept synthetic faces, and the rebalancing that is best on validation",
        _with_best, "synthetic", after="best",
    ),
    Arm(
        "pool", "Real + pool", "real images and, in place of the faces, as many real ones from the pool",
        pool, "pool",
    ),
    Arm(
        "pool+best", "Pool + best",
        "real images, as many real ones from the pool, and the rebalancing that is best on validation",
        _pool_with_best, "pool", after="best",
    ),
    Arm(
        "distilled+synthetic", "Distilled + synthetic",
        "as the distilled ensemble, and plausible synthetic faces of all classes with the ensemble's opinion alone",
        distilled_with_faces(0.5), "synthetic", other=("-mostly", distilled_with_faces(0.8)), after="teacher",
        rival="distilled",
    ),
    Arm(
        "duplicated", "Placebo: duplicates", "copies of real images in place of the synthetic faces",
        duplicated, "copies", placebo_of="synthetic",
    ),
    Arm(
        "duplicated+best", "Duplicates + best",
        "copies of real images in place of the synthetic faces, and the rebalancing that is best on validation",
        _copies_with_best, "copies", placebo_of="synthetic+best", after="best",
    ),
    Arm(
        "shuffled", "Placebo: shuffled", "the synthetic faces, every label a wrong one",
        mislabelled, "placebo", placebo_of="synthetic",
    ),
    Arm(
        "unscreened", "Placebo: unscreened", "as many faces that no screen has seen",
        unscreened, "placebo", placebo_of="synthetic",
    ),
    Arm("oracle", "Held-back real images", "real images and, in place of the faces, real ones that thinning took away",
        oracle, "ceiling"),
    Arm("half", "Half of the rare", "real images, half as many of each rare class", less(0.5), "ceiling"),
    Arm("quarter", "A quarter of the rare", "real images, a quarter as many of each rare class", less(0.25),
        "ceiling"),
)  # fmt: skip
ARMS: Mapping[str, Arm] = {arm.name: arm for arm in _ALL}
REBALANCING = (
    *("oversample", "logit-adjusted", "deferred-weights", "deferred-sampling", "ldam", "head-refit"),
)  # what `synthetic+best` chooses from
POOL = ("pool", "pool+best")
DEFAULT = ("original", "oversample", "logit-adjusted", "synthetic", "synthetic+best")  # and, with a pool, `POOL`
QUICK = ("original", "logit-adjusted", "synthetic", "synthetic+best")
CURVE = ("half", "quarter")
GROUPS: Mapping[str, Sequence[str]] = {
    "quick": QUICK,
    "default": (*DEFAULT, *POOL),
    "cheap": ("original", *(arm.name for arm in _ALL if arm.role == "cheap")),
    "rivals": ("original", "m2m", "features"),
    "distillation": ("original", "distilled", "distilled+synthetic"),
    "placebos": ("duplicated", "duplicated+best", "shuffled", "unscreened"),
    "ceiling": ("oracle", *CURVE),  # whichever the data allows
    "all": tuple(ARMS),
}
_FORMER = {"class-weighted": "deferred-weights"}  # plain class weights were gradient noise on long tails


def chosen_arms(names: str, *, thinned: bool | None = None, pooled: bool | None = None, start: str = "") -> list[Arm]:
    """The arms of a comma-separated list; `GROUPS` stand for lists. `original`, the baseline, comes first.

    thinned: whether real images were taken away from the training split, so that `oracle` can train on them; else the
    learning curve takes its place in groups. None: not known yet, both stay. pooled: whether there is a labelled pool;
    without one (or None) groups leave out the arms that train on it. start: a classifier's folder, which adds the arm
    that starts from its weights; no group has it.
    """
    given = [name.strip() for name in names.split(",") if name.strip()]
    wanted: list[str] = []
    for name in given:
        wanted += _of_group(GROUPS[name], thinned, pooled) if name in GROUPS else [_FORMER.get(name, name)]
    if PRETRAINED in wanted and not start:
        raise ConfigError(
            "The arm pretrained needs a classifier to start from.",
            "Name its folder: --set retrain.pretrained=../other-work/classifiers/RUN.",
        )
    wanted += [PRETRAINED] * bool(start)
    for name in wanted:
        if name not in ARMS:
            raise ConfigError(f"Unknown arm {name!r}.", did_you_mean(name, [*ARMS, *GROUPS]))
    if len(set(wanted)) < 2 or "original" not in wanted:
        raise ConfigError(f"retrain.arms = {names!r}.", "Give original and at least one arm to compare with it.")
    best = [name for name in wanted if ARMS[name].after == "best"]
    if best and not set(wanted) & set(REBALANCING):
        raise ConfigError(
            f"{best[0]} needs a way of rebalancing to choose from.",
            f"Add one or more of {', '.join(REBALANCING)}, or take --quick.",
        )
    for name in wanted:
        if ARMS[name].rival and ARMS[name].rival not in wanted:
            raise ConfigError(
                f"The arm {name} needs the same without faces to compare with.",
                f"Add {ARMS[name].rival}, or take the list distillation.",
            )
    if "clean" in given:
        refuse_without_cleanlab()
    if "oracle" in wanted and thinned is False:
        raise ConfigError(
            "The arm oracle needs real training images that were taken away.",
            "Make a thinned set first (ganfer data thin), or take the arms half and quarter.",
        )
    of_pool = [name for name in wanted if ARMS[name].role == "pool"]
    if of_pool and pooled is False:
        raise ConfigError(
            f"The arm {of_pool[0]} needs a labelled pool (and with --folds there is none).",
            "Add real images without labels, then label them: ganfer data add FOLDER --pool; ganfer label --pool.",
        )
    return [ARMS["original"], *(ARMS[name] for name in dict.fromkeys(wanted) if name != "original")]


def _of_group(names: Sequence[str], thinned: bool | None, pooled: bool | None) -> list[str]:
    left_out: Sequence[str] = () if thinned is None else CURVE if thinned else ("oracle",)
    left_out = (*left_out, PRETRAINED, *(() if pooled else POOL))
    if not installed():
        left_out = (*left_out, "clean")
    return [name for name in names if name not in left_out]
