"""What the user sees while work goes on: lines and progress bars on stderr, silent bars when it is no terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

from ganfer.runtime import ranks
from ganfer.runtime.text import one_line, safe_lines


class Advance(Protocol):
    """Moves a progress bar by `n` and shows `note` beside it."""

    def __call__(self, n: int = 1, note: str = "") -> None: ...


class Listener(NamedTuple):
    """Who hears lines, and the bars that are begun (description, total), in the place of the terminal."""

    line: Callable[[str], object]
    bar: Callable[[str, int | None], AbstractContextManager[Advance]]


_listener: Listener | None = None


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """In the block this process says nothing by itself: a worker, whose command speaks."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def say(text: str = "") -> None:
    """One line to the user, on stderr (stdout belongs to results); of several processes only the leader speaks."""
    if not ranks.leads():
        return
    if _listener is not None:
        _listener.line(text)
        return
    print(safe_lines(text), file=sys.stderr, flush=True)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Advance]:
    """A bar over `total` units of work (None: unknown) with the time left; yields the function that advances it."""
    if _listener is not None:
        with _listener.bar(description, total) as told:
            yield told
        return
    if not sys.stderr.isatty() or not ranks.leads():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(one_line(description), total=total, note="")

        def advance(n: int = 1, note: str = "") -> None:
            fields: dict[str, Any] = {"note": one_line(note)} if note else {}
            bar.update(task, advance=n, **fields)

        yield advance


def silent(n: int = 1, note: str = "") -> None:
    """No bar."""
    del n, note
