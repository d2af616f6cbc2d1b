"""What a data set holds: counts per class and split, imbalance, subjects, sources, and sheets to look at."""

import errno
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganfer.config import Config
from ganfer.data.imageset import SPLITS, ImageSet, read_set
from ganfer.data.sheets import class_sheet, contact_sheet, pick, save_sheet
from ganfer.data.unlabelled import pool_lines, pools_of
from ganfer.results import Result, table
from ganfer.workspace import Run, Workspace

_PER_CLASS_SHEET = 100
_PER_OVERVIEW_ROW = 12


def stats(config: Config, data: Run) -> Result:
    """Counts, shares, imbalance ratio, subjects and sources of a data set, and its contact sheets.

    Writes `sheets/<class>.png` and `sheets/overview.png` into the data run's folder.
    """
    image_set = read_set(data.path)
    figures = describe(image_set)
    folder = data.path / "sheets"
    sheets: dict[str, str] = {}
    lines = [f"{data.name}: {_headline(image_set, figures)}", "", *_table(image_set, figures), "", *_facts(figures)]
    workspace = Workspace(data.path.parent.parent)
    lines += pool_lines(workspace, data)
    figures["pools"] = {run.name: run.figures["images"] for run in pools_of(workspace, data)}
    try:
        folder.mkdir(exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        writable = False
    if not writable:  # somebody else's workspace: the figures can be read all the same
        lines.append(f"no contact sheets: {folder} cannot be written")
        return Result("ganfer data stats", data.path, {**figures, "sheets": {}, "overview": None}, lines)
    for label, name in enumerate(image_set.class_names):
        chosen = pick(image_set, label, _PER_CLASS_SHEET, seed=config.seed)
        if len(chosen):
            sheet = contact_sheet(np.asarray(image_set.images[chosen]), columns=10)
            sheets[name] = str(save_sheet(folder / f"{_file_name(name, label, image_set.class_names)}.png", sheet))
    overview = class_sheet(image_set, per_class=_PER_OVERVIEW_ROW, seed=config.seed)
    path = save_sheet(folder / "overview.png", overview)
    lines.append(f"contact sheets: {folder}")
    return Result("ganfer data stats", data.path, {**figures, "sheets": sheets, "overview": str(path)}, lines)


def describe(image_set: ImageSet) -> dict[str, Any]:
    """The figures of a set: pure, nothing is written.

    imbalance_ratio is the largest over the smallest class of the training split; None when a class has none there.
    """
    counts = {split: image_set.counts(split) for split in SPLITS}
    return {
        "images": len(image_set),
        "size": image_set.size,
        "channels": image_set.channels,
        "splits": {split: int((image_set.split == split).sum()) for split in SPLITS},
        "counts": counts,
        "train_shares": _shares(counts["train"]),
        "imbalance_ratio": imbalance_ratio(counts["train"]),
        "unlabelled": int((image_set.labels < 0).sum()),
        "groups": {split: _groups(image_set, split) for split in SPLITS},
        "sources": _tally(image_set.source),
    }


def imbalance_ratio(counts: Mapping[str, int]) -> float | None:
    """Largest class over smallest; None when a class is empty or there is none."""
    if not counts or min(counts.values()) == 0:
        return None
    return max(counts.values()) / min(counts.values())


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total if total else 0.0 for name, count in counts.items()}


def _groups(image_set: ImageSet, split: str) -> int:
    groups = np.unique(image_set.group[image_set.split == split])
    return int((groups != "").sum())


def _tally(values: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _headline(image_set: ImageSet, figures: Mapping[str, Any]) -> str:
    kind = "grey" if image_set.channels == 1 else "colour"
    return (
        f"{figures['images']:,} images, {image_set.size}×{image_set.size} {kind}, {len(image_set.class_names)} classes"
    )


def _table(image_set: ImageSet, figures: Mapping[str, Any]) -> list[str]:
    counts = figures["counts"]
    rows = []
    for name in image_set.class_names:
        per_split = [counts[split][name] for split in SPLITS]
        cells = [f"{count:,}" for count in (*per_split, sum(per_split))]
        rows.append([name, *cells, f"{figures['train_shares'][name]:.1%}"])
    sums = [sum(counts[split].values()) for split in SPLITS]
    rows.append(["all", *(f"{count:,}" for count in sums), f"{sum(sums):,}", ""])
    return table(["class", *SPLITS, "all", "of train"], rows)


def _facts(figures: Mapping[str, Any]) -> list[str]:
    train = figures["counts"]["train"]
    ratio = figures["imbalance_ratio"]
    if ratio is None:
        empty = [name for name, count in train.items() if count == 0]
        lines = [f"imbalance: no training image of {', '.join(empty)}"]
    else:
        largest, smallest = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
        lines = [f"imbalance: {ratio:.1f} ({largest} / {smallest}, training split)"]
    if figures["unlabelled"]:
        lines.append(f"without a label: {figures['unlabelled']:,}")
    if any(figures["groups"].values()):
        lines.append("subjects: " + ", ".join(f"{split} {count:,}" for split, count in figures["groups"].items()))
    return [*lines, "sources: " + ", ".join(f"{name} {count:,}" for name, count in figures["sources"].items())]


def _file_name(name: str, label: int, names: tuple[str, ...]) -> str:
    """A class name as a file name; the index is added where two classes would share one, or one is the overview's."""
    plain = [re.sub(r"[^\w-]+", "_", other) or "_" for other in names]
    taken = [other.lower() for other in plain] + ["overview"]
    return plain[label] if taken.count(plain[label].lower()) == 1 else f"{plain[label]}-{label}"
