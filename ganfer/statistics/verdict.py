"""What changed, and how sure it is: paired estimates with intervals, and one word per change. Pure functions.

Two arms are compared on the same test images and the same seeds. Random are which images are in the test (bootstrapped
within each class, or by subject), what a training's seed brings (its variance from all arms, `ganfer.statistics.luck`),
and where there are folds or several generators, what those bring. Each part of the variance has its own degrees of
freedom, so that three seeds are not taken for thirty (Bouthillier et al. 2021, "Accounting for Variance in Machine
Learning Benchmarks"). How well that holds where the truth is known: docs/verdict.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from classifiers.scores import scores as class_scores
from ganfer.runtime.seeding import stream
from ganfer.statistics.luck import Part, fold_part, generator_part, seed_part

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
PER_CLASS = ("precision", "recall", "f1")


WORDS = ("helps", "does not help", "no difference", "hurts", "cannot tell")


@dataclass(frozen=True)
class Estimate:
    """A figure or a change of one, as a fraction, with its interval and the value of every seed.

    error: standard error. freedom: degrees of freedom of the t distribution behind the interval. parts: the variances
    that the error is made of, each with its own degrees of freedom. limits: what the interval cannot leave.
    """

    mean: float
    low: float
    high: float
    per_seed: tuple[float, ...] = ()
    error: float = float("nan")
    freedom: float = float("inf")
    parts: tuple[Part, ...] = ()
    limits: tuple[float, float] = (-1.0, 1.0)

    @property
    def p(self) -> float:
        """Two-sided p-value of "it is 0": 1 - the level at which the interval touches 0; 1 where no error is known."""
        if not self.error > 0:
            return 1.0
        if not self.parts:
            normal, ratio = self.freedom >= _NORMAL, -abs(self.mean) / self.error
            return float(2 * (special.ndtr(ratio) if normal else special.stdtr(self.freedom, ratio)))

        def beyond(log_p: float) -> float:
            return _half(self.parts, float(np.exp(log_p))) - abs(self.mean)

        least, most = -60.0, float(np.log(1 - 1e-12))  # below 1e-26 it says no more
        if beyond(most) >= 0:
            return 1.0
        if beyond(least) <= 0:
            return float(np.exp(least))
        return float(np.exp(optimize.brentq(beyond, least, most, xtol=1e-10)))

    def at(self, level: float) -> "Estimate":
        """The same with the interval of another level; as it is where no parts are known."""
        if not self.parts:
            return self
        half = _half(self.parts, 1 - level)
        low, high = max(self.limits[0], self.mean - half), min(self.limits[1], self.mean + half)
        return replace(self, low=low, high=high)

    def bounds(self) -> dict[str, float]:
        """Mean and interval alone, for `results.json`."""
        return {"mean": self.mean, "low": self.low, "high": self.high}

    def to_json(self) -> dict[str, object]:
        """Plain values for `results.json`."""
        return {**self.bounds(), "per_seed": list(self.per_seed)}


_NORMAL = 1e6  # degrees of freedom from which Student's t is taken for the normal distribution


def _half(parts: Sequence[Part], alpha: float) -> float:
    """Half the width of the interval at level 1 - alpha: each part has its own quantile."""
    squares = (part.variance * _quantile(part.freedom, alpha) ** 2 for part in parts if part.variance > 0)
    return float(sum(squares) ** 0.5)


def _quantile(freedom: float, alpha: float) -> float:
    """The two-sided quantile, of the normal distribution or of Student's t."""
    if freedom >= _NORMAL:
        return float(-special.ndtri(alpha / 2))
    return float(-special.stdtrit(freedom, alpha / 2))


_MOST_WEIGHTS = 1 << 27  # drawn at a time; half a gigabyte


