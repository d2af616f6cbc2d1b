"""An audit of somebody else's work: their splits and augmented copies, and the labels their predictions contradict.

Nothing enters the workspace: the images are read into a folder that is removed again.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ganfer.config import Config
from ganfer.data.duplicates import NEAR, find_duplicates
from ganfer.data.examine import conflicts, examine, of_one_person, summarise
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.ingest import add
from ganfer.data.splits import HELD
from ganfer.results import Result, table
from ganfer.review.confident import doubted_labels
from ganfer.review.predictions import read_predictions
from ganfer.runtime.files import write_csv
from ganfer.workspace import Workspace

TURNS = (-15, -8, 8, 15)  # degrees by which copies of the held-out images are looked for
_SHOWN = 20  # doubted labels in the terminal
_TOO_GOOD = 0.995  # accuracy from which predictions were probably made of images trained on


def audit_elsewhere(config: Config, path: Path | None, predictions: Path | None, out: Path | None) -> Result:
    """Leaks between a folder's or archive's splits, and doubtful labels in a table of predictions.

    predictions: CSV with a column `label` (or `true`) and `p_<class>` for every class. out: a folder for the details.
    """
    lines: list[str] = []
    figures: dict[str, Any] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    if predictions is not None:  # what is wrong with it is said before the images are compared
        figures["labels"], rows["doubted"] = _labels(predictions)
    if path is not None:
        figures["splits"], rows["leaks"] = _splits(config, path)
        lines += _split_lines(path, figures["splits"])
    if predictions is not None:
        lines += _label_lines(predictions, figures["labels"], rows["doubted"])
    if out is not None:
        for name, found in rows.items():
            columns = list(found[0]) if found else ["id"]
            write_csv(out / f"{name}.csv", columns, found)
        lines.append(f"details: {out}")
    return Result("ganfer data audit", out, figures, lines)


def _splits(config: Config, path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures of the splits, and the pairs that cross them."""
    with tempfile.TemporaryDirectory(prefix="ganfer-audit-") as folder:
        workspace = Workspace(folder)
        settings = dataclasses.replace(config.data, val_fraction=0.01)
        add(workspace, dataclasses.replace(config, data=settings), path, allow_synthetic=True)
        data = workspace.active_data
        assert data is not None
        images = read_set(data.path).select(np.arange(int(data.figures["images"])))
        images = _as_given(images, data.figures["notes"])
    found = examine(images)
    differ = conflicts(images, found)
    figures = summarise(images, found)
    crossing = images.split[found.first] != images.split[found.second]
    pairs = [
        _pair(images, int(i), int(j), str(kind), float(similarity), bool(d))
        for i, j, kind, similarity, d, c in zip(
            found.first, found.second, found.kind, found.similarity, differ, crossing, strict=True
        )
        if c
    ]
    leaking = {name for pair in pairs for name in (pair["id_a"], pair["id_b"])}
    turned = [pair for pair in _turned(images) if not {pair["id_a"], pair["id_b"]} <= leaking]
    figures["turned_copies"] = len({pair["id_a"] for pair in turned})
    figures["skipped"] = dict(data.figures.get("skipped", {}))
    figures["splits"] = {split: int((images.split == split).sum()) for split in ("train", "val", "test")}
    return figures, [*pairs, *turned]


def _as_given(images: ImageSet, notes: Sequence[str]) -> ImageSet:
    """The splits as the source has them: what the importer itself held out, as its notes say, goes back to training."""
    held = [split for split in ("val", "test") if any(note.startswith(f"{split}: ") and HELD in note for note in notes)]
    return dataclasses.replace(images, split=np.where(np.isin(images.split, held), "train", images.split))


