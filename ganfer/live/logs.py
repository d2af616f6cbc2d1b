"""The CSV files of `predict` read again: as they were written, sorted otherwise, or saved by a spreadsheet."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganfer.errors import DataError
from ganfer.runtime.tables import unmarked

_NEEDED = {"source", "seconds", "person", "expression"}
_DELIMITERS = ",;\t"
_PLACE = ("x", "y", "width", "height")
_MOST_MISSING = 1_000_000  # frames filled into one gap
LONGEST = 366 * 86400.0  # seconds of a recording, its offset included
_LIMIT = 16 * 2**20  # of one field; csv's own is 128 KiB


@dataclass
class Piece:
    """One person of one source while they had one number.

    frames: positions in the source's clock. boxes: (x, y, width, height) per row, or None where the log has none.
    """

    number: str
    frames: list[int] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float] | None] = field(default_factory=list)
    blinks: int | None = None


@dataclass
class Recording:
    """What one source of one log shows. clock: seconds of every frame looked at, ascending."""

    label: str
    source: str
    clock: list[float]
    pieces: list[Piece]

    @property
    def step(self) -> float:
        """Usual seconds between two frames; 0 of a single one."""
        return float(np.median(np.diff(self.clock))) if len(self.clock) > 1 else 0.0


@dataclass(frozen=True)
class Log:
    """A file of `predict`. notes: what was mended or left out, in words."""

    path: Path
    class_names: tuple[str, ...]
    recordings: list[Recording]
    notes: list[str]


@dataclass
class _Row:
    line: int
    frame: float
    seconds: float
    person: str
    scores: list[float]
    state: str
    box: tuple[float, float, float, float] | None
    blinks: int | None


def read_log(path: Path, name: str, offset: float = 0.0) -> Log:
    """The people of a log by source, in the order of time whatever the rows' order. name: what it is shown as.

    Commas, semicolons or tabs; decimal points or, beside other separators, commas; UTF-8 with or without a mark, UTF-16
    or Windows' code page. DataError for a file that is no log or has a damaged row.
    """
    delimiter, rows = _table(path)
    if not rows or not set(rows[0][1]) >= _NEEDED:
        raise DataError(f"{path} is no log of ganfer predict.", "Make one: ganfer predict VIDEO --log FILE.csv.")
    columns = rows[0][1]
    names = tuple(column.removeprefix("p_") for column in columns if column.startswith("p_"))
    sources: dict[str, list[_Row]] = {}
    known: Counter[tuple[str, ...]] = Counter()
    others = 0
    for line, cells in rows[1:]:
        if not any(cells) or cells == columns:
            continue  # an empty line of a spreadsheet; the heading once more where logs were put together
        known[tuple(cells)] += 1
        if known[tuple(cells)] > 1:
            continue
        row = dict(zip(columns, cells, strict=False))
        if row.get("expression") and not any(row.get(f"p_{name}", "-") for name in names):
            others += 1  # the live page's, while another model was chosen
            continue
        try:
            sources.setdefault(row["source"], []).append(_parsed(row, line, names, offset, delimiter))
        except KeyError as error:
            raise DataError(f"{path}, line {line}, is cut short: no {error}.", "Predict again.") from error
        except ValueError as error:
            raise DataError(f"{path}, line {line}, is damaged ({error}).", "Predict again.") from error
    notes = []
    repeated = sum(known.values()) - len(known)
    if repeated:
        notes.append(f"{path.name}: {repeated} row(s) that were there twice were left out.")
    if others:
        notes.append(f"{path.name}: {others} row(s) without the scores of its first classifier were left out.")
    recordings = [_recording(label, source, sources[source]) for source, label in _labels(sources, name).items()]
    if recordings and not any(not row.person and not row.scores for rows in sources.values() for row in rows):
        filled = sum(_fill_gaps(recording) for recording in recordings)
        if filled:
            notes.append(f"{path.name} has no rows for frames without a face: {filled} in its gaps count as absence.")
    return Log(path, names, recordings, notes)


def _table(path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """The separator, and the cells of every line with its number."""
    try:
        text = _decoded(path.read_bytes())
        csv.field_size_limit(_LIMIT)
        start = text.partition("\n")[0].strip().strip('"')
        skipped = start.lower().startswith("sep=")  # Excel's own word for the separator
        body = text.partition("\n")[2] if skipped else text
        heading = body.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=heading.count)
        reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
        rows = [(reader.line_num + skipped, [unmarked(cell.strip()) for cell in cells]) for cells in reader]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}).", "Give logs of: ganfer predict --log.") from error
    return delimiter, rows


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # a spreadsheet on Windows


def _parsed(row: Mapping[str, str], line: int, names: Sequence[str], offset: float, delimiter: str) -> _Row:
    def number(text: str) -> float:
        value = float(text.replace(",", ".") if delimiter != "," else text)
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
        return value

    seconds = number(row["seconds"]) + offset
    if abs(seconds) > LONGEST:
        raise ValueError(f"{seconds:g} seconds are more than a year")
    frame = number(row["frame"]) if row.get("frame") else seconds
    state = row.get("attention", "")
    if not row["expression"]:
        return _Row(line, frame, seconds, "", [], state, None, None)
    scores = [number(row[f"p_{name}"]) for name in names]
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError("a probability is not within 0 and 1")
    sides = [row.get(key, "") for key in _PLACE]
    x, y, width, height = map(number, sides) if all(sides) else (0.0, 0.0, 0.0, 0.0)
    blinks = row.get("blinks", "")
    person = row["person"].removesuffix(".0").removesuffix(",0")
    counted = int(number(blinks)) if blinks else None
    return _Row(line, frame, seconds, person, scores, state, (x, y, width, height) if width > 0 else None, counted)


def _labels(sources: Mapping[str, object], name: str) -> dict[str, str]:
    """What every source is shown as: the log's name, with the file's where there are several, or its whole path."""
    if len(sources) == 1:
        return dict.fromkeys(sources, name)
    short = {source: source.replace("\\", "/").rpartition("/")[2] for source in sources}
    twice = {one for one, count in Counter(short.values()).items() if count > 1}
    return {source: f"{name}: {source if short[source] in twice else short[source]}" for source in sources}


def _recording(label: str, source: str, rows: list[_Row]) -> Recording:
    rows = sorted(rows, key=lambda row: (row.seconds, row.frame, row.line))
    clock: list[float] = []
    pieces: dict[str, Piece] = {}
    last: tuple[float, float] | None = None
    here: set[str] = set()
    for row in rows:
        if (row.seconds, row.frame) != last:
            last = (row.seconds, row.frame)
            clock.append(row.seconds)
            here = set()
        if not row.scores:
            continue
        number = row.person or next(str(k) for k in range(1, len(here) + 2) if str(k) not in here)
        if number in here:
            raise DataError(
                f"{label}, line {row.line}: person {number} is twice in one frame.",
                "Give every log as a file of its own.",
            )
        here.add(number)
        piece = pieces.setdefault(number, Piece(number))
        piece.frames.append(len(clock) - 1)
        piece.scores.append(row.scores)
        piece.states.append(row.state)
        piece.boxes.append(row.box)
        piece.blinks = row.blinks if row.blinks is not None else piece.blinks
    return Recording(label, source, clock, list(pieces.values()))


def _fill_gaps(recording: Recording) -> int:
    """Frames without a face, of which an earlier ganfer wrote no rows: the gaps of the clock. Returns how many."""
    step, places = recording.step, []
    clock: list[float] = []
    if step <= 0:
        return 0
    for seconds in recording.clock:
        if clock:
            missing = min(round((seconds - clock[-1]) / step) - 1, _MOST_MISSING)
            clock += [clock[-1] + step * (k + 1) for k in range(missing)]
        places.append(len(clock))
        clock.append(seconds)
    filled = len(clock) - len(recording.clock)
    recording.clock = clock
    for piece in recording.pieces:
        piece.frames = [places[frame] for frame in piece.frames]
    return filled
