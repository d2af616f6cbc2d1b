"""Figures of one classifier with their intervals, from its confusion matrix alone, so their cost is the same for a
hundred test images and for millions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from classifiers.scores import PER_CLASS, scores
from ganfer.runtime.seeding import stream
from ganfer.statistics.agreement import share
from ganfer.statistics.verdict import Estimate, Measured, estimates

_AT_ONCE = 1 << 24  # counts of subjects drawn at a time; 128 MB


def confusion_estimates(
    confusion: np.ndarray,
    class_names: Sequence[str],
    *,
    beta: float,
    resamples: int,
    seed: int,
    level: float = 0.95,
    by_subject: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Accuracy, balanced_accuracy, macro_f1, f_beta and "recall:<class>" (precision, f1, f_beta) with their intervals.

    confusion: (K, K) int, rows true. The test images are resampled within each class, which for figures that depend on
    the predictions alone is a multinomial draw of the row. by_subject: (G, K, K) the same of each subject's images,
    where they are known; subjects are then drawn whole, since images of one person succeed and fail together. Without
    them a recall is a plain share and has Wilson's interval: of 8 images, or near 0 and 100%, one of the mean and its
    error on both sides holds the truth in 82% to 90% only. A class without images has no figures, as in `evaluate`.
    """
    confusion = np.asarray(confusion, dtype=np.int64)
    support = confusion.sum(axis=1)
    rng = stream(seed, "bootstrap")
    drawn = np.zeros((resamples, *confusion.shape), np.int64)
    if by_subject is not None:
        count = len(by_subject)
        step = max(1, _AT_ONCE // count)
        for start in range(0, resamples, step):
            times = rng.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - start))
            drawn[start : start + step] = np.tensordot(times, by_subject, 1)
    for k, n in enumerate(support if by_subject is None else ()):
        if n:
            drawn[:, k] = rng.multinomial(n, confusion[k] / n, size=resamples)
    plain = confusion_scores(confusion[None], class_names, beta)
    resampled = confusion_scores(drawn, class_names, beta)
    measured = Measured(plain, {name: values[None] for name, values in resampled.items()}, _floors(support, plain))
    found = estimates(measured, level)
    if by_subject is None:
        found |= _recalls(confusion, class_names, found, level)
    return found


def _recalls(
    confusion: np.ndarray, class_names: Sequence[str], found: Mapping[str, Estimate], level: float
) -> dict[str, Estimate]:
    """The recall of every class with Wilson's interval."""
    recalls = {}
    for hits, n, name in zip(np.diagonal(confusion).tolist(), confusion.sum(axis=1).tolist(), class_names, strict=True):
        if n:
            ends = share(hits, n, level)
            recalls[f"recall:{name}"] = replace(found[f"recall:{name}"], low=ends["low"], high=ends["high"])
    return recalls


def subjects_of(group: np.ndarray) -> np.ndarray | None:
    """(N,) the number of each image's subject, -1 where unknown; None where no two images are of one.

    group: (N,) the subjects' names, "" where unknown.
    """
    _, number, count = np.unique(group, return_inverse=True, return_counts=True)
    number = np.where(group == "", -1, number).astype(np.int64)
    return number if (count[number[number >= 0]] > 1).any() else None


def confusion_by_subject(
    labels: np.ndarray, predicted: np.ndarray, group: np.ndarray, classes: int
) -> np.ndarray | None:
    """(G, K, K) int64: the confusion matrix of each subject's images; an unknown one is a subject of its own.

    labels, predicted: (N,) in 0..K-1. group: (N,) names, "" where unknown. None where no two images are of one subject.
    """
    number = subjects_of(group)
    if number is None:
        return None
    alone = number < 0
    _, place = np.unique(np.where(alone, number.max() + np.cumsum(alone), number), return_inverse=True)
    found = np.zeros((int(place.max()) + 1, classes, classes), np.int64)
    np.add.at(found, (place, labels, predicted), 1)
    return found


def confusion_scores(confusion: np.ndarray, class_names: Sequence[str], beta: float) -> dict[str, np.ndarray]:
    """The figures of each of R confusion matrices, (R, K, K) -> (R,) float64 under each name."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support, called = confusion.sum(axis=2), confusion.sum(axis=1)
    found = scores(hits, support, called, beta=beta)
    table = {name: found[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")}
    table["f_beta"] = found["f_beta_mean"]
    for k in np.flatnonzero(support.max(axis=0) > 0).tolist():
        table |= {f"{figure}:{class_names[k]}": found[figure][:, k] for figure in PER_CLASS}
    return table


def _floors(support: np.ndarray, names: Sequence[str] | dict[str, np.ndarray]) -> dict[str, float]:
    """The least variance of each figure, so that 5 of 5 right is no proof of perfection.

    Half a pseudo-image in each cell of a class's right-or-wrong table (Agresti & Min 2005): 1 / (n + 2)^2.
    """
    counts = support[support > 0].astype(np.float64)
    by_class = 1 / (counts + 2) ** 2
    mean = float(by_class.sum() / len(counts) ** 2)
    accuracy = float(((counts / counts.sum()) ** 2 * by_class).sum())
    order = [name.split(":", 1)[1] for name in names if name.startswith("recall:")]
    single = dict(zip(order, by_class.tolist(), strict=True))
    return {
        name: single[name.split(":", 1)[1]] if ":" in name else accuracy if name == "accuracy" else mean
        for name in names
    }
