"""CSV files as ganfer writes and reads them: text that a spreadsheet would take for a formula is marked as text.

A cell that begins with = + - @, a tab or a line end (a class name, a file's or a person's name) gets an apostrophe
before it, as spreadsheets themselves write text; numbers stay as they are. In a column `file_name`, which other
programs open as a path, it gets `./`.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from ganfer.runtime.text import one_line

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the last four in East Asian settings
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)
FILE_NAME = "file_name"


def marked(value: Any, column: str = "") -> Any:
    """The value as it goes into a cell."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if column == FILE_NAME:
        return f"./{text}" if text.startswith(_FORMULA) else text
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return f"'{text}" if text[:1] == "'" and text[1:].startswith((*_FORMULA, "'")) else text


def unmarked(text: str, column: str = "") -> str:
    """What `marked` was given."""
    if column == FILE_NAME:
        return text[2:] if text.startswith("./") and text[2:].startswith(_FORMULA) else text
    return text[1:] if text[:1] == "'" and text[1:].startswith((*_FORMULA, "'")) else text


def encoding_of(start: bytes) -> str:
    """How a text that begins with these bytes is encoded: UTF-8, or UTF-16 and UTF-32 as spreadsheets save it."""
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")):
        if start.startswith(mark):
            return encoding
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start[1:2] == b"\0" != start[:1]:  # a heading of plain letters, without a mark
        return "utf-16-le"
    return "utf-16-be" if start[:1] == b"\0" != start[1:2] else "utf-8-sig"


def delimiter_of(heading: str) -> str:
    """What parts the cells: commas, or what a spreadsheet writes in their place."""
    return max(",;\t", key=heading.count)


class TableWriter:
    """Writes rows as they come, the header (unless it is there already) first. Missing cells stay empty."""

    def __init__(self, out: IO[str], columns: Iterable[str], *, header: bool = True) -> None:
        self.columns = list(columns)
        self._writer = csv.writer(out)
        if header:
            self._writer.writerow([marked(column) for column in self.columns])

    def write(self, row: Mapping[str, Any]) -> None:
        """One row. ValueError for a cell of no column."""
        if extra := row.keys() - set(self.columns):
            raise ValueError(f"no columns {sorted(extra)}")
        self._writer.writerow([marked(row.get(column, ""), column) for column in self.columns])


def read_header(reader: Iterator[list[str]]) -> list[str]:
    """The names of the columns; none in an empty file."""
    return [unmarked(column) for column in next(reader, [])]


def read_cells(row: Sequence[str], columns: Sequence[str]) -> list[str]:
    """A row's cells as they were given to the writer; a row that is too short or too long stays so."""
    padded = [*columns, *[""] * (len(row) - len(columns))]
    return [unmarked(cell, column) for cell, column in zip(row, padded, strict=False)]


def read_rows(lines: Iterable[str], delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows by their columns. ValueError for one that is too short or too long, csv.Error for damage."""
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    columns = read_header(reader)
    for number, row in enumerate(reader, 2):
        if row and len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} cells, not {len(columns)}: {one_line(row[0][:40])}")
        if row:
            yield dict(zip(columns, read_cells(row, columns), strict=True))
