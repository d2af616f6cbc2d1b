"""Which pseudo-labels to believe: class-wise thresholds from validation data, and why an image is rejected."""

from collections.abc import Sequence

import numpy as np

KEPT = "kept"
BLANK = "blank"
MISMATCH = "mismatch"
LOW_CONFIDENCE = "low confidence"
REASONS = (KEPT, BLANK, MISMATCH, LOW_CONFIDENCE)

BLANK_SPREAD = 4.0  # standard deviation in grey levels below which a picture shows nothing


def with_equal_priors(probabilities: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Posteriors (N, K) under equal class shares, from those of a classifier that learned with shares `priors` (K,).

    A classifier that saw a hundred times more happy than disgusted faces hardly ever says disgust, also of a batch in
    which every class was asked for equally often; Bayes' rule corrects it (Saerens, Latinne & Decaestecker 2002). A
    class the classifier never saw keeps its probability, which is near 0.
    """
    odds = probabilities / np.where(priors > 0, priors, 1.0)
    shifted: np.ndarray = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    return shifted


def classwise_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, beta: float = 0.5, *, balanced: bool = False
) -> np.ndarray:
    """The confidence each predicted class needs: the one that maximises F-beta on validation data.

    probabilities: (N, K) calibrated. labels: (N,) true classes. Returns (K,) in 0..1. beta < 1 values precision over
    recall. balanced: every class weighs the same, as in a batch that asks for all equally often. A single threshold
    would empty the classes a classifier is rarely sure of (Zhang et al. 2021, FlexMatch). A class that validation
    never shows or never predicts gets the largest of the other thresholds.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    count = probabilities.shape[1]
    tally = np.bincount(labels, minlength=count)
    weights = 1.0 / tally[labels] if balanced else np.ones(len(labels))
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
        thresholds[k] = confidence[order[int(np.argmax(f_beta))]]
    if np.isnan(thresholds).all():
        return np.full(count, 1.0 / count)
    return np.where(np.isnan(thresholds), np.nanmax(thresholds), thresholds)


def screen(
    images: np.ndarray,
    probabilities: np.ndarray,
    asked: np.ndarray,
    thresholds: np.ndarray,
    *,
    require_match: bool = True,
) -> np.ndarray:
    """The verdict on each image, one of `REASONS`; the first criterion an image fails is its reason.

    images: (N, C, H, W) uint8. probabilities: (N, K). asked: (N,) class asked for, -1 where none was.
    thresholds: (K,) by predicted class.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    spread = images.reshape(len(images), -1).std(axis=1) if len(images) else np.empty(0)
    mismatch = (asked >= 0) & (predicted != asked) & require_match
    conditions = [spread < BLANK_SPREAD, mismatch, confidence < thresholds[predicted]]
    return np.select(conditions, [BLANK, MISMATCH, LOW_CONFIDENCE], default=KEPT)


def relative_entropy_to_uniform(counts: Sequence[int] | np.ndarray) -> float:
    """Entropy of the class shares over that of equal shares: 1 = balanced, 0 = one class only or nothing."""
    tally = np.asarray(counts, dtype=np.float64)
    if len(tally) < 2 or tally.sum() == 0:
        return 0.0
    shares = tally[tally > 0] / tally.sum()
    return float(abs((shares * np.log(shares)).sum()) / np.log(len(tally)))  # abs: no -0.0 for a single class
