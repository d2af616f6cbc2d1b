"""Named files in a folder, a zip or a tar, read the same way. Nothing is ever extracted to disk.

Archives come from anywhere, so: names that lead out of the archive, links and device files are refused one by one;
encrypted and damaged archives, and those that unpack to absurd sizes, are refused whole.
"""

import contextlib
import hashlib
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ganfer.data.sources.items import Refused
from ganfer.errors import DataError
from ganfer.runtime.files import digest_of

MAX_FILE_BYTES = 512 * 2**20  # no image or label file of a face data set comes near it (fer2013.csv has 301 MB)
MAX_RATIO = 200  # unpacked : packed; images barely compress, and text of digits stays below 20
RATIO_FROM_BYTES = 64 * 2**20  # small archives of blank test images may be squeezed harder
LINK = "a link in the archive"
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
WORKSPACE = "workspace.json"  # marks a workspace of ganfer's own
_JUNK = frozenset(
    (
        *("__macosx", ".ds_store", ".spotlight-v100", ".trashes", ".fseventsd", ".temporaryitems", ".localized"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("@eadir", ".directory", "icon\r"),
    )
)

#: What a damaged member of a zip fails with, whatever packed it.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError, IndexError),
)

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
    return any(part.startswith("._") or part.lower() in _JUNK for part in name.split("/"))


def is_tar(name: str) -> bool:
    """Whether a file's name ends like a tar's."""
    return name.lower().endswith(TAR_SUFFIXES)


def hidden_part(name: str) -> str:
    """A path as far as its first hidden part: `a/.git/` of `a/.git/config`; "" where nothing is hidden."""
    parts = name.split("/")
    at = next((i for i, part in enumerate(parts) if part.startswith(".")), None)
    if at is None:
        return ""
    return "/".join(parts[: at + 1]) + "/" * (at < len(parts) - 1)


def hidden(name: str) -> Refused:
    """A hidden file or folder as something left out."""
    return Refused(name, "hidden folder" if name.endswith("/") else "hidden file")


def says_workspace(content: bytes) -> bool:
    """Whether a file named `WORKSPACE` is ganfer's, not another program's."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("format"), int)


def unsafe(name: str) -> str:
    """Why an archive member's name is refused; empty when it is fine."""
    if not name:
        return "no name in the archive"
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

    def _walk(self) -> Iterator[tuple[str, os.DirEntry[str]] | Refused]:
        seen: set[tuple[int, int]] = set()

        def below(folder: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]] | Refused]:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                yield Refused(prefix, "a link to a folder that is read anyway")
                return
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
            if self.only is None and _is_workspace(folder, entries):
                if not prefix:
                    raise DataError(
                        f"{self.path} is a workspace of ganfer's, not a source of images.",
                        "Give the folder that its images came from.",
                    )
                yield Refused(prefix, "a workspace of ganfer's")
                return
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if is_junk(entry.name) or (self.only is not None and entry.name != self.only):
                    continue
                if entry.is_symlink() and not os.path.exists(entry.path):  # also where links lead in a circle
                    yield Refused(name, "a link to nothing")
                elif entry.is_dir():
                    if entry.name.startswith("."):
                        yield hidden(name + "/")
                    else:
                        yield from below(entry.path, name + "/")
                elif entry.name.startswith(".") and self.only is None:
                    yield hidden(name)
                elif entry.is_file():
                    yield name, entry
                else:
                    yield Refused(name, "no regular file")  # a pipe or a device would be waited on for ever

        try:
            yield from below(str(self.path), "")
        except PermissionError as error:
            raise DataError(f"{error.filename} may not be read.", "Change its permissions or leave it out.") from error

    def names(self) -> Iterator[str]:
        """Names of all files, sorted folder by folder."""
        return (found[0] for found in self._walk() if not isinstance(found, Refused))

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted files, by path: whoever decodes them reads them."""
        for found in self._walk():
            if isinstance(found, Refused):
                yield found
            elif wanted(found[0]):
                yield Entry(found[0], Path(found[1].path))

    def digest(self) -> str:
        """SHA-256 over names, sizes and times of change: reading every image twice would double the import's time."""
        seal = hashlib.sha256()
        for found in self._walk():
            if isinstance(found, Refused):
                continue
            name, entry = found
            status = entry.stat()
            seal.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        return seal.hexdigest()


def _is_workspace(folder: str, entries: Sequence[os.DirEntry[str]]) -> bool:
    if not any(entry.name == WORKSPACE and entry.is_file() for entry in entries):
        return False
    try:
        return says_workspace((Path(folder) / WORKSPACE).read_bytes())
    except OSError:
        return False


class ZipTree:
    """A zip file, read by its central directory in the order of names, like a folder."""

    listed = True

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = [info for info in archive.infolist() if not info.filename.endswith("/")]
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
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
        turned = _backslashes(members)
        named = [(clean(_name_of(info, turned)), info) for info in members]
        self._members = sorted(named, key=lambda member: member[0].split("/"))

    def names(self) -> Iterator[str]:
        """Names of all files, sorted."""
        for name, info in self._members:
            if not is_junk(name) and not hidden_part(name) and not unsafe(info.filename):
                yield name

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted files, each inflated and checked by its CRC."""
        told = ""
        with zipfile.ZipFile(self.path) as archive:
            for name, info in self._members:
                reason = unsafe(info.filename) or _special(info)
                veiled = hidden_part(name)
                if reason:
                    yield Refused(name, reason)
                elif is_junk(name) or (veiled and veiled == told):
                    continue
                elif veiled:
                    told = veiled
                    yield hidden(veiled)
                elif wanted(name):
                    yield self._read(archive, name, info)

    def _read(self, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Entry | Refused:
        if info.file_size > MAX_FILE_BYTES:
            return Refused(name, f"larger than {MAX_FILE_BYTES // 2**20} MB")
        try:
            with archive.open(info) as member:
                data = member.read(info.file_size + 1)  # the directory may lie about the size
        except NotImplementedError as error:
            raise DataError(f"{self.path}: {error}.", "Pack it again with ordinary compression (deflate).") from error
        except _DAMAGED as error:
            return Refused(name, f"damaged in the archive ({error})")
        if len(data) > info.file_size:
            return Refused(name, "larger than the archive's directory says")
        return Entry(name, data)

    def digest(self) -> str:
        """SHA-256 of the archive."""
        return digest_of(self.path)


def _backslashes(members: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether the archive writes folders as `a\\b`, as some Windows programs do against the format's rule."""
    return any("\\" in info.filename for info in members) and not any("/" in info.filename for info in members)


def _name_of(info: zipfile.ZipInfo, turned: bool) -> str:
    """A member's name: what is marked as cp437 and is UTF-8 was written by a program that forgot to say so."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if turned else name


def _special(info: zipfile.ZipInfo) -> str:
    kind = (info.external_attr >> 16) & 0o170000
    if info.create_system == 3 and kind not in (0, 0o100000):
        return LINK if kind == 0o120000 else "a special file in the archive"
    return ""
