"""What arms are made of, and what one of them trains on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from classifiers.config import TrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.experiment.ways import PLAIN


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
    real images pushed into rare classes, and how many in words, once the original is trained. start: the folder of the
    classifier that the arm `pretrained` starts from. out_of_fold: gives
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
    start: str = ""
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


# material, common settings -> training data
Build = Callable[[Material, TrainConfig], TrainingData]
