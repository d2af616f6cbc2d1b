"""Roboflow's export of a classification set: `_classes.csv` beside the images of each split, a column of 0 and 1 per
class. An image may be there several times, as augmented copies named `photo_jpg.rf.<digest>.jpg`.
"""

from collections import Counter
from dataclasses import replace

from ganfer.data.sources.items import Item, Note, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey, base, split_of
from ganfer.data.sources.tables import csv_rows, joined, label_files, lines_of, path_in, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

TABLE = "_classes.csv"
_FILE = "filename"
_COPY = ".rf."
_YES, _NO = ("1", "1.0"), ("0", "0.0", "")


def fits(seen: Survey) -> bool:
    """The table and images."""
    return seen.images > 0 and seen.has(TABLE)


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per row with one class. Copies of one photograph are one group, so that no split divides them."""
    del seen, options
    rows: dict[str, list[Item | Refused]] = {}
    for name, content in label_files(tree, lambda name: base(name).lower() == TABLE).items():
        what = f"{tree.path}: {name}"
        folder = name[: -len(base(name))]
        for line, row in csv_rows(lines_of(text_of(content, what)), what):
            if _FILE not in row:
                raise DataError(
                    f"{what} has no column {_FILE!r} (it has: {', '.join(row)}).",
                    "Export the set from Roboflow for classification (multi-class CSV), not for masks.",
                )
            path = path_in(tree, folder, row[_FILE])
            found = [_item(path, row, f"{what}, line {line}")]
            if rows.setdefault(path, found) != found:
                raise DataError(f"{what}, line {line}: {path} has another class before.", "Mend one of the lines.")
    origins = Counter(_origin(path) for path in rows)
    copies = sum(origins.values()) - len(origins)
    if copies:
        rows = {
            path: [replace(one, group=_origin(path)) if isinstance(one, Item) else one for one in found]
            for path, found in rows.items()
        }
    yield from joined(tree, rows, str, TABLE)
    if copies:
        yield Note(f"{copies:,} images are augmented copies of others; those of one photograph are kept together.")


def _item(path: str, row: dict[str, str], where: str) -> Item | Refused:
    marks = {name: value for name, value in row.items() if name and name != _FILE}
    for name, value in marks.items():
        if value not in (*_YES, *_NO):
            raise DataError(f"{where}: {name} is {value!r}.", "It must be 0 or 1.")
    chosen = [name for name, value in marks.items() if value in _YES]
    if len(chosen) != 1:
        return Refused(path, "Roboflow: " + ("no class" if not chosen else "more than one class"))
    return Item(path, chosen[0], b"", split=split_of(path))


def _origin(path: str) -> str:
    """The photograph that a copy was made of, whatever its split."""
    return base(path).partition(_COPY)[0]
