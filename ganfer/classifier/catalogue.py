"""Which classifier a name means, the same for every command, and which version of each is the newest.

Nothing is opened here: what is found is a `ServedModel` (a file and what is known of it), which `opened` opens.

A name is a run of the workspace (or its beginning), the path of a folder or a .safetensors file, `before`, `after` or
`best` of the newest report, or `starter`, which comes with ganfer; `SHOWN=NAME` shows it under another name.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from ganfer.classifier import starter
from ganfer.data.sets import drawn_digests
from ganfer.errors import GanferError, WorkspaceError
from ganfer.page.node import RESULTS, read_results
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.runtime.text import one_line
from ganfer.workspace import Run, Workspace

NEWEST = "expression"
"""Served name of the newest classifier of the active data."""
BEFORE, AFTER, BEST = "before", "after", "best"
"""The newest report's classifiers: trained without and with synthetic faces, and the one it recommends."""
GRAMMAR = (
    "a run, a folder or .safetensors file, starter, or before, after or best of the newest report; SHOWN=... renames it"
)

_WEIGHTS = "model.safetensors"
_BEFORE_ARM = "original"
_AFTER_ARMS = ("synthetic", "synthetic+best")  # of several, the first there is
_SHOWN = re.compile(r"[^\W_][\w.+ -]{0,79}")


@dataclass(frozen=True)
class ServedModel:
    """A classifier. version: milliseconds since 1970 of its making. note: what it is, in words.

    modified: of the file, nanoseconds; a file written anew is another source. data_digest: of the set it was trained
    on, "" where that is unknown.
    """

    name: str
    file: Path
    version: int
    note: str
    modified: int = 0
    data_digest: str = ""


def listed(workspace: Workspace, wanted: Sequence[str] = ()) -> list[ServedModel]:
    """The models to serve: those wanted, else the one `for_people` and, after a `retrain`, `before` and `after`.

    GanferError for one that is not there, or when two have one name.
    """
    if wanted:
        return _each_once([find(workspace, text) for text in wanted])
    newest = for_people(workspace)
    found = [replace(newest, name=NEWEST)] if newest else []
    report = _newest_report(workspace)
    return found + (_compared(report) if report else [])


def together(workspace: Workspace, wanted: Sequence[str]) -> list[ServedModel]:
    """The models that are measured as one: those wanted, all seeds of a `best` that was kept as an ensemble."""
    return _each_once([each for text in wanted for each in _members(workspace, text)])


def _each_once(found: list[ServedModel]) -> list[ServedModel]:
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise GanferError(f"Two classifiers are called {twice!r}.", "Name one of them: --classifier OTHER=RUN.")
    return found


def _members(workspace: Workspace, text: str) -> list[ServedModel]:
    shown, name = _split(text)
    report = _newest_report(workspace) if name == BEST else None
    folders = [] if report is None else _ensemble(report)
    if report is None or not folders:
        return [find(workspace, text)]
    note = f"{report.name}: one of {len(folders)} seeds kept as an ensemble"
    return [
        _of_file(f"{shown or BEST} {place.name}", place / _WEIGHTS, note, report)
        for place in (report.path / folder for folder in folders)
    ]


def _ensemble(report: Run) -> list[str]:
    """The folders of an ensemble's models; empty where the report kept one model."""
    kept = read_results(report.path).get("classifiers")
    folders = kept.get("ensemble") if isinstance(kept, Mapping) else None
    found = [str(folder) for folder in folders] if isinstance(folders, list) else []
    there = all((report.path / folder / _WEIGHTS).is_file() for folder in found)
    return found if len(found) > 1 and there else []


def for_people(workspace: Workspace) -> ServedModel | None:
    """The classifier for photographs of people: the newest trained on real images, on the active data if there is one;
    else the starter. In an installation without one, the newest of the active data, or None."""
    real = trained_on_real(workspace)
    if real is not None:
        return _of_run("", real)
    if starter.there():
        return _starter()
    data = workspace.active_data
    newest = workspace.latest("classifiers", data=data.digest) if data else workspace.latest("classifiers")
    return _of_run("", newest) if newest else None


def trained_on_real(workspace: Workspace) -> Run | None:
    """The newest finished classifier that has not learned from drawn faces, on the active data if there is one."""
    drawn, data = drawn_digests(workspace), workspace.active_data
    found = [run for run in workspace.runs("classifiers") if run.complete and not _saw_drawn_only(run, drawn)]
    own = [run for run in found if data and _data_of(run) == data.digest]
    return next(reversed(own or found), None)


def _saw_drawn_only(run: Run, drawn: Collection[str]) -> bool:
    """As its data say, or, where those are gone, as its own record does."""
    return _data_of(run) in drawn or run.record.get("learned_from", {}).get("kind") == "drawn"


