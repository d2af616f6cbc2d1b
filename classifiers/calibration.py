"""Calibration of probabilities: temperature scaling and the expected calibration error. Pure numpy and scipy."""

from __future__ import annotations

import numpy as np

from classifiers.errors import ClassifierError

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (N, K) float32 of logits (N, K)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    exp = np.exp(scaled)
    return (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)


def nll(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in 0.05..20 that minimises the labels' negative log-likelihood (Guo et al. 2017).

    logits (N, K) float, labels (N,) int. Each class gets one pseudo-count (Platt 1999), or a few images that are all
    right would make the classifier certain. The NLL is convex in 1/T, so a bounded search finds the minimum.

    Example: `fit_temperature(logits, labels)`.
    """
    from scipy.optimize import minimize_scalar

    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or len(logits) != len(labels) or len(labels) == 0:
        raise ClassifierError(
            f"calibration needs logits (N, K) and N labels, not {logits.shape} and {labels.shape}; give held-out images"
        )
    if not np.all(np.isfinite(logits)):
        raise ClassifierError("calibration: the logits hold NaN or infinity; retrain with a lower learning rate")
    bounds = (np.log(1 / MAX_TEMPERATURE), np.log(1 / MIN_TEMPERATURE))
    n, k = logits.shape
    share = k / (n + k)  # of the target that is spread over all classes: 1 / (n + k) for each
    own, mean = float(logits[np.arange(n), labels].mean()), float(logits.mean())

    def loss(log_inverse: float) -> float:
        # Cross-entropy is linear in the target, so spreading a share of it only moves its linear term.
        inverse = float(np.exp(log_inverse))
        return nll(logits, labels, 1 / inverse) + share * inverse * (own - mean)

    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    return float(np.exp(-best.x))


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error in 0..1: |accuracy - confidence| over equal-width bins, weighted by their share.

    Example: `ece(probabilities, labels)`.
    """
    return float(
        sum(
            share * abs(accuracy - confidence)
            for _, share, confidence, accuracy in reliability(probabilities, labels, bins)
        )
    )


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> list[tuple[float, float, float, float]]:
    """The reliability diagram's filled bins: (lower edge, share of images, mean confidence, accuracy)."""
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    rows = []
    for b in np.unique(index):
        inside = index == b
        rows.append((b / bins, float(inside.mean()), float(confidence[inside].mean()), float(right[inside].mean())))
    return rows


def class_thresholds(probabilities: np.ndarray, labels: np.ndarray, precision: float = 0.9) -> np.ndarray:
    """Per class, the lowest confidence from which on predictions of it are right in `precision` of held-out images.

    float32 (K,), in 0..1. One pseudo-error is added to each count, so that a handful of images that happen to be
    right isn't proof; a class that never gets there has the threshold 1, which accepts only certainty. Predictions of
    one confidence are accepted or left together.

    Example: `class_thresholds(probabilities, labels, precision=0.95)`.
    """
    if not 0 < precision < 1:
        raise ClassifierError(f"precision = {precision!r}: must lie between 0 and 1")
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    thresholds = np.ones(probabilities.shape[1], np.float32)
    for k in range(probabilities.shape[1]):
        mine = np.flatnonzero(predicted == k)
        order = mine[np.argsort(-confidence[mine], kind="stable")]
        right = np.cumsum(labels[order] == k) / (np.arange(len(order)) + 2)
        last = np.append(np.diff(confidence[order]) != 0, True)  # of those that are equally sure
        enough = np.flatnonzero((right >= precision) & last[: len(order)])
        if enough.size:
            thresholds[k] = confidence[order[enough[-1]]]
    return thresholds
