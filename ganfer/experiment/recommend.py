"""Which arm to use, in one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.experiment.arms import ARMS, Outcome
from ganfer.experiment.comparisons import PRIMARY, Compared, Selection
from ganfer.statistics.verdict import Estimate, points


def recommendation(
    outcomes: Sequence[Outcome], compared: Sequence[Compared], selection: Selection, decided: Mapping[str, Any]
) -> dict[str, Any]:
    """Which arm to use: the verdict's where it helps, else the best on validation without synthetic images.

    Where no way without them was compared, the faces are recommended when they gain over plain training.
    """
    about, first = str(decided["arm"]), outcomes[0].arm.name
    tables = {(pair.arm, pair.baseline): pair.changes for pair in compared}
    gains = ARMS[about].synthetic and tables[about, first][PRIMARY].low > 0 and len(outcomes[0].trained) > 1
    alone = not selection.best_cheap
    arm = about if decided["word"] == "helps" or (alone and gains) else selection.best_without or first
    title = next(outcome.arm.title for outcome in outcomes if outcome.arm.name == arm)
    if arm == first:
        sentence = "Keep the original training: no way without synthetic images was better on validation."
        if alone:
            sentence = "Keep the original training, and compare the cheap ways with it: ganfer retrain."
        return {"arm": arm, "title": title, "sentence": sentence, "gain": None, "accuracy": None}
    change = tables[arm, first]
    sentence = (
        f"Use {_lower(title)} ({arm}): balanced accuracy {points(change[PRIMARY])} points over the original training, "
        f"{_cost(change['accuracy'])}{_time(outcomes, arm)}."
    )
    if alone and ARMS[arm].synthetic:
        sentence += " Compare it with oversampling first: ganfer retrain."
    return {
        "arm": arm, "title": title, "sentence": sentence, "gain": change[PRIMARY].bounds(),
        "accuracy": change["accuracy"].bounds(),
    }  # fmt: skip


def _lower(title: str) -> str:
    return title if title[:2].isupper() else title[0].lower() + title[1:]


def _cost(accuracy: Estimate) -> str:
    if accuracy.mean < 0:
        cost = points(Estimate(-accuracy.mean, -accuracy.high, -accuracy.low)).replace("+", "")
        return f"which costs {cost} points of accuracy"
    return f"accuracy {points(accuracy)}"


def _time(outcomes: Sequence[Outcome], arm: str) -> str:
    """How much longer its trainings took, where it is worth a word."""
    seconds = {outcome.arm.name: sum(each.seconds for each in outcome.trained) for outcome in outcomes}
    base = seconds[outcomes[0].arm.name]
    ratio = seconds[arm] / base if base > 0 else 1.0
    return f"; a training takes {ratio:.1f} times as long" if ratio > 1.2 else ""
