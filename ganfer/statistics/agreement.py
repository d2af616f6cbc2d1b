"""How far two people agree, and a share with its interval; pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import binomtest


@dataclass(frozen=True)
class Kappa:
    """Two people's agreement on n items. agreement: share they say the same of. kappa: beyond what chance brings, None
    where both say one and the same of everything; low, high: its interval.
    """

    n: int
    agreement: float
    kappa: float | None
    low: float | None
    high: float | None


def cohen_kappa(one: Sequence[str], other: Sequence[str], level: float = 0.95) -> Kappa:
    """Cohen's kappa (1960) with the large-sample interval of Fleiss, Cohen & Everitt (1969).

    one, other: what each person said of the same items, in the same order; at least one item.
    """
    assert len(one) == len(other) > 0
    words = sorted({*one, *other})
    index = {word: k for k, word in enumerate(words)}
    table = np.zeros((len(words), len(words)))
    np.add.at(table, ([index[word] for word in one], [index[word] for word in other]), 1 / len(one))
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed, expected = float(np.trace(table)), float(rows @ columns)
    if len(words) == 1:
        return Kappa(len(one), observed, None, None, None)
    kappa = (observed - expected) / (1 - expected)
    both = rows + columns
    agreed = float((np.diag(table) * (1 - both * (1 - kappa)) ** 2).sum())
    # of each disagreement: how often the one says the other's word, and the other the one's
    crossed = (columns[:, None] + rows[None, :]) ** 2 * table
    differed = (1 - kappa) ** 2 * float(crossed.sum() - np.trace(crossed))
    variance = (agreed + differed - (kappa - expected * (1 - kappa)) ** 2) / (len(one) * (1 - expected) ** 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(max(variance, 0.0))
    return Kappa(len(one), observed, kappa, max(-1.0, kappa - half), min(1.0, kappa + half))


def share(hits: int, of: int, level: float = 0.95) -> dict[str, float | int]:
    """A share with Wilson's interval, as reports write it. of: at least 1."""
    interval = binomtest(hits, of).proportion_ci(level, method="wilson")
    return {"hits": hits, "of": of, "share": hits / of, "low": float(interval.low), "high": float(interval.high)}
