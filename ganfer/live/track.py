"""Who is who from frame to frame: stable numbers, and scores smoothed over time."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ganfer.live.faces import FaceResult, Scores
from ganfer.live.geometry import Box, overlap

_REACH = 1.2  # how far, in widths of the face, it may have moved between two frames
_GROWTH = 2.0  # and by which factor it may have grown or shrunk
_NEVER = 1e6


@dataclasses.dataclass
class _Track:
    number: int
    box: Box
    seen: float  # seconds
    velocity: np.ndarray  # of the middle, pixels per second
    scores: dict[str, Scores]


class Tracker:
    """Numbers the faces of one video or camera. One per viewer; not for several threads.

    Faces are matched by overlap and distance to where each was expected (Hungarian method). smooth_seconds: time
    constant of the exponential average over a person's scores; 0 = none. forget_seconds: a person out of sight for
    longer gets a new number.
    """

    def __init__(self, *, smooth_seconds: float = 0.5, forget_seconds: float = 2.0) -> None:
        self.smooth_seconds, self.forget_seconds = smooth_seconds, forget_seconds
        self._tracks: list[_Track] = []
        self._count = 0
        self._last: float | None = None

    def update(self, faces: Sequence[FaceResult], seconds: float) -> list[FaceResult]:
        """The faces of the frame at `seconds`, in the same order, each with its `track` and smoothed scores."""
        step = seconds - self._last if self._last is not None else 0.0
        if step < 0:  # the video was wound back
            self._tracks, step = [], 0.0
        self._last = seconds
        keep = max(self.forget_seconds, 2.5 * step)  # sampled once a minute, a person still has one number
        self._tracks = [track for track in self._tracks if seconds - track.seen <= keep]
        matched = self._match([face.box for face in faces], seconds)
        return [self._continue(face, matched.get(i), seconds) for i, face in enumerate(faces)]

    def state(self) -> dict[str, Any]:
        """As JSON, to go on from with `restore`."""
        tracks = [{**dataclasses.asdict(track), "velocity": track.velocity.tolist()} for track in self._tracks]
        return {"count": self._count, "last": self._last, "tracks": tracks}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._count, self._last = state["count"], state["last"]
        self._tracks = [
            _Track(**{**track, "box": tuple(track["box"]), "velocity": np.array(track["velocity"])})
            for track in state["tracks"]
        ]

    def _match(self, boxes: Sequence[Box], seconds: float) -> dict[int, _Track]:
        if not boxes or not self._tracks:
            return {}
        costs = np.array([[_cost(track, box, seconds) for track in self._tracks] for box in boxes])
        rows, columns = linear_sum_assignment(costs)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return {row: self._tracks[column] for row, column in pairs if costs[row, column] < _NEVER}

    def _continue(self, face: FaceResult, track: _Track | None, seconds: float) -> FaceResult:
        if track is None:
            self._count += 1
            scores = {name: dict(values) for name, values in face.by_model.items()}
            track = _Track(self._count, face.box, seconds, np.zeros(2), scores)
            self._tracks.append(track)
        else:
            step = seconds - track.seen
            if step > 0:
                track.velocity = 0.5 * track.velocity + 0.5 * (_middle(face.box) - _middle(track.box)) / step
            share = 1.0 - float(np.exp(-step / self.smooth_seconds)) if self.smooth_seconds > 0 else 1.0
            track.scores = {name: _mixed(track.scores[name], new, share) for name, new in face.by_model.items()}
            track.box, track.seen = face.box, seconds
        return dataclasses.replace(face, track=track.number, by_model=track.scores)


def _cost(track: _Track, box: Box, seconds: float) -> float:
    """0 where the face was expected, up to 2 at the end of its reach, `_NEVER` beyond."""
    ahead = min(seconds - track.seen, 0.5)
    shift = track.velocity * ahead
    expected = (track.box[0] + float(shift[0]), track.box[1] + float(shift[1]), *track.box[2:])
    width = (track.box[2] + box[2]) / 2
    nearest = min(np.hypot(*(_middle(box) - _middle(place))) for place in (expected, track.box))
    grown = max(box[2] / track.box[2], track.box[2] / box[2])
    if nearest > _REACH * width or grown > _GROWTH:
        return _NEVER
    return float(1.0 - max(overlap(expected, box), overlap(track.box, box)) + nearest / (_REACH * width))


def _middle(box: Box) -> np.ndarray:
    return np.array((box[0] + box[2] / 2, box[1] + box[3] / 2))


def _mixed(old: Scores, new: Scores, share: float) -> Scores:
    return {name: old[name] + share * (value - old[name]) for name, value in new.items()}
