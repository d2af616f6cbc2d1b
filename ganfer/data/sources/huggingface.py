"""Images with `metadata.csv` or `metadata.jsonl` beside them: Hugging Face `datasets`' "imagefolder".

Each line has file_name, relative to the metadata file. The class is in a column `label`, `expression`, `emotion` or
`class`, or in the folder. `split` and `group` (or `subject`) are taken where they are there; all other columns are kept
as attributes. The split may also be a folder: train/metadata.csv.
"""

import json
from collections.abc import Iterator

from ganfer.data.sources.folders import reading
from ganfer.data.sources.items import Item, Note, ReadOptions, Stream
from ganfer.data.sources.reading import Reading
from ganfer.data.sources.survey import Survey, base, is_image, split_of
from ganfer.data.sources.tables import csv_rows, joined, label_files, lines_of, split_column, split_value, text_of
from ganfer.data.sources.trees import Tree
from ganfer.data.sources.words import split_word, words
from ganfer.errors import DataError

_NAMES = ("metadata.csv", "metadata.jsonl")
_LABEL = ("label", "expression", "emotion", "class")
_GROUP = frozenset(
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

_Rows = dict[str, tuple[Item, str]]  # by path; with the file and line that says so


def fits(seen: Survey) -> bool:
    """Metadata and images."""
    return seen.images > 0 and seen.has(*_NAMES)


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per line of metadata."""
    rows, notes = _read(tree, seen, options)
    yield from joined(tree, {path: [item] for path, (item, _) in rows.items()}, str, "the metadata", among=is_image)
    yield from dict.fromkeys(notes)


def labels(tree: Tree, seen: Survey, options: ReadOptions) -> Iterator[str]:
    """The classes, from the metadata alone."""
    return (item.label for item, _ in _read(tree, seen, options)[0].values())


def _read(tree: Tree, seen: Survey, options: ReadOptions) -> tuple[_Rows, list[Note]]:
    """The metadata's rows. DataError for a file that cannot be read and for an image with two labels."""
    rows: _Rows = {}
    notes: list[Note] = []
    plan: Reading | None = None
    for name, content in label_files(tree, lambda name: base(name).lower() in _NAMES).items():
        what = f"{tree.path}: {name}"
        folder = name[: -len(base(name))]
        text = text_of(content, what)
        lines = list(
            _json_lines(text, what)
            if name.lower().endswith(".jsonl")
            else csv_rows(lines_of(text), what, ("file_name",), lower=True)
        )
        header = list(dict.fromkeys(column for _, row in lines for column in row))
        label = next((column for column in _LABEL if column in header), "")
        group = next((column for column in header if "".join(words(column)) in _GROUP), "")
        usage, said = split_column(header, lines[0][1] if lines else {}, ("file_name", label, group))
        notes += said
        if not label and {"asked", "seed"} <= set(header):
            raise DataError(
                f"{what} lists images that ganfer drew, without labels; a data set is made of labelled real ones.",
                "Label them with `ganfer label FOLDER`.",
            )
        if lines and not label and plan is None and seen.in_folders:
            plan = reading(tree, seen, options)
        for line, row in lines:
            path = folder + row["file_name"].replace("\\", "/").removeprefix("./")
            where = f"{what}, line {line}"
            of_row = row.get(label, "") or (plan.of(path).label if plan else "")
            if not of_row or (not row.get(label) and split_word(of_row)):
                raise DataError(f"{where}: no class.", f"Give it in a column {', '.join(_LABEL)}, or in the folder.")
            split = split_value(row.get(usage, ""), usage, what, line) if usage else ""
            known = {"file_name", usage, label, group}
            item = Item(
                path,
                of_row,
                b"",
                split=split or split_of(path),
                group=row.get(group, ""),
                attributes={key: value for key, value in row.items() if key and key not in known and value},
            )
            if path in rows and rows[path][0].label != of_row:
                raise DataError(
                    f"{where}: {path} is {of_row}, and {rows[path][0].label} in {rows[path][1]}.", "Mend one of them."
                )
            rows[path] = item, where
    return rows, notes


def _json_lines(text: str, what: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, record in enumerate(text.splitlines(), start=1):
        if not record.strip():
            continue
        try:
            row = json.loads(record)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{what}, line {line}: no valid JSON ({error}).", "Mend that line.") from error
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise DataError(f"{what}, line {line}: no file_name.", "Every line needs one.")
        yield line, {str(name).lower(): "" if value is None else str(value) for name, value in row.items()}
