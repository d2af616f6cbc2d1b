"""Every arm once more, decided for balanced accuracy: is there more behind a gain than a moved threshold?

Rebalancing, and faces of a rare class too, make a classifier say rare classes more often. That alone raises balanced
accuracy, and after training it costs nothing: class biases fitted on validation do it. Where every arm has them, what
is left between two arms is what they learned. A gain of which nothing is left is no help.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Outcome
from ganfer.experiment.comparisons import LEVEL, arms_without_faces, mean_level, trained_apart
from ganfer.experiment.fitted import fit_biases
from ganfer.statistics import verdict
from ganfer.statistics.verdict import Estimate, Measured

_METRICS = ("balanced_accuracy", "accuracy")


def at_equal_shares(
    val: ImageSet,
    test: ImageSet,
    outcomes: Sequence[Outcome],
    resamples: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, Any], dict[str, Estimate], dict[str, Measured]]:
    """Of every arm the figures, and their change from the best arm without faces (by validation, decided alike).

    Every model's class biases are fitted on `val` (`classifiers.prior_shift`, the probabilities taken as they are) and
    used on its test probabilities. The first value is for `results.json`: "best" is that arm's name, its own row has no
    change. The second holds each other arm's change of balanced accuracy, the third what was measured of every arm.
    """
    decided: dict[str, Measured] = {}
    on_val: dict[str, float] = {}
    for outcome in outcomes:
        pairs = [_decided(val.labels, each.validation, each.probabilities) for each in outcome.trained]
        on_val[outcome.arm.name] = mean_level(val, [own for own, _ in pairs])
        decided[outcome.arm.name] = verdict.measure(
            test.labels,
            np.stack([rows for _, rows in pairs]),
            test.class_names,
            resamples=resamples,
            seed=seed,
            groups=groups,
            generators=outcome.generators,
        )
    without = arms_without_faces()
    best = max((name for name in on_val if name in without), key=lambda name: on_val[name])
    among = trained_apart(outcomes, list(decided.values()))
    changes = {
        name: verdict.changes(measured, decided[best], LEVEL, among=among)
        for name, measured in decided.items()
        if name != best
    }
    table = {
        "best": best,
        "arms": [
            {
                "name": name,
                "metrics": _bounds(verdict.estimates(measured, LEVEL)),
                "change": _bounds(changes[name]) if name in changes else None,
            }
            for name, measured in decided.items()
        ],
    }
    return table, {name: change["balanced_accuracy"] for name, change in changes.items()}, decided


def _decided(labels: np.ndarray, validation: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes (V,) and (N,) that a model says of both sets with biases fitted on the first."""
    fitted = fit_biases(labels, validation)
    return fitted(validation).argmax(axis=1), fitted(test).argmax(axis=1)


def _bounds(table: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    return {metric: table[metric].bounds() for metric in _METRICS}
