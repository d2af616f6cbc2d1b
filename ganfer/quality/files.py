"""What `ganfer quality` leaves: quality.json, per_class.csv, faces.csv and the page, with its pictures inside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.data.imageset import ImageSet
from ganfer.data.provenance import png_base64
from ganfer.errors import DataError
from ganfer.generate.batch import Batch
from ganfer.label.known import Known
from ganfer.label.screener import ImageFacts, Screener
from ganfer.quality.page import quality_lines, quality_page
from ganfer.report.reading import sanitized
from ganfer.results import Result
from ganfer.runtime.files import read_object, write_csv, write_json, write_text
from ganfer.runtime.seeding import stream
from ganfer.workspace import Run

RESULTS, PAGE = "quality.json", "index.html"
_SHOWN = 8  # faces of a class beside as many real ones
_PAIRS = 12  # faces beside their nearest training images
_COLUMNS = ("precision", "recall", "density", "coverage", "fid", "kid")


@dataclass(frozen=True)
class Subject:
    """The faces to measure and the real images to measure them by.

    chosen: (n,) their places in the batch. classes: (n,) asked for, predicted where nothing was asked. held_back: the
    validation split's labelled images.
    """

    batch: Batch
    chosen: np.ndarray
    classes: np.ndarray
    held_back: ImageSet
    images: ImageSet

    def read(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """The pixels of some of the chosen faces."""
        return self.batch.images(self.chosen[np.asarray(places, dtype=np.int64)])


def write_quality(run: Run, results: dict[str, Any], subject: Subject, look: ImageFacts, screener: Screener) -> None:
    """Write the files; adds the pictures to the results."""
    copy = screener.copies(look)
    results["pictures"] = _pictures(subject)
    results["pairs"] = _pairs(subject, look, copy, screener.known)
    results = sanitized(results)
    write_json(run.path / RESULTS, results)
    write_csv(run.path / "per_class.csv", ("class", "faces", "held_back", *_class_columns()), _class_rows(results))
    write_csv(
        run.path / "faces.csv",
        ("file_name", "class", "realism", "nearest", "likeness", "isolation", "copy"),
        _face_rows(subject, look, copy, screener.known),
    )
    write_text(run.path / PAGE, quality_page(results))


def quality_result(run: Run) -> Result:
    """What a finished measurement says."""
    page = run.path / PAGE
    lines = [*quality_lines(_read(run.path / RESULTS)), "", f"Page: {page}"]
    return Result("ganfer quality", run.path, {**run.figures, "page": str(page)}, lines)


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_object(file, f"Remove {file.parent} and measure again.")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error}).", f"Remove {file.parent} and measure again.") from error


def _pictures(subject: Subject) -> dict[str, dict[str, list[str]]]:
    """Random faces of each class beside random held-back real ones, as base64 PNGs."""
    pictures = {}
    for k, name in enumerate(subject.images.class_names):
        mine, theirs = np.flatnonzero(subject.classes == k), np.flatnonzero(subject.held_back.labels == k)
        if len(mine):
            chosen = np.sort(stream(0, "shown faces", k).permutation(mine)[:_SHOWN])
            real = np.sort(stream(0, "shown real", k).permutation(theirs)[:_SHOWN])
            pictures[name] = {
                "faces": [png_base64(image) for image in subject.read(chosen)],
                "real": [png_base64(np.asarray(subject.held_back.images[i])) for i in real],
            }
    return pictures


def _pairs(subject: Subject, look: ImageFacts, copy: np.ndarray, known: Known) -> list[dict[str, Any]]:
    """The faces most like a training image, each with that image, copies first."""
    order = np.lexsort((-look.likeness, ~copy))[:_PAIRS]
    return [
        {
            "face": png_base64(subject.read([int(i)])[0]),
            "training": png_base64(known[look.nearest[[i]]][0]),
            "class": subject.images.class_names[subject.classes[i]],
            "file_name": subject.batch.file_names[subject.chosen[i]],
            "nearest": known.name(int(look.nearest[i])),
            "likeness": float(look.likeness[i]),
            "copy": bool(copy[i]),
        }
        for i in order
    ]


def _class_columns() -> list[str]:
    ends = [f"{side}{end}" for side in ("faces", "real") for end in ("", "_low", "_high")]
    return [
        *("num_images", *(f"{name}_{end}" for name in _COLUMNS for end in ends)),
        *("diversity_ratio", "diversity_ratio_low", "diversity_ratio_high", "copies"),
        *("recall_trained_on_synthetic", "recall_trained_on_real", "faces_recognised"),
    ]


def _class_rows(results: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, counts in results["counts"].items():
        row: dict[str, Any] = {"class": name, **counts, "copies": results["copies"]["per_class"][name]}
        group = results["groups"].get(name, {})
        row["num_images"] = group.get("num_images", "")
        for figure in _COLUMNS:
            for side, found in group.get(figure, {}).items():
                for end, part in (("", "mean"), ("_low", "low"), ("_high", "high")):
                    row[f"{figure}_{side}{end}"] = f"{found[part]:.6g}"
        diversity = results["diversity"].get(name)
        if diversity:
            ratios = zip(("", "_low", "_high"), ("ratio", "low", "high"), strict=True)
            row |= {f"diversity_ratio{end}": f"{diversity[part]:.4f}" for end, part in ratios}
        cas = results["cas"] or {}
        for column, what in (
            ("recall_trained_on_synthetic", "trained_on_synthetic"),
            ("recall_trained_on_real", "trained_on_real"),
            ("faces_recognised", "faces_recognised"),
        ):
            if name in cas.get(what, {}):
                row[column] = f"{cas[what][name]['mean']:.4f}"
        yield row


def _face_rows(subject: Subject, look: ImageFacts, copy: np.ndarray, known: Known) -> Iterator[dict[str, Any]]:
    names = subject.images.class_names
    for i, place in enumerate(subject.chosen):
        yield {
            "file_name": subject.batch.file_names[place],
            "class": names[subject.classes[i]],
            "realism": f"{look.realism[i]:.4f}",
            "nearest": known.name(int(look.nearest[i])),
            "likeness": f"{look.likeness[i]:.4f}",
            "isolation": f"{look.isolation[i]:.4f}",
            "copy": "true" if copy[i] else "false",
        }
