"""The arms of the experiment: what each trains on and how, and what came of it. The registry is a dict."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from classifiers.config import TrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.errors import ConfigError, did_you_mean
from ganfer.experiment.cleaned import cleaned, installed, refuse_without_cleanlab
from ganfer.experiment.placebos import copies, shuffled
from ganfer.experiment.portions import in_order, joined, portion, thinned
from ganfer.experiment.ways import PLAIN, learned, words

# settings of images that are pushed into rare classes (M2m): the paper's, and surer ones
MOVED: Mapping[str, Mapping[str, float]] = {
    "m2m": {"beta": 0.999, "lam": 0.5, "confidence": 0.9},
    "m2m-sure": {"beta": 0.999, "lam": 0.1, "confidence": 0.99},
}

# copies: of real images, so no synthetic one. ceiling: real images that the others do not have, or fewer of them. pool:
# more real images, whose labels are the labeller's; no *helps* rests on such an arm.
Role = Literal["baseline", "cheap", "synthetic", "pool", "copies", "placebo", "ceiling"]


@dataclass(frozen=True)
class Material:
    """What arms are made of.

    real: the real training images. kept: the synthetic faces that the screen kept, with their labels. unscreened: as
    many of each class from the whole batch, labelled as what they were asked to be. weight: loss weight of a synthetic
    face. seed: of the placebos' draws. best: the rebalancing arm (and setting) that is best on validation, "" until
    that is known. held_back: real training images that thinning took away, None where none were. teacher: (N, K) what
    an ensemble of the original says of the real images, None until it is trained. turns: the kept faces of several
    generators, as many of each class, which the seeds take turns with; `kept` is the first, empty for one generator.
    pool: the real faces of the pool that the screen kept, with the labeller's labels, None where no arm wants them.
    fresh: for each of the turns (or for `kept` alone) further sets of faces for the later passes, as large as it is.
    way: how the classifier learns from faces (`ganfer.experiment.ways`). plausible: by generator, the faces that
    nothing but their label speaks against, with what the ensemble says of them once it is trained. moved: by setting,
    real images pushed into rare classes, and how many in words, once the original is trained. out_of_fold: gives
    (N, K), what models that were not trained on them say of the real images; trains those that are missing.
    """

    real: ImageSet
    kept: ImageSet
    unscreened: ImageSet
    weight: float = 1.0
    seed: int = 0
    best: str = ""
    held_back: ImageSet | None = None
    teacher: np.ndarray | None = None
    turns: tuple[ImageSet, ...] = ()
    pool: ImageSet | None = None
    fresh: tuple[tuple[ImageSet, ...], ...] = ()
    way: str = PLAIN
    plausible: tuple[ImageSet, ...] = ()
    moved: Mapping[str, tuple[ImageSet, str]] = field(default_factory=dict)
    out_of_fold: Callable[[], np.ndarray] | None = None


@dataclass(frozen=True)
class TrainingData:
    """What an arm trains on: the images, each one's loss weight (N,) float32, and how it is trained.

    turns: the images by generator, as many of each class in each, where the seeds take turns; the first is `images`.
    added: (N,) bool, which images are faces or stand in their place; none where nothing was added. told: what belongs
    to the arm's description. head: settings of the features that a head is fitted on, where nothing else is trained.
    fresh: for each of them sets that stand in the place of its last images in the later passes.
    """

    images: ImageSet
    weights: np.ndarray
    config: TrainConfig
    turns: tuple[ImageSet, ...] = ()
    added: np.ndarray | None = None
    told: str = ""
    head: Mapping[str, float] | None = None
    fresh: tuple[tuple[ImageSet, ...], ...] = ()

    def of_seed(self, place: int) -> ImageSet:
        """What the seed at this place trains on."""
        return self.turns[place % len(self.turns)] if self.turns else self.images

    def fresh_of_seed(self, place: int) -> tuple[ImageSet, ...]:
        """The faces of its later passes, where they differ."""
        return self.fresh[place % len(self.fresh)] if self.fresh else ()


@dataclass(frozen=True)
class Trained:
    """One trained model: what it says of validation and, from its only look at it, of the test split.

    validation: (V, K), probabilities: (N, K) float32, calibrated. seconds: of its training. history: balanced accuracy
    at each of its validations, in their order.
    """

    probabilities: np.ndarray
    validation: np.ndarray
    temperature: float
    seconds: float
    device: str
    history: tuple[float, ...] = ()


# material, common settings -> training data
Build = Callable[[Material, TrainConfig], TrainingData]


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


def plain(images: ImageSet, config: TrainConfig) -> TrainingData:
    """Real images, each of weight 1."""
    return TrainingData(images, np.ones(len(images), np.float32), config)


def _real_only(**changes: Any) -> Build:
    return lambda material, config: plain(material.real, dataclasses.replace(config, **changes))


def with_faces(material: Material, config: TrainConfig, faces: ImageSet | None = None) -> TrainingData:
    """The real images and the faces (none: the kept ones), these with the material's weight."""
    faces = material.kept if faces is None else faces
    turns = material.turns if faces is material.kept else ()
    data = _beside(material, config, material.real, faces, turns)
    if faces is material.kept and material.fresh:
        sets = zip(material.fresh, turns or (faces,), strict=True)
        data = dataclasses.replace(data, fresh=tuple(in_order(later, one) for later, one in sets))
    return data


