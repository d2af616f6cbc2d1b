"""The experiment over outer folds: split, GAN, labeller and arms anew in each, so that every image is tested once.

For data without a test split worth the name (CK+48: 118 people), and against the luck of one GAN. Each fold is a
workspace of its own below the report, an ordinary experiment with an ordinary report. First every fold's faces are
drawn, then all folds' trainings go together, stage by stage of their plan, and `pooled` puts their predictions
together. A kill loses nothing: the same command goes on where it was.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from classifiers.folds import assign_folds
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set, save_set
from ganfer.data.splits import NO_GROUP, hold_out, rank_of
from ganfer.errors import ConfigError, DataError
from ganfer.experiment.pooled import pooled_results
from ganfer.experiment.prepare import RULE, Inputs, inputs_of, start_inputs
from ganfer.experiment.retrain import report_result, retrain_together
from ganfer.experiment.ways import identity
from ganfer.generate.batch import read_batch
from ganfer.report import write_report
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.workspace import Run, Workspace

# a fold's workspace, its settings, faces to draw per class -> the fold's labelled batch
Draw = Callable[[Workspace, Config, Mapping[str, int]], Run]
_FEWEST = 2
_TOGETHER = 4 * 2**30  # bytes of training images; folds with more are trained in groups


def folds_lines(config: Config) -> list[str]:
    """The plan in words. ConfigError for a number of folds that holds nothing out."""
    folds = config.retrain.folds
    if config.retrain.batches:
        raise ConfigError("retrain.batches and retrain.folds.", "Every fold trains a GAN of its own; leave one out.")
    if folds < _FEWEST:
        raise ConfigError(f"retrain.folds = {folds}.", f"Give at least {_FEWEST}, or 0 for the data's own test split.")
    return [
        f"in each of {folds} folds: train the {config.gan.network} for {config.gan.steps:,} steps and the labeller "
        "anew, generate, label, and then"
    ]


def retrain_in_folds(workspace: Workspace, config: Config, data: Run, batch: Run | None, draw: Draw) -> Result:
    """Run the experiment in every fold and report the pooled predictions; goes on where it was interrupted."""
    settings = dataclasses.asdict(config)
    settings["retrain"] = identity(settings["retrain"])
    for elsewhere in ("cluster", "workers", "tracking"):  # where it is computed and told changes nothing
        settings.pop(elsewhere)
    counts = None if batch is None else _asked(batch, data)
    inputs = {"data": data.digest, **start_inputs(config, data)}
    key = {"config": settings, "inputs": inputs, "seed": config.seed, "faces": counts}
    run = workspace.run("reports", "folds", key)
    with run.work("retrain in folds") as record:
        if record.get("status") == "complete":
            if record["figures"].get("rule") == RULE:
                say(f"{run.name} was already done.")
                return _result(run)
            say(f"{run.name} was judged by an earlier rule; it is made anew from the folds' trainings.")
        images = read_set(data.path)
        fold = fold_of(images, config.retrain.folds, config.seed)
        inner = dataclasses.replace(config, retrain=dataclasses.replace(config.retrain, folds=0))
        asked = []
        for k in range(config.retrain.folds):
            own = Workspace(run.path / "folds" / f"fold-{k}")
            part = _fold_data(own, data, images, fold, k, config)
            say(f"Fold {k + 1} of {config.retrain.folds}:")
            asked.append(inputs_of(own, inner, part, draw(own, inner, _faces(counts, config, images, part))))
            run.tick()
        told: list[tuple[Run, Result]] = []
        for group in _groups(asked, images):
            told += zip([inputs.data for inputs in group], retrain_together(group), strict=True)
            run.tick()
        results = pooled_results(run, config, data, images, told)
        write_report(run.path, results)
        digest = digest_of(run.path / "results.json")
        figures = {"verdict": results["verdict"], "page": str(run.path / "index.html"), "rule": RULE}
        run.finish(digest=digest, figures=figures, device=str(results["run"]["device"]))
    return _result(run)


def _groups(asked: Sequence[Inputs], images: ImageSet) -> list[Sequence[Inputs]]:
    """Folds whose trainings go together: all of them, as far as their images are no burden on the memory."""
    copies = 2 + sum(arm.faces for arm in asked[0].arms)  # each arm with faces has its own, with the real ones
    many = max(1, _TOGETHER // (copies * images.images.nbytes))
    return [asked[start : start + many] for start in range(0, len(asked), many)]


def fold_of(images: ImageSet, folds: int, seed: int) -> np.ndarray:
    """(N,) int64: the fold in which an image is tested, -1 for those never tested (no label, or synthetic).

    Classes are spread evenly; a subject's images stay together. DataError when there are too few.
    """
    tested = np.flatnonzero((images.labels >= 0) & (images.source == "real"))
    group = images.group[tested]
    alone = np.array([name or f"image {i}" for i, name in zip(tested, group.tolist(), strict=True)])
    smallest = min(np.bincount(images.labels[tested], minlength=len(images.class_names)).tolist(), default=0)
    if smallest < folds:
        raise DataError(
            f"{folds} folds, but the smallest class has {smallest} image(s).", "Use fewer folds, or add images."
        )
    number = np.full(len(images), -1, dtype=np.int64)
    known = alone if group.any() else None
    number[tested] = assign_folds(images.labels[tested], folds, images.class_names, groups=known, seed=seed)
    return number


def _fold_data(own: Workspace, data: Run, images: ImageSet, fold: np.ndarray, k: int, config: Config) -> Run:
    """The data with fold k as its test split and a part of the rest for validation, by subject where known."""
    key = {"inputs": {"data": data.digest}, "options": {"fold": k, "of": config.retrain.folds, "seed": config.seed}}
    run = own.run("data", f"fold-{k}", key)
    with run.work("data fold") as record:
        if record.get("status") != "complete":
            made = dataclasses.replace(images, split=_splits(images, fold, k, config))
            _share_pixels(images, run.path / "images.npy")
            digest = save_set(run.path, made)
            counts = {split: made.counts(split) for split in ("train", "val", "test")}
            run.finish(digest=digest, figures={"images": len(made), "counts": counts, "parent": data.name})
    own.activate_data(run)
    return run


def _splits(images: ImageSet, fold: np.ndarray, k: int, config: Config) -> np.ndarray:
    split = np.where(fold == k, "test", "train").astype("<U5")
    rest = np.flatnonzero((fold >= 0) & (fold != k))
    _, groups = np.unique(images.group[rest], return_inverse=True)
    groups = np.where(images.group[rest] == "", NO_GROUP, groups)
    ranks = np.array([rank_of(name) for name in images.ids[rest].tolist()], dtype=np.uint64)
    held = hold_out(
        images.labels[rest], groups, ranks, config.data.val_fraction, seed=config.seed, purpose=f"fold {k} val"
    )
    split[rest[held]] = "val"
    return split


def _share_pixels(images: ImageSet, target: Path) -> None:
    """The pixels' file under another name, where the set is the whole of it; else `save_set` writes a copy."""
    if target.is_file() or not isinstance(images.images, np.memmap) or images.images.filename is None:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(images.images.filename, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(images.images.filename, target)


def _asked(batch: Run, data: Run) -> dict[str, float]:
    """Faces asked for per real training image of the data, by class: what every fold draws in proportion.

    DataError for a batch that no GAN of this workspace drew.
    """
    if "gan" not in batch.record.get("key", {}).get("inputs", {}):
        raise DataError(
            f"{batch.name} was not drawn by a GAN that can be trained anew in every fold.",
            "Generate one with this data (ganfer generate), or retrain without --folds.",
        )
    images = read_set(data.path)
    names, counts = np.unique(np.array(read_batch(batch).asked, dtype=np.str_), return_counts=True)
    train = max(1, int((images.split == "train").sum()))
    found = zip(names.tolist(), counts.tolist(), strict=True)
    return {name: count / train for name, count in found if name in images.class_names}


def _faces(asked: Mapping[str, float] | None, config: Config, images: ImageSet, part: Run) -> dict[str, int]:
    """How many faces a fold draws of each class: as many per training image as the newest batch, else n evenly."""
    train = sum(part.figures["counts"]["train"].values())
    if asked:
        return {name: max(1, round(share * train)) for name, share in asked.items()}
    present = [name for name, count in part.figures["counts"]["train"].items() if count]
    return {name: max(1, config.generate.n // len(present)) for name in images.class_names if name in present}


def _result(run: Run) -> Result:
    result = report_result(run)
    folds = [
        f"  fold {k + 1}: {fold['verdict']['word']}, {fold['path']}" for k, fold in enumerate(result.figures["folds"])
    ]
    return dataclasses.replace(result, lines=[*result.lines, *folds])
