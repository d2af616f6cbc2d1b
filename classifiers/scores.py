"""Recall, precision, F and their averages from counts: the one place where they are worked out.

>>> scores(hits=np.array([8, 1]), support=np.array([8, 2]), called=np.array([9, 1]))["balanced_accuracy"]
0.75
"""

import numpy as np

PER_CLASS = ("precision", "recall", "f1", "f_beta")
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "f_beta_mean")


def scores(hits: np.ndarray, support: np.ndarray, called: np.ndarray, *, beta: float = 2.0) -> dict[str, np.ndarray]:
    """Every figure of one or more confusion matrices, from the right, the true and the predicted images per class.

    hits, support, called: (..., K) counts or sums of weights. Returns `PER_CLASS` as (..., K) and `OVERALL` as (...),
    float64. As in scikit-learn, a class without test images (in all of them) is left out of the averages, its own
    figures are NaN, and one that is never predicted has precision 0.
    """
    hits, support, called = (np.asarray(part, dtype=np.float64) for part in (hits, support, called))
    present = np.flatnonzero(support.reshape(-1, support.shape[-1]).max(axis=0) > 0)
    square = beta**2
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / support
        precision = np.where(called > 0, hits / called, np.where(support > 0, 0.0, np.nan))
        f1 = np.where(support > 0, 2 * hits / (support + called), np.nan)
        f_beta = np.where(support > 0, (1 + square) * hits / (square * support + called), np.nan)
        accuracy = hits.sum(axis=-1) / support.sum(axis=-1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "f_beta": f_beta,
        "accuracy": accuracy,
        "balanced_accuracy": recall[..., present].mean(axis=-1),
        "macro_f1": f1[..., present].mean(axis=-1),
        "f_beta_mean": f_beta[..., present].mean(axis=-1),
    }
