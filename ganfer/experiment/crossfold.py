"""The experiment over outer folds: split, GAN, labeller and arms anew in each, so that every image is tested once.

For data without a test split worth the name (CK+48: 118 people), and against the luck of one GAN. Each fold is a
workspace of its own below the report, an ordinary experiment with an ordinary report; here their predictions are
pooled. A kill loses nothing: the same command goes on in the fold where it was.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.folds import assign_folds
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set, save_set
from ganfer.data.splits import NO_GROUP, hold_out, rank_of
from ganfer.errors import ConfigError, DataError
from ganfer.experiment.arms import ARMS, Arm, Outcome, Trained, TrainingData
from ganfer.experiment.comparisons import PRIMARY, Selection, claimed, compare, decide, predictions, rows, selected
from ganfer.experiment.findings import FORMAT, arm_figures, arm_notes, rising, seeds_words, size_notes, subjects_of
from ganfer.experiment.fitted import shifted
from ganfer.experiment.recommend import recommendation
from ganfer.experiment.trainings import stored_trained
from ganfer.generate.batch import read_batch
from ganfer.report import read_results, terminal_summary, write_report
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.statistics import verdict
from ganfer.statistics.verdict import Measured
from ganfer.workspace import Run, Workspace

# a fold's workspace, its settings, faces to draw per class -> the fold's finished experiment
Tell = Callable[[Workspace, Config, Mapping[str, int]], Result]
_FEWEST = 2


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


def retrain_in_folds(workspace: Workspace, config: Config, data: Run, batch: Run | None, tell: Tell) -> Result:
    """Run the experiment in every fold and report the pooled predictions; goes on where it was interrupted."""
    settings = dataclasses.asdict(config)
    settings["retrain"].pop("workers")
    settings.pop("cluster")  # where it is computed, too, changes nothing
    counts = None if batch is None else _asked(batch, data)
    key = {"config": settings, "inputs": {"data": data.digest}, "seed": config.seed, "faces": counts}
    run = workspace.run("reports", "folds", key)
    with run.work("retrain in folds") as record:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return _result(run)
        images = read_set(data.path)
        fold = fold_of(images, config.retrain.folds, config.seed)
        inner = dataclasses.replace(config, retrain=dataclasses.replace(config.retrain, folds=0))
        told = []
        for k in range(config.retrain.folds):
            own = Workspace(run.path / "folds" / f"fold-{k}")
            part = _fold_data(own, data, images, fold, k, config)
            say(f"Fold {k + 1} of {config.retrain.folds}:")
            told.append((part, tell(own, inner, _faces(counts, config, images, part))))
            run.tick()
        results = _pooled(run, config, data, images, told)
        write_report(run.path, results)
        digest = digest_of(run.path / "results.json")
        figures = {"verdict": results["verdict"], "page": str(run.path / "index.html")}
        run.finish(digest=digest, figures=figures, device=str(results["run"]["device"]))
    return _result(run)


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


# --- the folds together -----------------------------------------------------------------------------------------------


def _pooled(
    run: Run, config: Config, data: Run, images: ImageSet, told: Sequence[tuple[Run, Result]]
) -> dict[str, Any]:
    """The results over all folds: every image was tested once per arm and seed, by models that never saw it."""
    found = [dict(result.figures) for _, result in told]
    tests = [_tested(part) for part, _ in told]
    names, settings = images.class_names, config.retrain
    truth = np.concatenate([test.labels for test in tests])
    arms = [ARMS[arm["name"]] for arm in found[0]["arms"]]
    every = [tuple(_models(told, found, arm, seed) for seed in _seeds(config)) for arm in arms]
    outcomes = [
        Outcome(arm, _no_data(tests[0], config), found[0]["arms"][0]["steps"], tuple(_joined(m) for m in models))
        for arm, models in zip(arms, every, strict=True)
    ]
    number = np.repeat(np.arange(len(tests)), [len(test) for test in tests])
    whole = _every_test(tests)
    subjects = subjects_of(whole)

    def measured_of(rows_of: np.ndarray) -> Measured:
        return verdict.measure(
            truth, rows_of, names, resamples=settings.resamples, seed=config.seed, groups=subjects, folds=number
        )

    measured = [measured_of(predictions(outcome)) for outcome in outcomes]
    selection = _selection(found)
    compared = compare(outcomes, measured, truth, selection)
    about, baselines = claimed(outcomes, selection)
    labels = [_labels_of(part, "val") for part, _ in told]
    moved = {
        arm.name: np.stack(
            [
                np.concatenate([shifted(m, y).probabilities for m, y in zip(models, labels, strict=True)]).argmax(1)
                for models in per_seed
            ]
        )
        for arm, per_seed in zip(arms, every, strict=True)
        if arm.name in {about, baselines[0]}
    }
    fitted = verdict.changes(measured_of(moved[about]), measured_of(moved[baselines[0]]))[PRIMARY]
    beside = [seeds_words(outcomes), *rising(outcomes)]
    decided = decide(outcomes, compared, selection, settings, fitted, beside)
    changes = rows(compared, settings, about, baselines)
    counted = {name: int(n) for name, n in zip(names, np.bincount(truth, minlength=len(names)), strict=True)}
    by = "subject" if images.group.any() else "class"
    return {
        "format": FORMAT,
        "title": f"{config.classifier.model} on {data.name}, {settings.folds} folds, with and without synthetic faces",
        "verdict": decided,
        "data": {
            "name": data.name,
            "digest": images.digest,
            "class_names": list(names),
            "train": found[0]["data"]["train"],
            "val": found[0]["data"]["val"],
            "test": counted,
            "notes": [
                f"{settings.folds} folds, split by {by}: each trains its own GAN, labeller and arms. Test figures are "
                "over all folds; images to train on, faces and the screen are those of the first.",
                *size_notes(whole, changes, decided),
                *arm_notes(outcomes),
            ],
        },
        "arms": [
            {
                **arm_figures(outcome, arm, truth, names),
                **{part: _arm_of(found[0], outcome.arm.name)[part] for part in ("train_counts", "synthetic_counts")},
            }
            for outcome, arm in zip(outcomes, measured, strict=True)
        ],
        "comparisons": changes,
        "selection": dataclasses.asdict(selection),
        "recommendation": recommendation(outcomes, compared, selection, decided),
        "folds": [
            {"path": str(result.path), "verdict": one["verdict"]} for (_, result), one in zip(told, found, strict=True)
        ],
        **{part: found[0].get(part) for part in ("labelling", "screen", "faces")},
        "settings": {**found[0]["settings"], "ratio": None},
        "run": {
            **{
                part: run.record.get(part) for part in ("command", "stage", "machine", "versions", "started", "seconds")
            },
            "device": found[0]["run"]["device"],
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "times": [{"stage": f"fold {k + 1}", "seconds": one["run"]["seconds"]} for k, one in enumerate(found)],
        },
    }


def _tested(part: Run) -> ImageSet:
    images = read_set(part.path).of("test")
    return images.select(np.flatnonzero(images.labels >= 0))


def _every_test(tests: Sequence[ImageSet]) -> ImageSet:
    """All test images, as far as their counts go."""
    labels = np.concatenate([test.labels for test in tests])
    first = tests[0].select(np.zeros(len(labels), dtype=np.int64))
    return dataclasses.replace(first, labels=labels, group=np.concatenate([test.group for test in tests]))


def _no_data(images: ImageSet, config: Config) -> TrainingData:
    """What pooled models trained on differs by fold; the counts come from the folds' own results."""
    return TrainingData(images.select([]), np.empty(0, np.float32), config.classifier)


