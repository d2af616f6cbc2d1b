"""`ImageSet`: labelled images as arrays, and their form on disk.

On disk a set is a folder with `images.npy` (memory-mapped when read), `table.csv` (one row per image: what a person
wants to read too), `set.json`, and `soft_labels.npy` where the source has votes. A variant (thinned, cleaned) has its
own table and points to its parent's images by row.
"""

import csv
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.errors import DataError
from ganfer.runtime.files import digest_json, digest_of, read_object, write_csv, write_json, write_npy
from ganfer.runtime.tables import read_cells, read_header

SPLITS = ("train", "val", "test")
UNLABELLED = -1
COLUMNS = ("row", "id", "label", "split", "group", "source")


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one size.

    images: (N, C, H, W) uint8, C = 1 or 3; memory-mapped when read from disk.
    labels: (N,) int64 index into class_names, -1 where there is none yet.
    split: (N,) str, one of `SPLITS`, or pool (no split sees those). group: (N,) str, the subject, "" where unknown.
    source: (N,) str, real or synthetic.
    ids: (N,) str, unique, the file's name within its source. soft_labels: (N, K) float32 or None.
    attributes: further columns by name, each (N,) str (age, gender, ...).
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    split: np.ndarray
    group: np.ndarray
    source: np.ndarray
    ids: np.ndarray
    soft_labels: np.ndarray | None = None
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        n = len(self.images)
        for name in ("labels", "split", "group", "source", "ids"):
            assert len(getattr(self, name)) == n, f"{name} has {len(getattr(self, name))} entries for {n} images"
        assert self.images.dtype == np.uint8
        assert self.images.ndim == 4

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return int(self.images.shape[1])

    @property
    def size(self) -> int:
        """Side of the square images in pixels."""
        return int(self.images.shape[2])

    def labelled(self) -> "ImageSet":
        """The images that have a label."""
        known = np.flatnonzero(self.labels >= 0)
        return self if len(known) == len(self) else self.select(known)

    def of(self, split: str) -> "ImageSet":
        """The images of one split, in memory."""
        assert split in SPLITS
        return self.select(np.flatnonzero(self.split == split))

    def select(self, indices: np.ndarray | Sequence[int]) -> "ImageSet":
        """The images at these indices, in that order, in memory."""
        index = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            images=np.ascontiguousarray(self.images[index]),
            labels=self.labels[index],
            split=self.split[index],
            group=self.group[index],
            source=self.source[index],
            ids=self.ids[index],
            soft_labels=None if self.soft_labels is None else self.soft_labels[index],
            attributes={name: values[index] for name, values in self.attributes.items()},
            digest="",
        )

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Images per class name, in the set's order, of one split or of all."""
        labels = self.labels if split is None else self.labels[self.split == split]
        tally = np.bincount(labels[labels >= 0], minlength=len(self.class_names))
        return {name: int(count) for name, count in zip(self.class_names, tally, strict=True)}


