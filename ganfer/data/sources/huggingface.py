"""Images with `metadata.csv` or `metadata.jsonl` beside them: Hugging Face `datasets`' "imagefolder".

Each line has file_name, relative to the metadata file. The class is in a column `label`, `expression`, `emotion` or
`class`, or in the folder. `split` and `group` (or `subject`) are taken where they are there; all other columns are kept
as attributes. The split may also be a folder: train/metadata.csv.
"""

import re
from collections.abc import Iterator, Sequence

from ganfer.data.names import EXPRESSIONS, canonical
from ganfer.data.sources.folders import reading
from ganfer.data.sources.items import Item, Note, ReadOptions, Stream
from ganfer.data.sources.reading import Reading
from ganfer.data.sources.survey import Survey, base, is_image, split_of
from ganfer.data.sources.tables import (
    csv_rows,
    joined,
    json_of,
    label_files,
    lines_of,
    meaning,
    path_in,
    split_column,
    split_value,
    text_of,
)
from ganfer.data.sources.trees import Tree
from ganfer.data.sources.words import expression_in, split_word, words
from ganfer.data.text import printable
from ganfer.errors import DataError
from ganfer.runtime.tables import unmarked

_NAMES = ("metadata.csv", "metadata.jsonl")
LABEL = ("label", "expression", "emotion", "class")
GROUP = frozenset(
    (
        "group",
        "subject",
        "subjectid",
        "person",
        "personid",
        "participant",
        "participantid",
        "identity",
        "actor",
        "actorid",
    )
)  # spaces and underscores aside

_SHARDED = re.compile(r"\.(?:parquet|tar)::")  # how a batch names an image in one

_Rows = dict[str, tuple[Item, str]]  # by path; with the file and line that says so


def fits(seen: Survey) -> bool:
    """Metadata and images."""
    return seen.images > 0 and seen.has(*_NAMES)


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per line of metadata."""
    rows, notes, _ = _read(tree, seen, options)
    yield from joined(tree, {path: [item] for path, (item, _) in rows.items()}, str, "the metadata", among=is_image)
    yield from dict.fromkeys(notes)


def labels(tree: Tree, seen: Survey, options: ReadOptions) -> Iterator[str]:
    """The classes, from the metadata alone."""
    return (item.label for item, _ in _read(tree, seen, options)[0].values())


def lines(tree: Tree, seen: Survey, options: ReadOptions) -> list[str]:
    """How the metadata is read, in words."""
    return list(dict.fromkeys(_read(tree, seen, options)[2]))


def unlike_folders(tree: Tree, seen: Survey, options: ReadOptions) -> str:
    """The first image whose class in the metadata is not the one its folder is named after; "" where they agree."""
    for path, (item, where) in _read(tree, seen, options)[0].items():
        folders = {expression_in(part) for part in path.split("/")[:-1]} - {""}
        label = canonical(item.label)
        if len(folders) == 1 and label in EXPRESSIONS and label not in folders:
            return f"{where}: {printable(path)} is {item.label}, and lies in a folder named {folders.pop()}."
    return ""


def _read(tree: Tree, seen: Survey, options: ReadOptions) -> tuple[_Rows, list[Note], list[str]]:
    """The metadata's rows, notes, and how they are read in words. DataError for a file that cannot be read and for an
    image with two labels.
    """
    rows: _Rows = {}
    notes: list[Note] = []
    plain: list[str] = []
    plan: Reading | None = None
    for name, content in label_files(tree, lambda name: base(name).lower() in _NAMES).items():
        what = f"{tree.path}: {name}"
        folder = name[: -len(base(name))]
        text = text_of(content, what)
        table = list(_json_lines(text, what) if name.lower().endswith(".jsonl") else _csv_lines(text, what))
        header = list(dict.fromkeys(column for _, row in table for column in row))
        label = _label_column([column for column in LABEL if column in header], table, what)
        group = next((column for column in header if "".join(words(column)) in GROUP), "")
        usage, said = split_column(header, table[0][1] if table else {}, ("file_name", label, group))
        notes += said
        columns = {"class": label, "subject": group, "split": usage}
        plain += [f"{meaning}: column {column!r}" for meaning, column in columns.items() if column]
        if not label and {"asked", "seed"} <= set(header):
            raise DataError(
                f"{what} lists images that ganfer drew, without labels; a data set is made of labelled real ones.",
                "Label them with `ganfer label FOLDER`.",
            )
        if table and not label and plan is None and seen.in_folders:
            plan = reading(tree, seen, options)
            plain += plan.lines
        for line, row in table:
            where = f"{what}, line {line}"
            if not row.get("file_name"):
                raise DataError(f"{where}: no file_name.", "Every line needs one.")
            path = path_in(tree, folder, row["file_name"])
            if _SHARDED.search(path):
                raise DataError(
                    f"{where}: {printable(path)} lies in a file of many images.",
                    f"Add those files themselves: {path.partition('::')[0].rpartition('/')[0] or '.'} of {tree.path}.",
                )
            told = meaning(row.get(label, ""))
            of_row = told or (plan.of(path).label if plan else "")
            if not of_row or (not told and split_word(of_row)):
                written = f" ({label} is {row[label]!r})" if row.get(label) else ""
                raise DataError(
                    f"{where}: no class{written}.", f"Give it in a column {', '.join(LABEL)}, or in the folder."
                )
            split = split_value(row.get(usage, ""), usage, what, line) if usage else ""
            known = {"file_name", usage, label, group}
            item = Item(
                path,
                of_row,
                b"",
                split=split or split_of(path),
                group=meaning(row.get(group, "")),
                attributes={key: value for key, value in row.items() if key and key not in known and value},
            )
            before, there = rows.get(path, (item, where))
            if _said(before) != _said(item):
                raise DataError(
                    f"{where}: {path} is {_said(item)}, and {_said(before)} in {there}.", "Mend one of them."
                )
            rows[path] = item, where
    return rows, notes, plain


def _said(item: Item) -> str:
    """What a row says of its image: class, split and subject."""
    return ", ".join(word for word in (item.label, item.split, item.group) if word)


def _csv_lines(text: str, what: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows; what ganfer's own tables mark as text for spreadsheets is read as it was."""
    for line, row in csv_rows(lines_of(text), what, ("file_name",), lower=True):
        yield line, {unmarked(column): unmarked(value, column) for column, value in row.items()}


