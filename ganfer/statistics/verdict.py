"""What changed, and how sure it is: paired estimates with intervals, and one word per claim. Pure functions.

Two arms are compared on the same test images and the same seeds. Two things are random: which images are in the test
(bootstrapped within each class) and what a training's seed brings (the spread over paired seeds). Both go into the
interval, the seeds with Student's t, so that three seeds are not taken for thirty (Bouthillier et al. 2021, "Accounting
for Variance in Machine Learning Benchmarks"). How well that holds where the truth is known: docs/verdict.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from classifiers.scores import scores as class_scores
from ganfer.runtime.seeding import stream

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
PER_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Estimate:
    """A figure or a change of one, as a fraction, with its interval and the value of every seed.

    error: standard error. freedom: degrees of freedom of the t distribution behind the interval.
    """

    mean: float
    low: float
    high: float
    per_seed: tuple[float, ...] = ()
    error: float = float("nan")
    freedom: float = float("inf")

    @property
    def p(self) -> float:
        """Two-sided p-value of "it is 0", from Student's t; 1 where the standard error is unknown or 0."""
        if not self.error > 0:
            return 1.0
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.freedom))

    def bounds(self) -> dict[str, float]:
        """Mean and interval alone, for `results.json`."""
        return {"mean": self.mean, "low": self.low, "high": self.high}

    def to_json(self) -> dict[str, object]:
        """Plain values for `results.json`."""
        return {**self.bounds(), "per_seed": list(self.per_seed)}


_MOST_WEIGHTS = 1 << 27  # drawn at a time; half a gigabyte


def bootstrap_weights(labels: np.ndarray, resamples: int, seed: int, piece: int = 0) -> np.ndarray:
    """How often each test image is drawn in each resample, within its class: (resamples, N) float32.

    Stratified, because the class counts of a test split are chosen, not observed; a class is never resampled away.
    piece: other resamples at the same seed.
    """
    rng = stream(seed, "bootstrap", *([piece] if piece else []))
    weights = np.zeros((resamples, len(labels)), dtype=np.float32)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return weights


