"""The table of a labelling: of every face its label, its confidence, whether it is kept, and why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganfer.errors import DataError
from ganfer.generate.batch import METADATA, Batch, PoolBatch, read_rows
from ganfer.runtime.files import write_csv
from ganfer.workspace import Run

KEPT = "kept"
BLANK = "blank"
MISMATCH = "mismatch"
LOW_CONFIDENCE = "low confidence"
OFF_MANIFOLD = "off the manifold"
COPY = "copy"
DUPLICATE = "near-duplicate"
SURPLUS = "surplus"
HELD_OUT = "copy of a validation or test image"
REASONS = (KEPT, BLANK, MISMATCH, LOW_CONFIDENCE, OFF_MANIFOLD, COPY, DUPLICATE, SURPLUS, HELD_OUT)
LABELS = "labels.csv"


@dataclass(frozen=True)
class Labels:
    """What `label` decided on each image of a batch, in the batch's order.

    predicted: (N,) class index. confidence: (N,) calibrated. probabilities: (N, K) float32. reason: (N,) str; "kept"
    means the image may be used for training.
    """

    run: Run
    class_names: tuple[str, ...]
    predicted: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray
    reason: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """(N,) bool."""
        return self.reason == KEPT


def newest_labels(batch: Run, data: Run | None = None) -> Run | None:
    """The newest finished labelling of a batch (`Run.asked`), or None. data: by a classifier of this data set only."""
    folder = batch.path / "labels"
    runs = [Run(path) for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    if data is not None:
        runs = [run for run in runs if run.record.get("key", {}).get("inputs", {}).get("data") == data.digest]
    return max((run for run in runs if run.complete), key=lambda run: run.asked, default=None)


def read_labels(run: Run, class_names: Sequence[str]) -> Labels:
    """A finished labelling. DataError when it is damaged or knows other classes than the data."""
    rows = read_rows(run.path / LABELS)
    known = [name.removeprefix("p_") for name in (rows[0] if rows else {}) if name.startswith("p_")]
    if rows and known != list(class_names):
        raise DataError(
            f"{run.path} has the classes {', '.join(known)}; the data has {', '.join(class_names)}.",
            "Label the batch with a classifier trained on this data.",
        )
    try:
        probabilities = np.array([[float(row[f"p_{name}"]) for name in class_names] for row in rows], np.float32)
        probabilities = probabilities.reshape(len(rows), len(class_names))
        predicted = np.array([list(class_names).index(row["predicted"]) for row in rows], dtype=np.int64)
        confidence = np.array([float(row["confidence"]) for row in rows])
        reason = np.array([row["reason"] for row in rows], dtype=np.str_)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{run.path / LABELS} is damaged ({error}).", f"Remove {run.path} and label again.") from error
    return Labels(run, tuple(class_names), predicted, confidence, probabilities, reason)


def write_labels(run: Run, batch: Batch, labels: Labels, more: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write `labels.csv` and `show_labels`.

    more: further columns of labels.csv by name, N texts each.
    """
    names, more = labels.class_names, more or {}
    decided = [
        {
            "file_name": batch.file_names[i],
            "asked": batch.asked[i],
            "predicted": names[labels.predicted[i]],
            "confidence": f"{labels.confidence[i]:.6f}",
            "keep": "true" if labels.kept[i] else "false",
            "reason": labels.reason[i],
            **{name: values[i] for name, values in more.items()},
            **{f"p_{name}": f"{labels.probabilities[i, k]:.6f}" for k, name in enumerate(names)},
        }
        for i in range(len(batch))
    ]
    columns = ["file_name", "asked", "predicted", "confidence", "keep", "reason", *more]
    columns += [f"p_{name}" for name in names]
    write_csv(run.path / LABELS, columns, decided)
    show_labels(run, batch)


def show_labels(run: Run, batch: Batch) -> None:
    """Refresh the batch's `metadata.csv` (a pool has none) with what a labelling decided."""
    if isinstance(batch, PoolBatch):
        return
    public = ["label", "confidence", "keep", "reason"]
    rows = read_rows(batch.folder / METADATA)
    for row, decided in zip(rows, read_rows(run.path / LABELS), strict=True):
        row.update(label=decided["predicted"], **{name: decided[name] for name in public[1:]})
    header = list(dict.fromkeys([*(rows[0] if rows else ["file_name", "asked"]), *public]))
    write_csv(batch.folder / METADATA, header, rows)
