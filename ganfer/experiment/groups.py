"""The same comparison within groups of test images (age, gender, source of the picture): who gains and who loses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Outcome
from ganfer.experiment.comparisons import LEVEL, predictions
from ganfer.statistics import verdict

_SMALLEST = 20  # test images; a smaller group is counted, not measured
_MOST = 12  # values a column may have to be a grouping; more are rather names or numbers
_METRICS = ("balanced_accuracy", "accuracy")


def group_tables(
    test: ImageSet, outcomes: Sequence[Outcome], arm: str, baseline: str, resamples: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Per grouping column of the test images, a row per value: how many images, both arms' figures and their change.

    Balanced accuracy is over the classes that the group has. Figures are None for a group of fewer than 20 images.
    """
    by_name = {outcome.arm.name: predictions(outcome) for outcome in outcomes}
    tables = {}
    for column, values in sorted(test.attributes.items()):
        found, counts = np.unique(values, return_counts=True)
        known = [(str(value), int(n)) for value, n in zip(found, counts, strict=True) if value != ""]
        if not 2 <= len(known) <= _MOST:
            continue
        tables[column] = [
            {
                "value": value,
                "count": n,
                **_row(test, values == value, by_name[arm], by_name[baseline], resamples, seed),
            }
            for value, n in known
        ]
    return tables


def _row(
    test: ImageSet, members: np.ndarray, arm: np.ndarray, baseline: np.ndarray, resamples: int, seed: int
) -> dict[str, Any]:
    if int(members.sum()) < _SMALLEST:
        return dict.fromkeys(("before", "after", "change"))
    labels = test.labels[members]
    after, before = (
        verdict.measure(labels, rows[:, members], test.class_names, resamples=resamples, seed=seed)
        for rows in (arm, baseline)
    )
    levels = [verdict.estimates(measured, LEVEL) for measured in (before, after)]
    change = verdict.changes(after, before, LEVEL)
    return {
        part: {metric: table[metric].bounds() for metric in _METRICS}
        for part, table in zip(("before", "after", "change"), (*levels, change), strict=True)
    }