def _json_lines(text: str, what: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, record in enumerate(lines_of(text), start=1):
        if not record.strip():
            continue
        row = json_of(record, f"{what}, line {line}", "Mend that line.")
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise DataError(f"{what}, line {line}: no file_name.", "Every line needs one.")
        columns = {str(name).lower(): value for name, value in row.items()}
        for column in LABEL:
            if isinstance(columns.get(column), list) and len(columns[column]) == 1:
                columns[column] = columns[column][0]
            if isinstance(columns.get(column), (list, dict)):
                raise DataError(f"{what}, line {line}: {column} is {columns[column]!r}.", "An image has one class.")
        missing = {name for name, value in columns.items() if value is None or value != value}  # null, NaN
        yield line, {name: "" if name in missing else str(value).strip() for name, value in columns.items()}


def _label_column(columns: Sequence[str], lines: Sequence[tuple[int, dict[str, str]]], what: str) -> str:
    """The column of the class, "" for none; of a number and its name, the name. DataError where two differ."""
    filled = [column for column in columns if len({row.get(column, "") for _, row in lines} - {""}) > 1]
    if not filled:
        return next(iter(columns), "")
    for other in filled[1:]:
        unlike = _unlike(filled[0], other, lines)
        if unlike:
            raise DataError(
                f"{what}: columns {filled[0]!r} and {other!r} do not name the same classes ({unlike}).",
                "Rename the one that is not the class.",
            )
    named = (column for column in filled if all(not row.get(column, "")[:1].isdigit() for _, row in lines))
    return next(named, filled[0])


def _unlike(first: str, other: str, lines: Sequence[tuple[int, dict[str, str]]]) -> str:
    """The first line in which two columns differ: expressions by name, codes by what they stood for before."""
    stood: dict[tuple[str, str], str] = {}  # (column, class) -> class in the other column
    for line, row in lines:
        one, two = canonical(row.get(first, "")), canonical(row.get(other, ""))
        if not one or not two:
            continue
        names = one in EXPRESSIONS and two in EXPRESSIONS and one != two
        if names or stood.setdefault((first, one), two) != two or stood.setdefault((other, two), one) != one:
            return f"line {line}: {one} and {two}"
    return ""
