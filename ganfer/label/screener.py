"""The screen at work: what a classifier and the training images say of generated faces, and the verdict.

`Screener` knows the classifier's calibrated thresholds, the manifold of every class and the training images to compare
with; limits come from held-back validation images. `look` is what it sees in a part of the images, kept so that an
interrupted labelling goes on; `decide` goes over all that was seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from classifiers.prior_shift import EqualShares, shares_of, under_shares
from ganfer.classifier.opened import open_classifier
from ganfer.classifier.train import real_only, training_prior
from ganfer.config import Config, LabelConfig
from ganfer.data.duplicates import similarity
from ganfer.data.imageset import ImageSet, read_set
from ganfer.label.criteria import (
    classwise_thresholds,
    is_blank,
    moderately_hard,
    near_duplicates,
    realism_limits,
    screen,
)
from ganfer.label.known import Known
from ganfer.label.labels import DUPLICATE, KEPT, SURPLUS
from ganfer.metrics.copies import CopyRule, Nearest, TrainingIndex, picture, thumbnails
from ganfer.metrics.extractors import chunks, features_and_probabilities, stored_features
from ganfer.metrics.precision_recall import NEIGHBOURS, Manifold
from ganfer.runtime.console import Advance, progress, silent
from ganfer.runtime.parts import Arrays, Read, Spread, kept_parts
from ganfer.runtime.seeding import stream
from ganfer.workspace import Run

_HELD_BACK = 2000  # validation images that the copy rule is made from, at most
_PICTURES = 8192  # in memory while near-duplicates are looked for: 75 MB
_ESTIMATED = 5000  # images that a pool's class shares are estimated from, at most
_UNIT = 127.0  # thumbnails are stored as int8


@dataclass(frozen=True)
class ImageFacts:
    """What the screener sees in N images, each an array of N.

    probabilities: (N, K) float32 calibrated. blank: bool. realism: in the manifold of the predicted class; NaN where
    there is none. nearest: place in `Known` of the nearest image that the generator learned from, likeness to it,
    isolation (see `metrics.copies`).
    thumbnail: (N, 256) int8.
    """

    probabilities: np.ndarray
    blank: np.ndarray
    realism: np.ndarray
    nearest: np.ndarray
    likeness: np.ndarray
    isolation: np.ndarray
    thumbnail: np.ndarray

    def __len__(self) -> int:
        return len(self.blank)

    @property
    def predicted(self) -> np.ndarray:
        """(N,) class."""
        predicted: np.ndarray = self.probabilities.argmax(axis=1)
        return predicted

    @property
    def confidence(self) -> np.ndarray:
        """(N,) of the predicted class."""
        confidence: np.ndarray = self.probabilities.max(axis=1)
        return confidence

    @classmethod
    def together(cls, looks: Sequence["ImageFacts"]) -> "ImageFacts":
        """One look over the images of several, in their order."""
        return cls(*(np.concatenate([getattr(look, f.name) for look in looks]) for f in fields(cls)))


@dataclass(frozen=True)
class Limits:
    """What an image must reach, and what held-back real images do under the same criteria.

    thresholds, realism: (K,) confidence and realism by predicted class. copy: None when copies are not looked for.
    held_back_copies: share of held-back real images that would count as copies. held_back_likeness: their median
    likeness to the nearest training image. held_back_off: share off the manifold.
    """

    thresholds: np.ndarray
    realism: np.ndarray
    copy: CopyRule | None
    held_back_copies: float = 0.0
    held_back_likeness: float = 0.0
    held_back_off: float = 0.0


class Screener:
    """A classifier and the real images it stands on, ready to look at generated ones.

    pools: further real images that the generator learned from; faces may be copies of these, too.
    """

    def __init__(
        self, config: Config, classifier_run: Run, data: Run, images: ImageSet, pools: Sequence[Run] = ()
    ) -> None:
        self.names = images.class_names
        self.settings: LabelConfig = config.label
        self.classifier = open_classifier(classifier_run, self.names, config)
        self.spread = Spread(config.workers, config.cluster, str(self.classifier.device))
        self._balanced = config.label.prior == "balanced"
        self._shares = training_prior(self.classifier, images)
        self._equal: EqualShares | None = None
        self.assumed: np.ndarray | None = None  # class shares of the images to look at, where they are not equal ones
        train = np.flatnonzero((images.split == "train") & (images.source == "real") & (images.labels >= 0))
        self.known, self.pools = Known(images, pools), len(pools)
        self.known_rows = np.concatenate([train, np.arange(len(images), len(self.known))])
        self._manifolds: list[Manifold | None] = [None] * len(self.names)
        self._index: TrainingIndex | None = None
        if config.label.manifold or config.label.copies:
            features = self._training_features(classifier_run, data, images, train)
            self._fit(images, train, features)
            if config.label.copies:
                further = [self._pool_features(classifier_run, run) for run in pools]
                every = np.concatenate([features, *further]) if further else features
                self._index = TrainingIndex.of(self.known, every, self.known_rows)
        self.limits = self._limits(real_only(images, "val").labelled())

    def _training_features(self, classifier_run: Run, data: Run, images: ImageSet, train: np.ndarray) -> np.ndarray:
        file = classifier_run.cache / f"features-{data.digest[:12]}.npy"
        with progress("training images", len(train)) as advance:
            return stored_features(
                file, self.classifier, len(train), lambda i: np.asarray(images.images[train[list(i)]]), advance
            )

    def _pool_features(self, classifier_run: Run, pool: Run) -> np.ndarray:
        file, pixels = classifier_run.cache / f"features-{pool.digest[:12]}.npy", read_set(pool.path).images
        with progress(f"images of {pool.name}", len(pixels)) as advance:
            return stored_features(file, self.classifier, len(pixels), lambda i: np.asarray(pixels[list(i)]), advance)

    def _fit(self, images: ImageSet, train: np.ndarray, features: np.ndarray) -> None:
        labels = images.labels[train]
        if self.settings.manifold:
            for k in range(len(self.names)):
                mine = np.flatnonzero(labels == k)
                if len(mine) > NEIGHBOURS:
                    self._manifolds[k] = Manifold.fit(
                        np.asarray(features[mine], dtype=np.float32), device=self.classifier.device
                    )

    def _limits(self, val: ImageSet) -> Limits:
        features, found = features_and_probabilities(self.classifier, np.asarray(val.images))
        labels = val.labels
        realism = self._realism(features, labels)
        limits = realism_limits(realism, labels, len(self.names), self.settings.manifold)
        rule, copies, likeness = None, 0.0, 0.0
        if self._index is not None:
            some = np.sort(stream(0, "held back").permutation(len(val))[:_HELD_BACK])
            held = self._nearest(np.asarray(val.images[some]), features[some])
            rule = CopyRule.fit(held)
            copies, likeness = float(rule.copies(held).mean()), float(np.median(held.likeness))
        if self._balanced:
            self._equal = EqualShares.fit(found, labels, self._shares)
        self._held_back = found
        self.held_back_probabilities, self.held_back_labels = self._posterior(found), labels
        thresholds = self._thresholds(self.held_back_probabilities, labels)
        off = float(np.mean(realism < limits[labels])) if len(val) else 0.0
        return Limits(thresholds, limits, rule, copies, likeness, off)

    def estimate_shares(self, count: int, read: Callable[[Sequence[int]], np.ndarray]) -> None:
        """Take the images to look at for a sample of the world: estimate their class shares, and judge by them.

        Nobody asked for classes there, so neither are all equally common, nor are they as in training. read: the pixels
        at some of `count` places. Where the settings assume the shares of the training, those stay.
        """
        if self._equal is None or not count:
            return
        some = np.unique(np.linspace(0, count - 1, min(count, _ESTIMATED)).astype(np.int64))
        parts = [
            self._equal(features_and_probabilities(self.classifier, read(some[part].tolist()))[1])
            for part in chunks(len(some))
        ]
        self.assumed = shares_of(np.concatenate(parts))
        self.held_back_probabilities = self._posterior(self._held_back)
        thresholds = self._thresholds(self.held_back_probabilities, self.held_back_labels)
        self.limits = replace(self.limits, thresholds=thresholds)

    def _thresholds(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if self.settings.min_confidence == "auto":
            return classwise_thresholds(
                probabilities, labels, self.settings.beta, balanced=self._balanced, shares=self.assumed
            )
        return np.full(len(self.names), float(self.settings.min_confidence))

    def _posterior(self, probabilities: np.ndarray) -> np.ndarray:
        if self._equal is None:
            return probabilities
        equal = self._equal(probabilities)
        return equal if self.assumed is None else under_shares(equal, self.assumed).astype(np.float32)

    def _realism(self, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """(N,) realism in the manifold of each image's class; NaN where the class has none."""
        realism = np.full(len(features), np.nan)
        for k, manifold in enumerate(self._manifolds):
            mine = np.flatnonzero(classes == k)
            if manifold is not None and len(mine):
                realism[mine] = manifold.realism(features[mine], device=self.classifier.device)
        return realism

    def _nearest(self, pixels: np.ndarray, features: np.ndarray) -> Nearest:
        assert self._index is not None
        return self._index.look(pixels, features, device=self.classifier.device)

    def look(self, pixels: np.ndarray) -> ImageFacts:
        """What there is to see in (N, C, H, W) uint8 images."""
        return self.facts(pixels, *features_and_probabilities(self.classifier, pixels))

    def facts(self, pixels: np.ndarray, features: np.ndarray, found: np.ndarray) -> ImageFacts:
        """The same, of images whose features (N, d) and calibrated probabilities (N, K) were found before."""
        probabilities = self._posterior(found)
        n = len(pixels)
        nearest, likeness, isolation = np.full(n, -1, np.int64), np.full(n, np.nan), np.full(n, np.nan)
        if self._index is not None:
            near = self._nearest(pixels, features)
            nearest, likeness, isolation = self.known_rows[near.index], near.likeness, near.isolation
        small = thumbnails(pixels) if self.settings.diverse else np.zeros((n, 0), np.float32)
        return ImageFacts(
            probabilities,
            is_blank(pixels),
            self._realism(features, probabilities.argmax(axis=1)),
            nearest,
            likeness,
            isolation,
            np.rint(small * _UNIT).astype(np.int8),
        )

    def decide(
        self,
        look: ImageFacts,
        asked: np.ndarray,
        read: Callable[[Sequence[int]], np.ndarray],
        quota: np.ndarray | None = None,
    ) -> np.ndarray:
        """The verdict on every image, (N,) of `ganfer.label.criteria.REASONS`.

        asked: (N,) class asked for, -1 where none was. read: the pixels at some indices. quota: (K,) faces wanted of
        each class; those beyond it are surplus, the easiest first.
        """
        off = np.nan_to_num(look.realism, nan=np.inf) < self.limits.realism[look.predicted]
        copy = None if self.limits.copy is None else self.copies(look)
        reason = screen(
            look.blank,
            look.probabilities,
            asked,
            self.limits.thresholds,
            require_match=self.settings.require_match,
            off_manifold=off,
            copy=copy,
        )
        if self.settings.diverse:
            for mine in self._by_class(look, reason):
                repeated = near_duplicates(
                    look.thumbnail[mine] / _UNIT, _hardest_first(look, mine), _likeness(read, mine)
                )
                reason[mine[repeated]] = DUPLICATE
        if quota is not None:
            for mine in self._by_class(look, reason):
                k = int(look.predicted[mine[0]])
                real = self._real_confidences(k)
                chosen = moderately_hard(look.confidence[mine], real, int(quota[k]))
                reason[np.delete(mine, chosen)] = SURPLUS
        return reason

    def copies(self, look: ImageFacts) -> np.ndarray:
        """(N,) bool: which images are copies of images that the generator learned from."""
        assert self.limits.copy is not None
        zeros = np.zeros(len(look), dtype=bool)
        return self.limits.copy.copies(Nearest(look.nearest, look.likeness, zeros, look.isolation, look.likeness))

    def _by_class(self, look: ImageFacts, reason: np.ndarray) -> list[np.ndarray]:
        kept, predicted = reason == KEPT, look.predicted
        groups = [np.flatnonzero(kept & (predicted == k)) for k in range(len(self.names))]
        return [mine for mine in groups if len(mine)]

    def _real_confidences(self, k: int) -> np.ndarray:
        """Confidences of the held-back real images of class k that are called so and pass its threshold."""
        found, labels = self.held_back_probabilities, self.held_back_labels
        right = (labels == k) & (found.argmax(axis=1) == k) & (found.max(axis=1) >= self.limits.thresholds[k])
        confidences: np.ndarray = found[right, k]
        return confidences


def image_facts(
    screener: Screener,
    count: int,
    read: Read,
    folder: Path,
    advance: Advance = silent,
    start: int = 0,
) -> ImageFacts:
    """The look at images start..count-1, part by part; see `ganfer.runtime.parts.kept_parts`."""
    seen = partial(_seen, screener)
    parts = kept_parts(seen, count, read, folder, spread=screener.spread, advance=advance, start=start)
    return ImageFacts.together([ImageFacts(**arrays) for arrays in parts])


def _seen(screener: Screener, pixels: np.ndarray) -> Arrays:
    return dict(vars(screener.look(pixels)))


def _hardest_first(look: ImageFacts, mine: np.ndarray) -> np.ndarray:
    return np.argsort(look.confidence[mine], kind="stable")


def _likeness(read: Callable[[Sequence[int]], np.ndarray], mine: np.ndarray) -> Callable[[int, int], float]:
    """The likeness of two images of a class, by their places in it."""

    @lru_cache(maxsize=_PICTURES)
    def details(place: int) -> np.ndarray:
        return picture(read([int(mine[place])])[0])

    return lambda i, j: similarity(details(i), details(j))
