"""Independent tasks, the loop that feeds them to an engine, and the simplest engine: this process."""

from __future__ import annotations

import logging
import os
import queue
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from classifiers.errors import ClassifierError

log = logging.getLogger("classifiers")

GPU_FAILED = 86  # the exit code of a worker whose GPU answers nothing any more
GPU_REMEDY = (
    "if it fails again, set CLASSIFIERS_CUDA_GRAPHS=off, or another precision (classifier.precision=32-true, "
    "gan.precision=fp32), or update the driver and torch"
)
RETRIES = 2  # of a task whose worker died: what kills every worker is the task's own fault
Tell = Callable[[Any], Any]


def end_if_dead(error: BaseException, code: int = GPU_FAILED) -> None:
    """End this process, a worker's or a server's, at once where a kernel failed (`memory.is_dead`): the next process
    gets a GPU that works."""
    if "torch" not in sys.modules:  # not every task needs it
        return
    from classifiers.memory import is_dead

    if is_dead(error):
        log.error("the GPU failed: %s", str(error).partition("\n")[0], exc_info=log.isEnabledFor(logging.DEBUG))
        os._exit(code)  # whatever is destroyed in an orderly way would ask the GPU again, and abort


def silent(message: Any) -> Any:
    """What nobody listens to."""


@dataclass
class Place:
    """Where a task finds itself: `worker` is the number of its worker, `pace` the seconds between reports that pay."""

    folder: Path
    arrays: Mapping[str, np.ndarray]
    tell: Tell = silent
    ask: Tell = silent
    worker: int = 0
    pace: float = 0.1


@dataclass(eq=False)
class Task:
    """One call, `call(place, *arguments)`, of a function that a worker can import. What it writes is in `folder`.

    name: how a failure calls it. hear: gets what the task tells, and answers what it asks, in the process of `run`.
    """

    name: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    folder: Path = field(default_factory=Path)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    hear: Tell = silent
    about: Any = None
    deaths: int = 0


class Died(Exception):
    """The worker's process ended in the middle of the task; `times`: of so many tries of the engine's own."""

    times = 1
    remedy = "with fewer workers each has more memory"

    @property
    def advised(self) -> str:
        """What happened, and what may help."""
        return f"{self}; {self.remedy}"


class Event(NamedTuple):
    """A task's end (`reply` is None; the value is its result or exception), or what it says: `reply` takes the
    answer."""

    task: Task
    value: Any
    reply: Tell | None = None


class Engine(Protocol):
    """Where tasks run."""

    def slots(self) -> int:
        """How many tasks may be at work, or wait at a worker, now."""
        ...

    def start(self, task: Task) -> None:
        """Begin a task."""
        ...

    def event(self) -> Event | None:
        """What happened next; None after a second without news."""
        ...

    def close(self) -> None:
        """End whatever runs."""
        ...


def run(
    tasks: Iterable[Task], engine: Engine, *, retries: int = RETRIES, in_order: bool = False
) -> Iterator[tuple[Task, Any]]:
    """Each task with its result, or with the exception it raised, as they end.

    A task is drawn from `tasks` when a worker is free for it, after the earlier results were handed on. One whose
    worker died is begun again, `retries` times. in_order: in the tasks' order, with a bounded number held back.
    """
    stream, ended = iter(tasks), False
    running, again, waiting, done = set[Task](), list[Task](), list[Task](), dict[Task, Any]()
    while True:
        while again or len(running) + len(done) < engine.slots():
            task = again.pop() if again else next(stream, None)
            if task is None:
                ended = True
                break
            if task.deaths == 0:
                waiting.append(task)
            running.add(task)
            engine.start(task)
        if ended and not running:
            return
        event = engine.event()
        if event is None or event.task not in running:  # a last word that comes after the end
            continue
        task, value, reply = event
        if reply is not None:
            reply(task.hear(value))
            continue
        running.remove(task)
        task.deaths += value.times if isinstance(value, Died) else 0
        if isinstance(value, Died) and task.deaths <= retries:
            again.append(task)
            continue
        done[task] = value
        while done and (not in_order or waiting[0] in done):
            task = waiting[0] if in_order else task
            waiting.remove(task)
            yield task, done.pop(task)


def results(tasks: Iterable[Task], engine: Engine, *, in_order: bool = False) -> Iterator[tuple[Task, Any]]:
    """As `run`, for tasks of one work: what a task raises ends it. ClassifierError where a task's workers died."""
    for task, value in run(tasks, engine, in_order=in_order):
        if isinstance(value, Died):
            raise ClassifierError(f"{task.name}: {value.advised}")
        if isinstance(value, Exception):
            raise value
        yield task, value


class Here:
    """One task after another in this process."""

    def __init__(self) -> None:
        self._ended: list[Event] = []

    def slots(self) -> int:
        """One."""
        return 1

    def start(self, task: Task) -> None:
        """Run it at once."""
        try:
            value = task.call(Place(task.folder, task.arrays, task.hear, task.hear, pace=0.0), *task.arguments)
        except Exception as error:
            value = error
        self._ended.append(Event(task, value))

    def event(self) -> Event | None:
        """The end of what was started."""
        return self._ended.pop()

    def close(self) -> None:
        """Nothing is held."""


class Order(NamedTuple):
    """A task as it travels to a worker: arrays stay behind, in files."""

    number: int
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    folder: str
    files: dict[str, str]


class Mailbox:
    """Tasks at work elsewhere, by number, and the news of them, which other threads `post`."""

    def __init__(self) -> None:
        self._news: queue.SimpleQueue[tuple[int, Any, Tell | None]] = queue.SimpleQueue()
        self._numbers, self._tasks = count(), dict[int, Task]()

    def order(self, task: Task, files: dict[str, str]) -> Order:
        """The task with a number of its own."""
        number = next(self._numbers)
        self._tasks[number] = task
        return Order(number, task.call, task.arguments, str(task.folder.absolute()), files)

    def post(self, number: int, value: Any, reply: Tell | None = None) -> None:
        """What happened to a task: as in Event."""
        self._news.put((number, value, reply))

    def event(self) -> Event | None:
        """The next news; None after a second without."""
        try:
            number, value, reply = self._news.get(timeout=1.0)
        except queue.Empty:
            return None
        task = self._tasks.get(number) if reply else self._tasks.pop(number)
        return Event(task, value, reply) if task else None
