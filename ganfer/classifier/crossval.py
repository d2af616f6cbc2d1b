"""k-fold cross-validation of the classifier's settings on the active data, at random and by subject.

The data's path: images of the set -> `classifiers.crossval` (each fold trained on the others, validated inside them)
-> out-of-fold predictions -> `crossvals/<run>/`. Random folds put frames of one person on both sides; where subjects
are known the figure by subject stands beside it, and is the one to quote for people the classifier has never seen.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from classifiers import CrossvalResult, Samples
from classifiers import crossval as run_folds
from classifiers.folds import assign_folds
from classifiers.plots import plot_confusion
from ganfer.classifier.crossval_page import crossval_lines, crossval_page
from ganfer.classifier.figures import LEVEL, bounds
from ganfer.classifier.train import identity
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError
from ganfer.page.node import read_results
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_of, write_csv, write_json, write_text
from ganfer.statistics.intervals import PER_CLASS, confusion_by_subject, confusion_estimates
from ganfer.tracking import figures_of, tracked
from ganfer.workspace import Run, Workspace

FORMAT = 1
WAYS = ("random", "group")
_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1")


def plan_lines(config: Config, data: Run | None) -> list[str]:
    """What `crossval` will train, in words. ClassifierError for more folds than images of a class, or subjects."""
    settings = config.crossval
    ways = [settings.by]
    if data is not None:
        images = read_set(data.path)
        ways = chosen_ways(images, settings.by)
        check_folds(images, ways, settings.folds, settings.splits)
    folds = " and ".join(f"{settings.folds} {'random folds' if way == 'random' else 'folds by ' + way}" for way in ways)
    return [f"train {config.classifier.model} on {folds}"]


def check_folds(images: ImageSet, ways: Sequence[str], folds: int, splits: str) -> None:
    """ClassifierError for folds of one way that cannot be made, before those of another are trained."""
    rows = np.flatnonzero(_folded(images, splits))
    groups = _subjects(images.group[rows], images.ids[rows])
    for way in ways:
        assign_folds(images.labels[rows], folds, images.class_names, groups=groups if way == "group" else None)


def chosen_ways(images: ImageSet, by: str) -> list[str]:
    """Random folds, folds by subject, or both. DataError for folds by subject without subjects."""
    known = bool((images.group != "").any())
    if by == "auto":
        return list(WAYS) if known else ["random"]
    if by in ("group", "both") and not known:
        raise DataError(
            f"crossval.by = {by!r}: the data names no subjects.",
            "Use --by random, or add data whose files say who is on them (CK+48's names do).",
        )
    return list(WAYS) if by == "both" else [by]


def crossval(workspace: Workspace, config: Config, data: Run) -> Result:
    """Train and test every fold; an interrupted run goes on with the folds that are missing."""
    settings = config.crossval
    images = read_set(data.path)
    ways = chosen_ways(images, settings.by)
    incidental = {"workers": None, "by": ways}  # auto and what it comes to are the same run
    key: dict[str, Any] = {
        "config": {
            "crossval": {**dataclasses.asdict(settings), **incidental},
            "classifier": identity(config.classifier),
        },
        "inputs": {"data": data.digest},
        "seed": config.seed,
    }
    run = workspace.run("crossvals", config.classifier.model.replace(":", "-"), key)
    with run.work("crossval") as record, tracked(run, config, "crossval") as track:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return crossval_result(run)
        track.start(key["config"])
        chosen = _images(images, settings.splits)
        found = {way: _fold(run, config, chosen, way) for way in ways}
        results = _results(run, config, data, chosen, found)
        write_json(run.path / "results.json", results)
        write_text(run.path / "index.html", crossval_page(results))
        for way, result in found.items():
            plot_confusion(result.overall, run.path / f"confusion-{way}.png")
            _write_predictions(run, chosen, way, result)
        figures = {"ways": results["ways"], "settings": results["settings"], "notes": results["notes"]}
        track.metrics(figures_of({way: results["ways"][way]["figures"] for way in ways}))
        track.metrics(figures_of({way: results["ways"][way]["per_class"] for way in ways}))
        track.artefacts("index.html", "results.json", *(f"confusion-{way}.png" for way in ways))
        device = str(found[ways[0]].trainings[0].card["device"])
        run.finish(digest=digest_of(run.path / "results.json"), figures=figures, device=device)
    return crossval_result(run)


def crossval_result(run: Run) -> Result:
    """What a finished cross-validation says."""
    page = run.path / "index.html"
    lines = [*crossval_lines(read_results(run.path)), "", f"Page: {page}"]
    return Result("ganfer crossval", run.path, {**run.figures, "page": str(page)}, lines)


def _images(images: ImageSet, splits: str) -> ImageSet:
    """The labelled real images to fold, in memory."""
    return images.select(np.flatnonzero(_folded(images, splits)))


def _folded(images: ImageSet, splits: str) -> np.ndarray:
    wanted: np.ndarray = (images.source == "real") & (images.labels >= 0)
    return wanted & (images.split != "test") if splits == "train" else wanted


def _subjects(group: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Whom folds by subject keep together: an image without a subject is a group of its own."""
    return np.where(group == "", np.char.add("image ", ids), group)


