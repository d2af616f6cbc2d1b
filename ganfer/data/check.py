"""Is the data fit for an honest experiment: duplicates, leaks between splits, conflicting labels, damaged images."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganfer.data.duplicates import NEAR
from ganfer.data.examine import Findings, conflicts, examine, shared_subjects, summarise
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.sheets import contact_sheet, save_sheet
from ganfer.data.unlabelled import pool_lines
from ganfer.data.variants import make_variant
from ganfer.results import Result, table
from ganfer.runtime.console import progress
from ganfer.runtime.files import write_csv, write_json
from ganfer.workspace import Run, Workspace

_EXAMPLES = 12  # pairs of each kind on the sheet
_COLUMNS = (
    "cluster", "kind", "similarity", "leak", "conflict", "id_a", "split_a", "label_a", "id_b", "split_b", "label_b",
)  # fmt: skip


def check(workspace: Workspace, data: Run, *, drop: bool = False) -> Result:
    """Look for duplicates within and across splits, conflicting labels, damaged images and subjects in several splits.

    Writes `check.json`, `duplicates.csv`, `pairs.png` and `damaged.png` into the data run's folder `check/`.
    drop: make a variant without the training images that leak into validation or test and the validation images that
    leak into the test, and use it from now on. How the search works and why these thresholds: docs/data-check.md.
    """
    image_set = read_set(data.path)
    with progress("checking", 2 * len(image_set)) as advance:
        found = examine(image_set, advance)
    figures = summarise(image_set, found)
    folder = data.path / "check"
    _write(folder, image_set, found, figures)
    lines = [
        f"{data.name}: {len(image_set):,} images checked",
        *_lines(figures, bool(image_set.group.any())),
        *pool_lines(workspace, data),
        f"details: {folder}",
    ]
    path = data.path
    if drop:
        dropped = _drop(workspace, data, found)
        figures = {**figures, "data": dropped.name, "dropped": figures["leaks"]["total"]}
        path = dropped.path
        emptied = [
            f"No {split} images of {name} are left."
            for split in ("train", "val")
            for name, count in image_set.counts(split).items()
            if dropped.name != data.name and count and not dropped.figures["counts"][split][name]
        ]
        made = f"{figures['dropped']:,} images dropped; ganfer uses {dropped.name} from now on."
        lines.append(made if dropped.name != data.name else "Nothing leaks, so nothing was dropped.")
        lines += emptied
    elif figures["leaks"]["total"]:
        lines.append("Leave the leaking images out with: ganfer data check --drop")
    return Result("ganfer data check", path, figures, lines)


def _write(folder: Path, image_set: ImageSet, found: Findings, figures: Mapping[str, Any]) -> None:
    ids = image_set.ids
    damaged = np.flatnonzero(found.damage != "")
    leaking = np.flatnonzero(found.leaks_to != "")
    write_csv(folder / "duplicates.csv", _COLUMNS, _rows(image_set, found))
    lists = {
        "damaged_images": {str(ids[i]): str(found.damage[i]) for i in damaged},
        "leaking_images": {str(ids[i]): str(found.leaks_to[i]) for i in leaking},
        "shared_subjects": shared_subjects(image_set),
    }
    write_json(folder / "check.json", {**figures, **lists})
    for name, sheet in (
        ("pairs.png", _pair_sheet(image_set, found)),
        ("damaged.png", _damage_sheet(image_set, found, damaged)),
    ):
        if sheet is None:
            (folder / name).unlink(missing_ok=True)  # an earlier check's sheet would no longer be true
        else:
            save_sheet(folder / name, sheet)


def _rows(image_set: ImageSet, found: Findings) -> Iterator[dict[str, Any]]:
    names = [*image_set.class_names, ""]  # -1, no label, is the last
    differ = conflicts(image_set, found)
    crossing = image_set.split[found.first] != image_set.split[found.second]
    for p in np.lexsort((found.second, found.first, found.cluster[found.first])).tolist():
        i, j = int(found.first[p]), int(found.second[p])
        facts = (found.cluster[i], found.kind[p], f"{found.similarity[p]:.3f}", int(crossing[p]), int(differ[p]))
        ends = [x for k in (i, j) for x in (image_set.ids[k], image_set.split[k], names[image_set.labels[k]])]
        yield dict(zip(_COLUMNS, (*facts, *ends), strict=True))


def _pair_sheet(image_set: ImageSet, found: Findings) -> Image.Image | None:
    """Example pairs side by side: per kind, leaks and conflicts first, then the least similar, the doubtful ones."""
    differ = conflicts(image_set, found)
    crossing = image_set.split[found.first] != image_set.split[found.second]
    order = np.lexsort((found.similarity, ~differ, ~crossing))
    shown = [p for kind in ("exact", "near", "mirrored") for p in order[found.kind[order] == kind][:_EXAMPLES].tolist()]
    if not shown:
        return None
    ends = [int(k) for p in shown for k in (found.first[p], found.second[p])]
    notes = [f"{found.kind[p]} {found.similarity[p]:.2f}" if side == 0 else "" for p in shown for side in (0, 1)]
    captions = [f"{_caption(image_set, k)}\n{note}" for k, note in zip(ends, notes, strict=True)]
    return contact_sheet(np.asarray(image_set.images[ends]), columns=8, scale=_scale(image_set), captions=captions)


def _damage_sheet(image_set: ImageSet, found: Findings, damaged: np.ndarray) -> Image.Image | None:
    chosen = damaged[: 8 * _EXAMPLES]
    if not len(chosen):
        return None
    captions = [f"{_caption(image_set, i)}\n{found.damage[i]}" for i in chosen.tolist()]
    return contact_sheet(np.asarray(image_set.images[chosen]), columns=8, scale=_scale(image_set), captions=captions)


def _caption(image_set: ImageSet, index: int) -> str:
    label = image_set.labels[index]
    name = image_set.class_names[label] if label >= 0 else "no label"
    return f"{Path(str(image_set.ids[index])).name}\n{image_set.split[index]}, {name}"


def _scale(image_set: ImageSet) -> int:
    return max(1, -(-144 // image_set.size))  # wide enough for a file's name


def _drop(workspace: Workspace, data: Run, found: Findings) -> Run:
    """The variant of `data` without the leaking images, active from now on; `data` itself when nothing leaks."""
    keep = np.flatnonzero(found.leaks_to == "")
    if len(keep) == len(found.leaks_to):
        return data
    options: dict[str, Any] = {"dropped": "leaks", "similarity": NEAR, "radius": found.radius}
    if found.lookalikes:  # which were dropped before the data's names were asked
        options["lookalikes"] = "kept"
    return make_variant(workspace, data, "clean", options, keep, dropped=len(found.leaks_to) - len(keep))


def _lines(figures: Mapping[str, Any], has_subjects: bool) -> list[str]:
    damaged, exact, leaks, differing = (figures[name] for name in ("damaged", "exact", "leaks", "conflicts"))
    broken = ", ".join(f"{count:,} {kind}" for kind, count in damaged.items() if count)
    lines = [
        f"damaged images: {broken or 'none'}",
        f"exact duplicates: {exact['surplus_images']:,} surplus images in {exact['groups']:,} groups",
        f"near duplicates: {figures['near_pairs']:,} pairs, and {figures['mirrored_pairs']:,} mirrored",
        f"labels differ: {differing['exact_groups']:,} groups of equal images, {differing['near_pairs']:,} near pairs",
    ]
    if figures["lookalikes"]:
        lines.append(f"near pairs of two people who look alike: {figures['lookalikes']:,}, which are not counted")
    if has_subjects:
        lines.append(f"subjects in several splits: {figures['subjects_in_several_splits']:,}")
    if not leaks["total"]:
        return [*lines, "leaks between splits: none"]
    routes = ", ".join(f"{route.replace('-', ' → ')} {count:,}" for route, count in leaks["by_splits"].items() if count)
    rows = [[name, f"{count:,}"] for name, count in leaks["by_class"].items() if count]
    lines += [f"leaks between splits: {leaks['total']:,} images ({routes})", ""]
    return [*lines, *table(["class", "leaking"], rows), ""]
