"""Tasks on the workers of a Dask cluster, or of one that is started here (`local:N`), through Dask's futures.

Where a worker sees the folder of the tasks (one machine, shared storage), it maps the arrays and works in place. Where
it does not, Dask takes the arrays to the workers once, and what a task leaves in its folder back with its result.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from classifiers.cluster_worker import LOCK, Unseen, answered, greet, hold, processor, versions, work
from classifiers.errors import ClassifierError, StorageError
from classifiers.processes import Files
from classifiers.tasks import Died, Event, Mailbox, Task

log = logging.getLogger("classifiers")

_PATIENCE = 10.0  # seconds for a scheduler to answer
_TRANSFER = 600.0  # and for a finished training's files to come through it
_LOOK = 1.0  # seconds between looks for workers that came or went
_MOST_OWN = 1024  # workers of local:N


class Cluster(Mailbox):
    """The workers of a cluster, one task at a time each; those that join later take tasks, too.

    address: tcp://HOST:8786, tls://HOST:8786, a scheduler's JSON file, or local:N. At most `most` tasks at once.
    ClassifierError when no scheduler answers, or a worker cannot do what this process would.
    """

    def __init__(self, address: str, scratch: Path, *, most: int | None = None) -> None:
        super().__init__()
        number = _own_workers(address)
        self._address, self._most = address, most or sys.maxsize
        self._files, self._scratch = Files(scratch), scratch
        self._topic = f"ganfer-{secrets.token_hex(8)}"
        self._workers, self._looked, self._said = set[str](), float("-inf"), set[str]()
        self._shared, self._sent = True, dict[str, Any]()
        self._futures, self._lost = set[Any](), False
        self._held = hold(scratch / LOCK)
        self._own = _start(number, scratch) if number else None
        try:
            self._client = _connect(address, self._own)
        except ClassifierError:
            self._release()
            raise
        self._client.subscribe_topic(self._topic, self._hear)
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # a part of a batch is tens of MB

    def slots(self) -> int:
        """The workers now."""
        if monotonic() - self._looked >= _LOOK:
            self._look()
        return min(len(self._workers), self._most)

    def start(self, task: Task) -> None:
        """Submit it. ClassifierError when the scheduler is gone, as of `slots` and `event`."""
        import cloudpickle  # comes with Dask

        self._check_scheduler()
        order = self.order(task, self._files.of(task.arrays))
        data = None if self._shared else {name: self._send(file) for name, file in order.files.items()}
        key, packed = f"{self._topic}-{order.number}", cloudpickle.dumps(order)  # what cannot be read there fails there
        future = self._client.submit(work, packed, self._topic, str(self._scratch), data, key=key, pure=False)
        self._futures.add(future)

        def end(future: Any) -> None:
            self._futures.discard(future)
            self.post(order.number, self._value(future, task.folder))

        future.add_done_callback(end)

    def event(self) -> Event | None:
        """The next news."""
        self._check_scheduler()
        return super().event()

    def close(self) -> None:
        """Cancel what runs: a task ends when it next says something. The cluster stays, unless it was started here."""
        with suppress(OSError, TimeoutError):  # of a scheduler that is gone
            if self._client.status == "running":
                self._client.cancel(list(self._futures), force=True)
            self._client.close(timeout=_PATIENCE)
        self._release()

    def _release(self) -> None:
        if self._own is not None:
            self._own.close(timeout=_PATIENCE)
        if self._held is not None:
            os.close(self._held)

    def _check_scheduler(self) -> None:
        if self._lost or self._client.status != "running":  # lost also where another one answers by now
            raise self._gone()

    def _gone(self) -> ClassifierError:
        return ClassifierError(
            f"the Dask scheduler at {self._address} is gone; start it again, and the same command goes on with what is "
            "missing"
        )

    def _look(self) -> None:
        """Meet the workers that came, forget those that went."""
        try:
            now = set(self._client.nthreads())
            if new := sorted(now - self._workers):
                now -= self._meet(new)
        except (OSError, TimeoutError) as error:
            raise self._gone() from error
        if not now and self._own is None:
            self._say(f"no worker has joined the Dask scheduler at {self._address}: waiting for one")
        self._workers, self._looked = now, monotonic()

    def _meet(self, workers: list[str]) -> set[str]:
        """Whether these work as this process would; returns those that are gone again."""
        from classifiers.files import write_atomic  # here, not above: it loads torch, and greeting must be quick

        rounds, file = [], self._scratch / f"{secrets.token_hex(8)}.word"
        for word in ("first", "second"):  # a rename that a worker misses would be a result that is missed
            write_atomic(file, word.encode())
            rounds.append(self._client.run(greet, str(file), workers=workers, on_error="return"))
        gone = set[str]()
        for address in workers:
            first, met = (answers.get(address) for answers in rounds)
            if isinstance(met, ImportError):
                raise ClassifierError(f"the worker {address} cannot run ganfer ({met}); install the same version there")
            if not isinstance(first, dict) or not isinstance(met, dict):
                gone.add(address)
                continue
            for note in remarks(address, self._scratch.parent, first["word"], met):
                self._say(note)
            self._shared = self._shared and met["word"] is not None
        return gone

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)

    def _send(self, file: str) -> Any:
        """The array as Dask's, with every worker; sent once."""
        if file not in self._sent or self._sent[file].status != "finished":
            self._sent[file] = self._client.scatter(self._files.array(file), broadcast=True, hash=False)
        return self._sent[file]

    def _hear(self, event: tuple[float, Any]) -> None:
        number, waits, message, worker = event[1]

        def reply(answer: Any) -> None:
            self._client.run(answered, self._topic, number, answer, workers=[worker], wait=False, on_error="ignore")

        self.post(number, message, reply if waits else _nobody)

    def _value(self, future: Any, folder: Path) -> Any:
        """What a future came to. A task that Dask lost, and one that was sent to the wrong place, has died."""
        from distributed import KilledWorker

        try:
            error = None if future.status == "finished" else future.exception(timeout=_PATIENCE)
            patience = _PATIENCE if self._shared else _TRANSFER
            value, files = (None, []) if error else future.result(timeout=patience)
        except (Exception, asyncio.CancelledError) as lost:  # Dask's, of a future whose worker or scheduler is gone
            self._lost = self._lost or getattr(lost, "reason", "") == "scheduler-connection-lost"
            return Died(f"its worker was lost ({type(lost).__name__})")
        if isinstance(error, KilledWorker):  # Dask itself has tried it elsewhere
            died = Died(f"its worker died, and so did {error.allowed_failures} more that tried it")
            died.times = 1 + error.allowed_failures
            return died
        if isinstance(error, Unseen):
            self._shared = False
            return Died(str(error))
        return error or _received(value, files, folder)


