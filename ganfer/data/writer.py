"""Writing a set of any size at constant memory: pixels and names go to disk as they come, a few bytes per image stay.

Everything lies under temporary names until the last image is there; a killed import leaves nothing that counts, but for
the checkpoint that the same command goes on from.
"""

import json
import os
import shutil
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ganfer.data.imageset import COLUMNS, SPLITS, UNLABELLED, ImageSet, write_table
from ganfer.data.names import in_order
from ganfer.data.splits import NO_GROUP, code_of, rank_of
from ganfer.data.text import printable
from ganfer.runtime.files import create_npy, digest_of

_HEADER_BYTES = 128
SCRATCH = ".unfinished"
MENDABLE = (KeyboardInterrupt, OSError)  # what a long import is gone on with after
_SOURCES = ("real", "synthetic")


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one image. split: as `code_of` takes it, "" where it is still to be decided."""

    id: str
    label: str
    split: str = ""
    group: str = ""
    synthetic: bool = False
    votes: Mapping[str, float] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def discard_scratch(folder: Path) -> None:
    """Remove what a `SetWriter` of this folder has begun and not finished."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)


class SetWriter:
    """Streams images into `folder`; `finish` makes them an image set; leaving the context removes the rest.

    resume: what `checkpoint` gave; the images until then are there again. keep: an interrupt leaves them for that.
    """

    def __init__(self, folder: Path, size: int, channels: int, resume: Mapping[str, int] | None = None) -> None:
        self.folder = folder
        self.shape = (channels, size, size)
        self._scratch = folder / SCRATCH
        self.keep = False  # whether an interrupt leaves the scratch to be resumed
        if resume is None:
            discard_scratch(folder)  # of a killed import
            self._scratch.mkdir(parents=True)
        mode = "w+b" if resume is None else "r+b"
        self._pixels = (self._scratch / "images.npy").open(mode)
        self._names = (self._scratch / "names.jsonl").open(mode)
        self._labels, self._groups = array("i"), array("i")
        self._splits, self._synthetic = array("b"), array("b")
        self._ranks = array("Q")
        self._label_codes: dict[str, int] = {}
        self._group_codes: dict[str, int] = {}
        self._attributes: set[str] = set()
        self._votes = False
        if resume is None:
            self._pixels.write(b"\0" * _HEADER_BYTES)
        else:
            self._pixels.truncate(resume["pixels"])
            self._names.truncate(resume["names"])
            for name, group, attributes, votes, label, split, synthetic in self._spooled():
                self._note(name, Row(name, label, split, group, synthetic, votes, attributes))
            self._pixels.seek(0, 2)
            self._names.seek(0, 2)

    def __enter__(self) -> "SetWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._pixels, self._names):
            try:
                file.close()
            except OSError:  # the rest does not fit either: what failed first is what is told
                if error is None:
                    raise
        if not (self.keep and kind is not None and issubclass(kind, MENDABLE)):
            discard_scratch(self.folder)

    def __len__(self) -> int:
        return len(self._labels)

    def append(self, pixels: np.ndarray, rows: list[Row]) -> None:
        """Add images (k, C, S, S) uint8 and their k rows."""
        assert pixels.shape == (len(rows), *self.shape)
        assert pixels.dtype == np.uint8
        self._pixels.write(np.ascontiguousarray(pixels).data)
        for row in rows:
            name = printable(row.id)
            self._note(name, row)
            attributes = {key: printable(value) for key, value in row.attributes.items()}
            votes = dict(row.votes) if row.votes else None
            spooled = [name, printable(row.group), attributes, votes, row.label, row.split, row.synthetic]
            self._names.write(json.dumps(spooled).encode() + b"\n")

    def _note(self, name: str, row: Row) -> None:
        """What stays in memory of an image."""
        self._labels.append(
            self._label_codes.setdefault(row.label, len(self._label_codes)) if row.label else UNLABELLED
        )
        self._groups.append(self._group_codes.setdefault(row.group, len(self._group_codes)) if row.group else NO_GROUP)
        self._splits.append(code_of(row.split))
        self._synthetic.append(row.synthetic)
        self._ranks.append(rank_of(name))
        self._attributes.update(row.attributes)
        self._votes |= row.votes is not None

    def checkpoint(self) -> dict[str, int]:
        """Flush what was written to the disk; returns how far that is, for `resume`."""
        sizes = {}
        for name, file in (("pixels", self._pixels), ("names", self._names)):
            file.flush()
            os.fsync(file.fileno())
            sizes[name] = file.tell()
        return sizes

    def append_set(self, images: ImageSet, chunk: int = 4096) -> None:
        """Add a whole set as it is, its splits included."""
        names = images.class_names
        for start in range(0, len(images), chunk):
            rows = []
            for i in range(start, min(start + chunk, len(images))):
                soft = None if images.soft_labels is None else images.soft_labels[i]
                votes = None if soft is None else {n: float(v) for n, v in zip(names, soft, strict=True) if v > 0}
                attributes = {n: str(values[i]) for n, values in images.attributes.items() if values[i]}
                label = names[images.labels[i]] if images.labels[i] >= 0 else ""
                synthetic = images.source[i] == "synthetic"
                rows.append(
                    Row(
                        str(images.ids[i]),
                        label,
                        str(images.split[i]),
                        str(images.group[i]),
                        synthetic,
                        votes,
                        attributes,
                    )
                )
            self.append(np.asarray(images.images[start : start + chunk]), rows)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes seen so far, in ganfer's order."""
        return in_order(self._label_codes)

    @property
    def group_names(self) -> Collection[str]:
        """Subjects seen so far."""
        return self._group_codes

    def columns(self) -> dict[str, np.ndarray]:
        """Of all images so far, each (N,): labels (in `class_names`), groups, splits (`code_of`), synthetic, ranks."""
        order = np.array([self.class_names.index(name) for name in self._label_codes] + [UNLABELLED], dtype=np.int64)
        return {
            "labels": order[np.frombuffer(self._labels, dtype=np.int32)] if len(self) else np.empty(0, np.int64),
            "groups": np.array(self._groups, dtype=np.int32),
            "splits": np.array(self._splits, dtype=np.int8),
            "synthetic": np.array(self._synthetic, dtype=bool),
            "ranks": np.array(self._ranks, dtype=np.uint64),
        }

    def finish(self, splits: np.ndarray) -> str:
        """Write the set with these splits, (N,) codes into `SPLITS`; returns its digest. Repeated ids get `#2`."""
        assert len(splits) == len(self)
        self._pixels.seek(0)
        self._pixels.write(npy_header((len(self), *self.shape)))
        self._pixels.close()
        names = self.class_names
        columns = self.columns()
        if self._votes:
            self._write_votes(names, columns["labels"])
        pixels = digest_of(self._scratch / "images.npy")
        (self._scratch / "images.npy").replace(self.folder / "images.npy")
        rows = self._rows(names, columns, splits)
        extra = sorted({_column(name) for name in self._attributes})
        return write_table(
            self.folder, rows, extra, class_names=names, count=len(self), file="images.npy", pixels=pixels
        )

    def _rows(
        self, names: tuple[str, ...], columns: dict[str, np.ndarray], splits: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        unique = distinct(columns["ranks"])
        blank = dict.fromkeys((_column(name) for name in self._attributes), "")
        for i, (name, group, attributes, *_) in enumerate(self._spooled()):
            label = names[columns["labels"][i]] if columns["labels"][i] >= 0 else ""
            fixed = (
                i,
                unique(name, int(columns["ranks"][i])),
                label,
                SPLITS[splits[i]],
                group,
                _SOURCES[int(columns["synthetic"][i])],
            )
            yield (
                dict(zip(COLUMNS, fixed, strict=True))
                | blank
                | {_column(key): value for key, value in attributes.items()}
            )

    def _write_votes(self, names: tuple[str, ...], labels: np.ndarray) -> None:
        """Shares per class, (N, K) float32, adding up to 1; one-hot where an image has no votes.

        Votes for an expression that is no image's label, and so no class, are left out.
        """
        path = self._scratch / "soft_labels.npy"
        shares = create_npy(path, (len(self), len(names)), np.float32)
        for i, (_, _, _, votes, *_) in enumerate(self._spooled()):
            for name in set(votes or ()) & set(names):
                shares[i, names.index(name)] = votes[name]
            if not votes and labels[i] >= 0:
                shares[i, labels[i]] = 1.0
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        shares.flush()
        path.replace(self.folder / "soft_labels.npy")

    def _spooled(self) -> Iterator[list[Any]]:
        self._names.flush()
        self._names.seek(0)
        return (json.loads(line) for line in self._names)


def distinct(ranks: np.ndarray) -> Callable[[str, int], str]:
    """A function that gives a name back, with `#2`, `#3`, ... where it came before (a tar may hold a name twice)."""
    values, counts = np.unique(ranks, return_counts=True)
    repeated = {int(value) for value in values[counts > 1]}
    seen: dict[str, int] = {}

    def name_of(name: str, rank: int) -> str:
        if rank not in repeated:
            return name
        seen[name] = seen.get(name, 0) + 1
        return name if seen[name] == 1 else f"{name}#{seen[name]}"

    return name_of


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The 128 bytes that make the uint8 values after them a `.npy` file of this shape (NumPy's format 1.0)."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    magic = np.lib.format.magic(1, 0) + (_HEADER_BYTES - 10).to_bytes(2, "little")
    return magic + text.ljust(_HEADER_BYTES - 11).encode() + b"\n"


def _column(attribute: str) -> str:
    """An attribute's column: its own name, unless the table has that one."""
    attribute = printable(attribute)
    return f"source_{attribute}" if attribute in COLUMNS else attribute
