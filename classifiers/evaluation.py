"""Figures of a classifier on labelled images, from its probabilities. scikit-learn does the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from classifiers.calibration import ece
from classifiers.errors import ClassifierError
from classifiers.scores import scores

_ABSENT = "–"


@dataclass
class Evaluation:
    """All in 0..1 but `nll` (nats) and counts. `balanced_accuracy` and `macro_f1` average the classes with test images.

    `per_class[name]` holds precision, recall, f1, f_beta and support; all but support are None for a class without
    images, precision is None for one that is never predicted. `confusion[i][j]` counts images of class i
    called j. `notes` says in words what is missing.
    """

    num_images: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    f_beta: float
    beta: float
    nll: float
    ece: float
    class_names: list[str]
    per_class: dict[str, dict[str, Any]]
    confusion: list[list[int]]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `json.dumps` takes."""
        return asdict(self)

    def report(self) -> str:
        """scikit-learn's classification report in its layout, with – where a class has no figure.

        The averages are those of `macro_f1` and `balanced_accuracy`: over the classes with test images, a class that is
        never predicted counting as precision 0. (scikit-learn itself counts classes without images as 0.)
        """
        figures = ("precision", "recall", "f1")
        present = [(row, row["support"]) for row in self.per_class.values() if row["support"]]
        weights = [support for _, support in present]
        known = {name: [row[name] or 0.0 for row, _ in present] for name in figures}
        width = max(len("weighted avg"), *map(len, self.class_names))

        def line(name: str, values: Sequence[float | None], count: int | None) -> str:
            cells = "".join(f" {_ABSENT if value is None else f'{value:.3f}':>9}" for value in values)
            return f"{name:>{width}s} {cells} {count:>9}\n"

        rows = [line(name, [row[figure] for figure in figures], row["support"]) for name, row in self.per_class.items()]
        macro = [float(np.mean(known[name])) for name in figures]
        weighted = [float(np.average(known[name], weights=weights)) for name in figures]
        blank = " " * 10
        return (
            f"{'':>{width}s} " + "".join(f" {head:>9}" for head in ("precision", "recall", "f1-score", "support"))
            + "\n\n" + "".join(rows) + "\n"
            + f"{'accuracy':>{width}s} {blank}{blank} {self.accuracy:>9.3f} {self.num_images:>9}\n"
            + line("macro avg", macro, self.num_images)
            + line("weighted avg", weighted, self.num_images)
        )  # fmt: skip


def evaluate(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], *, beta: float = 2.0
) -> Evaluation:
    """Figures of probabilities (N, K), rows summing to 1, against labels (N,) in 0..K-1.

    Example: `evaluate(classifier.probabilities(images), labels, names).report()`.
    """
    probabilities, labels = _checked(probabilities, labels, len(class_names))
    predicted, count = probabilities.argmax(axis=1), len(class_names)
    confusion = np.bincount(labels * count + predicted, minlength=count**2).reshape(count, count)
    support, called = confusion.sum(axis=1), confusion.sum(axis=0)
    figures = scores(confusion.diagonal(), support, called, beta=beta)
    present = support > 0
    per_class: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(class_names):
        per_class[name] = {
            "precision": float(figures["precision"][k]) if called[k] and present[k] else None,
            **{name: float(figures[name][k]) if present[k] else None for name in ("recall", "f1", "f_beta")},
            "support": int(support[k]),
        }
    absent = [name for name, there in zip(class_names, present, strict=True) if not there]
    likelihood = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Evaluation(
        num_images=len(labels),
        accuracy=float(figures["accuracy"]),
        balanced_accuracy=float(figures["balanced_accuracy"]),
        macro_f1=float(figures["macro_f1"]),
        f_beta=float(figures["f_beta_mean"]),
        beta=beta,
        nll=float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
        ece=ece(probabilities, labels),
        class_names=list(class_names),
        per_class=per_class,
        confusion=confusion.tolist(),
        notes=[f"no test images of {', '.join(absent)}: left out of the averages"] if absent else [],
    )


def _checked(probabilities: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if len(labels) == 0:
        raise ClassifierError("nothing to evaluate: there are no labelled images")
    if probabilities.shape != (len(labels), num_classes):
        raise ClassifierError(
            f"probabilities have the shape {probabilities.shape} where {len(labels)} labels and {num_classes} classes "
            f"need ({len(labels)}, {num_classes})"
        )
    if not np.all(np.isfinite(probabilities)) or probabilities.min() < 0:
        raise ClassifierError("probabilities hold NaN, infinite or negative values; give the output of probabilities()")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ClassifierError(
            f"labels run from {labels.min()} to {labels.max()}; {num_classes} classes allow 0 to {num_classes - 1}"
        )
    return probabilities, labels
