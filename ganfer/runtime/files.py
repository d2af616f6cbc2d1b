"""Files that are either whole or not there: temporary name, flush to disk, rename. And digests of what was written.

A failure of the disk carries the path that was wanted: a full one is the user's to mend.
"""

import errno
import hashlib
import io
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.processes import is_alive
from ganfer.errors import GanferError, WorkspaceError
from ganfer.runtime.tables import TableWriter

_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
_TEMPORARY = re.compile(r"\..+\.(?:([0-9a-f]{6})-(\d+)-)?[a-z0-9_]{8}\.tmp(\.\w+)?")
_ABANDONED = 86_400  # seconds since the last change after which another machine's temporary file is nobody's
_MAX_JSON = 1 << 30
_LONGEST_NAME = 255  # bytes
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder; it becomes `path` when the block ends well, else it vanishes.

    Its name says whose it is (machine and process), for `remove_abandoned`.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = f".{path.name[:150]}.{_HOST}-{os.getpid()}-"
        handle, name = tempfile.mkstemp(prefix=mine, suffix=".tmp" + path.suffix[:50], dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)  # mkstemp's 0600 would hide the file from the user's colleagues
        temporary.replace(path)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):  # a failed write names no file
            error.filename = str(path)
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """A full disk within the block that names no file (at a write to an open one) names this path."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            error.filename = str(path)
        raise


def check_writable(folder: Path, what: str) -> None:
    """GanferError unless the folder is there, or can be made, and takes files. Makes nothing. what: for the message."""
    there = folder
    try:
        while not there.exists():
            check_name(there, what)
            there = there.parent
        if not there.is_dir():
            raise GanferError(f"{what}: {there} is a file.", "Give a folder.")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise GanferError(f"{what}: {error.strerror or error}.", "Choose another place.") from error


def check_name(path: Path, what: str) -> None:
    """GanferError for a name that no file system takes."""
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        said = what if len(what) < _LONGEST_NAME else f"{path.name[:40]}..."
        raise GanferError(f"{said}: {os.strerror(errno.ENAMETOOLONG)}.", "Choose a shorter one.")


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; those of a living one stay."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.name.startswith(".") and _TEMPORARY.fullmatch(entry.name)]
    for entry in found:
        match = _TEMPORARY.fullmatch(entry.name)
        assert match is not None
        if match[1] == _HOST:
            is_abandoned = not is_alive(int(match[2]))
        else:
            is_abandoned = time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED
        if is_abandoned and entry.is_file(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object of ganfer's own. WorkspaceError with the remedy for anything else; FileNotFoundError as it is."""
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ValueError(f"it has more than {_MAX_JSON >> 20} MiB")
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError(f"it holds {'null' if value is None else f'a {type(value).__name__}'}, not an object")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise WorkspaceError(f"{path} is damaged ({reason}).", remedy) from error
    return value


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 text file or nothing; bytes of a file's name that are no UTF-8 become escapes."""
    write_bytes(path, text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON; NumPy scalars, arrays and paths become plain values."""
    write_text(path, json.dumps(value, indent=1, default=_plain, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file with a header, whole or not at all; rows are streamed. See `ganfer.runtime.tables`."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = TableWriter(out, columns)
        for row in rows:
            writer.write(row)


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write one array, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def write_npy_parts(path: Path, shape: tuple[int, ...], dtype: Any, parts: Iterable[np.ndarray]) -> None:
    """Write an array in parts along its first axis. Plain writes: where the disk is full, a mapped file is a SIGBUS."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    with path.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
        for part in parts:
            out.write(np.ascontiguousarray(part, dtype=dtype).data)


def create_npy(path: Path, shape: tuple[int, ...], dtype: Any) -> np.memmap:
    """A mapped array to be filled, whose space is taken first, so that a full disk is an OSError and no SIGBUS."""
    row = np.zeros((1, *shape[1:]), dtype)
    write_npy_parts(path, shape, dtype, (row for _ in range(shape[0])))
    mapped: np.memmap = np.load(path, mmap_mode="r+")
    return mapped


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, as hex: equal values, equal digests."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")
