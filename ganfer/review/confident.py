"""Labels that are probably wrong, by confident learning (Northcutt, Jiang & Chuang 2021) on out-of-fold probabilities.

The computation is cleanlab's (extra `clean`; Apache License 2.0 from its version 2.9 on). An image is doubted where the
classes' own thresholds of confidence and the estimated noise of its label say so; the least likely labels come first.
"""

import warnings
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ganfer.errors import GanferError


@dataclass(frozen=True)
class Doubted:
    """The doubted labels, the least likely one first.

    index: (M,) of the N images. suggested: (M,) the likeliest class. confidence: (M,) probability of the given label.
    joint: (K, K) estimated share of images by given label and true one; sums to 1.
    """

    index: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray
    joint: np.ndarray


def confident_learning() -> tuple[ModuleType, ModuleType]:
    """cleanlab's modules `filter` and `count`. GanferError where it is not installed."""
    try:
        from cleanlab import count, filter
    except ImportError as error:
        raise GanferError(
            f"The audit of labels needs {error.name}.", "Install it: pip install 'ganfer[clean]'."
        ) from error
    return filter, count


def doubted_labels(labels: np.ndarray, probabilities: np.ndarray) -> Doubted:
    """labels: (N,) given classes. probabilities: (N, K), of each image by a model that did not train on it."""
    filtering, counting = confident_learning()
    present = np.unique(labels)
    if len(present) < 2:
        return _nothing(labels, probabilities)
    # classes without an image have no threshold of their own: they take no part
    given = np.searchsorted(present, labels)
    rows = probabilities[:, present].astype(np.float64)
    rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with few images may hide some: its count is shown
        found = filtering.find_label_issues(
            given, rows, filter_by="prune_by_noise_rate", return_indices_ranked_by="self_confidence", n_jobs=1
        )
        joint = counting.estimate_joint(given, rows)
    index = np.asarray(found, dtype=np.int64)
    whole = np.zeros((probabilities.shape[1],) * 2)
    whole[np.ix_(present, present)] = joint
    return Doubted(index, present[rows[index].argmax(axis=1)], rows[index, given[index]], whole)


def _nothing(labels: np.ndarray, probabilities: np.ndarray) -> Doubted:
    joint = np.zeros((probabilities.shape[1],) * 2)
    joint[labels[:1], labels[:1]] = 1.0
    nothing = np.zeros(0, np.int64)
    return Doubted(nothing, nothing, np.zeros(0), joint)