def _turned(images: ImageSet) -> list[dict[str, Any]]:
    """Training images that are turned copies of validation or test images."""
    train, held = np.flatnonzero(images.split == "train"), np.flatnonzero(images.split != "train")
    if not len(train) or not len(held):
        return []
    found: dict[tuple[int, int], tuple[float, int]] = {}
    for degrees in TURNS:
        both = np.concatenate([images.images[train], _turn(images.images[held], degrees)])
        rank = np.concatenate([np.zeros(len(train), np.int64), np.ones(len(held), np.int64)])
        near = find_duplicates(both, np.ones(len(both), dtype=bool), rank)
        near, _ = of_one_person(near, np.concatenate([images.group[train], images.group[held]]))
        equal = np.flatnonzero(near.same_as[: len(train)] >= len(train))
        first, second = np.append(near.first, equal), np.append(near.second, near.same_as[equal])
        values = np.append(near.similarity, np.ones(len(equal), np.float32))
        for i, j, similarity in zip(first.tolist(), second.tolist(), values.tolist(), strict=True):
            if i < len(train) <= j:
                pair = (int(train[i]), int(held[j - len(train)]))
                found[pair] = max(found.get(pair, (0.0, 0)), (similarity, degrees))
    return [
        _pair(images, i, j, f"turned {degrees:+d} degrees", similarity, bool(images.labels[i] != images.labels[j]))
        for (i, j), (similarity, degrees) in sorted(found.items())
    ]


def _turn(images: np.ndarray, degrees: float) -> np.ndarray:
    """(N, C, H, W) uint8 turned about the middle; the edge is repeated."""
    height, width = images.shape[2:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = [
        cv2.warpAffine(
            np.ascontiguousarray(image.transpose(1, 2, 0)), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
        ).reshape(height, width, -1)
        for image in images
    ]
    return np.stack(turned).transpose(0, 3, 1, 2)


def _pair(images: ImageSet, i: int, j: int, kind: str, similarity: float, differ: bool) -> dict[str, Any]:
    names = [*images.class_names, ""]
    ends = {
        f"{what}_{side}": value
        for side, k in (("a", i), ("b", j))
        for what, value in (("id", images.ids[k]), ("split", images.split[k]), ("label", names[images.labels[k]]))
    }
    return {"kind": kind, "similarity": f"{similarity:.3f}", "labels_differ": int(differ), **ends}


def _split_lines(path: Path, figures: dict[str, Any]) -> list[str]:
    sizes = ", ".join(f"{split} {count:,}" for split, count in figures["splits"].items() if count)
    rows = [[route.replace("-", " → "), f"{count:,}"] for route, count in figures["leaks"]["by_splits"].items()]
    rows.append(["turned copies of val or test in train", f"{figures['turned_copies']:,}"])
    leaks = table(["images found in two splits (equal, alike, mirrored)", "images"], rows)
    if not figures["splits"]["val"] + figures["splits"]["test"]:
        leaks = ["It names no splits, so nothing can leak between them; what is equal in it is counted."]
    lookalikes = f"near pairs of two people who look alike: {figures['lookalikes']:,}, which are not counted"
    return [
        f"{path}: {figures['images']:,} images ({sizes})",
        *(f"not looked at: {count:,} {reason}" for reason, count in figures["skipped"].items() if count),
        *leaks,
        f"equal images with different labels: {figures['conflicts']['exact_groups']:,} groups",
        *([lookalikes] if figures["lookalikes"] else []),
        f"alike from a similarity of {NEAR:g} on",
    ]


def _labels(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures of a table of predictions, and its doubted rows, the least likely label first."""
    given = read_predictions(path)
    found = doubted_labels(given.labels, given.probabilities)
    doubted = [
        {
            "row": given.rows[i],
            "id": given.ids[i],
            "label": given.names[given.labels[i]],
            "suggested": given.names[suggested],
            "confidence": f"{confidence:.4f}",
        }
        for i, suggested, confidence in zip(found.index, found.suggested, found.confidence, strict=True)
    ]
    accuracy = float((given.probabilities.argmax(axis=1) == given.labels).mean())
    figures = {"images": len(given.rows), "doubted": len(doubted), "accuracy": accuracy, "notes": list(given.notes)}
    return figures, doubted


def _label_lines(path: Path, figures: dict[str, Any], doubted: list[dict[str, Any]]) -> list[str]:
    lines = [f"{path}: {figures['doubted']:,} of {figures['images']:,} labels are doubtful", *figures["notes"]]
    if figures["accuracy"] >= _TOO_GOOD:
        lines.append(
            f"The predictions are right for {figures['accuracy']:.1%}: if the model trained on these images, it cannot "
            "doubt their labels. Give out-of-fold predictions."
        )
    shown = [[d["row"], d["id"], d["label"], d["suggested"], d["confidence"]] for d in doubted[:_SHOWN]]
    return lines + (table(["row", "image", "label", "likelier", "probability"], shown, "><<<>") if shown else [])
