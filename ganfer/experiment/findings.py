"""From the outcomes of an experiment's arms to `results.json`: figures, intervals, verdict, faces, how it was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from classifiers.calibration import ece, reliability
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Outcome
from ganfer.experiment.budget import Budget
from ganfer.experiment.ceiling import exchange
from ganfer.experiment.comparisons import (
    LEVEL,
    Selection,
    claimed,
    compare,
    decide,
    generator_words,
    predictions,
    rows,
)
from ganfer.experiment.fresh import fresh_figures
from ganfer.experiment.groups import group_tables
from ganfer.experiment.material import Material
from ganfer.experiment.operating_point import at_equal_shares
from ganfer.experiment.preflight import Leaks
from ganfer.experiment.recommend import recommendation
from ganfer.experiment.retrieval import pool_words
from ganfer.experiment.select import Selected
from ganfer.experiment.showcase import showcase
from ganfer.experiment.trainings import seeds_of
from ganfer.experiment.unfinished import unfinished, words
from ganfer.statistics import verdict
from ganfer.statistics.intervals import subjects_of
from ganfer.statistics.significance import fewest_images
from ganfer.statistics.verdict import Estimate, Measured
from ganfer.workspace import Run

FORMAT = 1
_FEW = 100  # test images of a class below which its uncertainty is said


@dataclass(frozen=True)
class Experiment:
    """What was trained and chosen. The first outcome is the baseline; val: the images that choices were made on; test:
    those that all arms were tested on; folders: where each arm's trainings lie, below `trainings/`, without the seed.
    """

    outcomes: Sequence[Outcome]
    folders: Mapping[str, str]
    val: ImageSet
    test: ImageSet
    selection: Selection
    selected: Selected
    leaks: Leaks
    budget: Budget
    material: Material


def experiment_results(
    run: Run, config: Config, data: Run, images: ImageSet, experiment: Experiment, batch: Run, labels: Run
) -> dict[str, Any]:
    """Everything the report shows, as plain JSON values."""
    names, settings, outcomes = images.class_names, config.retrain, experiment.outcomes
    truth, selection = experiment.test.labels, experiment.selection
    subjects = subjects_of(experiment.test.group)
    measured = [
        verdict.measure(
            truth,
            predictions(outcome),
            names,
            resamples=settings.resamples,
            seed=config.seed,
            groups=subjects,
            generators=outcome.generators,
        )
        for outcome in outcomes
    ]
    compared = compare(outcomes, measured, truth, selection)
    about, baselines = claimed(outcomes, selection)
    equal, fitted, alike = at_equal_shares(
        experiment.val, experiment.test, outcomes, settings.resamples, config.seed, groups=subjects
    )
    decided = decide(
        outcomes,
        compared,
        selection,
        settings,
        fitted.get(about),
        [*pool_words(outcomes, compared), seeds_words(outcomes), *rising(outcomes)],
    )
    decided["beside"] = " ".join(filter(None, [decided["beside"], generator_words(outcomes, decided)]))
    changes = rows(compared, settings, about, baselines)
    return {
        "format": FORMAT,
        "title": f"{config.classifier.model} on {data.name}, with and without synthetic faces",
        "verdict": decided,
        "data": {
            "name": data.name,
            "digest": images.digest,
            "class_names": list(names),
            **{split: images.counts(split) for split in ("train", "val", "test")},
            "notes": _notes(images, experiment, changes, decided),
            "check": dict(experiment.leaks.summary),
        },
        "arms": [
            {**arm_figures(outcome, arm, truth, names), **_counts(outcome, experiment, config)}
            for outcome, arm in zip(outcomes, measured, strict=True)
        ],
        "comparisons": changes,
        "selection": {
            "best_cheap": selection.best_cheap,
            "best_rebalancing": selection.best_rebalancing,
            "best_without": selection.best_without,
            "validation": selection.validation,
        },
        "recommendation": recommendation(outcomes, compared, selection, decided, settings, fitted),
        "exchange": exchange(outcomes, [alike[outcome.arm.name] for outcome in outcomes], experiment.material),
        "tuning": dict(experiment.selected.curve) or None,
        "equal_shares": equal,
        "groups": group_tables(
            experiment.test, outcomes, about, decided["baseline"], settings.resamples, config.seed, subjects
        ),
        **labels.figures,
        "faces": showcase(images, batch, labels, config.seed),
        "settings": {
            "seeds": seeds_of(config),
            "steps": outcomes[0].steps,
            "confidence_level": LEVEL,
            "resamples": settings.resamples,
            "margin": settings.margin,
            "accuracy_margin": settings.accuracy_margin,
            "ratio": experiment.selected.ratio,
            "weight": experiment.selected.weight,
            "weight_with_best": experiment.selected.weight_with_best,
            "way": experiment.selected.way,
            "way_with_best": experiment.selected.way_with_best,
            "soft_labels": settings.soft_labels,
            **({"fresh": found} if (found := fresh_figures(experiment.material)) else {}),
        },
        "run": _run_facts(run, experiment),
    }


def _counts(outcome: Outcome, experiment: Experiment, config: Config) -> dict[str, Any]:
    """How many images an arm trained on, how many of them synthetic, and where its trainings lie."""
    images = outcome.data.images
    synthetic = images.select(np.flatnonzero(images.source == "synthetic"))
    folder = experiment.folders[outcome.arm.name]
    return {
        "train_counts": images.counts(),
        "synthetic_counts": synthetic.counts(),
        "folder": folder,
        "folders": [f"trainings/{folder}-{seed}" for seed in seeds_of(config)],
    }


def rising(outcomes: Sequence[Outcome]) -> list[str]:
    """Which arms' trainings still improved when they were stopped."""
    found = unfinished(
        {
            o.arm.title: [t.history for t in o.trained]
            for o in outcomes
            if o.arm.after != "free" and o.trained[0].history
        }
    )
    return [words(found)] if found else []