def find(workspace: Workspace, text: str) -> ServedModel:
    """The one classifier that `text` means. GanferError says why there is none."""
    shown, name = _split(text)
    found = _named(workspace, name)
    return replace(found, name=shown) if shown else found


def _split(text: str) -> tuple[str, str]:
    """`SHOWN=NAME` in its parts, SHOWN empty where there is none; a path may hold a = itself."""
    shown, equals, name = text.partition("=")
    if not equals or Path(text).exists():
        shown, name = "", text
    if not name.strip():
        raise GanferError(f"--classifier {text!r} names no classifier.", f"Give {GRAMMAR}.")
    if equals and name != text and not _SHOWN.fullmatch(shown):
        raise GanferError(
            f"--classifier {text!r}: {shown!r} is no name to show.", "Use letters, digits and . + - _ before the =."
        )
    return shown, name


def _named(workspace: Workspace, name: str) -> ServedModel:
    if name in (BEFORE, AFTER, BEST):
        report = _newest_report(workspace)
        if report is None:
            raise WorkspaceError(f"--classifier {name}: {_no_report(workspace)}", "Make one: ganfer retrain.")
        return recommended(report) if name == BEST else _one_side(report, name)
    if name == starter.NAME:
        return _starter()
    if name == NEWEST:
        data = workspace.active_data
        run = workspace.latest("classifiers", data=data.digest) if data else None
        run = run or workspace.latest("classifiers")
        if run is None:
            raise WorkspaceError(f"{workspace.root} holds no classifier.", "Train one: ganfer train classifier.")
        return _of_run(NEWEST, run)
    path = Path(name)
    file = path / _WEIGHTS if path.is_dir() else path
    if file.is_file():
        if file.suffix != ".safetensors":
            raise GanferError(f"--classifier {name} is no .safetensors file.", "Only those are opened.")
        plain = one_line(path.resolve().name if path.is_dir() else file.stem)
        return _of_file(re.sub("[=,]", "-", plain).strip(), file, f"{file}")  # a list of names is parted by commas
    if path.is_dir() and not workspace.runs("classifiers"):
        raise GanferError(f"--classifier {name}: the folder has no {_WEIGHTS}.", f"Give {GRAMMAR}.")
    return _of_run("", workspace.find("classifiers", name))


def _starter() -> ServedModel:
    if not starter.there():
        raise GanferError(f"--classifier {starter.NAME}: {starter.FILE} is missing.", "Install ganfer again.")
    found = _of_file(starter.NAME, starter.FILE, f"ganfer's {starter.NAME}, {starter.words()}")
    return replace(found, data_digest=str(starter.card()["trained_on"]["digest"]))


def _no_report(workspace: Workspace) -> str:
    data = workspace.active_data
    if data is not None and workspace.latest("reports"):
        return f"{workspace.root} holds no finished report on the active data, {data.name}."
    return f"{workspace.root} holds no finished report."


def _newest_report(workspace: Workspace) -> Run | None:
    """The newest that has models of its own, else the newest: one over folds has those of its folds, none for all."""
    data = workspace.active_data
    newest = workspace.latest("reports", data=data.digest) if data else workspace.latest("reports")
    if newest is None or not _over_folds(newest):
        return newest
    for run in reversed(workspace.runs("reports")):
        own = run.complete and (data is None or _data_of(run) == data.digest)
        if own and not _over_folds(run):
            _say_passed_over(newest.name, run.name)
            return run
    return newest


def _over_folds(report: Run) -> bool:
    return report.record.get("stage") == "retrain in folds"


@cache
def _say_passed_over(newest: str, taken: str) -> None:
    """Once, that before, after and best are not of the newest report."""
    say(f"{newest} was made in folds, each with models of its own; before, after and best are of {taken}.")


def _one_side(report: Run, name: str) -> ServedModel:
    """`before` or `after` of a report; WorkspaceError says which arms or files are missing."""
    arms = _arms(report)
    arm = _arm_of(name, arms)
    if arm is None:
        wanted = _BEFORE_ARM if name == BEFORE else " or ".join(_AFTER_ARMS)
        raise WorkspaceError(
            f"--classifier {name}: {report.name} has no arm {wanted}, only {', '.join(arms)}.",
            "Compare with it: ganfer retrain --arms default.",
        )
    found = _trained(report, arms[arm])
    if found is None:
        folds = "folds" in read_results(report.path)
        raise WorkspaceError(
            f"--classifier {name}: {report.name} was made in folds, each with models of its own."
            if folds
            else f"--classifier {name}: the trainings of {report.name} are gone from {report.path / 'trainings'}.",
            "Make a report without --folds: ganfer retrain." if folds else f"Remove {report.path} and retrain.",
        )
    what = "real faces only" if name == BEFORE else "real and synthetic faces"
    seed, file = found
    return _of_file(name, file, f"{report.name}, arm {arm}, seed {seed}: trained on {what}", report)


