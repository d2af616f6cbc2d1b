"""Worker processes that never run the caller's script: no `if __name__ == "__main__":` is asked of anybody.

They are loky's: started anew (a fork of a process with threads, such as a notebook, can deadlock) and told what to
import, where `multiprocessing` would import the caller's main module, and with it take the same command again.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from joblib.externals.loky import ProcessPoolExecutor

_WATCH_SECONDS = 0.5


def start_workers(count: int, prepare: Callable[[], None] | None = None) -> "ProcessPoolExecutor":
    """An executor of `count` processes. prepare: runs first in each of them."""
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(count, initializer=_settle, initargs=(os.getpid(), prepare))


def _settle(parent: int, prepare: Callable[[], None] | None) -> None:
    """Ctrl-C is the parent's to handle; and a worker whose parent was killed ends too, where it would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if prepare is not None:
        prepare()
