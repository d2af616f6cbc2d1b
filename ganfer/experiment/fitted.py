"""Class biases fitted on validation: what shifting a finished model's thresholds brings, which costs no training."""

from dataclasses import replace

import numpy as np

from classifiers.prior_shift import EqualShares
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Arm, Outcome, Trained
from ganfer.experiment.comparisons import mean_level
from ganfer.runtime.seeding import stream

_FOLDS = 5


def fit_biases(labels: np.ndarray, validation: np.ndarray) -> EqualShares:
    """For the probabilities as they are: validation (V, K), labels (V,)."""
    count = validation.shape[1]
    return EqualShares.fit(validation, labels, np.full(count, 1.0 / count))


def with_fitted_biases(original: Outcome, arm: Arm, val: ImageSet) -> Outcome:
    """The original's models with their class biases fitted on `val`, as the outcome of an arm."""
    return Outcome(arm, original.data, original.steps, tuple(shifted(each, val.labels) for each in original.trained))


def shifted(trained: Trained, labels: np.ndarray) -> Trained:
    """A model's probabilities with class biases fitted on validation; it cost no training."""
    fitted = fit_biases(labels, trained.validation)
    return replace(
        trained,
        probabilities=fitted(trained.probabilities),
        validation=fitted(trained.validation),
        seconds=0.0,
    )


def mean_of_cross_fitted(validation: np.ndarray, val: ImageSet) -> float:
    """Balanced accuracy on validation, every image decided by biases that were fitted without it.

    validation: (S, V, K), what each seed's model says of `val`. As the biases are chosen on the same images, the plain
    figure would be too good beside arms that learned nothing there.
    """
    return mean_level(val, [cross_fitted(each, val.labels) for each in validation])


def cross_fitted(validation: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(V,) classes, each decided by biases that were fitted without the image. validation: (V, K)."""
    part = np.zeros(len(labels), np.int64)
    for k in np.unique(labels):  # the classes are spread evenly over the parts
        members = stream(0, "cross-fitted biases", int(k)).permutation(np.flatnonzero(labels == k))
        part[members] = np.arange(len(members)) % _FOLDS
    found = np.zeros(len(labels), np.int64)
    for i in range(_FOLDS):
        inside = part == i
        if inside.any():
            found[inside] = fit_biases(labels[~inside], validation[~inside])(validation[inside]).argmax(axis=1)
    return found
