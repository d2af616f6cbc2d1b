"""The rule behind the verdict: what must hold before the faces are said to help. Pure.

*helps* needs all of: balanced accuracy above the best arm without synthetic images (chosen on validation), and above
the original training; accuracy that falls by no more than is allowed against that arm, by its interval's lower end; and
a gain that stays, by its interval's lower end, where every model's class biases are fitted alike, which a pure shift of
thresholds passes once in forty times. All are needed, so none is corrected for the others (intersection-union test,
Berger 1982). *hurts* and the other words speak of the first comparison alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ganfer.statistics.verdict import Estimate, points, word

PRIMARY = "balanced_accuracy"


@dataclass(frozen=True)
class Claim:
    """A comparison that a verdict rests on. against: the baseline in words. table: the change of every figure."""

    against: str
    table: Mapping[str, Estimate]


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    first: against the best arm without synthetic images. original: against plain training, None where that is the
    first. fitted: the change of balanced accuracy with every model's class biases fitted, None where it was not
    measured. missing: what was not compared and has to be for *helps*, in words; "" where all was.
    """

    first: Claim
    original: Claim | None = None
    fitted: Estimate | None = None
    missing: str = ""


class Verdict(NamedTuple):
    """A word, the sentence for the top of the report, whether the claim against the original decided, and what belongs
    beside it."""

    word: str
    sentence: str
    by_original: bool
    beside: str


def verdict(
    evidence: Evidence, *, what: str = "These synthetic faces", margin: float, accuracy_margin: float
) -> Verdict:
    """The verdict on an arm; `what` begins its sentence."""
    first, original = evidence.first, evidence.original
    answer = word(first.table[PRIMARY], margin)
    if answer != "helps":
        return Verdict(answer, _plain(evidence, answer, what, margin), False, _beside(original))
    doubt = _doubt(evidence, what, accuracy_margin)
    if doubt:
        by_original = original is not None and not original.table[PRIMARY].low > 0
        claim = original if original is not None and by_original else first
        rest = first if by_original else original
        return Verdict("cannot tell", f"{doubt}: {_figures(claim)}. {_ruled_out(claim)}", by_original, _beside(rest))
    return Verdict("helps", f"{what} help: {_figures(first)}. {_ruled_out(first)}", False, _beside(original))


def _doubt(evidence: Evidence, what: str, accuracy_margin: float) -> str:
    """Why a gain against the first baseline is no *helps* yet; "" where nothing is in the way."""
    first, original, allowed = evidence.first, evidence.original, f"{100 * accuracy_margin:.1f} points allowed"
    accuracy = first.table["accuracy"]
    if original is not None and not original.table[PRIMARY].low > 0:
        return f"{what} gain over {first.against}, but not clearly over plain training"
    if evidence.missing:
        return f"{what} gain over plain training, but were not compared with {evidence.missing}"
    if accuracy.high < -accuracy_margin:
        return f"{what} gain balanced accuracy, but accuracy falls by more than the {allowed}"
    if accuracy.low < -accuracy_margin:
        return f"{what} gain balanced accuracy; their cost in accuracy is not known (it may exceed the {allowed})"
    if evidence.fitted is not None and evidence.fitted.low <= 0:
        clearly = "no more" if evidence.fitted.mean <= 0 else "not clearly more"
        return (
            f"{what} gain {clearly} than a moved threshold does: with class biases fitted on validation in every arm, "
            f"balanced accuracy changes by {points(evidence.fitted)} points. As trained"
        )
    return ""


def _plain(evidence: Evidence, answer: str, what: str, margin: float) -> str:
    first = evidence.first
    change = first.table[PRIMARY]
    if len(change.per_seed) == 1:
        return (
            f"This experiment cannot tell whether {_lower(what)} help: one seed does not show what another training "
            f"would bring ({_figures(first)})."
        )
    said = {
        "hurts": f"{what} hurt",
        "no difference": f"{what} make no difference beyond ±{100 * margin:g} point(s)",
        "does not help": f"{what} do not help",
        "cannot tell": f"This experiment cannot tell whether {_lower(what)} help",
    }[answer]
    return f"{said}: {_figures(first)}. {_ruled_out(first)}"


def _lower(what: str) -> str:
    return what[0].lower() + what[1:]


def _beside(claim: Claim | None) -> str:
    return "" if claim is None else f"Against {claim.against}: {_changes(claim)}."


def _figures(claim: Claim) -> str:
    return f"{_changes(claim)}, against {claim.against}"


def _changes(claim: Claim) -> str:
    return "balanced accuracy {}, accuracy {} points".format(
        points(claim.table[PRIMARY]), points(claim.table["accuracy"])
    )


def _ruled_out(claim: Claim) -> str:
    high = 100 * claim.table[PRIMARY].high
    if high <= 0:
        return "Any gain is ruled out."
    return f"A gain of more than {high:.1f} points is ruled out."