def _beside(
    material: Material, config: TrainConfig, real: ImageSet, faces: ImageSet, turns: Sequence[ImageSet]
) -> TrainingData:
    """Real images and faces beside them, learned from in the material's way."""
    added = np.arange(len(real) + len(faces)) >= len(real)
    weights = np.where(added, material.weight, 1.0).astype(np.float32)
    several = tuple(joined(real, other) for other in turns)
    told, config = words(config, material.way), learned(config, material.way)
    return TrainingData(several[0] if several else joined(real, faces), weights, config, several, added, told)


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


def _pool(material: Material, config: TrainConfig) -> TrainingData:
    """As many real faces of each class from the pool as there are synthetic ones, as far as they reach."""
    assert material.pool is not None, "chosen only where there is one"
    wanted = [material.kept.counts()[name] for name in material.real.class_names]
    return plain(joined(material.real, portion(material.pool, wanted, material.seed)), config)


def _pool_with_best(material: Material, config: TrainConfig) -> TrainingData:
    return _pool(material, _rebalanced(material, config))


def _copies(material: Material, config: TrainConfig) -> TrainingData:
    return with_faces(material, config, copies(material.real, material.kept.counts(), material.seed))


def _copies_with_best(material: Material, config: TrainConfig) -> TrainingData:
    return _copies(material, _rebalanced(material, config))


def _shuffled(material: Material, config: TrainConfig) -> TrainingData:
    return with_faces(material, config, shuffled(material.kept, material.seed))


def _unscreened(material: Material, config: TrainConfig) -> TrainingData:
    return with_faces(material, config, material.unscreened)


def _distilled(share: float) -> Build:
    """`share` of each target from the ensemble, the rest from the label (Hinton et al. 2015; Li et al. 2021)."""

    def build(material: Material, config: TrainConfig) -> TrainingData:
        assert material.teacher is not None, "the original is trained first"
        real = material.real
        hard = np.eye(len(real.class_names), dtype=np.float32)[real.labels]
        soft = (share * material.teacher + (1 - share) * hard).astype(np.float32)
        soft /= soft.sum(axis=1, keepdims=True)
        return plain(dataclasses.replace(real, soft_labels=soft), config)

    return build


def _distilled_with_faces(share: float) -> Build:
    """The same, and the plausible faces with the ensemble's opinion alone: no label of theirs is used.

    The teacher's opinion is of the image as it is, for real images and faces alike; of the very view that the student
    sees it would teach more (Beyer et al. 2022).
    """

    def build(material: Material, config: TrainConfig) -> TrainingData:
        faces = material.plausible
        assert faces
        assert all(one.soft_labels is not None for one in faces)
        real = _distilled(share)(material, config).images
        return _beside(material, config, real, faces[0], faces if len(faces) > 1 else ())

    return build


