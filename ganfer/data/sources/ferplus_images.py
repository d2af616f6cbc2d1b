"""FERPlus as its own script writes it: `FER2013Train`, `FER2013Valid` and `FER2013Test`, each with PNGs and a
`label.csv` without a heading: file name, perhaps the face's box in quotes, then ten people's votes.
"""

import csv
from pathlib import PurePosixPath

from ganfer.data.sources.ferplus import CLASSES, OUTSIDE, labelled
from ganfer.data.sources.items import Item, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey, base
from ganfer.data.sources.tables import joined, label_files, lines_of, path_in, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

TABLE = "label.csv"
_FOLDERS = {"fer2013train": "train", "fer2013valid": "val", "fer2013test": "test"}
_COLUMNS = (*CLASSES, *OUTSIDE)


def fits(seen: Survey) -> bool:
    """A label.csv in one of the three folders, and images."""
    return seen.images > 0 and any(base(name).lower() == TABLE and _split(name) for name in seen.label_files)


def allows(seen: Survey) -> bool:
    """One of the folders alone, under any name."""
    return seen.images > 0 and seen.has(TABLE)


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per row, labelled by the votes as in `ferplus`."""
    del seen
    rows: dict[str, list[Item | Refused]] = {}
    for name, content in label_files(tree, lambda name: base(name).lower() == TABLE).items():
        what = f"{tree.path}: {name}"
        folder = name[: -len(base(name))]
        reader = csv.reader(lines_of(text_of(content, what)))
        try:
            for cells in reader:
                if cells:
                    where = f"{what}, line {reader.line_num}"
                    tally = _votes(cells, where)
                    path = path_in(tree, folder, cells[0].strip())
                    found = [labelled(Item(path, "", b"", split=_split(name)), tally, options.soft_labels)]
                    if rows.setdefault(path, found) != found:
                        raise DataError(f"{where}: {path} has another class before.", "Mend one of the lines.")
        except csv.Error as error:
            raise DataError(f"{what}, line {reader.line_num}: no valid CSV ({error}).", "Mend that line.") from error
    yield from joined(tree, rows, str, TABLE)


def _split(name: str) -> str:
    """By the folder that holds the table."""
    return _FOLDERS.get(PurePosixPath(name).parent.name.lower(), "")


def _votes(cells: list[str], where: str) -> dict[str, float]:
    votes = cells[2:] if len(cells) > 1 and cells[1].strip().startswith("(") else cells[1:]
    try:
        counts = [int(float(cell)) for cell in votes]
    except (ValueError, OverflowError):
        counts = []
    if len(counts) != len(_COLUMNS) or min(counts) < 0:
        raise DataError(
            f"{where}: {','.join(cells)[:120]!r}.",
            f"It must be: file name, perhaps the face's box, and {len(_COLUMNS)} counts of votes.",
        )
    return dict(zip(_COLUMNS, map(float, counts), strict=True))