def bootstrap_weights(
    labels: np.ndarray, resamples: int, seed: int, piece: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """How often each test image is drawn in each resample: (resamples, N) float32.

    Within its class, because the class counts of a test split are chosen, not observed; a class is never resampled
    away. groups: (N,) the subject of each image, -1 where unknown; subjects are drawn whole, since images of one person
    succeed and fail together. piece: other resamples at the same seed.
    """
    rng = stream(seed, "bootstrap", *([piece] if piece else []))
    weights = np.zeros((resamples, len(labels)), dtype=np.float32)
    if groups is not None and (groups >= 0).any():
        alone = groups < 0
        member = np.where(alone, int(groups.max()) + 1 + np.cumsum(alone), groups)
        _, member = np.unique(member, return_inverse=True)
        count = int(member.max()) + 1
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float32)
        weights[:] = drawn[:, member]
        return weights
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
    """One arm's figures: `plain[name]` is (S,), one per seed; `resampled[name]` is (S, R), over test resamples.

    by_fold[name]: (F, S) where the test is made of folds, NaN where a fold lacks a class. generators: (S,) which
    generator drew the faces of each seed, where there are several and the arm trained on faces.
    """

    plain: Mapping[str, np.ndarray]
    resampled: Mapping[str, np.ndarray]
    floors: Mapping[str, float]
    by_fold: Mapping[str, np.ndarray] | None = None
    generators: np.ndarray | None = None


def measure(
    labels: np.ndarray,
    predictions: np.ndarray,
    class_names: Sequence[str],
    *,
    resamples: int,
    seed: int = 0,
    groups: np.ndarray | None = None,
    folds: np.ndarray | None = None,
    generators: np.ndarray | None = None,
) -> Measured:
    """All figures of one arm. labels: (N,); predictions: (S, N), one row per seed, in the order of the paired seeds.

    groups: (N,) subjects, -1 unknown. folds: (N,) the outer fold an image was tested in. generators: (S,) which
    generator drew each seed's faces.
    """
    ones = np.ones((1, len(labels)), dtype=np.float32)
    plain = [scores(labels, row, class_names, ones) for row in predictions]
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in plain[0]}
    at_once = max(1, _MOST_WEIGHTS // max(1, len(labels)))
    subjects = None if groups is None else groups.astype(np.int64).tobytes()
    for piece, start in enumerate(range(0, resamples, at_once)):
        count = min(at_once, resamples - start)
        weights = _shared_weights(labels.astype(np.int64).tobytes(), count, seed, piece, subjects)
        drawn = [scores(labels, row, class_names, weights) for row in predictions]
        for name, parts in resampled.items():
            parts.append(np.stack([table[name] for table in drawn]))
    return Measured(
        {name: np.array([table[name][0] for table in plain]) for name in plain[0]},
        {name: np.concatenate(parts, axis=1) for name, parts in resampled.items()},
        _floors(labels, class_names),
        None if folds is None else _by_fold(labels, predictions, class_names, folds, list(plain[0])),
        generators,
    )


def _by_fold(
    labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str], folds: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    tables = []
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds == fold)
        ones = np.ones((1, len(inside)), np.float32)
        tables.append([scores(labels[inside], row[inside], class_names, ones) for row in predictions])
    nothing = np.array([np.nan])
    return {name: np.array([[one.get(name, nothing)[0] for one in rows] for rows in tables]) for name in names}


@lru_cache(maxsize=1)
def _shared_weights(labels: bytes, resamples: int, seed: int, piece: int, groups: bytes | None) -> np.ndarray:
    """All arms are measured with the same resamples, one after the other: they are drawn once."""
    subjects = None if groups is None else np.frombuffer(groups, np.int64)
    return bootstrap_weights(np.frombuffer(labels, np.int64), resamples, seed, piece, subjects)


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
    found = {}
    for name, plain in arm.plain.items():
        seeds = len(plain)
        luck = Part(float(plain.var(ddof=1)) / seeds, seeds - 1) if seeds > 1 else None
        spread = spread_of(arm.resampled[name])
        found[name] = estimate(plain, spread, arm.floors[name], level, (0.0, 1.0), luck)
    return found


