"""What a classifier would say if every class were equally common: bias-corrected temperature scaling.

A classifier that saw a hundred times more happy than disgusted faces hardly ever says disgust, also of a batch in which
every class was asked for equally often. Dividing by the training shares (Saerens, Latinne & Decaestecker 2002) corrects
it only as far as its probabilities are right for rare classes too, and label smoothing alone, which leaves every class
a percent or two everywhere, makes a class of half a percent the likeliest of all. So the correction is fitted on
held-back real images (Alexandari, Kundaje & Shrikumar 2020).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

_LEAST = 1e-12  # of a probability, so that it has a logarithm
_SLOPES = (0.05, 20.0)
_ROUNDS, _STILL = 1000, 1e-6  # of the estimate of shares: at most, and the change at which it rests


@dataclass(frozen=True)
class EqualShares:
    """Posteriors under equal class shares: softmax(slope · log p + shifts). shifts: (K,)."""

    slope: float
    shifts: np.ndarray

    @classmethod
    def fit(cls, probabilities: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> "EqualShares":
        """Fitted on held-back real images: (N, K) probabilities and (N,) labels in 0..K-1.

        Every class that occurs weighs the same. shares: (K,) of the training; -log of them is where the shifts start,
        and what they keep to where a class has few images or none (as if by one image). A class that was never
        learned starts, and with no held-back image stays, at its own probability, which is near 0.
        """
        start = -np.log(np.where(shares > 0, shares, 1.0))
        count, tally = len(shares), np.bincount(labels, minlength=len(shares))
        if not len(labels):
            return cls(1.0, start)
        logs = _logs(probabilities)
        weights = 1.0 / tally[labels] / np.count_nonzero(tally)
        target = np.eye(count)[labels]
        hold = 1.0 / (1 + tally) / count

        def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
            """The mean of the classes' NLL with its penalty, and its slope, at (log slope, shifts)."""
            slope, shifts = float(np.exp(free[0])), free[1:]
            scores = slope * logs + shifts
            log_p = scores - logsumexp(scores, axis=1, keepdims=True)
            error = weights[:, None] * (np.exp(log_p) - target)
            away = shifts - start
            value = -float(weights @ log_p[np.arange(len(labels)), labels]) + 0.5 * float(hold @ away**2)
            return value, np.concatenate([[slope * float((error * logs).sum())], error.sum(axis=0) + hold * away])

        bounds = [tuple(np.log(_SLOPES)), *[(None, None)] * count]
        found = minimize(loss, np.concatenate([[0.0], start]), jac=True, bounds=bounds, method="L-BFGS-B")
        return cls(float(np.exp(found.x[0])), found.x[1:])

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """(N, K) float32 of the classifier's probabilities (N, K)."""
        corrected: np.ndarray = np.exp(log_softmax(self.slope * _logs(probabilities) + self.shifts, axis=1))
        return corrected.astype(np.float32)


def shares_of(equal: np.ndarray) -> np.ndarray:
    """The class shares (K,) under which a batch is likeliest; equal: (N, K) posteriors under equal class shares.

    Expectation maximisation (Saerens, Latinne & Decaestecker 2002), from equal shares.
    """
    equal = np.asarray(equal, np.float64)
    shares = np.full(equal.shape[1], 1.0 / equal.shape[1])
    for _ in range(_ROUNDS if len(equal) else 0):
        before, shares = shares, under_shares(equal, shares).mean(axis=0)
        if np.abs(shares - before).max() < _STILL:
            break
    return shares


def under_shares(equal: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Posteriors (N, K) float64 under these class shares (K,), from those under equal ones."""
    joint = np.asarray(equal, np.float64) * shares
    found: np.ndarray = joint / np.maximum(joint.sum(axis=1, keepdims=True), _LEAST)
    return found


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST))
