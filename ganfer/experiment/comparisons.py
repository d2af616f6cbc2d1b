"""Which arms are compared with which, with what word each change is called by, and the verdict on top of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganfer.config import RetrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Outcome
from ganfer.statistics import verdict
from ganfer.statistics.significance import detectable, holm, mcnemar
from ganfer.statistics.verdict import Claim, Estimate, Measured, points

LEVEL = 0.95  # of every interval
PRIMARY = "balanced_accuracy"


@dataclass(frozen=True)
class Selection:
    """What validation chose: the best cheap arm and the best rebalancing one ("" where none was trained), and each
    arm's mean balanced accuracy there."""

    best_cheap: str
    best_rebalancing: str
    validation: dict[str, float]


@dataclass(frozen=True)
class Compared:
    """An arm against a baseline: the change of every figure, and McNemar's test of the accuracy."""

    arm: str
    baseline: str
    changes: dict[str, Estimate]
    test: dict[str, float]
    every_class: bool


def compare(
    outcomes: Sequence[Outcome], measured: Sequence[Measured], truth: np.ndarray, selection: Selection
) -> list[Compared]:
    """Every arm with the first, then the arms with synthetic faces with the best cheap one and with the placebos."""
    place = {outcome.arm.name: i for i, outcome in enumerate(outcomes)}
    role = {outcome.arm.name: outcome.arm.role for outcome in outcomes}
    first = outcomes[0].arm.name
    pairs = [(name, first, True) for name in list(place)[1:]]
    synthetic = [name for name in place if role[name] == "synthetic"]
    if selection.best_cheap:
        pairs += [(name, selection.best_cheap, True) for name in synthetic]
    if "synthetic" in place:
        pairs += [("synthetic", name, False) for name in place if role[name] == "placebo"]
    found = []
    for name, baseline, every_class in pairs:
        table = verdict.changes(measured[place[name]], measured[place[baseline]], LEVEL)
        test = mcnemar(truth, predictions(outcomes[place[name]]), predictions(outcomes[place[baseline]]))
        facts = {"better": test.better, "worse": test.worse, "p": test.p}
        found.append(Compared(name, baseline, table, facts, every_class))
    return found


def predictions(outcome: Outcome) -> np.ndarray:
    """(S, N) int64, one row per seed."""
    return np.stack([trained.probabilities.argmax(axis=1) for trained in outcome.trained])


def mean_level(images: ImageSet, guesses: Sequence[np.ndarray]) -> float:
    """The balanced accuracy on labelled images, the mean over the seeds; a row (N,) of guessed classes for each."""
    ones = np.ones((1, len(images)), np.float32)
    return float(np.mean([verdict.scores(images.labels, g, images.class_names, ones)[PRIMARY][0] for g in guesses]))


def rows(
    compared: Sequence[Compared], settings: RetrainConfig, about: str, named: Sequence[str]
) -> list[dict[str, Any]]:
    """The comparisons as `results.json` holds them.

    Words are Holm-corrected within each family of like claims: one metric over all comparisons, and one measure over
    the classes of one comparison. Not corrected are the claims named beforehand, on which the verdict rests: the arm it
    is `about` against the `named` baselines.
    """
    adjusted = _adjusted(compared, {(about, baseline) for baseline in named})
    found = []
    for i, pair in enumerate(compared):
        for metric, change in pair.changes.items():
            if ":" in metric and not pair.every_class:
                continue
            p = adjusted[i, metric]
            reach = detectable(change, level=LEVEL)
            found.append(
                {
                    "arm": pair.arm,
                    "baseline": pair.baseline,
                    "metric": metric,
                    "change": change.mean,
                    "low": change.low,
                    "high": change.high,
                    "word": verdict.word(change, settings.margin, adjusted=p, level=LEVEL),
                    "p": change.p,
                    "p_holm": p,
                    "detectable": reach.least,
                    "detectable_80": reach.likely,
                    **({"mcnemar": pair.test} if metric == "accuracy" else {}),
                }
            )
    return found


def _adjusted(compared: Sequence[Compared], claims: Collection[tuple[str, str]]) -> dict[tuple[int, str], float]:
    families: dict[object, dict[tuple[int, str], float]] = {}
    for i, pair in enumerate(compared):
        alone = (pair.arm, pair.baseline) in claims
        for metric, change in pair.changes.items():
            measure, colon, _ = metric.partition(":")
            family: object = (i, measure) if colon or alone else measure
            families.setdefault(family, {})[i, metric] = change.p
    return {key: p for family in families.values() for key, p in holm(family).items()}


def claimed(outcomes: Sequence[Outcome], selection: Selection) -> tuple[str, list[str]]:
    """The arm that the verdict is about, and the baselines it is measured against.

    It is about `synthetic+best` where that was trained, which must gain over the best cheap arm and over the original;
    else about `synthetic`, else about the first other arm, against the original.
    """
    names = [outcome.arm.name for outcome in outcomes[1:]]
    about = next((name for name in ("synthetic+best", "synthetic") if name in names), names[0])
    first = outcomes[0].arm.name
    return about, [selection.best_cheap, first] if about == "synthetic+best" and selection.best_cheap else [first]


def decide(
    outcomes: Sequence[Outcome], compared: Sequence[Compared], selection: Selection, settings: RetrainConfig
) -> dict[str, Any]:
    """The verdict for `results.json`. Beside a verdict on `synthetic`, what the best cheap arm brings is said."""
    title = {outcome.arm.name: outcome.arm.title.lower() for outcome in outcomes}
    table = {(pair.arm, pair.baseline): pair.changes for pair in compared}
    first = outcomes[0].arm.name
    about, baselines = claimed(outcomes, selection)
    cheap = selection.best_cheap
    against = {first: "the original training", cheap: f"{title.get(cheap, '')} alone, the best cheap arm"}
    claims = [Claim(against[baseline], table[about, baseline]) for baseline in baselines]
    what = {
        "synthetic": "The synthetic faces",
        "synthetic+best": f"The synthetic faces, with {title.get(selection.best_rebalancing, '')},",
    }.get(about, f"The arm {about}")
    word, sentence, deciding, beside_it = verdict.verdict(
        claims, what=what, margin=settings.margin, accuracy_margin=settings.accuracy_margin
    )
    if about == "synthetic" and cheap:
        beside = table[cheap, first]
        figures = f"balanced accuracy {points(beside[PRIMARY])}, accuracy {points(beside['accuracy'])} points"
        beside_it = f"Without any of them, {title[cheap]} brings {figures}."
    return {
        "word": word, "sentence": sentence, "beside": beside_it, "arm": about, "baseline": baselines[deciding],
    }  # fmt: skip
