"""Named files in a folder, a zip or a tar, read the same way. Nothing is ever extracted to disk.

Archives come from anywhere, so: names that lead out of the archive, links and device files are refused one by one;
encrypted and damaged archives, and those that unpack to absurd sizes, are refused whole.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from ganfer.data.sources.items import Refused
from ganfer.errors import DataError
from ganfer.runtime.files import digest_of

MAX_FILE_BYTES = 512 * 2**20  # no image or label file of a face data set comes near it (fer2013.csv has 301 MB)
MAX_RATIO = 200  # unpacked : packed; images barely compress, and text of digits stays below 20
RATIO_FROM_BYTES = 64 * 2**20  # small archives of blank test images may be squeezed harder
_JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")

Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its name with forward slashes, relative to the tree, and its bytes or where they lie."""

    name: str
    data: bytes | Path

    def bytes(self) -> bytes:
        """The content."""
        return self.data if isinstance(self.data, bytes) else self.data.read_bytes()


class Tree(Protocol):
    """Files with names. listed: names cost little, because there is a directory of them (not so in a tar)."""

    path: Path
    listed: bool

    def names(self) -> Iterator[str]:
        """Names of all files, junk left out."""
        ...

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted files with their content, in the tree's order, and what had to be refused."""
        ...

    def digest(self) -> str:
        """SHA-256 that changes when the files do."""
        ...


def is_junk(name: str) -> bool:
    """Whether a file is the operating system's own (`.DS_Store`, `__MACOSX/...`, `._x`)."""
    return any(part.startswith(".") or part in _JUNK for part in PurePosixPath(name).parts)


def unsafe(name: str) -> str:
    """Why an archive member's name is refused; empty when it is fine."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
        return "absolute path in the archive"
    return "path leads out of the archive" if ".." in parts else ""


def clean(name: str) -> str:
    """A member's name without a leading `./`."""
    return name.removeprefix("./")


class FolderTree:
    """A folder, read in sorted order. `only` keeps a single file of it."""

    listed = True

    def __init__(self, path: Path, only: str | None = None) -> None:
        self.path = path
        self.only = only

    def _walk(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        seen: set[tuple[int, int]] = set()

        def below(folder: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link back to a folder above
                return
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
            for entry in entries:
                if is_junk(entry.name) or (self.only is not None and entry.name != self.only):
                    continue
                if entry.is_dir():
                    yield from below(entry.path, f"{prefix}{entry.name}/")
                elif entry.is_file():  # a pipe or a device would be waited on for ever
                    yield f"{prefix}{entry.name}", entry

        try:
            yield from below(str(self.path), "")
        except PermissionError as error:
            raise DataError(f"{error.filename} may not be read.", "Change its permissions or leave it out.") from error

    def names(self) -> Iterator[str]:
        """Names of all files, sorted folder by folder."""
        return (name for name, _ in self._walk())

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted files, by path: whoever decodes them reads them."""
        for name, entry in self._walk():
            if wanted(name):
                yield Entry(name, Path(entry.path))

    def digest(self) -> str:
        """SHA-256 over names, sizes and times of change: reading every image twice would double the import's time."""
        seal = hashlib.sha256()
        for name, entry in self._walk():
            status = entry.stat()
            seal.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        return seal.hexdigest()


class ZipTree:
    """A zip file, read by its central directory in the order of names, like a folder."""

    listed = True

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise DataError(f"{path} is not a whole zip file ({error}).", "Download or pack it again.") from error
        if any(info.flag_bits & 1 for info in members):
            raise DataError(f"{path} is encrypted.", "Unpack it with its password and add the folder.")
        unpacked = sum(info.file_size for info in members)
        limit = max(RATIO_FROM_BYTES, MAX_RATIO * path.stat().st_size)
        if unpacked > limit:
            raise DataError(
                f"{path} would unpack to {unpacked:,} bytes (limit {limit:,}): a decompression bomb.",
                "Get the archive from its publisher again.",
            )
        self._members = sorted(members, key=lambda info: info.filename.split("/"))

    def names(self) -> Iterator[str]:
        """Names of all files, sorted."""
        for info in self._members:
            if not is_junk(clean(info.filename)) and not unsafe(info.filename):
                yield clean(info.filename)

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted files, each inflated and checked by its CRC."""
        with zipfile.ZipFile(self.path) as archive:
            for info in self._members:
                name = clean(info.filename)
                reason = unsafe(info.filename) or _special(info)
                if reason:
                    yield Refused(name, reason)
                elif not is_junk(name) and wanted(name):
                    yield self._read(archive, info)

    def _read(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry | Refused:
        name = clean(info.filename)
        if info.file_size > MAX_FILE_BYTES:
            return Refused(name, f"larger than {MAX_FILE_BYTES // 2**20} MB")
        try:
            with archive.open(info) as member:
                data = member.read(info.file_size + 1)  # the directory may lie about the size
        except NotImplementedError as error:
            raise DataError(f"{self.path}: {error}.", "Pack it again with ordinary compression (deflate).") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            return Refused(name, f"damaged in the archive ({error})")
        if len(data) > info.file_size:
            return Refused(name, "larger than the archive's directory says")
        return Entry(name, data)

    def digest(self) -> str:
        """SHA-256 of the archive."""
        return digest_of(self.path)


def _special(info: zipfile.ZipInfo) -> str:
    kind = (info.external_attr >> 16) & 0o170000
    if info.create_system == 3 and kind not in (0, 0o100000):
        return "a link in the archive" if kind == 0o120000 else "a special file in the archive"
    return ""
