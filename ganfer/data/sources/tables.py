"""What the layouts with label files share: reading those files, and joining their rows to the images of the tree."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import isfinite
from posixpath import normpath
from typing import Any

from ganfer.data.sources.items import Item, Note, Refused, Stream
from ganfer.data.sources.survey import is_image
from ganfer.data.sources.trees import Entry, Tree
from ganfer.data.sources.words import SPLIT_COLUMNS, is_split_column, split_word
from ganfer.data.text import composed, printable
from ganfer.errors import DataError, did_you_mean
from ganfer.runtime.tables import delimiter_of, encoding_of

_SURE = ("split", "usage")
_WHOLE = re.compile(r"^(\d+)\.0+$")  # a number, as pandas writes it where a row has none
_NOTHING = ("nan", "NaN", "<NA>", "-1", "-1.0")  # a person may be called Nan

csv.field_size_limit(2**24)  # a FER2013 row has 9 kB; pixels of larger images may come the same way


def label_files(tree: Tree, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The wanted label files with their content. DataError when one of them cannot be read."""
    found: dict[str, bytes] = {}
    for entry in tree.files(wanted):
        if isinstance(entry, Entry):
            found[entry.name] = entry.bytes()
        elif wanted(entry.id):
            raise DataError(f"{tree.path}: {entry.id} is refused: {entry.reason}.", "Get the archive again.")
    return found


def text_of(content: bytes, what: str) -> str:
    """UTF-8 text, with or without a byte-order mark, or UTF-16. DataError for anything else."""
    try:
        return content.decode(encoding_of(content[:4]))
    except UnicodeError as error:
        raise _not_text(what, error) from error


def _not_text(what: str, error: UnicodeError) -> DataError:
    return DataError(f"{what} is no UTF-8 text, nor UTF-16 ({error}).", "Save it again as UTF-8.")


def json_of(text: str, what: str, remedy: str) -> Any:
    """What a JSON text holds. DataError where it is none, or nests too deep to be read."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{what} is no valid JSON ({error}).", remedy) from error
    except RecursionError as error:
        raise DataError(f"{what} is no JSON of labels: it nests too deep.", remedy) from error


def path_in(tree: Tree, folder: str, name: str) -> str:
    """The file of the tree that a table in `folder` (with a slash at the end) names: `../images/1.png` and an absolute
    path into the tree count too.
    """
    name = name.replace("\\", "/")
    root = tree.path.resolve().as_posix() + "/"
    inside = name.removeprefix(root) if name.startswith("/") else folder + name
    return normpath(inside) if name else folder


def csv_rows(
    lines: Iterable[str], what: str, required: Sequence[str] = (), *, lower: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV with a header; blanks around names and values are dropped. Commas part the values,
    or what a spreadsheet writes in their place: semicolons or tabs.

    lower: names of columns in lower case. DataError when a required column is missing, naming the nearest, or when the
    file is no CSV.
    """
    lines = iter(lines)
    reader, above = csv.reader(lines), 0
    try:
        first = next(lines, "")
        while first and not first.strip():
            first, above = next(lines, ""), above + 1
        if first.strip().strip('"').lower().startswith("sep="):  # a spreadsheet's own word for the separator
            first, above = next(lines, ""), above + 1
        reader = csv.reader(chain([first], lines), delimiter=delimiter_of(first))
        header = [name.strip() for name in next(reader, [])]
        if lower:
            header = [name.lower() for name in header]
        twice = next((name for i, name in enumerate(header) if name and name in header[:i]), None)
        if twice is not None:
            raise DataError(f"{what} has two columns {twice!r}.", "Rename one of them.")
        for name in required:
            if name not in header:
                raise DataError(
                    f"{what} has no column {name!r}.", did_you_mean(name, header) if header else "It is empty."
                )
        for values in reader:
            if values:  # a column without a name, as pandas writes the numbers of the rows, says nothing
                row = {name: value.strip() for name, value in zip(header, values, strict=False) if name}
                yield reader.line_num + above, row
    except csv.Error as error:
        raise DataError(
            f"{what}, line {reader.line_num + above}: no valid CSV ({error}).", "Mend that line."
        ) from error
    except UnicodeError as error:
        raise _not_text(what, error) from error


def lines_of(text: str) -> Iterator[str]:
    """Lines for `csv_rows`."""
    return iter(io.StringIO(text, newline=""))


