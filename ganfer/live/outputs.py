"""Where results go: tried before any work, never over a file of the user's or the results of another file."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ganfer.errors import GanferError
from ganfer.live.folders import MARK, RESULTS, has_mark
from ganfer.live.journal import NAME as JOURNAL
from ganfer.live.sources import MediaSource
from ganfer.runtime.console import say
from ganfer.runtime.files import check_name, check_writable, naming
from ganfer.runtime.tables import unmarked

_LONGEST_NAME, _KEPT_NAME = 100, 80  # bytes of a copy's name; file systems take 255
_LOCK = ".faces.lock"


def slug(name: str) -> str:
    """A name that any file system takes; a long one is cut and ends in its digest."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "faces"
    data = os.fsencode(plain)
    if len(data) <= _LONGEST_NAME:
        return plain
    return data[:_KEPT_NAME].decode(errors="ignore") + "-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


def mark_of(source: MediaSource) -> str:
    """What the annotated copy of a source carries: that it is ganfer's, and of which file, without telling its path."""
    return f"{MARK} {hashlib.sha256(os.fsencode(_whole(source))).hexdigest()[:16]}"


def picture_names(out: Path, sources: Sequence[MediaSource]) -> list[Path]:
    """Where each annotated copy goes: the source's own name, numbered where another file has it."""
    names: list[Path] = []
    taken: set[str] = set()
    for source in sources:
        stem = slug(Path(source.name).stem)
        suffix = ".faces.mp4" if source.moving else ".faces.jpg"
        path, number = out / (stem + suffix), 2
        while path.name.lower() in taken or (path.exists() and not has_mark(path, mark_of(source))):
            path, number = out / f"{stem}-{number}{suffix}", number + 1
        taken.add(path.name.lower())
        names.append(path)
    return names


def default_folder(parent: Path, name: str, sources: Sequence[MediaSource]) -> Path:
    """`parent`/`name`, numbered where that holds the results of another file."""
    folder, number = parent / slug(name), 2
    while _held(folder) and not _held(folder) <= _files(sources):
        folder, number = parent / f"{slug(name)}-{number}", number + 1
    return folder


def check_outputs(out: Path, log: Path | None, sources: Sequence[MediaSource]) -> None:
    """GanferError where the results could not be written, or would replace what is not ganfer's."""
    check_folder(out, "--out")
    if log is not None:
        if log.is_dir():
            raise GanferError(f"--log {log} is a folder.", "Give a file.")
        if str(log.resolve()) in _files(sources):
            raise GanferError(f"--log {log} is one of the files to look at.", "Give another name.")
        if log.exists() and not log.is_file():
            raise GanferError(f"--log {log} is no ordinary file.", "Give the name of a file to write.")
        check_folder(log.parent, "--log")
        check_name(log, "--log")
    csv_path = log or out / "faces.csv"
    if csv_path.is_dir():
        raise GanferError(f"{csv_path} is a folder.", "Give another --out or --log.")
    if csv_path.is_file() and csv_path.stat().st_size and _logged(csv_path) is None:
        raise GanferError(f"{csv_path} exists and is no log of ganfer predict.", "Give another name, or remove it.")


def check_folder(folder: Path, option: str) -> None:
    """GanferError unless the folder is there, or can be made, and takes files. Makes nothing."""
    check_writable(folder, f"{option} {folder}")


@contextmanager
def alone(out: Path, csv_path: Path | None = None) -> Iterator[None]:
    """GanferError where another process writes its results into the folder, or its rows into the same CSV file: they
    would be mixed. Leaves no empty folder."""
    places = [(out / _LOCK, f"{out}: another ganfer process is writing its results there.", "--out")]
    if csv_path is not None:
        rows = csv_path.resolve()  # by whatever name the two call it
        lock = rows.with_name(f".faces-{hashlib.sha256(os.fsencode(rows.name)).hexdigest()[:12]}.lock")
        places.append((lock, f"{csv_path}: another ganfer process is writing its rows there.", "--log"))
    made = [one for lock, *_ in places for one in (lock.parent, *lock.parent.parents) if not one.exists()]
    with ExitStack() as held:
        for folder in sorted(set(made), key=lambda one: len(one.parts)):
            held.callback(_remove_empty, folder)
        for lock, problem, option in places:
            held.enter_context(_locked(lock, GanferError(problem, f"Wait for it, or give another {option}.")))
        held.enter_context(naming(out))
        yield


@contextmanager
def _locked(path: Path, busy: GanferError) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise busy from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it holds something, or was not made
        folder.rmdir()


def make_room(out: Path, csv_path: Path, sources: Sequence[MediaSource]) -> None:
    """Results of other files in the way are renamed, and that is said."""
    held = _held(out)
    if csv_path != out / "faces.csv" or not held:
        held = set(_logged(csv_path) or ())
        names = {source.name for source in sources}
    else:
        names = _files(sources)
    if held <= names or not csv_path.is_file():
        return
    stamp = datetime.fromtimestamp(csv_path.stat().st_mtime).strftime("%Y%m%d-%H%M%S")
    moved = [csv_path, *(out / name for name in RESULTS if name != "faces.csv")]
    for one in (path for path in moved if path.is_file()):
        kept, number = one.with_name(f"{one.stem}.{stamp}{one.suffix}"), 2
        while kept.exists():
            kept, number = one.with_name(f"{one.stem}.{stamp}-{number}{one.suffix}"), number + 1
        one.rename(kept)
        say(f"{one} held results of other files; they are kept as {kept.name}.")


def _whole(source: MediaSource) -> str:
    return source.name if isinstance(source.place, int) else str(source.place.resolve())


def _files(sources: Sequence[MediaSource]) -> set[str]:
    return {_whole(source) for source in sources}


def _held(folder: Path) -> set[str]:
    """The files whose results a folder holds, finished or begun, as whole paths."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        files = summary.get("files") or [str(Path(one["source"]).resolve()) for one in summary["sources"]]
        return {str(file) for file in files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    try:
        with (folder / JOURNAL).open(encoding="utf-8") as file:
            return {str(one[0]) for one in json.loads(file.readline())["key"]["sources"]}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        pass
    names = _logged(folder / "faces.csv") or ()
    return {name if name.startswith("camera ") else str(Path(name).resolve()) for name in names}


def _logged(path: Path) -> set[str] | None:
    """The sources that a log names; None where there is no log."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.DictReader(file)
            if not {"source", "seconds", "person", "expression"} <= set(reader.fieldnames or ()):
                return None
            return {unmarked(row["source"]) for row in reader}
    except (OSError, csv.Error):
        return None
