"""What runs on a Dask worker: its word on itself, and the tasks."""

from __future__ import annotations

import hashlib
import os
import pickle
import queue
import shutil
import socket
import sys
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from classifiers.errors import ClassifierError, StorageError
from classifiers.processes import Files, end_with
from classifiers.tasks import Order, Place, end_if_dead

LOCK = "lock"  # a file in the scratch folder that the client holds: whoever sees it sees the folder
_SAME = ("ganfer", "torch", "numpy")  # the versions that the bits of a result depend on


def dask_setup(nanny: Any) -> None:
    """Dask calls it in the parent of each worker of local:N, which would look for a lost scheduler for ever."""
    end_with(os.getppid())


class Unseen(Exception):
    """The worker does not see the folder that others see."""


class Cancelled(Exception):
    """Nobody waits for the task any more."""


_alone = threading.Lock()  # torch's random state and number of threads belong to the process
_answers: dict[tuple[str, int], queue.SimpleQueue[Any]] = {}


def versions() -> dict[str, str]:
    """What the bits of a result depend on."""
    return {"python": ".".join(map(str, sys.version_info[:2])), **{name: version(name) for name in _SAME}}


def processor() -> str:
    """The processor's name, where the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""


def visible(path: Path) -> bool:
    """Whether the client's file is this worker's, too."""
    return path.is_file()


def greet(file: str, dask_worker: Any = None) -> dict[str, Any]:
    """A worker's word on itself, and on whether it sees a file of the client, and its lock on the folder."""
    path, locks = Path(file), None
    word = path.read_text() if visible(path) else None
    if word is not None:
        try:
            if (handle := hold(path.parent / LOCK)) is not None:
                os.close(handle)
                locks = False
        except StorageError as error:
            locks = isinstance(error.__cause__, BlockingIOError)  # the client's is seen
    return {
        "word": word, "locks": locks, "host": socket.gethostname(), "threads": dask_worker.state.nthreads,
        "versions": versions(), "processor": processor(),
    }  # fmt: skip


async def answered(topic: str, number: int, answer: Any) -> None:
    """Hand an answer to the task that waits for it."""
    if (topic, number) in _answers:
        _answers.pop((topic, number)).put(answer)


def work(packed: bytes, topic: str, scratch: str, data: dict[str, Any] | None) -> tuple[Any, list[tuple[str, bytes]]]:
    """The task's result, and the files it left where the client does not see them."""
    from distributed import get_worker

    worker = get_worker()
    try:
        order: Order = pickle.loads(packed)
    except (ImportError, AttributeError) as error:
        raise ClassifierError(
            f"the worker {worker.address} cannot run this ({error}); install the same version there"
        ) from error
    key = worker.get_current_task()

    def end_if_cancelled() -> None:
        state = worker.state.tasks.get(key)
        if state is None or state.state == "cancelled":
            raise Cancelled

    def tell(message: Any, waits: bool = False) -> None:
        end_if_cancelled()
        worker.log_event(topic, (order.number, waits, message, worker.address))

    def ask(message: Any) -> Any:
        answers = _answers[topic, order.number] = queue.SimpleQueue()
        tell(message, waits=True)
        while True:
            with suppress(queue.Empty):
                return answers.get(timeout=1.0)
            end_if_cancelled()

    sees = visible(Path(scratch) / LOCK)
    if not sees and data is None:
        raise Unseen(f"{worker.address} does not see {scratch}")
    name = hashlib.sha256(order.folder.encode()).hexdigest()[:16]  # the same again, for a training that goes on
    folder = Path(order.folder) if sees else Path(worker.local_directory) / f"ganfer-{name}"
    arrays = Files.mapped(order.files) if sees else data
    number = worker.name if isinstance(worker.name, int) else 0
    with _alone:
        end_if_cancelled()
        try:
            value = order.call(Place(folder, arrays or {}, tell, ask, number), *order.arguments)
        except Exception as error:
            end_if_dead(error)
            if isinstance(error, ClassifierError | OSError):  # of a disk or a device that may be this machine's alone
                kind = type(error) if isinstance(error, ClassifierError) else StorageError
                raise kind(f"{error} (on {socket.gethostname()})") from error
            raise
    if sees:
        return value, []
    left = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)
    files = [(str(path.relative_to(folder)), path.read_bytes()) for path in left]  # in the order they were written
    shutil.rmtree(folder, ignore_errors=True)
    return value, files


def hold(path: Path) -> int | None:
    """Lock a file; None where the system has no such locks. StorageError where the file system has none."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StorageError(f"{path.parent.parent}: the file system has no locks ({error.strerror})") from error
    return handle
