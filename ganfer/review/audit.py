"""`ganfer data audit`: which labels of the training and validation images are probably wrong.

The data's path: images of train and val -> `ganfer.classifier.crossval` (out-of-fold probabilities, fold by fold, so
an interrupted audit goes on) -> `confident` -> `data/<set>/audit/`. The test split is neither folded nor changed.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.sheets import contact_sheet, save_sheet
from ganfer.data.variants import make_variant
from ganfer.errors import DataError
from ganfer.generate.batch import read_rows
from ganfer.results import Result, table
from ganfer.review.confident import Doubted, confident_learning, doubted_labels
from ganfer.review.decisions import decisions_digest, log_of
from ganfer.review.effect import checked
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_json, write_csv, write_json
from ganfer.workspace import Run, Workspace

FOLDER = "audit"
TABLE, SUMMARY = "doubted.csv", "audit.json"
DECIDED, ALL = "decided", "all"
_SHEET = 96  # doubted images on the sheet


def plan_lines(config: Config, data: Run | None) -> list[str]:
    """What `audit` will train, in words."""
    confident_learning()
    images = read_set(data.path) if data else None
    by = "by subject" if images is not None and (images.group != "").any() else "at random"
    return [
        f"train {config.classifier.model} on {config.audit.folds} folds {by} of train and val (the test is left alone)",
        "doubt the labels that the other folds' models contradict",
    ]


def audit(workspace: Workspace, config: Config, data: Run, apply: str = "") -> Result:
    """Find the doubtful labels of a data set; writes `audit/` in its folder. The same call again resumes.

    apply: "decided" makes a new active set with people's decisions carried out; "all" also leaves the doubted training
    images out that nobody decided on.
    """
    from ganfer.classifier.crossval import crossval  # torch is loaded for this alone, not for looking at its table

    confident_learning()
    images = read_set(data.path)
    way = "group" if (images.group != "").any() else "random"
    settings = dataclasses.replace(config.crossval, folds=config.audit.folds, by=way, splits="train", tta="none")
    folds = crossval(workspace, dataclasses.replace(config, crossval=settings), data)
    assert folds.path is not None
    index, probabilities = _out_of_fold(folds.path / f"out_of_fold-{way}.csv", images)
    found = doubted_labels(images.labels[index], probabilities)
    figures = _figures(images, index, found, folds.path.name, way)
    folder = data.path / FOLDER
    _write(folder, images, index, probabilities, found, figures)
    lines = [*_lines(data.name, figures), f"details: {folder}"]
    path = data.path
    if apply:
        variant = _apply(workspace, data, images, index[found.index], everything=apply == ALL)
        figures, path = {**figures, "data": variant.name}, variant.path
        lines += _applied_lines(data, variant)
    elif len(found.index):
        lines.append("Look at them and decide: ganfer review   (then: ganfer data audit --apply)")
    return Result("ganfer data audit", path, figures, lines)


def _out_of_fold(path: Path, images: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    """Of a cross-validation's table: the images' places in the set (M,), and their probabilities (M, K)."""
    place = {name: i for i, name in enumerate(images.ids.tolist())}
    rows = read_rows(path)
    try:
        index = np.array([place[row["id"]] for row in rows], dtype=np.int64)
        values = [[float(row[f"p_{name}"]) for name in images.class_names] for row in rows]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}).", f"Remove {path.parent} and run the command again.") from error
    return index, np.array(values, np.float32).reshape(len(rows), len(images.class_names))


def _figures(images: ImageSet, index: np.ndarray, found: Doubted, run: str, way: str) -> dict[str, Any]:
    names, labels = images.class_names, images.labels[index]
    doubted = np.bincount(labels[found.index], minlength=len(names))
    of = np.bincount(labels, minlength=len(names))
    pairs = [
        {"given": names[i], "likelier": names[j], "images": int(count)}
        for (i, j), count in zip(*np.unique(_pairs(labels, found), axis=0, return_counts=True), strict=True)
    ]
    splits = images.split[index[found.index]]
    return {
        "crossval": run,
        "folds": way,
        "images": len(index),
        "doubted": len(found.index),
        "by_split": {split: int((splits == split).sum()) for split in ("train", "val")},
        "by_class": {name: {"images": int(of[k]), "doubted": int(doubted[k])} for k, name in enumerate(names) if of[k]},
        "pairs": sorted(pairs, key=lambda pair: -pair["images"]),
        "estimated_noise": float(1 - np.trace(found.joint)),
    }


def _pairs(labels: np.ndarray, found: Doubted) -> np.ndarray:
    """(M, 2) given and suggested class of the doubted."""
    return np.stack([labels[found.index], found.suggested], axis=1)


def _write(
    folder: Path,
    images: ImageSet,
    index: np.ndarray,
    probabilities: np.ndarray,
    found: Doubted,
    figures: dict[str, Any],
) -> None:
    names = images.class_names
    columns = ["id", "split", "label", "suggested", "confidence", *(f"p_{name}" for name in names)]
    rows = (
        {
            "id": images.ids[index[i]],
            "split": images.split[index[i]],
            "label": names[images.labels[index[i]]],
            "suggested": names[suggested],
            "confidence": f"{confidence:.6f}",
            **{f"p_{name}": f"{p:.6f}" for name, p in zip(names, probabilities[i], strict=True)},
        }
        for i, suggested, confidence in zip(
            found.index.tolist(), found.suggested.tolist(), found.confidence.tolist(), strict=True
        )
    )
    write_csv(folder / TABLE, columns, rows)
    write_json(folder / SUMMARY, figures)
    first = found.index[:_SHEET]
    if len(first):
        captions = [
            f"{names[images.labels[index[i]]]}?\n{names[k]}" for i, k in zip(first, found.suggested, strict=False)
        ]
        save_sheet(folder / "sheet.png", contact_sheet(images.images[index[first]], columns=12, captions=captions))
    else:
        (folder / "sheet.png").unlink(missing_ok=True)  # an earlier audit's would no longer be true


def _lines(name: str, figures: dict[str, Any]) -> list[str]:
    share = figures["doubted"] / max(1, figures["images"])
    rows = [
        [cls, f"{n['images']:,}", f"{n['doubted']:,}", f"{n['doubted'] / n['images']:.1%}"]
        for cls, n in figures["by_class"].items()
    ]
    pairs = ", ".join(f"{p['given']} that looks {p['likelier']}: {p['images']:,}" for p in figures["pairs"][:5])
    return [
        f"{name}: {figures['doubted']:,} of {figures['images']:,} labels are doubtful ({share:.1%})",
        *table(["class", "images", "doubtful", "share"], rows),
        *([f"most often: {pairs}"] if pairs else []),
        "A model's doubt is no proof: look before you believe it.",
    ]


def _apply(workspace: Workspace, data: Run, images: ImageSet, doubted: np.ndarray, *, everything: bool) -> Run:
    """The set after people's decisions; everything: and without the doubted training images nobody decided on."""
    place = {name: i for i, name in enumerate(images.ids.tolist())}
    log = log_of(data.path)
    state = log.state()
    labels, keep = images.labels.copy(), np.ones(len(images), dtype=bool)
    if everything:
        keep[doubted[images.split[doubted] == "train"]] = False
    relabelled = 0
    for name, decision in state.items():
        checked(name, decision, place, images.class_names, log.path)
        i = place[name]
        if images.split[i] == "test":
            raise DataError(f"{log.path} decides on {name!r}, a test image.", "The test split is never changed.")
        keep[i] = decision.keep
        if decision.keep and images.class_names[labels[i]] != decision.label:
            labels[i] = images.class_names.index(decision.label)
            relabelled += 1
    if keep.all() and not relabelled:
        hint = "Decide: ganfer review; or leave out what nobody decided on: --apply all."
        raise DataError("Nobody's decision changes anything.", hint)
    if not state:
        say("Nobody has decided on any of them; the doubted training images are left out unseen.")
    left_out = digest_json(images.ids[~keep].tolist())
    how = ALL if everything else DECIDED
    options = {"audit": how, "decisions": decisions_digest(data.path), "left_out": left_out}
    kept = np.flatnonzero(keep)
    figures = {"left_out": int((~keep).sum()), "relabelled": relabelled, "decided": len(state)}
    return make_variant(workspace, data, "audited", options, kept, labels=labels[kept], **figures)


def _applied_lines(data: Run, variant: Run) -> list[str]:
    made = variant.figures
    return [
        f"{made['left_out']:,} images left out, {made['relabelled']:,} labelled anew ({made['decided']:,} decided "
        f"on by a person); ganfer uses {variant.name} from now on. Go back with: ganfer data use {data.name}"
    ]


def doubted_rows(data: Run) -> Sequence[dict[str, str]]:
    """The table of a set's newest audit; none where it was not audited."""
    return read_rows(data.path / FOLDER / TABLE) if audited(data) else []


def audited(data: Run) -> bool:
    """Whether a data set was audited."""
    return (data.path / FOLDER / TABLE).is_file()
