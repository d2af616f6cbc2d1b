"""Images with `metadata.csv` or `metadata.jsonl` beside them: Hugging Face `datasets`' "imagefolder".

Each line has file_name, relative to the metadata file. The class is in a column `label`, `expression`, `emotion` or
`class`, or in the folder. `split` and `group` (or `subject`) are taken where they are there; all other columns are kept
as attributes. The split may also be a folder: train/metadata.csv.
"""

import json
from collections.abc import Iterator

from ganfer.data.sources.folders import place
from ganfer.data.sources.items import Item, ReadOptions, Stream
from ganfer.data.sources.survey import SPLIT_FOLDERS, Survey, is_image, split_of
from ganfer.data.sources.tables import base, csv_rows, joined, label_files, lines_of, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError, did_you_mean

_NAMES = ("metadata.csv", "metadata.jsonl")
_LABEL = ("label", "expression", "emotion", "class")
_GROUP = ("group", "subject", "subject_id")


def fits(seen: Survey) -> bool:
    """Metadata and images."""
    return seen.images > 0 and seen.has(*_NAMES)


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per line of metadata."""
    del options
    rows: dict[str, list[Item]] = {}
    for name, content in label_files(tree, lambda name: base(name).lower() in _NAMES).items():
        what = f"{tree.path}: {name}"
        folder = name[: -len(base(name))]
        text = text_of(content, what)
        lines = (
            _json_lines(text, what)
            if name.lower().endswith(".jsonl")
            else csv_rows(lines_of(text), what, ("file_name",))
        )
        for line, row in lines:
            path = folder + row["file_name"].replace("\\", "/").removeprefix("./")
            rows[path] = [_item(path, row, f"{what}, line {line}", seen.depth)]
    yield from joined(tree, rows, str, "the metadata", among=is_image)


def _item(path: str, row: dict[str, str], what: str, depth: int) -> Item:
    label_column = next((name for name in _LABEL if row.get(name)), "")
    label = row[label_column] if label_column else place(path, depth)[1]
    if not label or label.lower() in SPLIT_FOLDERS:
        raise DataError(f"{what}: no class.", f"Give it in a column {', '.join(_LABEL)}, or in the image's folder.")
    split = row.get("split", "").lower()
    if split and split not in SPLIT_FOLDERS:
        raise DataError(f"{what}: split {split!r}.", did_you_mean(split, ("train", "val", "test")))
    group_column = next((name for name in _GROUP if row.get(name)), "")
    known = {"file_name", "split", label_column, group_column}
    attributes = {name: value for name, value in row.items() if name and name not in known and value}
    return Item(
        path,
        label,
        b"",
        split=SPLIT_FOLDERS[split] if split else split_of(path),
        group=row.get(group_column, ""),
        attributes=attributes,
    )


def _json_lines(text: str, what: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, record in enumerate(text.splitlines(), start=1):
        if not record.strip():
            continue
        try:
            row = json.loads(record)
        except json.JSONDecodeError as error:
            raise DataError(f"{what}, line {line}: no valid JSON ({error}).", "Mend that line.") from error
        if not isinstance(row, dict) or "file_name" not in row:
            raise DataError(f"{what}, line {line}: no file_name.", "Every line needs one.")
        yield line, {str(name): "" if value is None else str(value) for name, value in row.items()}
