"""k-fold cross-validation: stratified, by group or at random, with out-of-fold predictions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.config import TrainConfig
from classifiers.errors import ClassifierError
from classifiers.evaluation import Evaluation, evaluate
from classifiers.files import json_bytes, write_atomic
from classifiers.many import Job, train_many
from classifiers.prediction import Tta
from classifiers.samples import Samples, check_samples, class_counts
from classifiers.training import Progress, TrainResult

_COPIED_BYTES = 4 << 30  # of images in the folds that are trained together


@dataclass
class CrossvalResult:
    """`probabilities` (N, K) are out of fold: each image's come from a classifier that never saw it (nor its group).

    `mean` and `interval` (95%, Student's t over the folds, which overlap in training data and so are somewhat
    optimistic) hold accuracy, balanced_accuracy and macro_f1 per fold; `overall` evaluates all images together.
    """

    fold: np.ndarray
    probabilities: np.ndarray
    per_fold: list[Evaluation]
    overall: Evaluation
    mean: dict[str, float]
    interval: dict[str, tuple[float, float]]
    grouped: bool
    trainings: list[TrainResult]

    def to_json(self) -> dict[str, Any]:
        """The figures, without the arrays."""
        return {
            "folds": len(self.per_fold),
            "grouped": self.grouped,
            "mean": self.mean,
            "interval": self.interval,
            "overall": self.overall.to_json(),
            "per_fold": [fold.to_json() for fold in self.per_fold],
        }


def crossval(
    config: TrainConfig,
    samples: Samples,
    class_names: Sequence[str],
    folder: str | Path,
    *,
    folds: int = 10,
    groups: np.ndarray | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    tta: Tta = "none",
    progress: Progress | None = None,
    cluster: str = "",
) -> CrossvalResult:
    """Train `folds` classifiers, each tested on the fold it didn't see.

    With `groups` (N,) (subjects, say) no group is on both sides; without, folds are random. What picks the kept
    weights and the temperature is a tenth of the training folds, never the tested one. Writes crossval.json and
    out_of_fold.npz into `folder`; the same call again resumes. cluster: as of `train_many`.

    Example: `crossval(TrainConfig(), faces, names, "folds", groups=subjects)`.
    """
    folder = Path(folder)
    names, labels = list(class_names), np.asarray(samples.labels)
    check_samples(samples, "cross-validation", names)
    fold = assign_folds(labels, folds, names, groups=groups, seed=seed)
    trainings: list[TrainResult] = []
    for wave in _waves(folds, samples.images.nbytes):
        jobs = []
        for k in wave:
            outside = np.flatnonzero(fold != k)
            inner = _inner_validation(labels[outside], None if groups is None else groups[outside], seed)
            train, val = _subset(samples, outside[~inner]), _subset(samples, outside[inner])
            jobs.append(Job(config, train, val, names, folder / f"fold-{k}", seed=seed + k))
        settled = str(trainings[0].card.get("precision", "32-true")) if trainings else None  # one for all folds
        trainings += train_many(
            jobs, device=device, workers=workers, progress=progress, auto_precision=settled, cluster=cluster
        )

    probabilities = np.zeros((len(labels), len(names)), np.float32)
    per_fold = []
    for k, training in enumerate(trainings):
        inside = np.flatnonzero(fold == k)
        probabilities[inside] = training.load(device).probabilities(samples.images[inside], tta=tta)
        per_fold.append(evaluate(probabilities[inside], labels[inside], names))
    mean, interval = _summary(per_fold)
    overall = evaluate(probabilities, labels, names)
    result = CrossvalResult(fold, probabilities, per_fold, overall, mean, interval, groups is not None, trainings)
    write_atomic(folder / "crossval.json", json_bytes(result.to_json()))
    _save_arrays(folder / "out_of_fold.npz", fold=fold, probabilities=probabilities, labels=labels)
    return result


def _waves(folds: int, num_bytes: int) -> list[range]:
    """The folds in groups that are trained together: every fold has its own copy of most images."""
    at_once = max(1, min(folds, _COPIED_BYTES // max(1, num_bytes)))
    return [range(first, min(first + at_once, folds)) for first in range(0, folds, at_once)]


def assign_folds(
    labels: np.ndarray, folds: int, class_names: Sequence[str], *, groups: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """The fold 0..folds-1 of every image, (N,) int64: classes spread evenly, groups kept together."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    counts = class_counts(labels, len(class_names))
    smallest = min((n, name) for n, name in zip(counts.tolist(), class_names, strict=True) if n)
    if not 2 <= folds <= len(labels):
        raise ClassifierError(f"folds = {folds}: must lie between 2 and the {len(labels)} images")
    if groups is None and smallest[0] < folds:
        raise ClassifierError(f"folds = {folds}: {smallest[1]} has only {smallest[0]} images; use fewer folds")
    if groups is not None:
        if len(groups) != len(labels):
            raise ClassifierError(f"there are {len(groups)} groups for {len(labels)} images; each image needs one")
        if (number := len(np.unique(groups))) < folds:
            raise ClassifierError(f"folds = {folds}: there are only {number} groups; use fewer folds")
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    fold = np.zeros(len(labels), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class in fewer groups than folds: some folds then lack it
        parts = splitter(folds, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels, groups)
        for k, (_, inside) in enumerate(parts):
            fold[inside] = k
    return fold


def _inner_validation(labels: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """A mask of about a tenth of the images, for validation inside a fold; classes spread evenly, groups whole."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    # A class with fewer than two images can't be on both sides, and training comes first.
    number = min(10, len(labels) // 2 if groups is None else len(np.unique(groups)))
    if number < 2:
        raise ClassifierError("too few images or groups are left for validation inside the folds; use fewer folds")
    mask = np.zeros(len(labels), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        counts = class_counts(labels, int(labels.max()) + 1)
        number = max(2, min(number, int(counts.max())))
        split = splitter(number, shuffle=True, random_state=seed + 1).split(np.zeros(len(labels)), labels, groups)
        mask[next(iter(split))[1]] = True
    return mask


def _subset(samples: Samples, index: np.ndarray) -> Samples:
    def part(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[index]

    return replace(
        samples, images=samples.images[index], labels=np.asarray(samples.labels)[index],
        weights=part(samples.weights), soft_labels=part(samples.soft_labels), synthetic=part(samples.synthetic),
    )  # fmt: skip


def _summary(per_fold: list[Evaluation]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    from scipy.stats import t

    mean, interval = {}, {}
    for figure in ("accuracy", "balanced_accuracy", "macro_f1"):
        values = np.array([getattr(fold, figure) for fold in per_fold])
        half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        mean[figure] = float(values.mean())
        interval[figure] = (max(0.0, mean[figure] - half), min(1.0, mean[figure] + half))
    return mean, interval


def _save_arrays(path: Path, **arrays: np.ndarray) -> None:
    import io

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