def number(row: Mapping[str, str], column: str, what: str, line: int) -> float:
    """A row's number. DataError naming file, line and value."""
    value = row.get(column) or ""
    try:
        found = float(value)
        if isfinite(found):
            return found
    except ValueError:
        pass
    raise DataError(f"{what}, line {line}: {column} is {value!r}.", "It must be a number.")


def named(code: float, names: Sequence[str], what: str, line: int, first: int = 0) -> str:
    """The class name of a code that starts at `first`. DataError naming file, line and code."""
    index = int(code) - first if isinstance(code, int) or isfinite(code) else -1  # an int may exceed every float
    if index != code - first or not 0 <= index < len(names):
        said = f"{code:g}" if abs(code) < 10**9 else f"of {len(str(code))} characters"
        raise DataError(f"{what}, line {line}: class {said}.", f"It must be {first} to {first + len(names) - 1}.")
    return names[index]


def meaning(cell: str) -> str:
    """The class or person that a cell names; "" where it says that there is none, as NaN or as the Hub's -1."""
    found = _WHOLE.sub(r"\1", cell.strip())
    return "" if found in _NOTHING else found


def split_column(header: Sequence[str], first: Mapping[str, str], known: Sequence[str]) -> tuple[str, list[Note]]:
    """The column that holds the split, "" for none, and what to say of columns that only look like it.

    header: names in lower case. first: the first row. known: columns with another meaning. A column named `split`,
    `usage` and the like counts when its first value is a word for train, val or test; `split` and `usage` always do.
    """
    rest = [name for name in header if name not in known]
    by_name = sorted((name for name in rest if is_split_column(name)), key=lambda name: name not in SPLIT_COLUMNS)
    fitting = [name for name in by_name if name in _SURE or not first.get(name) or split_word(first[name])]
    chosen = fitting[0] if fitting else ""
    notes = [
        Note(f"The column {name!r} ({first.get(name, '')!r} in the first row) was not used as the split.")
        for name in rest
        if name != chosen and (name in by_name or (not chosen and split_word(first.get(name, ""))))
    ]
    return chosen, notes


def split_value(value: str, column: str, what: str, line: int) -> str:
    """The split of a row, "" where the column is empty. DataError for a word that says none."""
    split = split_word(value)
    if value.strip() and not split:
        raise DataError(
            f"{what}, line {line}: {column} is {value!r}.",
            f"It must be a word for train, val or test (Training, PublicTest, PrivateTest). {_nearest(value)}".strip(),
        )
    return split


def _nearest(value: str) -> str:
    hint = did_you_mean(value.lower(), ("train", "val", "test"))
    return hint if hint.startswith("Did") else ""


def joined(
    tree: Tree,
    rows: Mapping[str, Sequence[Item | Refused]],
    key_of: Callable[[str], str],
    what: str,
    among: Callable[[str], bool] = is_image,
) -> Stream:
    """The rows of a label table with the images they name, in the tree's order; then the rows whose image is not there.

    rows: key -> items without data, or what the table itself rules out. key_of: the key of an image's path. DataError
    when no row found its image.
    """
    if not rows:
        raise DataError(f"{what} names no image.", "Check that it is the right file.")
    rows = dict(rows)
    total = len(rows)
    used: set[str] = set()
    as_written = {composed(key): key for key in rows}

    def key_in(name: str) -> str:
        """The key of a file; one that is written with its accents apart is the one that looks so."""
        key = key_of(name)
        return key if key in rows or key in used else as_written.get(composed(key), key)

    for entry in tree.files(lambda name: among(name) and (key_in(name) in rows or key_in(name) in used)):
        if isinstance(entry, Refused):
            yield entry
            continue
        key = key_in(entry.name)
        if key in used:
            yield Refused(entry.name, "another image of that name was used")
            continue
        used.add(key)
        for row in rows.pop(key):
            if isinstance(row, Refused):
                yield row if "#" in row.id else Refused(entry.name, row.reason)
                continue
            yield Item(row.id, row.label, entry.data, row.split, row.group, row.box, row.votes, row.attributes)
    if len(rows) == total:
        example = next(iter(rows.values()))[0].id
        raise DataError(
            f"{what} names {total:,} images, none of which is in {tree.path}.", f"{printable(example)} should be there."
        )
    for missing in rows.values():
        for row in missing:
            yield row if isinstance(row, Refused) else Refused(row.id, f"named in {what}, but not there")