def _received(value: Any, files: list[tuple[str, bytes]], folder: Path) -> Any:
    """The value, when the files that came with it are in the folder."""
    from classifiers.files import write_atomic

    try:
        for name, data in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / name, data)
    except StorageError as error:
        return error
    except OSError as error:
        return StorageError(f"{folder}: what came back cannot be written ({error.strerror or error})")
    for seen in (folder.parent, folder):  # NFS looks again when a folder is opened
        with suppress(OSError):
            os.listdir(seen)
    return value


def check(address: str) -> None:
    """ClassifierError where there is no such cluster, so that it is said before long work begins."""
    if address and not _own_workers(address):
        _connect(address, None).close()


def _own_workers(address: str) -> int:
    """N of local:N; 0 for a cluster that is elsewhere. ClassifierError without Dask."""
    try:
        import distributed
    except ImportError as error:
        raise ClassifierError(
            f"cluster = {address!r} needs {error.name}, which is not installed; run: pip install 'ganfer[cluster]'"
        ) from error
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == distributed.__name__:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said here
    kind, _, number = address.partition(":")
    if kind == "local" and not (number.isascii() and number.isdigit() and 1 <= int(number) <= _MOST_OWN):
        raise ClassifierError(f"cluster = {address!r}: local:N takes a number of workers, 1 to {_MOST_OWN}")
    return int(number) if kind == "local" else 0


