"""A tar, plain or compressed, read as a stream: one pass, one member in memory at a time."""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ganfer.data.sources.items import Refused
from ganfer.data.sources.trees import (
    LINK,
    MAX_FILE_BYTES,
    MAX_RATIO,
    RATIO_FROM_BYTES,
    Entry,
    Wanted,
    clean,
    hidden,
    hidden_part,
    is_junk,
    unsafe,
)
from ganfer.errors import DataError
from ganfer.runtime.files import digest_of

_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open, b"BZh": bz2.open}
_BLOCK = 512  # bytes; a tar ends with two blocks of zeros
_NO_END = "it ends without the end mark: a part is missing"
_EMPTY_READS = 8  # at the end of the stream; an orderly end takes one or two
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError, OverflowError)


class TarTree:
    """A tar, tar.gz, tar.xz or tar.bz2."""

    listed = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> Iterator[str]:
        """Names of all files, in the archive's order; costs a pass over it when run to the end."""
        with self._open() as archive:
            for member in archive:
                name = clean(member.name)
                if member.isreg() and not is_junk(name) and not hidden_part(name) and not unsafe(member.name):
                    yield name
                _forget(archive)

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted files in the archive's order."""
        with self._open() as archive:
            for member in archive:
                entry = self._read(archive, member, wanted)
                if entry is not None:
                    yield entry
                _forget(archive)

    def _read(self, archive: tarfile.TarFile, member: tarfile.TarInfo, wanted: Wanted) -> Entry | Refused | None:
        name = clean(member.name)
        if member.isdir():
            return None
        reason = unsafe(member.name)
        if not reason and (member.issym() or member.islnk()):
            reason = LINK
        elif not reason and not member.isreg():
            reason = "a special file in the archive"
        elif not reason and member.size > MAX_FILE_BYTES:
            reason = f"larger than {MAX_FILE_BYTES // 2**20} MB"
        if reason:
            return Refused(name, reason)
        if is_junk(name):
            return None
        if veiled := hidden_part(name):
            return hidden(veiled)
        if not wanted(name):
            return None
        content = archive.extractfile(member)
        assert content is not None
        return Entry(name, content.read())

    @contextmanager
    def _open(self) -> Iterator[tarfile.TarFile]:
        with self.path.open("rb") as raw:
            start = raw.read(6)
            raw.seek(0)
            unpack = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
            stream: IO[bytes] = unpack(raw) if unpack else raw
            guarded: Any = _Guarded(stream, self.path)
            try:
                with tarfile.open(fileobj=guarded, mode="r|", bufsize=2**18) as archive:
                    yield archive
                    guarded.drain()
            except _DAMAGE as error:
                raise _damaged(self.path, str(error) or type(error).__name__) from error

    def digest(self) -> str:
        """SHA-256 of the archive."""
        return digest_of(self.path)


def check_end(path: Path) -> None:
    """DataError where a plain tar ends without its end mark, which is seen without reading it through."""
    with path.open("rb") as raw:
        if any(raw.read(6).startswith(magic) for magic in _OPENERS):
            return
        raw.seek(max(0, raw.seek(0, 2) - _BLOCK))
        if raw.read() != bytes(_BLOCK):
            raise _damaged(path, _NO_END)


def _damaged(path: Path, reason: object) -> DataError:
    return DataError(
        f"{path} is damaged or no tar archive ({reason}); nothing was added.", "Download or pack it again."
    )


class _Guarded:
    """A stream that stops a decompression bomb, and that notices an archive cut off after a whole member."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._limit = max(RATIO_FROM_BYTES, MAX_RATIO * path.stat().st_size)
        self._count = 0
        self._tail = b""
        self._empty = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._count += len(data)
        self._empty = 0 if data else self._empty + 1
        if self._empty > _EMPTY_READS:  # tarfile would go on reading nothing for as long as the member says
            raise tarfile.ReadError("a member is longer than the archive")
        self._tail = data[-_BLOCK:] if len(data) >= _BLOCK else (self._tail + data)[-_BLOCK:]
        if self._count > self._limit:
            raise DataError(
                f"{self._path} unpacks to more than {self._limit:,} bytes (limit {MAX_RATIO}:1): a decompression bomb.",
                "Get the archive from its publisher again.",
            )
        return data

    def drain(self) -> None:
        """Read to the end, so that the compressed stream's checksum is verified, and look for the tar's end mark."""
        while self.read(2**18):
            pass
        if self._tail != bytes(_BLOCK):
            raise tarfile.ReadError(_NO_END)


def _forget(archive: tarfile.TarFile) -> None:
    vars(archive)["members"] = []  # it keeps every header it has seen; a million of them are half a gigabyte
