"""Which models a workspace holds by the names people use, and which version of each is the newest. Loads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ganfer.errors import GanferError, WorkspaceError
from ganfer.workspace import Run, Workspace

NEWEST = "expression"
"""Served name of the newest classifier of the active data."""
BEFORE, AFTER = "before", "after"
"""The newest report's classifiers: trained without and with synthetic faces."""

_WEIGHTS = "model.safetensors"
_AFTER_ARMS = ("synthetic", "synthetic+best")  # of several, the first there is


@dataclass(frozen=True)
class Source:
    """A model to serve. version: milliseconds since 1970 of its making. note: what it is, in words.

    modified: of the file, nanoseconds; a file written anew is another source.
    """

    name: str
    file: Path
    version: int
    note: str
    modified: int = 0


def sources(workspace: Workspace, wanted: Sequence[str] = ()) -> list[Source]:
    """The models to serve: those wanted, else the newest classifier and, after a `retrain`, `before` and `after`.

    wanted: run names (or beginnings), `before`, `after`, paths of folders or .safetensors files; `SHOWN=...` serves it
    under another name. GanferError for one that is not there.
    """
    if wanted:
        found = [_wanted(workspace, text) for text in wanted]
        names = [source.name for source in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise GanferError(f"Two classifiers are called {twice!r}.", "Name one of them: --classifier OTHER=RUN.")
        return found
    data = workspace.active_data
    newest = workspace.latest("classifiers", data=data.digest) if data else workspace.latest("classifiers")
    found = [_of_run(NEWEST, newest)] if newest else []
    report = _newest_report(workspace)
    return found + (_compared(report) if report else [])


def _wanted(workspace: Workspace, text: str) -> Source:
    shown, equals, name = text.partition("=")
    if not equals:
        shown, name = "", text
    if name in (BEFORE, AFTER):
        report = _newest_report(workspace)
        both = {source.name: source for source in (_compared(report) if report else [])}
        if name not in both:
            raise WorkspaceError(f"--classifier {name}: {workspace.root} holds no finished report.", "ganfer retrain")
        return _renamed(both[name], shown)
    if name == NEWEST:
        run = workspace.latest("classifiers")
        if run is None:
            raise WorkspaceError(f"{workspace.root} holds no classifier.", "Train one: ganfer train classifier.")
        return _renamed(_of_run(NEWEST, run), shown)
    path = Path(name)
    file = path / _WEIGHTS if path.is_dir() else path
    if file.is_file():
        if file.suffix != ".safetensors":
            raise GanferError(f"--classifier {name} is no .safetensors file.", "Only those are opened.")
        plain = (path.name if path.is_dir() else file.stem).replace("=", "-").replace("/", "-")
        return _of_file(shown or plain, file, f"{file}")
    return _renamed(_of_run("", workspace.find("classifiers", name)), shown)


def _newest_report(workspace: Workspace) -> Run | None:
    data = workspace.active_data
    return workspace.latest("reports", data=data.digest) if data else workspace.latest("reports")


def _compared(report: Run) -> list[Source]:
    """`before` and `after` of a report: the first seed of each arm; empty where its trainings are gone."""
    folders: dict[str, list[tuple[int, Path]]] = {}
    for path in (report.path / "trainings").glob(f"*/{_WEIGHTS}"):
        arm, _, seed = path.parent.name.rpartition("-")
        if seed.isdigit():
            folders.setdefault(arm, []).append((int(seed), path))
    after = next((arm for arm in _AFTER_ARMS if arm in folders), None)
    if "original" not in folders or after is None:
        return []
    pairs = ((BEFORE, "original", "real faces only"), (AFTER, after, "real and synthetic faces"))
    return [
        _of_file(name, file, f"{report.name}, arm {arm}, seed {seed}: trained on {what}")
        for name, arm, what in pairs
        for seed, file in [min(folders[arm])]
    ]


def _of_run(shown: str, run: Run) -> Source:
    """A finished classifier of the workspace."""
    file = run.path / _WEIGHTS
    if not file.is_file():
        raise WorkspaceError(f"{run.path} has no {_WEIGHTS}.", "Train it again: ganfer train classifier.")
    record: dict[str, Any] = run.record
    try:
        version = round(datetime.fromisoformat(record["finished"]).timestamp() * 1000)
    except (KeyError, TypeError, ValueError):
        version = file.stat().st_mtime_ns // 1_000_000
    accuracy = run.figures.get("validation", {}).get("balanced_accuracy")
    note = run.name + (f", balanced accuracy {accuracy:.1%} on validation" if isinstance(accuracy, float) else "")
    return Source(shown or run.name, file, version, note, file.stat().st_mtime_ns)


def _of_file(name: str, file: Path, note: str) -> Source:
    modified = file.stat().st_mtime_ns
    return Source(name, file, modified // 1_000_000, note, modified)


def _renamed(source: Source, shown: str) -> Source:
    return Source(shown or source.name, source.file, source.version, source.note, source.modified)
