"""What is known of one face in one frame: its place, its expressions, whether its owner attends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from ganfer.live.geometry import Box

if TYPE_CHECKING:
    from ganfer.live.mesh import Mesh

Scores = dict[str, float]
"""Calibrated probability per expression, in the classifier's order."""

State = Literal["attentive", "looking away"]
"""Of a person who is seen; one who is not has the state "no face"."""


@dataclass(frozen=True)
class Attention:
    """One person at one moment.

    yaw, pitch: where head and eyes together point, degrees from where this person faces the screen, positive to the
    picture's right and upwards; None where no landmarks were found (in profile). blinks: so far, or None when the
    frames are too far apart. calibrated: whether the person's own centre is known yet.
    """

    state: State
    yaw: float | None
    pitch: float | None
    closed: float | None
    blinks: int | None
    calibrated: bool


@dataclass(frozen=True, eq=False)
class FaceResult:
    """One face of one frame.

    scores, label, confidence: the first classifier's. by_model: every classifier's scores, in the order given. track:
    the person's number in a video (from 1), or None. landmarks: (5, 2) float32 pixels or None. detection: 0..1. mesh:
    what the landmarks say, where a landmarker is used and found them. attention: from an AttentionMeter, or None.
    """

    box: Box
    landmarks: np.ndarray | None
    detection: float
    by_model: Mapping[str, Scores] = field(default_factory=dict)
    track: int | None = None
    mesh: "Mesh | None" = None
    attention: Attention | None = None

    @property
    def scores(self) -> Scores:
        return next(iter(self.by_model.values()))

    @property
    def label(self) -> str:
        """The most probable expression."""
        return best(self.scores)[0]

    @property
    def confidence(self) -> float:
        return best(self.scores)[1]


def best(scores: Mapping[str, float]) -> tuple[str, float]:
    """The most probable expression and its probability."""
    name = max(scores, key=scores.__getitem__)
    return name, scores[name]
