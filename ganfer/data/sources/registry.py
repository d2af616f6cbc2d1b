"""The layouts ganfer reads, and how it tells which one a path holds."""

import itertools
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ganfer.data.sources import affectnet, expw, fer2013, ferplus, folders, huggingface, rafdb
from ganfer.data.sources.items import ReadOptions, Stream
from ganfer.data.sources.survey import Survey, survey
from ganfer.data.sources.tars import TarTree
from ganfer.data.sources.trees import FolderTree, Tree, ZipTree
from ganfer.errors import DataError, did_you_mean

_HEAD = 64  # files at a tar's beginning that settle most layouts, so that it need not be unpacked twice


@dataclass(frozen=True)
class Layout:
    """One published way to lay out labelled faces.

    fits: whether the names look like it. items: the stream. lone_val_is_test: with no test split, its validation split
    is the test, as its users report it. labels: class of every image from the names alone, where names tell.
    """

    summary: str
    fits: Callable[[Survey], bool]
    items: Callable[[Tree, Survey, ReadOptions], Stream]
    lone_val_is_test: bool = False
    labels: Callable[[Tree, Survey], Iterator[str]] | None = None


# In the order of trial: the most telling first.
KINDS: dict[str, Layout] = {
    "ferplus": Layout("FER2013 with FERPlus's votes", ferplus.fits, ferplus.items, lone_val_is_test=True),
    "fer2013": Layout("FER2013's CSV files", fer2013.fits, fer2013.items, lone_val_is_test=True),
    "expw": Layout("ExpW: label.lst and images", expw.fits, expw.items),
    "raf-db": Layout("RAF-DB basic", rafdb.fits, rafdb.items),
    "affectnet": Layout("AffectNet", affectnet.fits, affectnet.items, lone_val_is_test=True),
    "huggingface": Layout("images with metadata.csv or metadata.jsonl", huggingface.fits, huggingface.items),
    "ck+48": Layout("CK+48", folders.fits_ck, folders.items_ck, labels=folders.labels),
    "folder": Layout("a folder per class, with or without splits", folders.fits, folders.items, labels=folders.labels),
}

# A label file given as PATH stands for the folder this many steps above it.
_STANDS_FOR = {
    "fer2013new.csv": 1, "label.lst": 2, "list_patition_label.txt": 2, "metadata.csv": 1, "metadata.jsonl": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A path together with its layout. `items()` starts the stream anew each time."""

    path: Path
    kind: str
    layout: Layout
    tree: Tree
    seen: Survey
    options: ReadOptions

    def items(self) -> Stream:
        """The source's images, one at a time."""
        return self.layout.items(self.tree, self.seen, self.options)

    def labels(self) -> Iterator[str] | None:
        """The class of every image without reading any; None where only reading tells."""
        if self.layout.labels is None or not self.tree.listed:
            return None
        return self.layout.labels(self.tree, self.seen)

    @property
    def count(self) -> int | None:
        """Images in the source, about; None where only reading it through tells."""
        return self.seen.images if self.tree.listed and self.seen.images else None

    def digest(self) -> str:
        """SHA-256 that changes when the source does."""
        return self.tree.digest()


def open_source(path: Path, kind: str | None = None, options: ReadOptions | None = None) -> Source:
    """The source at `path`. DataError when it is missing, holds nothing ganfer reads, or does not fit `kind`."""
    if kind is not None and kind not in KINDS:
        raise DataError(f"Unknown kind {kind!r}.", did_you_mean(kind, KINDS))
    tree = open_tree(path)
    seen = _look(tree)
    if kind is None:
        kind = next((name for name, layout in KINDS.items() if layout.fits(seen)), None)
    elif not KINDS[kind].fits(seen):
        raise DataError(
            f"{path} does not look like {kind} ({KINDS[kind].summary}).", "Leave --as away, or check the path."
        )
    if kind is None:
        raise DataError(*_nothing(path, seen))
    return Source(path, kind, KINDS[kind], tree, seen, options or ReadOptions())


def open_tree(path: Path) -> Tree:
    """A path as a tree of named files: a folder, a zip, a tar, or one label file with what lies around it."""
    if path.is_dir():
        return FolderTree(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist.", f"Here is {Path.cwd()}; check the spelling.")
    steps = _STANDS_FOR.get(path.name.lower())
    if steps:
        place = path.resolve().parents[steps - 1]
        return FolderTree(place)
    if path.suffix.lower() == ".csv":
        return FolderTree(path.resolve().parent, only=path.name)
    if zipfile.is_zipfile(path):
        return ZipTree(path)
    if path.suffix.lower() == ".zip":
        raise DataError(f"{path} is not a whole zip file.", "Download or pack it again.")
    if _like_tar(path):
        return TarTree(path)
    raise DataError(f"{path} is no folder, zip, tar or label file that ganfer reads.", "Unpack it and add the folder.")


def _like_tar(path: Path) -> bool:
    names = path.name.lower()
    if any(names.endswith(end) for end in (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")):
        return True
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError):
        return False


def _look(tree: Tree) -> Survey:
    if tree.listed:
        return survey(tree.names())
    head = survey(itertools.islice(tree.names(), _HEAD))
    settled = head.in_classes == head.images > 0 or head.files < _HEAD or fer2013.fits(head)
    return head if settled and not head.raf_names and not head.exp_arrays else survey(tree.names())


def _nothing(path: Path, seen: Survey) -> tuple[str, str]:
    if seen.images:
        return (
            f"{path} holds {seen.images:,} images but no classes: they lie in no folder, and no label file names them.",
            "Put each class's images into a folder named after it, e.g. happy/, or write a metadata.csv.",
        )
    if seen.files:
        return f"{path} holds {seen.files:,} files but no image ganfer knows.", "Known layouts: " + "; ".join(
            KINDS
        ) + "."
    return f"{path} is empty.", "Give a folder, zip, tar or CSV with labelled face images."


def source_stem(path: Path) -> str:
    """A short name for a source, for folders and ids: its own, without what ends an archive's name."""
    name = path.resolve().name.lower()
    for end in (".gz", ".xz", ".bz2", ".tar", ".tgz", ".txz", ".tbz2", ".zip", ".csv", ".lst", ".jsonl", ".txt"):
        name = name.removesuffix(end)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_+") else "-" for c in name).strip("-")
    return safe[:40] or "data"