def _connect(address: str, own: Any) -> Any:
    from distributed import Client

    try:
        if own is None:
            _ask_scheduler(place := _scheduler_of(address))
            return Client(place, timeout=_PATIENCE, set_as_default=False)
        return Client(own, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # of addresses, Dask raises any of these
        reason = str(error).partition("\n")[0] or "no answer"
        raise ClassifierError(
            f"cluster = {address!r}: no Dask scheduler answers there ({reason}); start one with: dask scheduler"
        ) from error


def _scheduler_of(address: str) -> str:
    """The address itself, or the one in a scheduler's file. OSError or ValueError for a file that has none."""
    if not address.endswith(".json"):
        return address
    try:
        return str(json.loads(Path(address).read_bytes())["address"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("the file is not what `dask scheduler --scheduler-file` writes") from error


def _ask_scheduler(address: str) -> None:
    """OSError, ValueError or TypeError where none answers. A client that does not come to be would say so twice, with a
    traceback."""
    from distributed import Security
    from distributed.core import rpc

    async def ask() -> str:
        how = Security().get_connection_args("client")
        async with rpc(address, timeout=_PATIENCE, connection_args=how) as there:
            answer = await asyncio.wait_for(there.identity(), 2 * _PATIENCE)
        return str(answer["type"])

    with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
        kind = thread.submit(asyncio.run, ask()).result()
    if kind != "Scheduler":
        raise ValueError(f"it is a {kind.lower()}")


def remarks(address: str, folder: Path, first: str | None, met: dict[str, Any]) -> list[str]:
    """What is to be said of a worker by what it has `met`, and by its `first` look at a file that was then renamed.

    ClassifierError or StorageError where its results could differ or be missed.
    """
    where, notes = f"{folder} on {met['host']}", []
    if met["versions"] != versions():
        raise ClassifierError(
            f"the worker {address} has {met['versions']} where this process has {versions()}, and its results would "
            "differ; install the same there"
        )
    if first == "first" and met["word"] != "second":
        raise StorageError(f"{where}: a file renamed here is not seen there at once; mount it without caching")
    if met["locks"] is False:
        raise StorageError(
            f"{where}: a lock held here is not seen there, so two commands could write at once; mount it with locks "
            "(NFS without nolock or local_lock), or use a folder that the workers do not share"
        )
    if met["word"] is None:
        notes.append(f"{met['host']} does not see {folder}: data and results travel through Dask")
    if met["threads"] > 1:
        notes.append(
            f"a worker of {met['host']} has {met['threads']} threads, and trains one at a time: start workers with "
            f"--nworkers {met['threads']} --nthreads 1"
        )
    if met["processor"] != processor():
        notes.append(f"{met['host']} has another processor ({met['processor']}): results may differ in the last bits")
    return notes


def _nobody(answer: Any) -> None:
    """The answer to what was only told."""


def _start(number: int, scratch: Path) -> Any:
    """A cluster of processes on this machine, which end with this one."""
    from distributed import Scheduler
    from distributed.deploy.spec import SpecCluster
    from distributed.deploy.subprocess import SubprocessWorker  # multiprocessing would run the caller's script again

    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # of the processes that are started now
    place = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": None}
    worker = {"nthreads": 1, "memory_limit": 0, "silence_logs": logging.CRITICAL, "local_directory": str(scratch),
              "preload_nanny": [greet.__module__]}  # fmt: skip
    workers = {
        i: {"cls": SubprocessWorker, "options": {"worker_kwargs": {**place, **worker, "name": i}}}
        for i in range(number)
    }
    return SpecCluster(
        workers, {"cls": Scheduler, "options": place}, silence_logs=logging.CRITICAL, shutdown_on_close=True
    )
