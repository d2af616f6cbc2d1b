"""When a lecture engaged and when it confused: the curves over all viewers, and their highest points.

engagement: the share of viewers attending, times 1/2 + 1/2 of the probability of happy or surprise on their faces.
confusion: how far the probability of angry, disgust, fear or sad, which share the lowered or drawn-up brow of confusion
(Craig et al. 2008; Grafsgaard et al. 2011), rises over the same viewer's own mean; averaged over those who are seen.
Both are averaged over ten seconds. They are hints where to look, not measurements of what anyone felt or understood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganfer.live.viewers import Session

LIVELY = ("happy", "surprise")
STRAINED = ("angry", "disgust", "fear", "sad")
_SMOOTH_SECONDS = 10.0
_APART_SECONDS = 20.0
_STANDS_OUT = 0.75  # standard deviations over the mean
_LEAST_SPREAD = 0.01
_MOST = 3


@dataclass(frozen=True)
class Moment:
    """A stretch that stands out. seconds: of its middle. value: of its curve, 0..1."""

    kind: str
    seconds: float
    value: float
    reason: str


@dataclass(frozen=True, eq=False)
class Curves:
    """Over the bins, all (B,): attending (share of viewers, NaN if not measured), seen (share), scores (B, K) mean over
    those seen, engagement, confusion."""

    attending: np.ndarray
    seen: np.ndarray
    scores: np.ndarray
    engagement: np.ndarray
    confusion: np.ndarray


def curves(session: Session) -> Curves:
    """The session's viewers as one."""
    scores = np.stack([viewer.scores for viewer in session.viewers])  # (V, B, K)
    seen = np.stack([viewer.seen for viewer in session.viewers])
    attention = np.stack([viewer.attention for viewer in session.viewers])
    presence = attention if session.measured_attention else seen
    lively = _sum(scores, session.class_names, LIVELY)
    strained = _sum(scores, session.class_names, STRAINED)
    engaged = np.nan_to_num(presence) * (0.5 + 0.5 * np.nan_to_num(lively))
    rise = np.clip(strained - _mean(strained, axis=1)[:, None], 0.0, None)
    return Curves(
        attending=_mean(attention, axis=0),
        seen=_mean(np.nan_to_num(seen), axis=0),
        scores=_mean(scores, axis=0),
        engagement=_smooth(engaged.mean(axis=0), session.seconds),
        confusion=_smooth(np.nan_to_num(_mean(rise, axis=0)), session.seconds),
    )


def moments(session: Session, found: Curves) -> list[Moment]:
    """Up to three engaging and three confusing moments, in the order of time; none where nothing stands out."""
    chosen: list[Moment] = []
    for kind, curve in (("engaging", found.engagement), ("confusing", found.confusion)):
        for place in _peaks(curve, max(1, round(_APART_SECONDS / session.seconds))):
            seconds = min(session.duration, (place + 0.5) * session.seconds)
            chosen.append(Moment(kind, seconds, float(curve[place]), _reason(session, found, place, kind)))
    return sorted(chosen, key=lambda moment: moment.seconds)


def _peaks(curve: np.ndarray, apart: int) -> list[int]:
    """The highest place of each stretch that stands out; the highest stretches, far enough from each other."""
    spread = float(curve.std())
    if spread < _LEAST_SPREAD:
        return []
    over = np.concatenate(([False], curve >= float(curve.mean()) + _STANDS_OUT * spread, [False]))
    begins, ends = np.flatnonzero(~over[:-1] & over[1:]), np.flatnonzero(over[:-1] & ~over[1:])
    tops = [int(begin + np.argmax(curve[begin:end])) for begin, end in zip(begins, ends, strict=True)]
    chosen: list[int] = []
    for place in sorted(tops, key=lambda place: -curve[place]):
        if len(chosen) < _MOST and all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    return chosen


def _reason(session: Session, found: Curves, place: int, kind: str) -> str:
    """What was seen there, in words."""
    wanted = LIVELY if kind == "engaging" else STRAINED
    near = slice(max(0, place - 2), place + 3)
    means = _mean(found.scores[near], axis=0)
    there = [(float(means[i]), name) for i, name in enumerate(session.class_names) if name in wanted]
    there = [(value, name) for value, name in there if np.isfinite(value)]
    said = " and ".join(f"{name} {value:.0%}" for value, name in sorted(there, reverse=True)[:2])
    if not session.measured_attention:
        return said
    attending = float(np.nan_to_num(_mean(found.attending[near], axis=0)))
    return f"{attending:.0%} attending" + (f", {said}" if said else "")


def _sum(scores: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """(V, B) probability of the wanted classes together."""
    chosen = [i for i, name in enumerate(names) if name in wanted]
    result: np.ndarray = scores[:, :, chosen].sum(axis=2)
    return result


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is not NaN; NaN where nothing is left."""
    there = np.isfinite(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result


def _smooth(curve: np.ndarray, seconds: float) -> np.ndarray:
    """Centred moving average; at the ends over what is there."""
    width = max(1, round(_SMOOTH_SECONDS / seconds)) | 1
    kernel = np.ones(min(width, 2 * len(curve) - 1))
    total = np.convolve(curve, kernel, mode="full")
    weight = np.convolve(np.ones(len(curve)), kernel, mode="full")
    start = len(kernel) // 2
    result: np.ndarray = (total / weight)[start : start + len(curve)]
    return result
