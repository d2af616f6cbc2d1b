"""What luck brings to a change: of the seeds, from all arms; of the folds; of the generators. Pure functions."""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

_LEAST = 1e-12  # of a variance, so that it has a logarithm
_WILD = 0.01  # p below which an arm's variance is not of the others' kind


class Part(NamedTuple):
    """A part of a change's variance, and its degrees of freedom (inf: as good as known)."""

    variance: float
    freedom: float


def seed_part(figures: np.ndarray, arm: int, base: int) -> Part:
    """The variance that the seeds bring to (mean of arm - mean of base), from all arms.

    figures: (A, S), one figure of A >= 2 arms at the same S >= 2 seeds. The residual of arm and seed has (A-1)(S-1)
    degrees of freedom in place of the pair's S-1: what a seed brings to every arm is no luck of a difference. The arms'
    variances are shrunk towards each other as far as they agree (Smyth 2004, limma). An arm that varies far more than
    the others says nothing about them and is left out; where it is one of the pair, the pair speaks for itself.
    """
    there = _alike(figures)
    if not {arm, base} <= set(there) or len(there) == 2:
        return _pair_part(figures[arm] - figures[base])
    variance, freedom = _residuals(figures[there])
    whole = (len(there) - 1.0) * (figures.shape[1] - 1)
    logs = np.log(variance) - special.digamma(freedom / 2) + np.log(freedom / 2)
    spread = float(logs.var(ddof=1) - special.polygamma(1, freedom / 2))
    seeds = figures.shape[1]
    if spread <= 0:
        return Part(float(2 * variance.mean() / seeds), whole)
    prior = 2 * float(optimize.brentq(lambda x: special.polygamma(1, x) - spread, 1e-3, 1e6))
    level = float(np.exp(logs.mean() + special.digamma(prior / 2) - np.log(prior / 2)))
    mine = [(prior * level + freedom * variance[there.index(i)]) / (prior + freedom) for i in (arm, base)]
    total = float(sum(mine))
    freedom_of_both = total**2 / (sum(v * v for v in mine) / (prior + freedom))
    return Part(total / seeds, float(min(whole, freedom_of_both)))


def _pair_part(change: np.ndarray) -> Part:
    """From the spread of the paired differences (S,) alone."""
    return Part(float(change.var(ddof=1)) / len(change), len(change) - 1.0)


def _residuals(figures: np.ndarray) -> tuple[np.ndarray, float]:
    """Each arm's variance (A,) after its own mean and what its seed brings to all are taken out; degrees of freedom."""
    arms, seeds = figures.shape
    own = figures - figures.mean(axis=1, keepdims=True)
    own = own - own.mean(axis=0)
    freedom = (seeds - 1) * (arms - 1) / arms
    return np.maximum((own**2).sum(axis=1) / freedom, _LEAST), freedom


def _alike(figures: np.ndarray) -> list[int]:
    """The arms whose variance is of one kind: the wildest is left out while an F test finds it far above the rest."""
    there = list(range(len(figures)))
    while len(there) > 3:
        variance, freedom = _residuals(figures[there])
        wildest = int(variance.argmax())
        rest = float(np.delete(variance, wildest).mean())
        p = special.fdtrc(freedom, freedom * (len(there) - 1), variance[wildest] / rest)
        if p * len(there) >= _WILD:
            break
        del there[wildest]
    return there


def fold_part(by_fold: np.ndarray, images: float, training: float) -> Part:
    """What the folds' own GANs and labellers bring: their luck is shared by all images and seeds of a fold.

    by_fold: (F, S) the change in each fold. images, training: the pooled change's other variances, which the spread
    over the folds holds too and which are taken out of it. The folds' training images overlap, so the spread is raised
    as Nadeau & Bengio (2003) do: 1/F + 1/(F-1) in place of 1/F.
    """
    change = by_fold.mean(axis=1)
    change = change[np.isfinite(change)]
    folds = len(change)
    if folds < 2:
        return Part(0.0, float("inf"))
    own = max(0.0, float(change.var(ddof=1)) - folds * (images + training))
    return Part(own * (1 / folds + 1 / (folds - 1)), folds - 1.0)


def generator_part(change: np.ndarray, generators: np.ndarray, seeds: Part) -> Part:
    """The luck of the generators and of the seeds together, where each generator drew the faces of some seeds.

    change: (S,), generators: (S,) the number of each seed's. From the spread of the generators' means, with their
    number - 1 degrees of freedom; never less than the seeds alone bring. One that drew for more seeds counts for more.
    """
    names, count = np.unique(generators, return_counts=True)
    if len(names) < 2:
        return seeds
    means = np.array([change[generators == name].mean() for name in names])
    share = float(((count / len(change)) ** 2).sum())  # 1 / number where all drew for as many
    return Part(max(seeds.variance, float(means.var(ddof=1)) * share), len(names) - 1.0)
