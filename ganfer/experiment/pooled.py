"""The folds' experiments as one: every image was tested once per arm and seed, by models that never saw it."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.experiment.arms import ARMS, Arm, Outcome, Trained
from ganfer.experiment.comparisons import PRIMARY, Selection, claimed, compare, decide, predictions, rows, selected
from ganfer.experiment.findings import FORMAT, arm_figures, arm_notes, rising, seeds_words, size_notes
from ganfer.experiment.fitted import shifted
from ganfer.experiment.material import TrainingData
from ganfer.experiment.recommend import recommendation
from ganfer.experiment.starts import of_first_fold
from ganfer.experiment.trainings import seeds_of, stored_trained
from ganfer.results import Result
from ganfer.statistics import verdict
from ganfer.statistics.intervals import subjects_of
from ganfer.statistics.verdict import Measured
from ganfer.workspace import Run


def pooled_results(
    run: Run, config: Config, data: Run, images: ImageSet, told: Sequence[tuple[Run, Result]]
) -> dict[str, Any]:
    """The results over all folds: every image was tested once per arm and seed, by models that never saw it."""
    found = [dict(result.figures) for _, result in told]
    tests = [_tested(part) for part, _ in told]
    names, settings = images.class_names, config.retrain
    truth = np.concatenate([test.labels for test in tests])
    arms = [ARMS[arm["name"]] for arm in found[0]["arms"]]
    every = [tuple(_models(told, found, arm, seed) for seed in seeds_of(config)) for arm in arms]
    outcomes = [
        Outcome(arm, _no_data(tests[0], config), found[0]["arms"][0]["steps"], tuple(_joined(m) for m in models))
        for arm, models in zip(arms, every, strict=True)
    ]
    number = np.repeat(np.arange(len(tests)), [len(test) for test in tests])
    whole = _every_test(tests)
    subjects = subjects_of(whole.group)

    def measured_of(rows_of: np.ndarray) -> Measured:
        return verdict.measure(
            truth, rows_of, names, resamples=settings.resamples, seed=config.seed, groups=subjects, folds=number
        )

    measured = [measured_of(predictions(outcome)) for outcome in outcomes]
    selection = _selection(found)
    compared = compare(outcomes, measured, truth, selection)
    about, baselines = claimed(outcomes, selection)
    moved = {
        arm.name: _moved(per_seed, [_labels_of(part, "val") for part, _ in told])
        for arm, per_seed in zip(arms, every, strict=True)
        if arm.synthetic or arm.name in {about, baselines[0]}
    }
    base = measured_of(moved.pop(baselines[0]))
    fitted = {name: verdict.changes(measured_of(said), base)[PRIMARY] for name, said in moved.items()}
    beside = [seeds_words(outcomes), *rising(outcomes)]
    own = {one["selection"]["best_rebalancing"] for one in found}
    rebalancing = "each fold's best rebalancing" if len(own) > 1 else ""
    decided = decide(outcomes, compared, selection, settings, fitted[about], beside, rebalancing)
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
                *of_first_fold(found[0]["data"].get("notes", [])),
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
        "recommendation": recommendation(outcomes, compared, selection, decided, settings, fitted),
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
            "times": [
                {"stage": f"train fold {k + 1}", "seconds": round(sum(arm["seconds"] for arm in one["arms"]), 1)}
                for k, one in enumerate(found)
            ],
        },
    }


def _moved(per_seed: Sequence[Sequence[Trained]], labels: Sequence[np.ndarray]) -> np.ndarray:
    """(S, N) classes over all folds' test images, with every model's class biases fitted on its fold's validation."""
    return np.stack(
        [
            np.concatenate([shifted(m, y).probabilities for m, y in zip(models, labels, strict=True)]).argmax(axis=1)
            for models in per_seed
        ]
    )


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
        made_on=" and ".join(sorted({model.made_on for model in models if model.made_on})),
    )


def _arm_of(results: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(dict(arm) for arm in results["arms"] if arm["name"] == name)


def _selection(found: Sequence[Mapping[str, Any]]) -> Selection:
    """What validation says over all folds. Each fold made its own choice for `synthetic+best`."""
    per_fold = [one["selection"]["validation"] for one in found]
    means = {name: float(np.mean([one[name] for one in per_fold])) for name in per_fold[0]}

    return selected(means)
