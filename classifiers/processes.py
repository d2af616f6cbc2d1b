"""Tasks on loky's processes of this machine, and the arrays that they map.

A worker is a loky executor of one process: its death is the death of the one task it had, and it is begun anew.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.errors import StorageError
from classifiers.tasks import (
    GPU_FAILED,
    GPU_REMEDY,
    Died,
    Mailbox,
    Order,
    Place,
    Task,
    Tell,
    end_if_dead,
    silent,
)

_PARENT_SECONDS = 0.5
_TORCHRUN = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK")  # a worker is a world of its own


class Local(Mailbox):
    """`workers` processes, which never run the caller's script: no `if __name__ == "__main__":` is asked of anybody.

    Arrays are written once, below `scratch`, and mapped by every worker. ahead: tasks that wait at a busy worker, for
    tasks that are over before the next could be handed out. environment: of the workers, beside this process's own.
    """

    def __init__(
        self,
        workers: int,
        threads: int = 1,
        scratch: Path | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        ahead: int = 0,
    ) -> None:
        super().__init__()
        self._ahead, self._files = ahead, Files(scratch)
        self.overlaps = bool(environment)  # kernels of several workers run on a GPU at the same time
        environment = {"OMP_NUM_THREADS": str(threads), **(environment or {})}
        self._workers = [_Worker(number, environment, self.post) for number in range(workers)]
        # loky replaces a process that has grown by 300 MB between two tasks, and warns of it
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)

    def slots(self) -> int:
        """The workers, and what may wait at them."""
        return len(self._workers) * (1 + self._ahead)

    def limit(self, workers: int) -> None:
        """No more than the first so many from now on, where the others have nothing to do yet."""
        assert not any(worker.busy for worker in self._workers[workers:])
        for worker in self._workers[workers:]:  # what they keep on a GPU would be lacking there
            worker.close()
        self._workers = self._workers[:workers]

    def start(self, task: Task) -> None:
        """Hand it to the worker that has least to do."""
        order = self.order(task, self._files.of(task.arrays))
        min(self._workers, key=lambda worker: len(worker.busy)).submit(order)

    def close(self) -> None:
        """Kill the workers: idle by now, unless we were interrupted, and then resume points remain."""
        for worker in self._workers:
            worker.close()


class _Worker:
    """A loky executor of one process and a pipe to it, begun when first needed and anew after it died."""

    def __init__(self, number: int, environment: dict[str, str], post: Callable[[int, Any, Tell | None], None]) -> None:
        self._number, self._environment, self._post = number, environment, post
        self._executor: Any = None
        self._broken: Any = None
        self.busy = set[int]()

    def submit(self, order: Order) -> None:
        """Begin a task, whose end becomes news."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        if self._executor is None or self._executor is self._broken:
            self.close()
            self._open()
        executor = self._executor

        def end(future: Future[Any]) -> None:
            self.busy.discard(order.number)
            if future.cancelled():
                return
            value = future.exception()
            if isinstance(value, BrokenProcessPool):
                self._broken, value = executor, _death(value)
            self._post(order.number, future.result() if value is None else value, None)

        self.busy.add(order.number)
        try:
            with _deaf():
                future = executor.submit(_work, order)
        except BrokenProcessPool as error:  # between two tasks
            future = Future()
            future.set_exception(error)
        future.add_done_callback(end)

    def close(self) -> None:
        """Kill the process."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._theirs.send(None)  # ends the thread that listens
            self._theirs.close()
            self._executor = None

    def _open(self) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        ours, self._theirs = Pipe()
        first = (self._number, os.getpid(), self._theirs)
        self._executor = ProcessPoolExecutor(1, initializer=_settle, initargs=first, env=self._environment)
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()

    def _listen(self, ours: Connection) -> None:
        with ours:
            while (said := ours.recv()) is not None:
                number, waits, message = said
                self._post(number, message, ours.send if waits else silent)


def _death(error: Exception) -> Died:
    codes = re.search(r"\{(.+)\}", str(error))  # of the process, at the end of loky's words
    died = Died(f"its process died ({codes[1] if codes else str(error).partition(chr(10))[0]})")
    if codes and f"({GPU_FAILED})" in codes[1]:
        died = Died("its GPU failed")
        died.remedy = GPU_REMEDY
    return died


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started within never get Ctrl-C, which is this process's to answer: it ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_here: tuple[int, Connection | None] = (0, None)  # a worker process's number and its pipe


def _settle(number: int, parent: int, pipe: Connection) -> None:
    """A worker's beginning."""
    global _here
    _here = (number, pipe)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr  # stdout is the command's result
    for name in _TORCHRUN:
        os.environ.pop(name, None)
    end_with(parent)


def end_with(parent: int) -> None:
    """End this process soon after its parent, however that ended (kill -9 included): files are whole or not there."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _work(order: Order) -> Any:
    worker, pipe = _here
    assert pipe is not None

    def ask(message: Any) -> Any:
        pipe.send((order.number, True, message))
        return pipe.recv()

    arrays = Files.mapped(order.files)
    place = Place(Path(order.folder), arrays, lambda message: pipe.send((order.number, False, message)), ask, worker)
    try:
        return order.call(place, *order.arguments)
    except Exception as error:
        end_if_dead(error)
        raise


# --- the arrays that workers map --------------------------------------------------------------------------------------


class Files:
    """Arrays as .npy files, each array once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[int, tuple[np.ndarray, str]] = {}  # the array itself, lest its id goes to another

    @staticmethod
    def mapped(files: Mapping[str, str]) -> dict[str, np.ndarray]:
        """The arrays in files, mapped."""
        return {name: np.load(file, mmap_mode="r") for name, file in files.items()}

    def array(self, file: str) -> np.ndarray:
        """The array that a file holds."""
        return next(array for array, path in self._known.values() if path == file)

    def of(self, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
        """Their files. StorageError when they cannot be written."""
        return {name: self._file(array) for name, array in arrays.items()}

    def _file(self, array: np.ndarray) -> str:
        if id(array) not in self._known:
            assert self._folder is not None
            path = self._folder / f"{len(self._known)}.npy"
            with _storing(self._folder):
                np.save(path, array)
            self._known[id(array)] = (array, str(path))
        return self._known[id(array)][1]


@contextmanager
def scratch_beside(folders: Iterable[Path]) -> Iterator[Path]:
    """A folder for the arrays that workers map, beside the tasks' own: a system's /tmp is often small, or memory.

    Its name says whose it is, so that what a killed process left there goes before the next one begins.
    """
    place = Path(os.path.commonpath([folder.absolute().parent for folder in folders]))
    with _storing(place):
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob(".arrays-*"):
            host, _, pid = left.name.removeprefix(".arrays-").rpartition("-")[0].rpartition("-")
            if host == platform.node() and pid.isdigit() and not is_alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
        own = tempfile.TemporaryDirectory(
            prefix=f".arrays-{platform.node()}-{os.getpid()}-", dir=place, ignore_cleanup_errors=True
        )
    with own as scratch:
        yield Path(scratch)


@contextmanager
def _storing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or "no space left"  # NumPy's own error of a short write says nothing more
        raise StorageError(f"{place}: the arrays for the workers cannot be written ({reason})") from error


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has that number."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def cores() -> int:
    """Cores that this process may use: by affinity, and by the quota of a container."""
    from joblib import cpu_count

    return int(cpu_count())
