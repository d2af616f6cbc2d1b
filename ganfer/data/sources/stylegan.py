"""StyleGAN's own data sets: images in numbered folders and a `dataset.json` with a label for each.

As written by NVIDIA's `dataset_tool.py`: `{"labels": [["00000/img00000000.png", 6], ...]}`, or `{"labels": null}` for a
set without labels. The numbered folders only keep folders small; they are no classes. Names of the classes may stand in
a list `class_names` or `classes` of the same file; else the numbers are the names.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from ganfer.data.sources.items import Item, Note, ReadOptions, Stream
from ganfer.data.sources.survey import DATASET_JSON, Survey, base, is_image, split_of
from ganfer.data.sources.tables import joined, json_of, label_files, path_in, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

_NAMES = ("class_names", "classes")


def fits(seen: Survey) -> bool:
    """A dataset.json and images."""
    return seen.images > 0 and seen.has(DATASET_JSON)


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per entry of the labels."""
    del seen, options
    rows: dict[str, list[Item]] = {}
    numbered = False
    for name, content in label_files(tree, lambda name: base(name).lower() == DATASET_JSON).items():
        what = f"{tree.path}: {name}"
        found = _read(text_of(content, what), what)
        names = next((found[key] for key in _NAMES if isinstance(found.get(key), list)), None)
        numbered |= names is None
        folder = name[: -len(base(name))]
        for file, label in _pairs(found.get("labels"), what):
            path = path_in(tree, folder, file)
            item = Item(path, _class(label, names, f"{what}: {file}"), b"", split=split_of(path))
            if path in rows and rows[path][0].label != item.label:
                raise DataError(f"{what}: {file} is {item.label}, and {rows[path][0].label}.", "Mend one of them.")
            rows[path] = [item]
    yield from joined(tree, rows, str, DATASET_JSON, among=is_image)
    if numbered:
        yield Note("dataset.json numbers its classes: --rename 0=angry gives one a name.")


def _read(text: str, what: str) -> dict[str, Any]:
    found = json_of(text, what, "Make it again with dataset_tool.py.")
    if not isinstance(found, dict):
        raise DataError(f"{what} holds no object with labels.", "Make it again with dataset_tool.py.")
    return found


def _pairs(labels: Any, what: str) -> list[tuple[str, Any]]:
    if not labels:
        raise DataError(
            f"{what} has no labels: it is a set for an unconditional network.",
            "Put each class's images into a folder named after it, or write a metadata.csv (file_name, label).",
        )
    pairs = list(labels.items()) if isinstance(labels, dict) else labels
    if not isinstance(pairs, Sequence) or any(
        not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str) for pair in pairs
    ):
        raise DataError(f"{what}: labels are no list of [file name, class].", "Make it again with dataset_tool.py.")
    return [(file, label) for file, label in pairs]


def _class(label: Any, names: list[Any] | None, what: str) -> str:
    """The class of a number, a name or a one-hot list."""
    if isinstance(label, list) and label.count(1) == 1 and label.count(0) == len(label) - 1:
        label = label.index(1)
    if isinstance(label, str) and label.strip():
        return label
    number = isinstance(label, (int, float)) and not isinstance(label, bool)
    if not number or not isfinite(label) or label != int(label) or label < 0:
        raise DataError(f"{what} has the label {label!r}.", "It must be the number of a class, or its name.")
    if names is None:
        return str(int(label))
    if int(label) >= len(names):
        raise DataError(f"{what} has the label {label!r}, and there are {len(names)} class names.", "Mend the file.")
    return str(names[int(label)])
