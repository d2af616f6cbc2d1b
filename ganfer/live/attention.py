"""Whether a person attends: where head and eyes point, against where that person looks when facing the screen."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganfer.live.faces import Attention, FaceResult, State
from ganfer.live.mesh import Mesh

_EYE_DEGREES = (30.0, 20.0)  # how far the eyes are turned at a gaze of 1, across and up
_STEADY_SECONDS = 0.3  # time constant over which directions are averaged, so that a glance is no change
_MOST_OFF_CENTRE = 35.0  # degrees from the camera that calibration may take for the screen
_CLOSED_SECONDS = 1.0  # eyes closed for longer are asleep, not blinking
_BLINK_SECONDS = (0.03, 0.7)
_CLOSING, _OPENING = 0.35, 0.2  # rise of the closure over its usual value at which a blink begins and ends
_FAST_ENOUGH = 0.15  # seconds between frames up to which blinks can be counted


@dataclass
class _Person:
    first: float
    last: float
    samples: list[tuple[float, float, float]] = dataclasses.field(default_factory=list)
    centre: np.ndarray | None = None
    usual_closure: float = 0.1
    direction: np.ndarray | None = None
    shut_since: float | None = None
    blinks: int = 0
    slow: bool = False


class AttentionMeter:
    """Follows the people of one video or camera. One per viewer; not for several threads.

    calibrate_seconds: of each person's beginning, whose median direction counts as facing the screen; 0 = the camera.
    away_yaw, away_pitch: degrees from there beyond which a person looks away.
    """

    def __init__(self, *, calibrate_seconds: float = 5.0, away_yaw: float = 18.0, away_pitch: float = 15.0) -> None:
        self.calibrate_seconds, self.away_yaw, self.away_pitch = calibrate_seconds, away_yaw, away_pitch
        self._people: dict[int, _Person] = {}

    def update(self, faces: Sequence[FaceResult], seconds: float) -> list[FaceResult]:
        """The faces of the frame at `seconds`, each with its `attention`; one without a number is new each time."""
        judged = []
        for face in faces:
            person = _Person(seconds, seconds)
            if face.track is not None:
                person = self._people.setdefault(face.track, person)
            judged.append(dataclasses.replace(face, attention=self._judge(person, face.mesh, seconds)))
        return judged

    def state(self) -> dict[str, Any]:
        """As JSON, to go on from with `restore`."""

        def plain(value: Any) -> Any:
            return value.tolist() if isinstance(value, np.ndarray) else value

        return {
            str(number): {f.name: plain(getattr(person, f.name)) for f in dataclasses.fields(person)}
            for number, person in self._people.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for number, saved in state.items():
            arrays = {name: np.array(saved[name]) for name in ("centre", "direction") if saved[name] is not None}
            samples = [(a, b, c) for a, b, c in saved["samples"]]
            self._people[int(number)] = _Person(**{**saved, **arrays, "samples": samples})

    def _judge(self, person: _Person, mesh: Mesh | None, seconds: float) -> Attention:
        step = max(0.0, seconds - person.last)
        person.slow, person.last = person.slow or step > _FAST_ENOUGH, seconds
        blinks = None if person.slow else person.blinks
        if mesh is None:
            person.direction = None
            return Attention("looking away", None, None, None, blinks, self._known(person))
        direction = looking(mesh)
        self._calibrate(person, direction, mesh.closed, seconds)
        share = 1.0 if person.direction is None else 1.0 - float(np.exp(-step / _STEADY_SECONDS))
        before = direction if person.direction is None else person.direction
        person.direction = before + share * (direction - before)
        asleep = _follow_lids(person, mesh.closed, seconds)
        centre = self._centre(person)
        yaw, pitch = (person.direction - centre).tolist()
        away = asleep or abs(yaw) > self.away_yaw or abs(pitch) > self.away_pitch
        blinks = None if person.slow else person.blinks
        state: State = "looking away" if away else "attentive"
        return Attention(state, yaw, pitch, mesh.closed, blinks, self._known(person))

    def _calibrate(self, person: _Person, direction: np.ndarray, closed: float, seconds: float) -> None:
        if person.centre is not None or self.calibrate_seconds <= 0:
            return
        person.samples.append((*direction.tolist(), closed))
        if seconds - person.first >= self.calibrate_seconds:
            person.centre = self._centre(person)
            person.usual_closure = float(np.median(np.array(person.samples)[:, 2]))
            person.samples.clear()

    def _known(self, person: _Person) -> bool:
        """Whether nothing is left to calibrate."""
        return person.centre is not None or self.calibrate_seconds <= 0

    def _centre(self, person: _Person) -> np.ndarray:
        """Degrees at which this person faces the screen: known, or the best guess so far."""
        if person.centre is not None:
            return person.centre
        if not person.samples:
            return np.zeros(2)
        middle: np.ndarray = np.median(np.array(person.samples)[:, :2], axis=0)
        return np.clip(middle, -_MOST_OFF_CENTRE, _MOST_OFF_CENTRE)


def looking(mesh: Mesh) -> np.ndarray:
    """Where head and eyes together point, degrees from the camera: (to the picture's right, up)."""
    return np.array((mesh.yaw + _EYE_DEGREES[0] * mesh.gaze_x, mesh.pitch + _EYE_DEGREES[1] * mesh.gaze_y))


def _follow_lids(person: _Person, closed: float, seconds: float) -> bool:
    """Counts blinks; True while the eyes have been closed for longer than a blink."""
    rise = closed - person.usual_closure
    if person.shut_since is None:
        if rise > _CLOSING:
            person.shut_since = seconds
        return False
    shut = seconds - person.shut_since
    if rise < _OPENING:
        person.shut_since = None
        person.blinks += _BLINK_SECONDS[0] <= shut <= _BLINK_SECONDS[1]
        return False
    return shut > _CLOSED_SECONDS