def seeds_words(outcomes: Sequence[Outcome]) -> str:
    """What few seeds are worth."""
    if len(outcomes[0].trained) == 2:
        return "Two seeds are worth little: only large changes can be told from the luck of a training. Use five."
    return ""


def arm_figures(outcome: Outcome, measured: Measured, truth: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """An arm's test figures, without what it was trained on."""
    figures = verdict.estimates(measured, LEVEL)
    guesses = predictions(outcome)
    support = np.bincount(truth, minlength=len(names))
    per_class = {
        name: {
            **{figure: _bounds(figures.get(f"{figure}:{name}")) for figure in verdict.PER_CLASS},
            "support": int(support[k]),
        }
        for k, name in enumerate(names)
    }
    return {
        "name": outcome.arm.name,
        "title": outcome.arm.title,
        "description": "; ".join(filter(None, [outcome.arm.description, outcome.data.told])),
        "metrics": {name: figures[name].to_json() for name in verdict.OVERALL},
        "per_class": per_class,
        "confusion": sum(confusion_matrix(truth, row, labels=np.arange(len(names))) for row in guesses).tolist(),
        "steps": outcome.steps,
        "seconds": round(sum(trained.seconds for trained in outcome.trained), 1),
        "calibration": _calibration(outcome, truth),
    }


def _bounds(estimate: Estimate | None) -> dict[str, float | None]:
    """Mean and interval, all None for a class without test images."""
    if estimate is None:
        return {"mean": None, "low": None, "high": None}
    return {**estimate.bounds()}


def _calibration(outcome: Outcome, truth: np.ndarray) -> dict[str, Any]:
    """Expected calibration error over all seeds' test predictions, and the bins of the reliability diagram."""
    probabilities = np.concatenate([trained.probabilities for trained in outcome.trained])
    labels = np.tile(truth, len(outcome.trained))
    return {
        "temperature": float(np.mean([trained.temperature for trained in outcome.trained])),
        "ece": ece(probabilities, labels),
        "bins": [
            {"confidence": confidence, "accuracy": accuracy, "count": round(share * len(labels))}
            for _, share, confidence, accuracy in reliability(probabilities, labels)
        ],
    }


def _notes(
    images: ImageSet, experiment: Experiment, changes: Sequence[Mapping[str, Any]], decided: Mapping[str, Any]
) -> list[str]:
    """What a reader of the figures must know: leaks, classes too small to show anything, what was not compared."""
    outcomes, leaks = experiment.outcomes, experiment.leaks
    return [
        *_leak_notes(images, leaks),
        *size_notes(experiment.test, changes, decided),
        *arm_notes(outcomes),
    ]


def _leak_notes(images: ImageSet, leaks: Leaks) -> list[str]:
    found = {source: leaks.count(source, images) for source in ("train", "val")}
    if not any(found.values()):
        return []
    what = f"{found['train']:,} training and {found['val']:,} validation images are also in a split nearer to the test"
    return [f"{what}: the figures are better than new faces would give. Leave them out with: ganfer data check --drop."]


def size_notes(test: ImageSet, changes: Sequence[Mapping[str, Any]], decided: Mapping[str, Any]) -> list[str]:
    reach = {
        row["metric"].partition(":")[2]: row["detectable"]
        for row in changes
        if row["metric"].startswith("recall:")
        and (row["arm"], row["baseline"]) == (decided["arm"], decided["baseline"])
    }
    notes = []
    for name, n in test.counts().items():
        if not n:
            notes.append(f"{name} has no test image: nothing can be said about it.")
        elif n < fewest_images(LEVEL):
            notes.append(
                f"{name} has {n} test image(s): no change of its recall can be shown with fewer than "
                f"{fewest_images(LEVEL)}."
            )
        elif n < _FEW and name in reach:
            notes.append(f"{name} has {n} test images, which can show no change under {100 * reach[name]:.0f} points.")
    return notes


def arm_notes(outcomes: Sequence[Outcome]) -> list[str]:
    notes = []
    if not any(outcome.arm.role == "cheap" for outcome in outcomes):
        notes.append(
            "No cheap alternative was compared (leave --arms out, or add oversample and logit-adjusted): drawing the "
            "rare classes more often may bring the same."
        )
    if len(outcomes[0].trained) == 1:
        notes.append("One seed per arm: what another training would bring is not known, so no change has a word.")
    made_on = sorted({model.made_on for outcome in outcomes for model in outcome.trained if model.made_on})
    if len(made_on) > 1:
        notes.append(
            f"Some models were trained on {' and some on '.join(made_on)}: arms may differ for that alone. Remove this "
            "report's folder, and run the command again on one kind of device."
        )
    return notes


def _run_facts(run: Run, experiment: Experiment) -> dict[str, Any]:
    record, outcomes, budget = run.record, experiment.outcomes, experiment.budget
    return {
        **{name: record.get(name) for name in ("command", "stage", "machine", "versions", "started", "seconds")},
        "device": outcomes[0].trained[0].device,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "budget": {"trainings": budget.trainings, "seconds": budget.seconds, "source": budget.source},
        "times": [
            {"stage": f"train {outcome.arm.name}", "seconds": round(sum(t.seconds for t in outcome.trained), 1)}
            for outcome in outcomes
        ],
    }
