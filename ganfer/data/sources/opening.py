"""A path that a user gives, as a tree of named files."""

import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ganfer.data.sources.several import FilesTree, ShardsTree, is_pattern, named_files
from ganfer.data.sources.tars import TarTree
from ganfer.data.sources.trees import FolderTree, Tree, ZipTree, is_tar
from ganfer.errors import DataError

_ENDS = (".gz", ".xz", ".bz2", ".tar", ".tgz", ".txz", ".tbz2", ".zip", ".csv", ".lst", ".jsonl", ".txt", ".parquet")
# A label file given as PATH stands for the folder this many steps above it.
_STANDS_FOR = {
    "fer2013new.csv": 1, "label.lst": 2, "list_patition_label.txt": 2, "metadata.csv": 1, "metadata.jsonl": 1,
    "dataset.json": 1, "_classes.csv": 1,
}  # fmt: skip


def several(paths: Sequence[Path]) -> Tree:
    """Several files, or patterns of such, as one tree. DataError for files that make no one source."""
    folder, files = named_files(paths)
    if len(files) == 1:
        return open_tree(files[0])
    return ShardsTree(folder, files) if is_tar(files[0].name) else FilesTree(folder, files)


def open_tree(path: Path) -> Tree:
    """A path as a tree of named files: a folder, a zip, a tar, one label file with what lies around it, a pattern."""
    if is_pattern(path):
        return several([path])
    if path.is_dir():
        return FolderTree(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist.", f"Here is {Path.cwd()}; check the spelling.")
    here = path.parent.resolve() / path.name  # a link lies beside its images, or in a folder of its own
    steps = _STANDS_FOR.get(path.name.lower())
    if steps:
        return FolderTree(here.parents[steps - 1])
    if path.suffix.lower() in (".csv", ".parquet"):
        return FolderTree(here.parent, only=path.name)
    if zipfile.is_zipfile(path):
        return ZipTree(path)
    if _like_tar(path):  # whatever its name: mirrors call a tar.gz a zip
        return TarTree(path)
    if path.suffix.lower() == ".zip":
        raise DataError(f"{path} is not a whole zip file.", "Download or pack it again.")
    raise DataError(f"{path} is no folder, zip, tar or label file that ganfer reads.", "Unpack it and add the folder.")


def _like_tar(path: Path) -> bool:
    names = path.name.lower()
    if any(names.endswith(end) for end in (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")):
        return True
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError):
        return False


def source_stem(path: Path) -> str:
    """A short name for a source, for folders and ids: its own, without what ends an archive's name."""
    name = path.resolve().name.lower()
    for end in (
        ".gz",
        ".xz",
        ".bz2",
        ".tar",
        ".tgz",
        ".txz",
        ".tbz2",
        ".zip",
        ".csv",
        ".lst",
        ".jsonl",
        ".txt",
        ".parquet",
    ):
        name = name.removesuffix(end)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_+") else "-" for c in name).strip("-")
    return safe[:40] or "data"
