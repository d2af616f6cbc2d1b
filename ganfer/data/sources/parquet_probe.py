"""A Parquet footer read in a process of its own before this one reads it.

pyarrow aborts at some damaged footers (an exception of its C++ part that nothing catches): then that process ends, and
this one does not.
"""

import atexit
import os
import signal
from concurrent.futures import BrokenExecutor, Executor
from pathlib import Path
from typing import Any

_IDLE_SECONDS = 30
_executors: list[Executor] = []  # one at most, begun with the first file
_read: set[tuple[str, int, int]] = set()


def survives(path: Path, limits: dict[str, Any]) -> bool:
    """Whether a process that reads all of the file's footer, within pyarrow's limits, lives on. Once per file."""
    known = path.stat()
    key = (str(path.absolute()), known.st_mtime_ns, known.st_size)
    if key not in _read:
        try:
            _executor().submit(_read_footer, key[0], limits).result()
        except BrokenExecutor:
            _end()
            return False
        _read.add(key)
    return True


def _executor() -> Executor:
    from joblib.externals.loky import ProcessPoolExecutor

    if not _executors:
        _executors.append(ProcessPoolExecutor(1, timeout=_IDLE_SECONDS, initializer=_settle))
    return _executors[0]


@atexit.register
def _end() -> None:
    while _executors:
        _executors.pop().shutdown(wait=True)


def _settle() -> None:
    """A process that says nothing of its end, and leaves Ctrl-C to the one that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _read_footer(path: str, limits: dict[str, Any]) -> None:
    """Errors that pyarrow raises are raised again by the process that asked, which names them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, **limits) as file:
            about = file.metadata
            for group in map(about.row_group, range(about.num_row_groups)):
                for chunk in map(group.column, range(group.num_columns)):
                    chunk.to_dict()
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError, RecursionError):
        return
