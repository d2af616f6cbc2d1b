"""Every arm once more, decided for balanced accuracy: is there more behind a gain than a moved threshold?

Rebalancing, and faces of a rare class too, make a classifier say rare classes more often. That alone raises balanced
accuracy, and after training it costs nothing: class biases fitted on validation do it. Where every arm has them, what
is left between two arms is what they learned.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from classifiers.prior_shift import EqualShares
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Outcome
from ganfer.experiment.comparisons import LEVEL, mean_level
from ganfer.statistics import verdict
from ganfer.statistics.verdict import Estimate

_METRICS = ("balanced_accuracy", "accuracy")


def at_equal_shares(
    val: ImageSet, test: ImageSet, outcomes: Sequence[Outcome], resamples: int, seed: int
) -> dict[str, Any]:
    """Of every arm the figures, and their change from the best arm without faces (by validation, decided alike).

    Every model's class biases are fitted on `val` (`classifiers.prior_shift`, the probabilities taken as they are) and
    used on its test probabilities. "best" is that arm's name, its own row has no change.
    """
    decided, on_val = {}, {}
    for outcome in outcomes:
        pairs = [_decided(val.labels, each.validation, each.probabilities) for each in outcome.trained]
        on_val[outcome.arm.name] = mean_level(val, [own for own, _ in pairs])
        decided[outcome.arm.name] = verdict.measure(
            test.labels, np.stack([rows for _, rows in pairs]), test.class_names, resamples=resamples, seed=seed
        )
    real = [outcome.arm.name for outcome in outcomes if outcome.arm.role in ("baseline", "cheap")]
    best = max(real, key=lambda name: on_val[name])
    return {
        "best": best,
        "arms": [
            {
                "name": name,
                "metrics": _bounds(verdict.estimates(measured, LEVEL)),
                "change": None if name == best else _bounds(verdict.changes(measured, decided[best], LEVEL)),
            }
            for name, measured in decided.items()
        ],
    }


def _decided(labels: np.ndarray, validation: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes (V,) and (N,) that a model says of both sets with biases fitted on the first."""
    count = validation.shape[1]
    fitted = EqualShares.fit(validation, labels, np.full(count, 1.0 / count))
    return fitted(validation).argmax(axis=1), fitted(test).argmax(axis=1)


def _bounds(table: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    return {metric: table[metric].bounds() for metric in _METRICS}