def scores(
    labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Every figure, for every weighting of the test images.

    labels: (N,) int64. predictions: (N,) int64 of one seed. weights: (R, N), ones for the plain figure.
    Returns (R,) float64 arrays under "accuracy", "balanced_accuracy", "macro_f1", "recall:<class>", ... A class without
    test images has no recall and is left out of the means, as in scikit-learn's balanced accuracy; a class that is
    never predicted has precision 0.
    """
    count = len(class_names)
    truth = np.eye(count, dtype=np.float32)[labels]
    guess = np.eye(count, dtype=np.float32)[predictions]
    support = (weights @ truth).astype(np.float64)
    guessed = (weights @ guess).astype(np.float64)
    hits = (weights @ (truth * guess)).astype(np.float64)
    found = class_scores(hits, support, guessed)
    table = {name: found[name] for name in OVERALL}
    for i in np.flatnonzero(truth.any(axis=0)).tolist():
        table |= {f"{figure}:{class_names[i]}": found[figure][:, i] for figure in PER_CLASS}
    return table


@dataclass(frozen=True)
class Measured:
    """One arm's figures: `plain[name]` is (S,), one per seed; `resampled[name]` is (S, R), over test resamples."""

    plain: Mapping[str, np.ndarray]
    resampled: Mapping[str, np.ndarray]
    floors: Mapping[str, float]


def measure(
    labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str], *, resamples: int, seed: int = 0
) -> Measured:
    """All figures of one arm. labels: (N,); predictions: (S, N), one row per seed, in the order of the paired seeds."""
    ones = np.ones((1, len(labels)), dtype=np.float32)
    plain = [scores(labels, row, class_names, ones) for row in predictions]
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in plain[0]}
    at_once = max(1, _MOST_WEIGHTS // max(1, len(labels)))
    for piece, start in enumerate(range(0, resamples, at_once)):
        count = min(at_once, resamples - start)
        weights = _shared_weights(labels.astype(np.int64).tobytes(), count, seed, piece)
        drawn = [scores(labels, row, class_names, weights) for row in predictions]
        for name, parts in resampled.items():
            parts.append(np.stack([table[name] for table in drawn]))
    return Measured(
        {name: np.array([table[name][0] for table in plain]) for name in plain[0]},
        {name: np.concatenate(parts, axis=1) for name, parts in resampled.items()},
        _floors(labels, class_names),
    )


@lru_cache(maxsize=1)
def _shared_weights(labels: bytes, resamples: int, seed: int, piece: int) -> np.ndarray:
    """All arms are measured with the same resamples, one after the other: they are drawn once."""
    return bootstrap_weights(np.frombuffer(labels, np.int64), resamples, seed, piece)


def _floors(labels: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """The least variance a figure's test images can stand for, so that 0 of 5 errors is no proof of perfection.

    Half a pseudo-image in each cell of the 2x2 table (Agresti & Min 2005) leaves 1 / (n + 2)^2 where nothing differs.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    by_class = {name: 1.0 / (n + 2) ** 2 for name, n in zip(class_names, counts, strict=True) if n}
    present = [n for n in counts if n]
    total = float(sum(present))
    overall = {
        "accuracy": sum((n / total) ** 2 / (n + 2) ** 2 for n in present),
        "balanced_accuracy": sum(by_class.values()) / len(present) ** 2,
        "macro_f1": sum(by_class.values()) / len(present) ** 2,
    }
    return overall | {f"{figure}:{name}": floor for name, floor in by_class.items() for figure in PER_CLASS}


def estimates(arm: Measured, level: float = 0.95) -> dict[str, Estimate]:
    """Each figure of one arm with its interval."""
    return {n: _interval(arm.plain[n], arm.resampled[n], arm.floors[n], level, (0.0, 1.0)) for n in arm.plain}


def changes(arm: Measured, baseline: Measured, level: float = 0.95) -> dict[str, Estimate]:
    """Each figure's change from `baseline` to `arm`, paired by seed and by resample."""
    return {
        name: _interval(
            arm.plain[name] - baseline.plain[name],
            arm.resampled[name] - baseline.resampled[name],
            arm.floors[name],
            level,
            (-1.0, 1.0),
        )
        for name in arm.plain
    }


def _interval(
    plain: np.ndarray, resampled: np.ndarray, floor: float, level: float, limits: tuple[float, float]
) -> Estimate:
    """The interval from the variances over test images and over seeds. plain (S,); resampled (S, R).

    What a single prediction's luck brings shows in both: it is taken out of the images' part, because the spread over
    the seeds holds all of it. Each part has its own quantile, the normal one and Student's t for the few seeds.
    """
    mean, seeds = float(plain.mean()), len(plain)
    together = float(resampled.mean(axis=0).var(ddof=1))
    images, training = together, 0.0
    if seeds > 1:
        alone = float(resampled.var(axis=1, ddof=1).mean())
        images = max(0.0, together - max(0.0, alone - together) / (seeds - 1))
        training = float(plain.var(ddof=1)) / seeds
    images = max(images, floor - training)
    tail = 0.5 + level / 2
    normal = float(special.ndtri(tail))
    student = float(special.stdtrit(seeds - 1, tail)) if seeds > 1 else normal
    half = (normal**2 * images + student**2 * training) ** 0.5
    error = (images + training) ** 0.5
    low, high = max(limits[0], mean - half), min(limits[1], mean + half)
    freedom = _freedom(half / error, tail, seeds - 1)
    return Estimate(mean, low, high, tuple(float(x) for x in plain), error, freedom)


def _freedom(quantile: float, tail: float, least: int) -> float:
    """The degrees of freedom whose t quantile is `quantile`, so that p-values agree with the interval."""
    most = 1e6
    if least < 1 or quantile <= special.stdtrit(most, tail):
        return float("inf")
    if quantile >= special.stdtrit(least, tail):
        return float(least)
    return float(optimize.brentq(lambda freedom: special.stdtrit(freedom, tail) - quantile, least, most))


def word(change: Estimate, margin: float, *, adjusted: float | None = None, level: float = 0.95) -> str:
    """helps / hurts when the interval excludes 0; no difference when it lies within ±margin; else cannot tell.

    adjusted: the p-value corrected for several claims (`significance.holm`); it must then be below 1 - level, too.
    """
    found = adjusted is None or adjusted < 1 - level
    if change.low > 0 and found:
        return "helps"
    if change.high < 0 and found:
        return "hurts"
    return "no difference" if -margin <= change.low and change.high <= margin else "cannot tell"


@dataclass(frozen=True)
class Claim:
    """A comparison that a verdict rests on. against: the baseline in words. table: the change of every figure."""

    against: str
    table: Mapping[str, Estimate]


class Verdict(NamedTuple):
    """A word, the sentence for the top of the report, the place of the deciding claim, and what belongs beside it."""

    word: str
    sentence: str
    deciding: int
    beside: str


def verdict(
    claims: Sequence[Claim], *, what: str = "The synthetic faces", margin: float, accuracy_margin: float
) -> Verdict:
    """The verdict on an arm.

    Balanced accuracy decides. A gain that costs more than `accuracy_margin` of plain accuracy is not called a help. Of
    several claims the weakest decides: "helps" needs all of them, so none needs correcting for the others
    (intersection-union test, Berger 1982).
    """
    words = [_claim_word(claim, margin, accuracy_margin) for claim in claims]
    severity = ("helps", "no difference", "cannot tell", "hurts")
    deciding = max(range(len(claims)), key=lambda i: (severity.index(words[i]), -i))
    first = _sentence(claims[deciding], words[deciding], what, margin, accuracy_margin, named=len(claims) > 1)
    rest = [f"Against {claim.against}: {_figures(claim)}." for i, claim in enumerate(claims) if i != deciding]
    return Verdict(words[deciding], first, deciding, " ".join(rest))


def _claim_word(claim: Claim, margin: float, accuracy_margin: float) -> str:
    answer = word(claim.table["balanced_accuracy"], margin)
    costs_too_much = claim.table["accuracy"].mean < -accuracy_margin
    return "cannot tell" if answer == "helps" and costs_too_much else answer


def _sentence(claim: Claim, answer: str, what: str, margin: float, accuracy_margin: float, *, named: bool) -> str:
    figures = _figures(claim) + (f", against {claim.against}" if named else "")
    if answer == "cannot tell" and claim.table["balanced_accuracy"].low > 0:
        allowed = f"{100 * accuracy_margin:.1f} points allowed"
        return f"The rare classes gain, but accuracy falls by more than the {allowed}: {figures}."
    return {
        "helps": f"{what} help: {figures}.",
        "hurts": f"{what} hurt: {figures}.",
        "no difference": f"{what} make no difference beyond ±{100 * margin:.0f} point(s): {figures}.",
        "cannot tell": f"This experiment cannot tell whether {what[0].lower()}{what[1:]} help: {figures}.",
    }[answer]


def _figures(claim: Claim) -> str:
    return "balanced accuracy {}, accuracy {} points".format(
        points(claim.table["balanced_accuracy"]), points(claim.table["accuracy"])
    )


def points(change: Estimate) -> str:
    """`+1.2 [−0.3, +2.7]`, in percentage points."""
    return "{} [{}, {}]".format(*(f"{100 * x:+.1f}".replace("-", "−") for x in (change.mean, change.low, change.high)))
