"""What ends a command from outside: Ctrl-C, SIGTERM (a scheduler, a shutdown), SIGHUP (the terminal went away)."""

import signal
import threading
from types import FrameType
from typing import NoReturn

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


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
