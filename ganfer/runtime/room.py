"""Whether what a command is about to write fits on the disk, before it begins."""

import os
from pathlib import Path

from ganfer.errors import GanferError

#: What a file takes at the least on usual file systems.
BLOCK = 4096
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def need_room(folder: Path, num_bytes: float, what: str, remedy: str, *, num_files: int = 0) -> None:
    """GanferError where the folder's disk (of the nearest one above that is there) has less free, or fewer files.

    num_bytes: an estimate that is rather too low, so that nothing is refused that would fit.
    """
    if not hasattr(os, "statvfs"):
        return
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and num_bytes > free:  # some network file systems tell nothing
        raise GanferError(
            f"{what} takes about {in_words(num_bytes)}, and {in_words(free)} are free in {there}.", remedy
        )
    if disk.f_files and num_files > disk.f_favail:
        raise GanferError(
            f"{what} takes {num_files:,} files, and the disk of {there} holds {disk.f_favail:,} more.", remedy
        )


def in_words(num_bytes: float) -> str:
    """Bytes in the largest unit that leaves a number above one: `3.2 GB`."""
    unit = 0
    while num_bytes >= 1000 and unit < len(_UNITS) - 1:
        num_bytes, unit = num_bytes / 1000, unit + 1
    return f"{num_bytes:,.0f} {_UNITS[unit]}" if unit == 0 or num_bytes >= 100 else f"{num_bytes:.2g} {_UNITS[unit]}"