def _moved(setting: str) -> Build:
    def build(material: Material, config: TrainConfig) -> TrainingData:
        made, told = material.moved[setting]
        return dataclasses.replace(plain(joined(material.real, made), config), told=told)

    return build


def _on_features(**settings: float) -> Build:
    return lambda material, config: dataclasses.replace(plain(material.real, config), head=settings)


def _cleaned(*, relabel: bool) -> Build:
    def build(material: Material, config: TrainConfig) -> TrainingData:
        assert material.out_of_fold is not None
        images, told = cleaned(material.real, material.out_of_fold(), relabel=relabel)
        return dataclasses.replace(plain(images, config), told=told)

    return build


def _oracle(material: Material, config: TrainConfig) -> TrainingData:
    """As many held-back real images of each class as there are kept faces, as far as they reach."""
    assert material.held_back is not None, "chosen only where there are some"
    wanted = [material.kept.counts()[name] for name in material.real.class_names]
    return plain(joined(material.real, portion(material.held_back, wanted, material.seed)), config)


def _less(share: float) -> Build:
    return lambda material, config: plain(thinned(material.real, share, material.seed), config)


_ALL = (
    Arm("original", "Original", "the real training images as they are", _real_only(), "baseline"),
    Arm(
        "oversample", "Oversampling", "real images, every class drawn equally often", _real_only(sampler="balanced"),
        other=("-root", _real_only(sampler="root")),
    ),
    Arm(
        "logit-adjusted", "Logit adjustment", "real images, logits shifted by the class priors (Menon et al. 2021)",
        _real_only(loss="logit-adjusted"), other=("-half", _real_only(loss="logit-adjusted", logit_tau=0.5)),
    ),
    Arm(
        "fitted-biases", "Fitted class biases", "the original's models, class biases fitted on validation",
        _real_only(), after="free",
    ),
    Arm(
        "deferred-weights", "Deferred class weights",
        "real images, loss weighted by class in the last fifth of the steps (DRW, Cao et al. 2019)",
        _real_only(loss="class-weighted", defer=0.8),
        other=("-early", _real_only(loss="class-weighted", defer=0.6)),
    ),
    Arm(
        "deferred-sampling", "Deferred oversampling",
        "real images, every class drawn equally often in the last fifth of the steps (DRS, Cao et al. 2019)",
        _real_only(sampler="balanced", defer=0.8), other=("-early", _real_only(sampler="balanced", defer=0.6)),
    ),
    Arm(
        "ldam", "LDAM with deferred weights",
        "real images, larger margins for rare classes, class weights late (LDAM-DRW, Cao et al. 2019)",
        _real_only(loss="ldam", defer=0.8), other=("-wide", _real_only(loss="ldam", defer=0.8, ldam_margin=2.0)),
    ),
    Arm(
        "head-refit", "Head fitted again",
        "real images; over the last fifth of the steps a new head on frozen features, classes drawn equally often "
        "(cRT, Kang et al. 2020)",
        _real_only(refit=0.2), other=("-long", _real_only(refit=0.4)),
    ),
    Arm(
        "mixup", "mixup", "real images, mixed in pairs (Zhang et al. 2018)", _real_only(mixup=0.2),
        other=("-strong", _real_only(mixup=0.8)),
    ),
    Arm(
        "cmo", "Rare images pasted", "real images, patches of rare classes pasted into others (CMO, Park et al. 2022)",
        _real_only(cmo=0.5), other=("-rarely", _real_only(cmo=0.25)),
    ),
    Arm(
        "rare-augment", "Rare classes augmented", "real images, those of rare classes changed more strongly",
        _real_only(rare_augment="strong"), other=("-randaugment", _real_only(rare_augment="randaugment")),
    ),
    Arm(
        "strong-augment", "Strong augmentation", "real images, RandAugment with mixup or CutMix",
        _real_only(augment="randaugment", mixup=0.2, cutmix=1.0),
        other=("-plain", _real_only(augment="strong")),
    ),
    Arm(
        "distilled", "Distilled ensemble", "real images, half of each target from an ensemble of the original's seeds",
        _distilled(0.5), other=("-mostly", _distilled(0.8)), after="teacher",
    ),
    Arm(
        "m2m", "Moved images", "real images and, in rare classes, larger classes' images pushed there along the "
        "original's gradient (M2m, Kim, Jeong & Shin 2020)", _moved("m2m"), other=("-sure", _moved("m2m-sure")),
        after="teacher",
    ),
    Arm(
        "features", "Drawn features",
        "the original's models, the head fitted on their features and on drawn ones of rare classes "
        "(after TailCalibX, Vigneswaran et al. 2021)",
        _on_features(), other=("-wide", _on_features(spread=2.0)), after="teacher",
    ),
    Arm(
        "clean", "Cleaned labels",
        "real images, their labels cleaned by confident learning (Northcutt et al. 2021)",
        _cleaned(relabel=False), other=("-relabelled", _cleaned(relabel=True)),
    ),
    Arm("synthetic", "Real + synthetic", "real images and the kept synthetic faces", with_faces, "synthetic"),
    Arm(
        "synthetic+best", "Synthetic + best",
        "real images, the kept synthetic faces, and the rebalancing that is best on validation",
        _with_best, "synthetic", after="best",
    ),
    Arm(
        "pool", "Real + pool", "real images and, in place of the faces, as many real ones from the pool",
        _pool, "pool",
    ),
    Arm(
        "pool+best", "Pool + best",
        "real images, as many real ones from the pool, and the rebalancing that is best on validation",
        _pool_with_best, "pool", after="best",
    ),
    Arm(
        "distilled+synthetic", "Distilled + synthetic",
        "as the distilled ensemble, and plausible synthetic faces of all classes with the ensemble's opinion alone",
        _distilled_with_faces(0.5), "synthetic", other=("-mostly", _distilled_with_faces(0.8)), after="teacher",
        rival="distilled",
    ),
    Arm(
        "duplicated", "Placebo: duplicates", "copies of real images in place of the synthetic faces",
        _copies, "copies", placebo_of="synthetic",
    ),
    Arm(
        "duplicated+best", "Duplicates + best",
        "copies of real images in place of the synthetic faces, and the rebalancing that is best on validation",
        _copies_with_best, "copies", placebo_of="synthetic+best", after="best",
    ),
    Arm(
        "shuffled", "Placebo: shuffled", "the synthetic faces, every label a wrong one",
        _shuffled, "placebo", placebo_of="synthetic",
    ),
    Arm(
        "unscreened", "Placebo: unscreened", "as many faces that no screen has seen",
        _unscreened, "placebo", placebo_of="synthetic",
    ),
    Arm("oracle", "Held-back real images", "real images and, in place of the faces, real ones that thinning took away",
        _oracle, "ceiling"),
    Arm("half", "Half of the rare", "real images, half as many of each rare class", _less(0.5), "ceiling"),
    Arm("quarter", "A quarter of the rare", "real images, a quarter as many of each rare class", _less(0.25),
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


def chosen_arms(names: str, *, thinned: bool | None = None, pooled: bool | None = None) -> list[Arm]:
    """The arms of a comma-separated list; `GROUPS` stand for lists. `original`, the baseline, comes first.

    thinned: whether real images were taken away from the training split, so that `oracle` can train on them; else the
    learning curve takes its place in groups. None: not known yet, both stay. pooled: whether there is a labelled pool;
    without one (or None) groups leave out the arms that train on it.
    """
    given = [name.strip() for name in names.split(",") if name.strip()]
    wanted: list[str] = []
    for name in given:
        wanted += _of_group(GROUPS[name], thinned, pooled) if name in GROUPS else [_FORMER.get(name, name)]
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
    left_out = (*left_out, *(() if pooled else POOL))
    if not installed():
        left_out = (*left_out, "clean")
    return [name for name in names if name not in left_out]
