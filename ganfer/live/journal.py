"""What a run of `predict` has found so far, on disk as it comes: the same command goes on from it after a kill."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ganfer.runtime.console import say

NAME = ".faces.journal"


class Journal:
    """Lines of JSON: the run's key, then rows, marks inside a film and ends of sources. Rows after the last mark or end
    are forgotten when the run goes on.

    done: by the number of each finished source what was kept of it. mark: the last mark inside an unfinished one.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.path = folder / NAME
        self.done: dict[int, dict[str, Any]] = {}
        self.mark: dict[str, Any] | None = None
        self._key = json.loads(json.dumps(key))
        self._rows = 0
        self._file: BinaryIO | None = None
        self._end = self._read()

    @property
    def resumed(self) -> bool:
        return bool(self.done) or self.mark is not None

    def rows(self, source: int | None = None) -> Iterator[dict[str, Any]]:
        """The rows kept, in order; of one source where it is given."""
        if (self._file is None and not self._end) or not self.path.is_file():
            return  # what lies there before the first row is of a run that is not gone on with
        with self.path.open("rb") as file:
            for line in file:
                entry = json.loads(line)
                if "row" in entry and source in (None, entry["of"]):
                    yield entry["row"]

    def add(self, source: int, row: Mapping[str, Any]) -> None:
        self._write({"of": source, "row": row})
        self._rows += 1

    def note(self, source: int, state: Mapping[str, Any]) -> None:
        """A mark from which an unfinished source can be gone on with."""
        self._write({"of": source, "mark": state})

    def finish(self, source: int, kept: Mapping[str, Any]) -> None:
        self._write({"of": source, "done": kept})

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self, *, keep: bool) -> None:
        """keep: the run is not over."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if not keep or not (self._rows or self.resumed):
            self.path.unlink(missing_ok=True)

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._file is None:
            self._begin()
        assert self._file is not None
        self._file.write(json.dumps(entry, allow_nan=False).encode() + b"\n")

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._end:
            self._file = self.path.open("r+b")
            self._file.truncate(self._end)
            self._file.seek(self._end)
        else:
            self._file = self.path.open("wb")
            self._file.write(json.dumps({"key": self._key}).encode() + b"\n")

    def _read(self) -> int:
        """Where the last mark or end stops; 0 for nothing to go on from."""
        if not self.path.is_file():
            return 0
        end = place = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                place += len(line)
                entry = _entry(line, number)
                if entry is None:
                    break  # the line at which it was killed, or a damaged one: what comes after it is read anew
                if number == 0 and entry.get("key") != self._key:
                    return 0
                if "done" in entry:
                    self.done[entry["of"]], self.mark, end = entry["done"], None, place
                elif "mark" in entry:
                    self.mark, end = {"of": entry["of"], **entry["mark"]}, place
        if end:
            with self.path.open("r+b") as file:
                file.truncate(end)
            say(f"Goes on from what {self.path.parent} holds: {len(self.done)} source(s) done.")
        return end


def _entry(line: bytes, number: int) -> dict[str, Any] | None:
    """A line as it was written; None for a damaged one."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    if number == 0:
        return entry if isinstance(entry.get("key"), dict) else None
    known = [kind for kind in ("row", "mark", "done") if kind in entry]
    whole = type(entry.get("of")) is int and len(known) == 1 and isinstance(entry[known[0]], dict)
    return entry if whole else None