def save_set(folder: Path, images: ImageSet) -> str:
    """Write a set whole and return its digest. `images.npy` may already be there (streamed by the importer)."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images.npy").is_file():
        write_npy(folder / "images.npy", images.images)
    pixels = digest_of(folder / "images.npy")
    return _write_table(folder, images, np.arange(len(images)), "images.npy", pixels)


def save_variant(folder: Path, parent: Path, indices: np.ndarray, labels: np.ndarray | None = None) -> str:
    """Write the images of `parent` at `indices` as a set of its own, without copying a pixel; returns its digest.

    labels: (N,) of these images, where they are to differ from the parent's; votes on a changed label are given up.
    """
    source = read_set(parent)
    info = _info(parent)
    rows = _rows(parent)[indices]
    file = info["images"] if Path(info["images"]).name != info["images"] else f"../{parent.name}/{info['images']}"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = source.select(indices)
    return _write_table(folder, chosen if labels is None else _relabelled(chosen, labels), rows, file, info["pixels"])


def _relabelled(images: ImageSet, labels: np.ndarray) -> ImageSet:
    soft = images.soft_labels
    if soft is not None:
        changed = labels != images.labels
        soft = np.where(changed[:, None], np.eye(soft.shape[1], dtype=soft.dtype)[labels], soft)
    return replace(images, labels=labels, soft_labels=soft)


def _write_table(folder: Path, images: ImageSet, rows: np.ndarray, file: str, pixels: str) -> str:
    names = images.class_names
    extra = sorted(images.attributes)

    def lines() -> Iterator[dict[str, Any]]:
        for i in range(len(images)):
            label = names[images.labels[i]] if images.labels[i] >= 0 else ""
            fixed = (rows[i], images.ids[i], label, images.split[i], images.group[i], images.source[i])
            yield dict(zip(COLUMNS, fixed, strict=True)) | {name: images.attributes[name][i] for name in extra}

    if images.soft_labels is not None:
        write_npy(folder / "soft_labels.npy", images.soft_labels.astype(np.float32))
    return write_table(folder, lines(), extra, class_names=names, count=len(images), file=file, pixels=pixels)


def write_table(
    folder: Path,
    rows: Iterable[Mapping[str, Any]],
    extra: Sequence[str],
    *,
    class_names: Sequence[str],
    count: int,
    file: str,
    pixels: str,
) -> str:
    """Write `table.csv` row by row, then `set.json`, which makes the set whole; returns the set's digest.

    rows: `COLUMNS` and `extra` of every image. file: the images' file as seen from the folder; pixels: its SHA-256. A
    `soft_labels.npy` must be there already.
    """
    write_csv(folder / "table.csv", (*COLUMNS, *extra), rows)
    parts = {"table": digest_of(folder / "table.csv"), "pixels": pixels, "classes": list(class_names)}
    if (folder / "soft_labels.npy").is_file():
        parts["soft_labels"] = digest_of(folder / "soft_labels.npy")
    digest = digest_json(parts)
    info = {"class_names": list(class_names), "images": file, "pixels": pixels, "digest": digest, "count": count}
    write_json(folder / "set.json", info)
    return digest


def read_set(folder: Path) -> ImageSet:
    """The set in a folder, its images memory-mapped. DataError when a part is missing, damaged or inconsistent."""
    info = _info(folder)
    table = _table(folder)
    names = info.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{folder / 'set.json'} is damaged (no class names).", "Remove it and add the data again.")
    names = tuple(names)
    if not all(isinstance(info.get(key), str) for key in ("images", "digest")):
        raise DataError(f"{folder / 'set.json'} is damaged (no images or digest).", "Remove it and add the data again.")
    index = {name: i for i, name in enumerate(names)} | {"": UNLABELLED}
    try:
        pixels = np.load((folder / info["images"]).resolve(), mmap_mode="r")
        labels = np.array([index[name] for name in table["label"]], dtype=np.int64)
        rows = np.array(table["row"], dtype=np.int64)
        images = pixels if len(rows) == len(pixels) and np.array_equal(rows, np.arange(len(rows))) else pixels[rows]
        soft = folder / "soft_labels.npy"
        return ImageSet(
            images=images,
            labels=labels,
            class_names=names,
            split=_text(table["split"]),
            group=_text(table["group"]),
            source=_text(table["source"]),
            ids=_text(table["id"]),
            soft_labels=np.load(soft) if soft.is_file() else None,
            attributes={name: _text(values) for name, values in table.items() if name not in COLUMNS},
            digest=info["digest"],
        )
    except (OSError, EOFError, ValueError, KeyError, IndexError, AssertionError) as error:
        raise DataError(f"{folder} is damaged ({error}).", "Remove it and add the data again.") from error


def files_of_set(folder: Path) -> list[Path]:
    """The files that `read_set` reads; a variant's images are its parent's."""
    files = [folder / name for name in ("set.json", "table.csv", "soft_labels.npy", str(_info(folder)["images"]))]
    return [Path(os.path.normpath(file)) for file in files if file.is_file()]


def _text(values: Sequence[str]) -> np.ndarray:
    return np.array(values, dtype=np.str_) if values else np.empty(0, dtype="<U1")


def _info(folder: Path) -> dict[str, Any]:
    try:
        return read_object(folder / "set.json", "Add the data again.")
    except OSError as error:
        raise DataError(f"{folder / 'set.json'} cannot be read ({error}).", "Add the data again.") from error


def _table(folder: Path) -> dict[str, list[str]]:
    """Columns of the table. Names that repeat are kept once: a million rows have few labels, splits and subjects."""
    try:
        with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = read_header(reader)
            if not header:
                raise ValueError("it is empty")
            columns: list[list[str]] = [[] for _ in header]
            unique = ("row", "id")
            adders = [
                column.append if name in unique else lambda value, add=column.append: add(sys.intern(value))
                for name, column in zip(header, columns, strict=True)
            ]
            for values in reader:
                for add, value in zip(adders, read_cells(values, header), strict=True):
                    add(value)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{folder / 'table.csv'} cannot be read ({error}).", "Add the data again.") from error
    return dict(zip(header, columns, strict=True))


def _rows(folder: Path) -> np.ndarray:
    return np.array(_table(folder)["row"], dtype=np.int64)
