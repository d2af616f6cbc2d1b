"""The wall of a labelled batch: every face with its reason, its doubt, and its nearest training image."""

from typing import Any

import numpy as np

from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError
from ganfer.generate.batch import Batch, read_batch, read_rows
from ganfer.label.labels import LABELS, REASONS, Labels, newest_labels, read_labels
from ganfer.review.decisions import FOLDER, log_of
from ganfer.review.thumbs import Thumbs
from ganfer.review.wall import Wall, doubt_of
from ganfer.workspace import Run, Workspace

_FIGURES = ("realism", "likeness", "isolation")


def labelled_batches(workspace: Workspace) -> list[Run]:
    """The finished batches that have a finished labelling, the newest first."""
    return [run for run in reversed(workspace.runs("synthetic")) if run.complete and newest_labels(run)]


def batch_wall(workspace: Workspace, run: Run, *, thumbnails: bool = True) -> Wall:
    """The faces of a batch as its newest labelling has them. DataError when a part is damaged.

    thumbnails: make those that are missing; without them nothing can be shown.
    """
    labels_run = newest_labels(run)
    if labels_run is None:
        raise DataError(f"{run.name} is not labelled.", "Label it: ganfer label.")
    rows = read_rows(labels_run.path / LABELS)
    if not rows:
        raise DataError(f"{run.name} holds no faces.", "Generate some: ganfer generate --n 500.")
    names = tuple(name.removeprefix("p_") for name in rows[0] if name.startswith("p_"))
    labels, batch = read_labels(labels_run, names), read_batch(run)
    if len(batch) != len(rows):
        raise DataError(
            f"{run.name} has {len(batch):,} faces and {len(rows):,} labels.", f"Remove {labels_run.path}, label again."
        )
    index = {name: k for k, name in enumerate(names)}
    images = Thumbs(run.path / FOLDER / f"thumbs-{run.digest[:8]}", len(batch), batch.images)
    if thumbnails:
        images.make()
    faces = _Faces(batch, labels, rows, _data_of(workspace, run))
    return Wall(
        name=run.name,
        title=f"{run.name}, {len(batch):,} faces",
        class_names=names,
        names=batch.file_names,
        kinds=REASONS,
        kind=np.array([REASONS.index(reason) if reason in REASONS else 0 for reason in labels.reason], np.uint8),
        asked=np.array([index.get(name, -1) for name in batch.asked], np.int8),
        label=labels.predicted.astype(np.int8),
        suggested=np.full(len(batch), -1, np.int8),
        doubt=doubt_of(labels.probabilities),
        log=log_of(run.path),
        thumbs=images,
        picture=faces.picture,
        beside=faces.beside,
        facts=faces.facts,
    )


class _Faces:
    """What is shown of one face."""

    def __init__(self, batch: Batch, labels: Labels, rows: list[dict[str, str]], data: ImageSet | None) -> None:
        self._batch, self._labels, self._rows, self._data = batch, labels, rows, data
        self._row = {}
        if data is not None:  # the nearest image is a training image; no other split is ever shown
            self._row = {str(data.ids[i]): int(i) for i in np.flatnonzero(data.split == "train")}

    def picture(self, i: int) -> np.ndarray:
        pixels: np.ndarray = self._batch.images([i])[0]
        return pixels

    def beside(self, i: int) -> np.ndarray | None:
        row = self._row.get(self._rows[i].get("nearest", ""))
        return None if row is None or self._data is None else np.asarray(self._data.images[row])

    def facts(self, i: int) -> dict[str, Any]:
        row, labels = self._rows[i], self._labels
        figures = {name: row[name] for name in _FIGURES if row.get(name)}
        if self._row.get(row.get("nearest", "")) is not None:
            figures["nearest training image"] = row["nearest"]
        return {
            "name": self._batch.file_names[i],
            "asked": self._batch.asked[i],
            "predicted": labels.class_names[labels.predicted[i]],
            "reason": str(labels.reason[i]),
            "confidence": float(labels.confidence[i]),
            "probabilities": [round(float(p), 6) for p in labels.probabilities[i]],
            "figures": {**({"seed": self._batch.seeds[i]} if self._batch.seeds[i] else {}), **figures},
            "beside": "nearest training image",
        }


def _data_of(workspace: Workspace, batch: Run) -> ImageSet | None:
    """The data that the batch was compared with, where the workspace still has it."""
    digest = batch.record.get("key", {}).get("inputs", {}).get("data")
    found = [run for run in workspace.runs("data") if run.complete and run.digest == digest]
    return read_set(found[-1].path) if found else None