def recommended(report: Run) -> ServedModel:
    """The classifier that a report recommends; WorkspaceError where it names none or its file is gone."""
    results = read_results(report.path)
    kept = results.get("classifiers")
    entry = kept.get(BEST) if isinstance(kept, Mapping) else results.get(BEST)
    entry = {"folder": entry} if isinstance(entry, str) else entry
    if _over_folds(report):
        raise WorkspaceError(
            f"--classifier {BEST}: {report.name} was made in folds, each with models of its own.",
            "Make a report without --folds: ganfer retrain.",
        )
    if not isinstance(entry, Mapping) or not any(entry.get(key) for key in ("file", "folder")):
        raise WorkspaceError(
            f"--classifier {BEST}: {report.name} names no classifier to recommend.",
            "Choose --classifier before or after, or make a new report: ganfer retrain.",
        )
    place = report.path / str(entry.get("file") or entry["folder"])
    file = place / _WEIGHTS if place.is_dir() else place
    if not file.is_file():
        raise WorkspaceError(
            f"--classifier {BEST}: {file} of {report.name} is gone.", f"Remove {report.path} and retrain."
        )
    chosen = results.get("recommendation")
    entry = {**(chosen if isinstance(chosen, Mapping) else {}), **entry}
    about = ", ".join(f"{key} {entry[key]}" for key in ("arm", "seed") if entry.get(key) is not None)
    if seeds := len(_ensemble(report)):
        _say_one_of(report.name, seeds)
    return _of_file(BEST, file, f"{report.name}{', ' + about if about else ''}: recommended", report)


@cache
def _say_one_of(report: str, seeds: int) -> None:
    """Once, that one model is not the ensemble."""
    say(
        f"{report} kept {BEST} as an ensemble of {seeds}; the one that is best on validation is used. All together: "
        f"ganfer evaluate --classifier {BEST}."
    )


def _compared(report: Run) -> list[ServedModel]:
    """`before` and `after` of a report; empty where one of them is not there."""
    try:
        return [_one_side(report, name) for name in (BEFORE, AFTER)]
    except GanferError:
        return []


def _arms(report: Run) -> dict[str, str]:
    """Each arm's folder below `trainings/`, without the seed, as the report's results say."""
    try:
        arms = read_results(report.path)["arms"]
        return {str(arm["name"]): str(arm.get("folder") or arm["name"]) for arm in arms}
    except (KeyError, TypeError, AttributeError) as error:
        raise WorkspaceError(
            f"{report.path / RESULTS} is damaged ({error}).", f"Remove {report.path} and retrain."
        ) from error


def _arm_of(name: str, arms: Mapping[str, str]) -> str | None:
    wanted = (_BEFORE_ARM,) if name == BEFORE else _AFTER_ARMS
    return next((arm for arm in wanted if arm in arms), None)


def _trained(report: Run, folder: str) -> tuple[int, Path] | None:
    """The first seed of an arm's trainings and its weights; None where they are gone."""
    found = []
    for path in (report.path / "trainings").glob(f"*/{_WEIGHTS}"):
        name, _, seed = path.parent.name.rpartition("-")
        if name == folder and seed.isdecimal():
            found.append((int(seed), path))
    return min(found, default=None)


def _of_run(shown: str, run: Run) -> ServedModel:
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
    return ServedModel(shown or run.name, file, version, note, file.stat().st_mtime_ns, _data_of(run))


def _of_file(name: str, file: Path, note: str, report: Run | None = None) -> ServedModel:
    modified = file.stat().st_mtime_ns
    made = report or _report_around(file) or Run(file.parent)
    return ServedModel(name, file, modified // 1_000_000, note, modified, _data_of(made))


def _report_around(file: Path) -> Run | None:
    """The report whose training a file is, where it is one."""
    trainings = file.parent.parent
    return Run(trainings.parent) if trainings.name == "trainings" and (trainings.parent / RESULTS).is_file() else None


class FoundRun(Run):
    """A classifier from anywhere as the stages take a run: name, digest and file; what they cache goes elsewhere."""

    def __init__(self, source: ServedModel, workspace: Workspace) -> None:
        super().__init__(source.file)
        self.name = source.name
        self._digest = digest_of(source.file)
        self._cache = workspace.root / "features" / self._digest[:16]

    @property
    def record(self) -> dict[str, Any]:
        return {}

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def cache(self) -> Path:
        return self._cache


def find_run(workspace: Workspace, text: str) -> Run:
    """The classifier that `text` means as a run: the workspace's own, or one that stands for a file from elsewhere."""
    source = find(workspace, text)
    folder = source.file.parent
    own = folder.parent == workspace.root / "classifiers" and source.name == folder.name
    return Run(folder) if own else FoundRun(source, workspace)


def _data_of(run: Run) -> str:
    return str(run.record.get("key", {}).get("inputs", {}).get("data", ""))
