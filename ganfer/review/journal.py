"""A file of JSON lines that is only ever appended to, safe against kills, other threads and other processes.

A line counts once it ends; what a killed writer left after the last line's end is cut off by the next writer.
"""

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock

from ganfer.errors import DataError


def alone(path: Path) -> AbstractContextManager[Any]:
    """Hold a journal against other writers, in this process or another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_suffix(".lock"))


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Write one line and wait until it is on the disk; nothing of it stays where that fails. To be called while the
    journal is held."""
    new, line = not path.is_file(), json.dumps(entry, separators=(",", ":")).encode() + b"\n"
    with path.open("a+b", buffering=0) as file:
        _cut_torn_line(file.fileno())
        before = os.fstat(file.fileno()).st_size
        try:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), before)
            raise
    if new:
        _sync_folder(path.parent)


def read_after(path: Path, start: int) -> tuple[list[bytes], int]:
    """The whole lines from a byte on, and the byte after them; none where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            new = file.read()
    except FileNotFoundError:
        return [], start
    end = new.rfind(b"\n") + 1
    return new[:end].split(b"\n")[:-1], start + end


def damaged(path: Path, line: int, error: Exception) -> DataError:
    """What is said of a whole line that cannot be read."""
    return DataError(f"{path}, line {line}, is damaged ({error}).", "Mend or remove that line; the rest is kept.")


def _cut_torn_line(file: int) -> None:
    size = end = os.fstat(file).st_size
    tail = b""
    while end and b"\n" not in tail:
        start = max(0, end - (1 << 16))
        tail, end = os.pread(file, end - start, start) + tail, start
    whole = end + tail.rfind(b"\n") + 1
    if whole < size:
        os.ftruncate(file, whole)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