def _fold(run: Run, config: Config, images: ImageSet, way: str) -> CrossvalResult:
    settings = config.crossval
    groups = _subjects(images.group, images.ids) if way == "group" else None
    tta: Any = settings.tta
    return run_folds(
        config.classifier,
        Samples(np.asarray(images.images), images.labels, soft_labels=images.soft_labels),
        images.class_names,
        run.path / way,
        folds=settings.folds,
        groups=groups,
        seed=config.seed,
        device=config.device,
        workers=settings.workers or None,
        cluster=config.cluster,
        tta=tta,
        progress=progress,
    )


def _results(run: Run, config: Config, data: Run, images: ImageSet, found: dict[str, CrossvalResult]) -> dict[str, Any]:
    subjects = len(np.unique(images.group[images.group != ""]))
    notes = []
    if config.crossval.splits == "all":
        notes.append(
            "The test split was folded as well: a choice made by these figures must not be tested on it again."
        )
    if "group" not in found:
        notes.append("The data names no subjects: if a person is on several images, these figures are too good.")
    elif alone := int((images.group == "").sum()):
        notes.append(f"{alone} images name no subject; each was taken as a subject of its own.")
    return {
        "format": FORMAT,
        "title": f"{config.classifier.model} on {data.name}, {config.crossval.folds}-fold cross-validation",
        "data": {
            "name": data.name,
            "digest": data.digest,
            "class_names": list(images.class_names),
            "images": len(images),
            "subjects": subjects,
        },
        "settings": {
            "model": config.classifier.model,
            "folds": config.crossval.folds,
            "splits": config.crossval.splits,
            "tta": config.crossval.tta,
            "seed": config.seed,
            "confidence_level": LEVEL,
        },
        "ways": {way: _way(result, images, config) for way, result in found.items()},
        "notes": notes,
        "run": {name: run.record.get(name, "") for name in ("command", "machine", "versions", "started")},
    }


def _way(result: CrossvalResult, images: ImageSet, config: Config) -> dict[str, Any]:
    """Mean and interval over the folds, the figures of every fold, and the classes over all images together."""
    names, overall, said = images.class_names, result.overall, result.probabilities.argmax(axis=1)
    table = confusion_estimates(
        np.array(overall.confusion),
        names,
        beta=overall.beta,
        resamples=config.evaluate.resamples,
        seed=config.seed,
        level=LEVEL,
        by_subject=confusion_by_subject(images.labels, said, images.group, len(names)),
    )
    per_class = {
        name: {
            **{
                figure: None if overall.per_class[name][figure] is None else bounds(table[f"{figure}:{name}"])
                for figure in PER_CLASS
            },
            "support": overall.per_class[name]["support"],
        }
        for name in names
    }
    return {
        "figures": {
            name: {"mean": result.mean[name], "low": result.interval[name][0], "high": result.interval[name][1]}
            for name in _FIGURES
        },
        "folds": [
            {**{name: getattr(fold, name) for name in _FIGURES}, "images": fold.num_images} for fold in result.per_fold
        ],
        "pooled": {name: getattr(overall, name) for name in (*_FIGURES, "ece", "nll", "beta")},
        "per_class": per_class,
        "confusion": overall.confusion,
        "report": overall.report(),
        "seconds": round(sum(training.seconds for training in result.trainings), 1),
    }


def _write_predictions(run: Run, images: ImageSet, way: str, result: CrossvalResult) -> None:
    names = images.class_names
    columns = ("id", "group", "fold", "true", "predicted", *(f"p_{name}" for name in names))
    rows = (
        {
            "id": images.ids[i],
            "group": images.group[i],
            "fold": int(result.fold[i]),
            "true": names[images.labels[i]],
            "predicted": names[int(row.argmax())],
            **{f"p_{name}": f"{p:.6f}" for name, p in zip(names, row, strict=True)},
        }
        for i, row in enumerate(result.probabilities)
    )
    write_csv(run.path / f"out_of_fold-{way}.csv", columns, rows)
