"""What ends a command from outside: Ctrl-C, SIGTERM (a scheduler, a shutdown), SIGHUP (the terminal went away)."""

import os
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_PARENT_SECONDS = 1.0


class Ended(KeyboardInterrupt):
    """A signal that ends the command as Ctrl-C does: what was begun is put away in order, files are whole."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP raise `Ended` in the main thread; what is ignored already (nohup) stays so."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise Ended(number)


def end_with_parent() -> None:
    """End this worker process soon after the one that started it, however that ended (kill -9 included)."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)  # files are written whole or not at all, so that there is nothing to put away

    threading.Thread(target=watch, daemon=True, name="parent").start()
