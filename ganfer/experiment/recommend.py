"""Which arm to use, in one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.config import RetrainConfig
from ganfer.experiment.arms import Outcome
from ganfer.experiment.comparisons import PRIMARY, Compared, Selection, claimed, corrected, missing
from ganfer.statistics import rule
from ganfer.statistics.rule import Claim, Evidence
from ganfer.statistics.verdict import Estimate, points, word

_BY_MORE = ("synthetic", "pool")  # roles of arms that need images beside yours; what they bring has to be shown
_NEVER = ("placebo", "ceiling")  # of arms that are there to be compared with

Tables = Mapping[tuple[str, str], Mapping[str, Estimate]]


def recommendation(
    outcomes: Sequence[Outcome], compared: Sequence[Compared], selection: Selection, decided: Mapping[str, Any],
    settings: RetrainConfig, fitted: Mapping[str, Estimate],
) -> dict[str, Any]:  # fmt: skip
    """Which arm to use: one that needs more images than yours where it was shown to help, else the best on validation
    without, and the original where the test shows that this one hurts.

    Shown is what the verdict calls *helps*; and, of the arms that it is not about, what passes the same rule by
    Holm-corrected intervals and is better on validation than the best arm without. Of several the best on validation
    is taken. Where no way without more images was compared, a gain over plain training is enough. fitted: by arm, the
    change of balanced accuracy with class biases fitted in every arm, where it was measured.
    """
    first, alone = outcomes[0].arm.name, not selection.best_cheap
    tables = {(pair.arm, pair.baseline): pair.changes for pair in compared}
    shown = _shown(outcomes, compared, selection, decided, settings, fitted)
    arm = max(shown, key=lambda name: selection.validation[name]) if shown else selection.best_without or first
    outcome = next(outcome for outcome in outcomes if outcome.arm.name == arm)
    title = outcome.arm.title
    if arm == first:
        sentence = "Keep the original training: no way without synthetic images was better on validation."
        if alone:
            sentence = "Keep the original training, and compare the cheap ways with it: ganfer retrain."
        return {"arm": arm, "title": title, "sentence": sentence, "gain": None, "accuracy": None}
    change = tables[arm, first]
    if arm not in shown and word(change[PRIMARY], settings.margin) == "hurts":
        sentence = (
            f"Keep the original training: {_lower(title)} ({arm}) was better on validation, but on the test it changes "
            f"balanced accuracy by {points(change[PRIMARY])} points."
        )
        return {"arm": first, "title": outcomes[0].arm.title, "sentence": sentence, "gain": None, "accuracy": None}
    sentence = (
        f"Use {_lower(title)} ({arm}): balanced accuracy {points(change[PRIMARY])} points over the original training, "
        f"{_cost(change['accuracy'])}{_time(outcomes, arm)}."
    )
    if outcome.arm.role == "pool":
        count = len(outcome.data.images) - len(outcomes[0].data.images)
        sentence += (
            f" It takes {count:,} real faces from the pool with the labeller's labels: look these over and add the "
            "faces as data."
        )
    if alone and outcome.arm.role in _BY_MORE:
        sentence += " Compare it with oversampling first: ganfer retrain."
    return {
        "arm": arm, "title": title, "sentence": sentence, "gain": change[PRIMARY].bounds(),
        "accuracy": change["accuracy"].bounds(),
    }  # fmt: skip


def _shown(
    outcomes: Sequence[Outcome], compared: Sequence[Compared], selection: Selection, decided: Mapping[str, Any],
    settings: RetrainConfig, fitted: Mapping[str, Estimate],
) -> list[str]:  # fmt: skip
    """The arms that were shown to help, of those that need more images than yours and the one the verdict is about."""
    about, first = str(decided["arm"]), outcomes[0].arm.name
    tables: Tables = {(pair.arm, pair.baseline): pair.changes for pair in compared}
    strict: Tables = corrected(compared, *claimed(outcomes, selection))
    without, alone = selection.best_without or first, not selection.best_cheap
    found = []
    for arm in (outcome.arm for outcome in outcomes[1:]):
        name = arm.name
        if arm.role in _NEVER or not (arm.role in _BY_MORE or name == about):
            continue
        its = tables if name == about else strict
        more = alone and arm.role in _BY_MORE and len(outcomes[0].trained) > 1
        gains = more and its[name, first][PRIMARY].low > 0
        if name == about:
            helps = decided["word"] == "helps"
        else:
            above = selection.validation[name] > selection.validation[without]
            against = dict.fromkeys([without, *filter(None, [arm.rival])])
            helps = above and all(_helps(its, name, rival, outcomes, settings, fitted.get(name)) for rival in against)
        if helps or gains:
            found.append(name)
    return found


def _helps(
    tables: Tables, arm: str, baseline: str, outcomes: Sequence[Outcome], settings: RetrainConfig,
    fitted: Estimate | None,
) -> bool:  # fmt: skip
    """Whether the verdict's rule would call it so against this baseline."""
    first = outcomes[0].arm.name
    evidence = Evidence(
        Claim(baseline, tables[arm, baseline]),
        Claim(first, tables[arm, first]) if baseline != first else None,
        fitted,
        missing([outcome.arm.name for outcome in outcomes]),
    )
    return rule.verdict(evidence, margin=settings.margin, accuracy_margin=settings.accuracy_margin).word == "helps"


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
