"""The logs of `predict` as viewers over time: who attended and showed what in each stretch of a recording."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganfer.errors import DataError
from ganfer.live.logs import Recording, read_log
from ganfer.live.people import Person, people_of
from ganfer.live.records import NO_FACE
from ganfer.runtime.files import digest_of

MOST_BINS = 600


@dataclass(frozen=True, eq=False)
class Viewer:
    """One person over the bins. attention: (B,) float, share of the bin's frames attending, NaN where not measured.

    seen: (B,) share of frames with the face. scores: (B, K) mean probabilities, NaN where not seen. blinks: in all, or
    None.
    """

    name: str
    seen: np.ndarray
    attention: np.ndarray
    scores: np.ndarray
    blinks: int | None


@dataclass(frozen=True, eq=False)
class Session:
    """All viewers on one clock. seconds: width of a bin. notes: what was joined, left out or mended, in words."""

    viewers: tuple[Viewer, ...]
    class_names: tuple[str, ...]
    seconds: float
    duration: float
    measured_attention: bool
    notes: tuple[str, ...] = ()

    @property
    def bins(self) -> int:
        return len(self.viewers[0].seen)


def read_session(
    paths: Sequence[Path], offsets: Mapping[str, float] | None = None, people: int | None = None
) -> Session:
    """The session in these CSV files of `predict`, which began together unless `offsets` (seconds, by the file's name
    without .csv) say otherwise. people: how many are in each recording at most; None: as the log shows. DataError for
    a file that is none, or when nobody was seen."""
    offsets = dict(offsets or {})
    unknown = set(offsets) - {path.stem for path in paths}
    if unknown:
        raise DataError(
            f"--offset for {', '.join(sorted(unknown))}, which is none of the logs.",
            "Use the file's name without .csv.",
        )
    notes: list[str] = []
    found: list[tuple[Recording, list[Person]]] = []
    names: tuple[str, ...] | None = None
    for path, name in _different(paths, notes).items():
        log = read_log(path, name, offsets.get(path.stem, 0.0))
        notes += log.notes
        if not any(recording.pieces for recording in log.recordings):
            notes.append(f"{path.name} shows nobody.")
            continue
        if names is not None and set(log.class_names) != set(names):
            raise DataError(
                f"{path} has the classes {', '.join(log.class_names)}; others have {', '.join(names)}.",
                "Predict all with one classifier.",
            )
        names = names or log.class_names
        for recording in log.recordings:
            _reorder(recording, log.class_names, names)
            found.append((recording, people_of(recording, people, notes)))
    notes += _shared([recording for recording, _ in found])
    if names is None or not any(persons for _, persons in found):
        raise DataError(
            "The logs hold nobody who was seen for three seconds.",
            " ".join([*notes, "Give logs of: ganfer predict --log."]),
        )
    return _session(found, names, notes)


def _different(paths: Sequence[Path], notes: list[str]) -> dict[Path, str]:
    """The logs, each once, with the names they are shown under."""
    contents: dict[str, Path] = {}
    for path in paths:
        try:
            content = digest_of(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error}).", "Give logs of: ganfer predict --log.") from error
        if content in contents:
            notes.append(f"{path} holds the same as {contents[content]} and was left out.")
        contents.setdefault(content, path)
    kept = list(contents.values())
    stems = Counter(path.stem for path in kept)
    return {path: path.stem if stems[path.stem] == 1 else str(path.with_suffix("")) for path in kept}


def _reorder(recording: Recording, own: Sequence[str], names: Sequence[str]) -> None:
    """The scores in the order of the first log's classes."""
    if tuple(own) == tuple(names):
        return
    order = [list(own).index(name) for name in names]
    for piece in recording.pieces:
        piece.scores = [[row[k] for k in order] for row in piece.scores]


def _shared(recordings: Sequence[Recording]) -> list[str]:
    """One film in two logs would count its people twice; whether it is one, nobody but the user knows."""
    by_source: dict[str, list[str]] = {}
    for recording in recordings:
        if not recording.source.startswith("camera "):
            by_source.setdefault(recording.source, []).append(recording.label)
    return [
        f"{source} is in {' and in '.join(labels)}: its people count more than once unless one log is left out."
        for source, labels in by_source.items()
        if len(labels) > 1
    ]


def _session(
    found: Sequence[tuple[Recording, Sequence[Person]]], names: tuple[str, ...], notes: Sequence[str]
) -> Session:
    recordings = [recording for recording, persons in found if persons]
    start = min(recording.clock[0] for recording in recordings)
    end = max(recording.clock[-1] for recording in recordings)
    widest = max([1.0, *(recording.step for recording in recordings), (end - min(0.0, start)) / MOST_BINS])
    width = float(math.ceil(widest - 1e-6))
    first = min(0.0, start)
    count = int((end - first) / width) + 1
    viewers = []
    for recording, persons in found:
        clock = np.array(recording.clock)
        frames = np.bincount(((clock - first) / width).astype(int), minlength=count)
        for person in persons:
            name = recording.label if len(persons) == 1 else f"{recording.label}, person {person.name}"
            viewers.append(_viewer(name, person, clock, frames, first, width))
    measured = any(np.isfinite(viewer.attention).any() for viewer in viewers)
    return Session(tuple(viewers), names, width, end - first, measured, tuple(notes))


def _viewer(name: str, person: Person, clock: np.ndarray, frames: np.ndarray, first: float, width: float) -> Viewer:
    """Means per bin; a bin whose frames show only others counts as not seen. Frames in which this face was seen and its
    attention not measured (the server measures twelve) say nothing of it."""
    places = ((clock[person.frames] - first) / width).astype(int)
    count = np.bincount(places, minlength=len(frames)).astype(np.float64)
    scores = np.array(person.scores)
    total = np.stack([np.bincount(places, column, minlength=len(frames)) for column in scores.T], axis=1)
    attending = np.bincount(places, [state == "attentive" for state in person.states], minlength=len(frames))
    judged = frames - np.bincount(places, [not state for state in person.states], minlength=len(frames))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / count[:, None]
        seen = np.where(frames > 0, np.minimum(1.0, count / frames), np.nan)
        attention = np.where(judged > 0, attending / judged, np.nan)
    measured = any(state and state != NO_FACE for state in person.states)
    return Viewer(name, seen, attention if measured else np.full(len(frames), np.nan), means, person.blinks)
