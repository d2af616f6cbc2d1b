"""A value of a JSON file that knows its place, so that a wrong one can be named; and values made fit for JSON."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganfer.errors import GanferError, WorkspaceError
from ganfer.runtime.files import read_object

RESULTS = "results.json"
Counts = Mapping[str, int]  # class name -> images; every class is there

# Class names come from folder names: a lone surrogate cannot be written as UTF-8, and a control character (an escape
# sequence, say) has no business in a terminal.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def sanitized(value: Any) -> Any:
    """The value with NaN and infinities as None, unprintable characters replaced, NumPy scalars and arrays as plain."""
    if isinstance(value, dict):
        return {sanitized(str(key)): sanitized(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sanitized(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy scalar or array, without importing NumPy
        return sanitized(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) else value


class ReportError(GanferError):
    """Results that no report can be written from."""


class Node:
    """A value in the JSON and its place, for messages."""

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def wrong(self, expected: str) -> ReportError:
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return ReportError(
            f"results.json: {self.place or 'the file'} is {shown}, not {expected}.",
            "Make the report again: ganfer retrain.",
        )

    def get(self, key: str) -> "Node":
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return Node(self.value.get(key), f"{self.place}.{key}" if self.place else key)

    def fields(self) -> Iterator[tuple[str, "Node"]]:
        if self.value is not None and not isinstance(self.value, dict):
            raise self.wrong("an object")
        for key in self.value or {}:
            yield key, self.get(key)

    def items(self) -> list["Node"]:
        if self.value is not None and not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Node(item, f"{self.place}[{i}]") for i, item in enumerate(self.value or [])]

    @property
    def absent(self) -> bool:
        return self.value is None

    def text(self, default: str | None = "") -> str:
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str):
            raise self.wrong("text")
        return self.value

    def maybe_number(self) -> float | None:
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        return self.value

    def number(self) -> float:
        value = self.maybe_number()
        if value is None:
            raise self.wrong("a number")
        return value

    def maybe_count(self) -> int | None:
        return None if self.value is None else self.count()

    def count(self) -> int:
        value = self.number()
        if value < 0 or value != int(value):
            raise self.wrong("a count")
        return int(value)

    def one_of(self, known: Sequence[str], what: str) -> str:
        if not isinstance(self.value, str) or self.value not in known:
            raise self.wrong(f"{what} ({', '.join(known)})")
        return self.value

    def counts(self, classes: Sequence[str]) -> Counts:
        found = {}
        for name, node in self.fields():
            Node(name, f"a key of {self.place}").one_of(classes, "a class")
            found[name] = node.count()
        return {name: found.get(name, 0) for name in classes}


def read_results(folder: Path) -> dict[str, Any]:
    """The results in a folder as they were written. Raises ReportError when they are absent or no JSON object."""
    file, remedy = folder / RESULTS, "Make the report again: ganfer retrain."
    try:
        return read_object(file, remedy)
    except FileNotFoundError as error:
        raise ReportError(f"{file} is not there.", remedy) from error
    except WorkspaceError as error:
        raise ReportError(error.problem, remedy) from error
