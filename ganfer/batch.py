"""A synthetic batch on disk: `images/*.png`, `metadata.csv` (one row per image), and the labels given to it later.

`generate` writes the batch, `label` adds a folder `labels/<classifier>-<key>/` and refreshes `metadata.csv`, so that
Hugging Face `datasets` ("imagefolder") and people read images and labels side by side.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganfer.errors import DataError
from ganfer.files import write_csv
from ganfer.screen import KEPT
from ganfer.shards import read_image_bytes
from ganfer.workspace import Run

METADATA = "metadata.csv"
LABELS = "labels.csv"


@dataclass(frozen=True)
class Batch:
    """The images of a batch in the order of `metadata.csv`.

    file_names: relative to the batch's folder, in tar shards as `ganfer.shards` names them. asked: class asked for, ""
    where none was. seeds: "" for images from elsewhere.
    """

    folder: Path
    file_names: tuple[str, ...]
    asked: tuple[str, ...]
    seeds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.file_names)

    def images(self, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The pixels (N, C, H, W) uint8, all or those at the indices. DataError when a file is unreadable."""
        chosen = range(len(self)) if indices is None else indices
        with ThreadPoolExecutor(8) as pool:
            pixels = list(pool.map(lambda i: _read_image(self.folder, self.file_names[i]), chosen))
        if not pixels:
            return np.zeros((0, 1, 1, 1), np.uint8)
        if len({image.shape for image in pixels}) > 1:
            raise DataError(f"{self.folder} holds images of several sizes or channels.", "Generate the batch again.")
        return np.stack(pixels)


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


def read_batch(run: Run) -> Batch:
    """The batch in a run's folder. DataError when `metadata.csv` is missing or damaged."""
    rows = read_rows(run.path / METADATA)
    if rows and not {"file_name", "asked"} <= rows[0].keys():
        raise DataError(f"{run.path / METADATA} lacks the columns file_name and asked.", "Generate the batch again.")
    return Batch(
        run.path,
        tuple(row["file_name"] for row in rows),
        tuple(row["asked"] for row in rows),
        tuple(row.get("seed", "") for row in rows),
    )


def newest_labels(batch: Run) -> Run | None:
    """The most recent finished labelling of a batch, or None."""
    folder = batch.path / "labels"
    runs = [Run(path) for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    finished = sorted((run for run in runs if run.complete), key=lambda run: run.record["finished"])
    return finished[-1] if finished else None


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
    """Write `labels.csv` and refresh the batch's `metadata.csv` with what was decided.

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
    public = ["label", "confidence", "keep", "reason"]
    rows = read_rows(batch.folder / METADATA)
    for row, new in zip(rows, decided, strict=True):
        row.update(label=str(new["predicted"]), **{name: str(new[name]) for name in public[1:]})
    header = list(dict.fromkeys([*(rows[0] if rows else ["file_name", "asked"]), *public]))
    write_csv(batch.folder / METADATA, header, rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file. DataError when it is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}).", "Run the command that made it again.") from error
    if any(None in row or None in row.values() for row in rows):
        raise DataError(f"{path} is damaged: a row is too short or too long.", "Run the command that made it again.")
    return rows


def _read_image(folder: Path, name: str) -> np.ndarray:
    content = read_image_bytes(folder, name)
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{folder / name} cannot be read ({error}).", "Remove the batch and generate it again."
        ) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
