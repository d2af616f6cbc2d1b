"""FER2013 as CSV: `fer2013.csv` or `icml_face_data.csv` (emotion, pixels, Usage), or `train.csv` with `test.csv`.

Goodfellow et al., "Challenges in Representation Learning", ICONIP 2013. Usage: Training is train; of the two test sets
the challenge's PublicTest is for choosing (val) and its PrivateTest for the result (test). A file with only one of them
has it as test. CK+ is passed on in the same form with an eighth class, contempt.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ganfer.data.sources.items import Item, Note, Pixels, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey, base
from ganfer.data.sources.tables import csv_rows, named, number, split_column, split_value
from ganfer.data.sources.trees import Tree
from ganfer.data.sources.words import EVAL, expression_in, meant_by_eval, split_and_rest, split_word
from ganfer.errors import DataError
from ganfer.runtime.tables import encoding_of

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CK_CLASSES = (*CLASSES, "contempt")
WHOLE = ("fer2013.csv", "icml_face_data.csv")
CK_WHOLE = ("ckextended.csv",)
_LABEL = ("emotion", "expression", "label", "class")


def fits(seen: Survey) -> bool:
    """One of the known CSV files, whatever pictures lie beside it; or a CSV, or one per split, and no images at all."""
    tables = _tables(seen)
    single = seen.files == 1 and len(tables) == 1
    return seen.has(*WHOLE, *CK_WHOLE) or (seen.images == 0 and (single or bool(_parts(tables))))


def fits_ck(seen: Survey) -> bool:
    """CK+ under the name it is passed on with."""
    return seen.has(*CK_WHOLE) and not seen.has(*WHOLE)


def items(classes: Sequence[str]) -> Callable[[Tree, Survey, ReadOptions], Stream]:
    """The stream for these classes: one item per row; `line-2` is the first data row, as a text editor counts."""

    def stream(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
        del options
        chosen = _chosen(seen)
        splits = _parts(chosen) if len(chosen) > 1 else {}
        measured = meant_by_eval(splits.values())
        for name in chosen:
            split = splits.get(name, "")
            yield from _rows(tree, name, measured if split == EVAL else split, classes)

    return stream


def _tables(seen: Survey) -> list[str]:
    return [name for name in seen.label_files if name.lower().endswith(".csv")]


def _parts(names: Sequence[str]) -> dict[str, str]:
    """The files named after a split, and it; a name with further words (`fer_val`) counts where no plain one does."""
    plain = {name: split_word(_stem(name)) for name in names}
    taken = set(plain.values())
    loose = {name: split_and_rest(_stem(name))[0] for name in names if not plain[name]}
    loose = {name: split for name, split in loose.items() if split not in taken}
    if len({split for split in loose.values() if split} | (taken - {""})) < 2:
        loose = {}
    return {name: split for name, split in (plain | loose).items() if split}


def _stem(name: str) -> str:
    return Path(base(name)).stem


def _chosen(seen: Survey) -> list[str]:
    """The whole file where there is one (the others repeat its rows), else its parts."""
    files = _tables(seen)
    whole = [name for wanted in (*WHOLE, *CK_WHOLE) for name in files if base(name).lower() == wanted]
    return whole[:1] or list(_parts(files)) or files


def _rows(tree: Tree, name: str, split: str, classes: Sequence[str]) -> Stream:
    what = f"{tree.path}: {name}"
    for lines in _open(tree, name):
        usage = label = ""
        started = False
        for line, row in csv_rows(lines, what, lower=True):
            if not started:
                started = True
                label = next((column for column in _LABEL if column in row), "")
                if "pixels" not in row or not label:
                    if split == "test" and "pixels" in row:
                        yield Note(f"{name} has no labels and was left out.")  # as the challenge's own test.csv
                        break
                    _no_column(what, row)
                usage, notes = split_column(list(row), row, (label, "pixels"))
                yield from notes
            if "pixels" not in row:
                raise DataError(f"{what}, line {line}: no pixels.", "Mend that line.")
            place = split_value(row.get(usage, ""), usage, what, line) if usage else ""
            pixels = Pixels(row["pixels"])
            yield Item(
                f"{Path(name).stem}/line-{line}", _class(row, label, classes, what, line), pixels, place or split
            )


def _class(row: dict[str, str], column: str, classes: Sequence[str], what: str, line: int) -> str:
    if expression_in(row.get(column, "")):
        return row[column]
    code = number(row, column, what, line)
    if code == len(CLASSES) == len(classes):
        raise DataError(
            f"{what}, line {line}: class {code:g}.",
            f"It must be 0 to {len(CLASSES) - 1}. If 7 is contempt, as in CK+ as CSV: --as ck+csv.",
        )
    return named(code, classes, what, line)


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
            with entry.data.open("rb") as raw:
                encoding = encoding_of(raw.read(4))
            with entry.data.open(newline="", encoding=encoding) as file:
                yield iter(file)
        else:
            encoding = encoding_of(entry.data[:4])
            yield iter(io.TextIOWrapper(io.BytesIO(entry.data), encoding=encoding, newline=""))
