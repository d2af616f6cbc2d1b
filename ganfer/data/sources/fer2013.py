"""FER2013 as CSV: `fer2013.csv` or `icml_face_data.csv` (emotion, pixels, Usage), or `train.csv` with `test.csv`.

Goodfellow et al., "Challenges in Representation Learning", ICONIP 2013. Usage: Training is train; of the two test sets
the challenge's PublicTest is for choosing (val) and its PrivateTest for the result (test). A file with only one of them
has it as test.
"""

import io
from collections.abc import Iterator
from pathlib import Path

from ganfer.data.sources.items import Item, Pixels, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey
from ganfer.data.sources.tables import base, csv_rows, named, number
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGE = {"training": "train", "publictest": "val", "privatetest": "test"}
_WHOLE = ("fer2013.csv", "icml_face_data.csv")
_PARTS = {"train.csv": "train", "test.csv": "test"}


def fits(seen: Survey) -> bool:
    """One of the known CSV files, or a CSV and no images at all."""
    single = seen.files == 1 and len(seen.label_files) == 1 and seen.label_files[0].lower().endswith(".csv")
    return seen.images == 0 and (single or seen.has(*_WHOLE, *_PARTS))


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per row; `line-2` is the first data row, as a text editor counts."""
    del options
    for name in _chosen(seen):
        yield from _rows(tree, name, _PARTS.get(base(name).lower(), "") if len(_chosen(seen)) > 1 else "")


def _chosen(seen: Survey) -> list[str]:
    """The whole file where there is one (the others repeat its rows), else its parts."""
    files = [name for name in seen.label_files if name.lower().endswith(".csv")]
    whole = [name for wanted in _WHOLE for name in files if base(name).lower() == wanted]
    return whole[:1] or [name for name in files if base(name).lower() in _PARTS] or files


def _rows(tree: Tree, name: str, split: str) -> Stream:
    what = f"{tree.path}: {name}"
    for lines in _open(tree, name):
        rows = csv_rows(lines, what)
        for line, row in rows:
            if "pixels" not in row or "emotion" not in row:
                if split == "test" and "pixels" in row:
                    break  # the challenge's own test.csv has no labels
                _no_column(what, row)
            label = named(number(row, "emotion", what, line), CLASSES, what, line)
            usage = row.get("Usage", "")
            if usage and usage.lower() not in USAGE:
                raise DataError(
                    f"{what}, line {line}: Usage is {usage!r}.", "It must be Training, PublicTest or PrivateTest."
                )
            place = USAGE[usage.lower()] if usage else split
            yield Item(f"{Path(name).stem}/line-{line}", label, Pixels(row["pixels"]), split=place)


def _no_column(what: str, row: dict[str, str]) -> None:
    missing = "emotion" if "pixels" in row else "pixels"
    raise DataError(
        f"{what} has no column {missing!r} (it has: {', '.join(row) or 'none'}).",
        "FER2013's CSV has emotion, pixels and Usage; a file without labels cannot be added.",
    )


def _open(tree: Tree, name: str) -> Iterator[Iterator[str]]:
    """The file's lines: read as they are needed from a folder, whole from an archive (300 MB for all of FER2013)."""
    for entry in tree.files(lambda other: other == name):
        if isinstance(entry, Refused):
            continue
        if isinstance(entry.data, Path):
            with entry.data.open(newline="", encoding="utf-8-sig") as file:
                yield iter(file)
        else:
            yield iter(io.TextIOWrapper(io.BytesIO(entry.data), encoding="utf-8-sig", newline=""))
