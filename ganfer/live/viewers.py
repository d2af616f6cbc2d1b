"""The logs of `predict` as viewers over time: who attended and showed what in each stretch of a recording."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganfer.errors import DataError
from ganfer.live.records import NO_FACE
from ganfer.runtime.tables import read_cells, read_header

MOST_BINS = 600
_PASSING_SECONDS = 3.0  # someone seen for less, and for less than this share, is no viewer
_PASSING_SHARE = 0.02


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
    """All viewers on one clock. seconds: width of a bin."""

    viewers: tuple[Viewer, ...]
    class_names: tuple[str, ...]
    seconds: float
    duration: float
    measured_attention: bool

    @property
    def bins(self) -> int:
        return len(self.viewers[0].seen)


@dataclass
class _Rows:
    seconds: list[float]
    scores: list[list[float]]
    states: list[str]
    blinks: int | None = None


def read_session(paths: Sequence[Path], offsets: Mapping[str, float] | None = None) -> Session:
    """The session in these CSV files of `predict`, which began together unless `offsets` (seconds, by the file's name
    without .csv) say otherwise. DataError for a file that is none, or when nobody was seen."""
    offsets = dict(offsets or {})
    unknown = set(offsets) - {path.stem for path in paths}
    if unknown:
        raise DataError(
            f"--offset for {', '.join(sorted(unknown))}, which is none of the logs.",
            "Use the file's name without .csv.",
        )
    people: dict[str, _Rows] = {}
    clocks: dict[str, list[float]] = {}
    names: tuple[str, ...] | None = None
    for path in paths:
        twice = sum(other.stem == path.stem for other in paths) > 1
        name = str(path.with_suffix("")) if twice else path.stem
        found, mine = _read(path, name, offsets.get(path.stem, 0.0), people, clocks)
        if not found:
            continue
        if names is not None and found != names:
            raise DataError(
                f"{path} has the classes {', '.join(found)}; others have {', '.join(names)}.",
                "Predict all with one classifier.",
            )
        names = found
        _drop_passing(people, mine, clocks)
    if not people or names is None:
        raise DataError("The logs hold nobody who was seen for three seconds.", "Give logs of: ganfer predict --log.")
    return _session(people, clocks, names)


def _read(
    path: Path, name: str, offset: float, people: dict[str, _Rows], clocks: dict[str, list[float]]
) -> tuple[tuple[str, ...], list[str]]:
    """Adds the file's people; returns its classes and their names."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            columns = read_header(reader)
            if not {"source", "seconds", "person", "expression"} <= set(columns):
                raise DataError(
                    f"{path} is no log of ganfer predict.", "Make one: ganfer predict VIDEO --log FILE.csv."
                )
            names = tuple(column.removeprefix("p_") for column in columns if column.startswith("p_"))
            rows = [dict(zip(columns, read_cells(row, columns), strict=False)) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}).", "Give logs of: ganfer predict --log.") from error
    mine: list[str] = []
    sources = list(dict.fromkeys(row["source"] for row in rows))
    for number, row in enumerate(rows, 2):
        try:
            seconds = float(row["seconds"]) + offset
            label = name if len(sources) == 1 else f"{name}: {Path(row['source']).name}"
            clock = clocks.setdefault(label, [])
            if not clock or clock[-1] != seconds:
                clock.append(seconds)
            if not row["expression"]:
                continue
            key = f"{label}\n{row['person'] or 1}"
            scores = [float(row[f"p_{known}"]) for known in names]
            if not math.isfinite(seconds) or not np.isfinite(scores).all():
                raise ValueError("a number is not finite")
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}, line {number}, is damaged ({error}).", "Predict again.") from error
        if key not in people:
            people[key] = _Rows([], [], [])
            mine.append(key)
        person = people[key]
        person.seconds.append(seconds)
        person.scores.append(scores)
        person.states.append(row.get("attention") or "")
        person.blinks = int(row["blinks"]) if row.get("blinks", "").isdigit() else person.blinks
    return names, mine


def _drop_passing(people: dict[str, _Rows], mine: Sequence[str], clocks: Mapping[str, list[float]]) -> None:
    for key in mine:
        clock = clocks[key.partition("\n")[0]]
        step = float(np.median(np.diff(clock))) if len(clock) > 1 else 0.0
        shown = len(people[key].seconds) * step
        whole = clock[-1] - clock[0]
        if len(clock) > 1 and (shown < min(_PASSING_SECONDS, 0.5 * whole) or shown < _PASSING_SHARE * whole):
            del people[key]


def _session(people: Mapping[str, _Rows], clocks: Mapping[str, list[float]], names: tuple[str, ...]) -> Session:
    start = min(clock[0] for clock in clocks.values() if clock)
    end = max(clock[-1] for clock in clocks.values() if clock)
    steps = [float(np.median(np.diff(clock))) for clock in clocks.values() if len(clock) > 1]
    width = float(math.ceil(max(1.0, max(steps, default=1.0), (end - min(0.0, start)) / MOST_BINS) - 1e-6))
    first = min(0.0, start)
    count = int((end - first) / width) + 1
    frames: dict[str, np.ndarray] = {
        label: np.bincount(((np.array(clock) - first) / width).astype(int), minlength=count)
        for label, clock in clocks.items()
    }
    alone = {label: sum(key.startswith(label + "\n") for key in people) == 1 for label in clocks}
    viewers = []
    for key, rows in people.items():
        label, _, number = key.partition("\n")
        viewers.append(
            _viewer(label if alone[label] else f"{label}, person {number}", rows, frames[label], first, width)
        )
    measured = any(state for rows in people.values() for state in rows.states)
    return Session(tuple(viewers), names, width, end - first, measured)


def _viewer(name: str, rows: _Rows, frames: np.ndarray, first: float, width: float) -> Viewer:
    """Means per bin; a bin whose frames show only others counts as not seen."""
    places = ((np.array(rows.seconds) - first) / width).astype(int)
    count = np.bincount(places, minlength=len(frames)).astype(np.float64)
    scores = np.array(rows.scores)
    total = np.stack([np.bincount(places, column, minlength=len(frames)) for column in scores.T], axis=1)
    attending = np.bincount(places, [state == "attentive" for state in rows.states], minlength=len(frames))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / count[:, None]
        seen = np.where(frames > 0, np.minimum(1.0, count / frames), np.nan)
        attention = np.where(frames > 0, attending / frames, np.nan)
    measured = any(state and state != NO_FACE for state in rows.states)
    return Viewer(name, seen, attention if measured else np.full(len(frames), np.nan), means, rows.blinks)