def _seeds(config: Config) -> list[int]:
    return [config.seed + i for i in range(config.retrain.seeds)]


def _models(
    told: Sequence[tuple[Run, Result]], found: Sequence[Mapping[str, Any]], arm: Arm, seed: int
) -> list[Trained]:
    """An arm's model of each fold, at one seed."""
    models = []
    for (part, result), one in zip(told, found, strict=True):
        model = stored_trained(Path(str(result.path)), _arm_of(one, arm.name)["folder"], seed)
        models.append(shifted(model, _labels_of(part, "val")) if arm.after == "free" else model)
    return models


def _labels_of(part: Run, split: str) -> np.ndarray:
    """(N,) the labels of a fold's validation or test images."""
    images = read_set(part.path).of(split)
    labels: np.ndarray = images.labels[images.labels >= 0]
    return labels


def _joined(models: Sequence[Trained]) -> Trained:
    """The folds' predictions one after the other; the history is their mean, where they are of one length."""
    histories = [model.history for model in models]
    same = len({len(history) for history in histories}) == 1
    return Trained(
        probabilities=np.concatenate([model.probabilities for model in models]),
        validation=np.concatenate([model.validation for model in models]),
        temperature=float(np.mean([model.temperature for model in models])),
        seconds=sum(model.seconds for model in models),
        device=models[0].device,
        history=tuple(np.mean(histories, axis=0).tolist()) if same else (),
    )


def _arm_of(results: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(dict(arm) for arm in results["arms"] if arm["name"] == name)


def _selection(found: Sequence[Mapping[str, Any]]) -> Selection:
    """What validation says over all folds. Each fold made its own choice for `synthetic+best`."""
    per_fold = [one["selection"]["validation"] for one in found]
    means = {name: float(np.mean([one[name] for one in per_fold])) for name in per_fold[0]}

    return selected(means)


def _result(run: Run) -> Result:
    results = read_results(run.path)
    lines = [*terminal_summary(results), "", f"report: {(run.path / 'index.html').resolve()}"]
    lines += [f"  fold {k + 1}: {fold['verdict']['word']}, {fold['path']}" for k, fold in enumerate(results["folds"])]
    return Result("ganfer retrain", run.path, results, lines)
