"""Which generated faces to keep: class-wise thresholds from validation data, and why an image is rejected.

Pure functions. The criteria, in this order: the image shows something; it shows the class asked for; the classifier is
sure enough; it lies on the manifold of real images; it is no copy of a training image; it is no near-duplicate of
another one kept; and where more are left than were asked for, the moderately hard ones are preferred.
"""

from collections.abc import Callable

import numpy as np

from ganfer.data.duplicates import NEAR
from ganfer.label.labels import BLANK, COPY, KEPT, LOW_CONFIDENCE, MISMATCH, OFF_MANIFOLD, REASONS

_ALIKE = 0.75  # cosine of thumbnails from which two images are compared by their pixels
_LOOKED_AT = 3  # of the images kept before, the most alike ones are
_BLOCK = 1024
BLANK_SPREAD = 4.0  # standard deviation in grey levels below which a picture shows nothing


def classwise_thresholds(
    probabilities: np.ndarray,
    labels: np.ndarray,
    beta: float = 0.5,
    *,
    balanced: bool = False,
    shares: np.ndarray | None = None,
) -> np.ndarray:
    """The confidence each predicted class needs: the one that maximises F-beta on validation data.

    probabilities: (N, K) calibrated. labels: (N,) true classes. Returns (K,) in 0..1. beta < 1 values precision over
    recall. balanced: every class weighs the same, as in a batch that asks for all equally often; shares: (K,), each
    weighs as much as it has of the batch. A single threshold would empty the classes a classifier is rarely sure of
    (Zhang et al. 2021, FlexMatch). A class that validation never shows or never predicts gets the largest of the other
    thresholds.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    count = probabilities.shape[1]
    tally = np.bincount(labels, minlength=count)
    weights = 1.0 / tally[labels] if balanced else np.ones(len(labels))
    if shares is not None:
        weights = shares[labels] / tally[labels]
    thresholds = np.full(count, np.nan)
    for k in range(count):
        mine = np.flatnonzero(predicted == k)
        support = float(weights[labels == k].sum())
        if not len(mine) or not support:
            continue
        order = mine[np.argsort(-confidence[mine], kind="stable")]
        hits = np.cumsum(weights[order] * (labels[order] == k))
        taken = np.cumsum(weights[order])
        f_beta = (1 + beta**2) * hits / (beta**2 * support + taken)
        last = np.append(np.diff(confidence[order]) != 0, True)  # those that are equally sure pass together
        thresholds[k] = confidence[order[int(np.argmax(np.where(last, f_beta, -1.0)))]]
    if np.isnan(thresholds).all():
        return np.full(count, 1.0 / count)
    return np.where(np.isnan(thresholds), np.nanmax(thresholds), thresholds)


def is_blank(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) uint8 to (N,) bool: whether a picture shows nothing."""
    if not len(images):
        return np.zeros(0, dtype=bool)
    blank: np.ndarray = images.reshape(len(images), -1).std(axis=1) < BLANK_SPREAD
    return blank


def screen(
    blank: np.ndarray,
    probabilities: np.ndarray,
    asked: np.ndarray,
    thresholds: np.ndarray,
    *,
    require_match: bool = True,
    off_manifold: np.ndarray | None = None,
    copy: np.ndarray | None = None,
) -> np.ndarray:
    """The verdict on each image by itself, one of `REASONS`; the first criterion an image fails is its reason.

    blank, off_manifold, copy: (N,) bool. probabilities: (N, K). asked: (N,) class asked for, -1 where none was.
    thresholds: (K,) by predicted class.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    nothing = np.zeros(len(blank), dtype=bool)
    conditions = {
        BLANK: blank,
        MISMATCH: (asked >= 0) & (predicted != asked) & require_match,
        LOW_CONFIDENCE: confidence < thresholds[predicted],
        OFF_MANIFOLD: nothing if off_manifold is None else off_manifold,
        COPY: nothing if copy is None else copy,
    }
    found: np.ndarray = np.select(list(conditions.values()), list(conditions), default=KEPT)
    return found.astype(f"<U{max(map(len, REASONS))}")


def realism_limits(realism: np.ndarray, labels: np.ndarray, num_classes: int, share: float) -> np.ndarray:
    """The realism below which an image is off the manifold of its class: (K,), from held-back real images.

    realism: (N,) of real images in the manifold of their own class `labels` (N,). share: of them that would count as
    off it. A class with fewer than 20 takes the limit of all classes together; 0 where nothing is known.
    """
    known = np.isfinite(realism) | np.isposinf(realism)
    limits = np.zeros(num_classes)
    if not share or not known.any():
        return limits
    together = float(np.quantile(realism[known], share, method="lower"))
    for k in range(num_classes):
        mine = realism[known & (labels == k)]
        limits[k] = float(np.quantile(mine, share, method="lower")) if len(mine) >= 20 else together
    return limits


def near_duplicates(
    thumbnails: np.ndarray, order: np.ndarray, same: Callable[[int, int], float], near: float = NEAR
) -> np.ndarray:
    """Which images of one class repeat one that comes before them in `order`: (N,) bool.

    thumbnails: (N, t) unit vectors. order: (N,) indices, the preferred first. same: the likeness of two images' pixels,
    in -1..1, looked at where the thumbnails are alike. Of a group of near-duplicates the first one is kept.
    """
    repeated = np.zeros(len(thumbnails), dtype=bool)
    sorted_thumbnails = thumbnails[order].astype(np.float32)
    for start in range(0, len(order), _BLOCK):
        stop = min(start + _BLOCK, len(order))
        alike = sorted_thumbnails[start:stop] @ sorted_thumbnails[:stop].T
        alike[:, start:stop] = np.tril(alike[:, start:stop], -1)
        for row in np.flatnonzero((alike >= _ALIKE).any(axis=1)):
            before = np.flatnonzero(alike[row] >= _ALIKE)
            before = before[~repeated[order[before]]]
            most_alike = before[np.argsort(-alike[row, before], kind="stable")][:_LOOKED_AT]
            me = int(order[start + row])
            repeated[me] = any(same(me, int(order[i])) >= near for i in most_alike)
    return repeated


def moderately_hard(confidence: np.ndarray, real: np.ndarray, count: int) -> np.ndarray:
    """Which `count` of N images to keep: indices, those that are as hard as real images are rather than the easiest.

    confidence: (N,) of the candidates. real: (M,) of held-back real images of the class that pass the same threshold.
    The quarters of the real images' confidences get equal shares; what a quarter lacks is taken from the others, from
    the hard end. Within a quarter the hardest come first.
    """
    count = min(count, len(confidence))
    edges = np.quantile(real if len(real) >= 8 else confidence, [0.25, 0.5, 0.75]) if len(confidence) else np.empty(0)
    quarter = np.searchsorted(edges, confidence, side="right")
    rank = np.zeros(len(confidence))
    for k in range(4):
        mine = np.flatnonzero(quarter == k)
        rank[mine[np.argsort(confidence[mine], kind="stable")]] = np.arange(len(mine))
    # the first of every quarter before the second of any; a quarter that runs out leaves its turns to the others
    chosen: np.ndarray = np.lexsort((quarter, rank))[:count]
    return np.sort(chosen)