def changes(
    arm: Measured, baseline: Measured, level: float = 0.95, *, among: Sequence[Measured] = ()
) -> dict[str, Estimate]:
    """Each figure's change from `baseline` to `arm`, paired by seed and by resample.

    among: every arm of the experiment, these two with them, from which the variance between seeds is estimated; the
    pair alone where they are not given.
    """
    several = list(among) if any(other is arm for other in among) else [arm, baseline]
    if not any(other is baseline for other in several):
        several = [arm, baseline]
    i, j = (next(k for k, other in enumerate(several) if other is one) for one in (arm, baseline))
    found = {}
    for name, plain in arm.plain.items():
        figures = np.stack([other.plain[name] for other in several])
        luck = seed_part(figures, i, j) if figures.shape[1] > 1 else None
        change = plain - baseline.plain[name]
        drawn = next((one.generators for one in (arm, baseline) if one.generators is not None), None)
        if luck is not None and drawn is not None:
            luck = generator_part(change, drawn, luck)
        found[name] = estimate(
            change,
            spread_of(arm.resampled[name] - baseline.resampled[name]),
            arm.floors[name],
            level,
            (-1.0, 1.0),
            luck,
            None if arm.by_fold is None or baseline.by_fold is None else arm.by_fold[name] - baseline.by_fold[name],
        )
    return found


class Spread(NamedTuple):
    """Variances over test resamples: of the seeds' mean, and of a single seed's figure (the mean of the seeds')."""

    together: float
    alone: float


def spread_of(resampled: np.ndarray) -> Spread:
    """From a figure's values (S, R) in each resample; NaN where subjects were drawn without one of a class."""
    together = float(np.nanvar(resampled.mean(axis=0), ddof=1))
    return Spread(together, float(np.nanvar(resampled, axis=1, ddof=1).mean()) if len(resampled) > 1 else together)


def estimate(
    plain: np.ndarray,
    spread: Spread,
    floor: float,
    level: float,
    limits: tuple[float, float],
    luck: Part | None,
    by_fold: np.ndarray | None = None,
) -> Estimate:
    """A figure with its interval, from the variances over test images, seeds and folds. plain (S,); by_fold (F, S).

    Noise in single predictions inflates both of the first two. It is subtracted from the images' part, because the
    spread over the seeds holds all of it. floor: the least that the images' part may be.
    """
    mean, seeds = float(plain.mean()), len(plain)
    together, alone = spread
    images = together
    if seeds > 1:
        images = max(0.0, together - max(0.0, alone - together) / (seeds - 1))
    training = luck.variance if luck else 0.0
    images = max(images, floor - training)
    parts = [Part(images, float("inf")), *([luck] if luck else [])]
    if by_fold is not None:
        parts.append(fold_part(by_fold, images, training))
    parts = [part for part in parts if part.variance > 0]
    tail = 0.5 + level / 2
    half = _half(parts, 1 - level)
    error = sum(part.variance for part in parts) ** 0.5
    low, high = max(limits[0], mean - half), min(limits[1], mean + half)
    least = min((part.freedom for part in parts), default=float("inf"))
    freedom = _freedom(half / error, tail, least) if error > 0 else float("inf")
    per_seed = tuple(float(x) for x in plain)
    return Estimate(mean, low, high, per_seed, error, freedom, tuple(parts), limits)


def _freedom(quantile: float, tail: float, least: float) -> float:
    """The degrees of freedom whose t quantile is `quantile`."""
    most = _NORMAL
    if least >= most or quantile <= special.stdtrit(most, tail):
        return float("inf")
    if quantile >= special.stdtrit(least, tail):
        return float(least)
    return float(optimize.brentq(lambda freedom: special.stdtrit(freedom, tail) - quantile, least, most))


def word(change: Estimate, margin: float) -> str:
    """What an interval says, by itself.

    helps / hurts when it excludes 0; no difference when it lies within ±margin; does not help when it excludes every
    gain of `margin`; else cannot tell. With one seed nothing is known of what another would bring: cannot tell.
    """
    if len(change.per_seed) == 1:
        return "cannot tell"
    if change.low > 0:
        return "helps"
    if change.high < 0:
        return "hurts"
    if -margin <= change.low and change.high <= margin:
        return "no difference"
    return "does not help" if change.high < margin else "cannot tell"


def points(change: Estimate) -> str:
    """`+1.2 [−0.3, +2.7]`, in percentage points; `0.0` has no sign, as on the page."""
    written = [f"{100 * x:+.1f}" for x in (change.mean, change.low, change.high)]
    return "{} [{}, {}]".format(*(text.replace("-", "−") if float(text) else "0.0" for text in written))
