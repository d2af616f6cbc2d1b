"""AffectNet: CSV lists with face boxes, or `train_set/{images,annotations}` with a `.npy` label per image.

Mollahosseini, Hasani and Mahoor, "AffectNet", IEEE Trans. Affective Computing, 2019. The test set was never published:
the validation set is the test, as everyone reports it. Codes 8 to 10 (none, uncertain, no face) are left out.
"""

import io
from collections.abc import Mapping

import numpy as np

from ganfer.data.sources.items import Item, Note, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey, base, is_image, split_of
from ganfer.data.sources.tables import csv_rows, joined, label_files, lines_of, named, number, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

CODES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt", "none", "uncertain", "no face")
_FACES = 8
_LISTS = {"training.csv": "train", "automatically_annotated.csv": "train", "validation.csv": "val"}
_REQUIRED = ("subDirectory_filePath", "expression")
_BOX = ("face_x", "face_y", "face_width", "face_height")


def fits(seen: Survey) -> bool:
    """The lists, or annotation arrays beside images."""
    return seen.images > 0 and (seen.exp_arrays > 0 or seen.has(*_LISTS))


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per annotated image with one of the eight expressions; valence and arousal are attributes."""
    del options
    if seen.exp_arrays:
        yield from _arrays(tree)
    else:
        yield from _lists(tree)


def _arrays(tree: Tree) -> Stream:
    labels: dict[str, int] = {}
    for name, content in label_files(tree, lambda name: name.endswith("_exp.npy")).items():
        labels[_key(name.removesuffix("_exp.npy"))] = _scalar(content, f"{tree.path}: {name}")
    rows: dict[str, list[Item | Refused]] = {}
    for key, code in labels.items():
        if code >= _FACES:
            rows[key] = [Refused(key, f"AffectNet: {CODES[code]}")]
        else:
            rows[key] = [Item(key, CODES[code], b"", split=split_of(key + "/"))]
    yield from joined(tree, rows, lambda name: _key(name.rpartition(".")[0]), "annotations")


def _key(stem: str) -> str:
    """`train_set/images/0` and `train_set/annotations/0` are the same image."""
    folder, _, number = stem.rpartition("/")
    return f"{folder.rpartition('/')[0]}/{number}".lstrip("/")


def _scalar(content: bytes, what: str) -> int:
    try:
        value = np.load(io.BytesIO(content), allow_pickle=False)  # a pickle could run code
        found = float(str(value.reshape(-1)[0]))
    except (ValueError, EOFError, IndexError, OSError) as error:
        raise DataError(f"{what} is no plain array with one number ({error}).", "Get the annotations again.") from error
    if found not in range(len(CODES)):
        raise DataError(f"{what}: expression {found:g}.", "It must be 0 to 10.")
    return int(found)


def own(name: str) -> bool:
    """Annotations beside the expression: valence, arousal, landmarks."""
    return name.endswith(("_val.npy", "_aro.npy", "_lnd.npy"))


def _lists(tree: Tree) -> Stream:
    rows: dict[str, list[Item | Refused]] = {}
    again: list[str] = []
    for name, content in label_files(tree, lambda name: base(name).lower() in _LISTS).items():
        what = f"{tree.path}: {name}"
        split = _LISTS[base(name).lower()]
        for line, row in csv_rows(lines_of(text_of(content, what)), what, _REQUIRED):
            path, code = row.get("subDirectory_filePath", ""), number(row, "expression", what, line)
            label = named(code, CODES, what, line)
            if _tail(path) in rows:
                again.append(path)
            if code >= _FACES:
                rows[_tail(path)] = [Refused(path, f"AffectNet: {label}")]
                continue
            extra = {name: row[name] for name in ("valence", "arousal") if row.get(name)}
            rows[_tail(path)] = [Item(path, label, b"", split=split, box=_box(row), attributes=extra)]
    yield from joined(tree, rows, _tail, "the lists", among=is_image)
    if again:
        yield Note(
            f"The lists name {len(again):,} images more than once; the last line counts (the first: {again[0]})."
        )


def _tail(path: str) -> str:
    """Folder and name: `689/737db2....jpg`, however deep the images were unpacked."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def _box(row: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom); None where the list gives none (NULL) or an empty one."""
    try:
        x, y, width, height = (int(float(row[name])) for name in _BOX)
    except (KeyError, ValueError, OverflowError):
        return None
    return (x, y, x + width, y + height) if width > 0 and height > 0 else None
