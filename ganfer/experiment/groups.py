"""The same comparison within groups of test images (age, gender, source of the picture): who gains and who loses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Outcome
from ganfer.experiment.comparisons import LEVEL, predictions
from ganfer.statistics import verdict
from ganfer.statistics.verdict import Measured

_SMALLEST = 20  # test images; a smaller group is counted, not measured
_MOST = 12  # values a column may have to be a grouping; more are rather names or numbers
_METRICS = ("balanced_accuracy", "accuracy")


def group_tables(
    test: ImageSet,
    outcomes: Sequence[Outcome],
    arm: str,
    baseline: str,
    resamples: int,
    seed: int,
    subjects: np.ndarray | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Per grouping column of the test images, a row per value: how many images, both arms' figures and their change.

    Balanced accuracy is over the classes that the group has. Figures are None for a group of fewer than 20 images.
    subjects: (N,) as in `ganfer.statistics.verdict.measure`.
    """
    both = [next(outcome for outcome in outcomes if outcome.arm.name == name) for name in (arm, baseline)]

    def measured(outcome: Outcome, members: np.ndarray) -> Measured:
        return verdict.measure(
            test.labels[members],
            predictions(outcome)[:, members],
            test.class_names,
            resamples=resamples,
            seed=seed,
            groups=None if subjects is None else subjects[members],
            generators=outcome.generators,
        )

    def row(members: np.ndarray) -> dict[str, Any]:
        if int(members.sum()) < _SMALLEST:
            return dict.fromkeys(("before", "after", "change"))
        after, before = (measured(outcome, members) for outcome in both)
        tables = [
            verdict.estimates(before, LEVEL),
            verdict.estimates(after, LEVEL),
            verdict.changes(after, before, LEVEL),
        ]
        return {
            part: {metric: table[metric].bounds() for metric in _METRICS}
            for part, table in zip(("before", "after", "change"), tables, strict=True)
        }

    found = {}
    for column, values in sorted(test.attributes.items()):
        there, counts = np.unique(values, return_counts=True)
        known = [(str(value), int(n)) for value, n in zip(there, counts, strict=True) if value != ""]
        if 2 <= len(known) <= _MOST:
            found[column] = [{"value": value, "count": n, **row(values == value)} for value, n in known]
    return found
