"""The workspace: where everything lives, one folder per run, each with the record of how it was made.

    <root>/data/<set>/  pools/<pool>/  classifiers/<run>/  gans/<run>/  synthetic/<batch>/  fresh/<batch>/
    reports/<run>/

A run's folder name ends in a digest of its key (settings, inputs, seed), so the same command finds the same folder:
complete, and there is nothing to do; begun, and it resumes.
"""

import errno
import multiprocessing
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from classifiers.config import identifying
from ganfer.errors import WorkspaceError, did_you_mean
from ganfer.runtime import ranks
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_json, naming, read_object, remove_abandoned, write_json, write_text
from ganfer.runtime.text import hide_secrets
from ganfer.version import __version__

FORMAT = 1
KINDS = (
    *("data", "pools", "classifiers", "gans", "synthetic", "fresh", "reports"),
    *("evaluations", "crossvals", "studies", "explanations", "exports", "qualities", "judges"),
    *("projections", "encoders", "identities"),
)
DEFAULT_ROOT = "ganfer-work"
MARKER = "workspace.json"  # what makes a folder a workspace
#: What a record's entries are, where they are there.
_RECORD: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("status", "started", "finished", "asked", "digest", "stage", "command", "device", "machine"), str),
    **dict.fromkeys(("key", "figures", "versions"), dict),
    "seconds": (int, float),
}
#: What a record holds at the least, by its status.
_NEEDED = {"running": ("key",), "complete": ("key", "finished", "digest", "figures")}
_VERSIONED = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "opencv-python")


class Run:
    """One folder of the workspace and its `record.json`; key: what names it, where it is to be worked on."""

    def __init__(self, path: Path, key: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.key = key
        self.name = path.name
        self.kind = path.parent.name

    @property
    def record(self) -> dict[str, Any]:
        """The record as it is on disk now; empty when nothing was begun. WorkspaceError when it is damaged."""
        file, remedy = self.path / "record.json", _again(self.path)
        try:
            record = read_object(file, remedy)
        except FileNotFoundError:
            return {}
        if problem := _damage(record):
            raise WorkspaceError(f"{file} is damaged ({problem}).", remedy)
        return record

    @property
    def complete(self) -> bool:
        """Whether the run was finished."""
        return self.record.get("status") == "complete"

    @property
    def asked(self) -> str:
        """When the run was finished, or a command last found it done: by that the newest of a kind is told."""
        record = self.record
        return max(record.get("asked", ""), record.get("finished", ""))

    @property
    def figures(self) -> dict[str, Any]:
        """The numbers the finished run reported. One that is asked for and is not there is a WorkspaceError."""
        return _Figures(self.record.get("figures", {}), self.path)

    @property
    def digest(self) -> str:
        """Digest of what the run produced, for the records of the runs that use it."""
        return str(self.record.get("digest", ""))

    @property
    def cache(self) -> Path:
        """Where to keep what is worked out from the run and can be worked out again."""
        return self.path

    @contextmanager
    def work(self, command: str) -> Iterator[dict[str, Any]]:
        """Hold the run alone; yields its record, empty if this is the first time.

        Another process working on the same run is waited for, and says so. The record is marked `running` until
        `finish` is called inside the block. A finished run is the newest of its kind from now on.
        """
        assert self.key is not None, "only a run that was asked for by its key can be worked on"
        self.path.mkdir(parents=True, exist_ok=True)
        if not ranks.leads():  # the leader holds the run for all of them
            yield self.record
            return
        with naming(self.path), _exclusive(self.path / ".lock", f"{self.kind}/{self.name}"):
            remove_abandoned(self.path)
            record = self.record
            if record.get("status") != "complete":
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._write(
                    {
                        **_origin(command),
                        "key": dict(self.key),
                        "status": "running",
                        "started": record.get("started", now),
                    }
                )
            else:
                self._ask_again(record)
            self._since = time.monotonic()
            self._seconds_before = float(record.get("seconds", 0.0))
            yield record

    def tick(self) -> None:
        """Add the time worked so far to the record, so that an interrupted run's seconds count too."""
        if ranks.leads():
            self._write({**self.record, "seconds": round(self._seconds_before + time.monotonic() - self._since, 3)})

    def finish(self, *, digest: str, figures: Mapping[str, Any], device: str = "cpu", **more: Any) -> None:
        """Mark the run complete, with its figures and the digest of what it produced."""
        if not ranks.leads():
            return
        seconds = round(self._seconds_before + time.monotonic() - self._since, 3)
        done = {"status": "complete", "finished": self._now(), "seconds": seconds, "device": device, "digest": digest}
        self._write({**self.record, **done, "figures": dict(figures), **more})

    def _ask_again(self, record: Mapping[str, Any]) -> None:
        """Mark a finished run, where another one of its kind is newer."""
        if self._newest_beside() > self.asked:
            self._write({**record, "asked": self._now()})

    def _now(self) -> str:
        """The time, behind that of every run beside this one: the last that was finished or asked for is the newest,
        also where a clock was set back or another machine's is ahead."""
        now, newest = datetime.now(UTC).isoformat(timespec="microseconds"), self._newest_beside()
        if now > newest:
            return now
        return (datetime.fromisoformat(newest) + timedelta(microseconds=1)).isoformat(timespec="microseconds")

    def _newest_beside(self) -> str:
        """When the newest of the runs beside this one was asked for; empty where there is none."""
        newest = ""
        if self.kind == "fresh":  # hundreds, none of which is taken for being the newest
            return newest
        for file in self.path.parent.glob("*/record.json"):
            with suppress(WorkspaceError):  # the damage of another run is told where that is used
                newest = max(newest, Run(file.parent).asked)
        return newest

    def _write(self, record: Mapping[str, Any]) -> None:
        write_json(self.path / "record.json", record)


class _Figures(dict[str, Any]):
    """A record's figures, also those within them: what is missing is the record's damage, not a bug."""

    def __init__(self, figures: Mapping[str, Any], run: Path) -> None:
        super().__init__({k: _Figures(v, run) if isinstance(v, dict) else v for k, v in figures.items()})
        self._run = run

    def __missing__(self, name: str) -> NoReturn:
        raise WorkspaceError(
            f"{self._run / 'record.json'} is damaged (its figures have no {name!r}).", _again(self._run)
        )


def _again(run: Path) -> str:
    return f"Remove {run} and run the command again."


def _damage(record: Mapping[str, Any]) -> str:
    """What is wrong with a record that was read; "" for nothing. A record without its parts is no unfinished run."""
    for name, kind in _RECORD.items():
        if name in record and (not isinstance(record[name], kind) or isinstance(record[name], bool)):
            return f"{name} is a {type(record[name]).__name__}"
    if not isinstance(record.get("key", {}).get("inputs", {}), dict):
        return "the inputs are no object"
    status = record.get("status")
    if status not in _NEEDED:
        return "it has no status" if status is None else f"its status is {status!r}"
    if missing := [name for name in _NEEDED[status] if name not in record]:
        return f"it has no {missing[0]}"
    try:
        datetime.fromisoformat(record.get("finished", "2000-01-01"))
    except ValueError:
        return f"finished is {record['finished']!r}"
    return ""


class Workspace:
    """A folder that holds data sets, classifiers, GANs, synthetic batches and reports."""

    def __init__(self, root: str | Path | None = None) -> None:
        place = str(root or os.environ.get("GANFER_WORKSPACE") or DEFAULT_ROOT)
        self.root = Path(os.path.expanduser(place))  # as a shell does: a notebook would make a folder called ~
        self._check_place()
        marker = self.root / MARKER
        if marker.is_file():
            self._check_format(marker)

    def _check_place(self) -> None:
        """WorkspaceError for a place where no folder is or can be."""
        remedy = "Give another one with -w DIR."
        try:
            str(self.root).encode()  # by other paths no weights are read
        except UnicodeEncodeError as error:
            text = f"{str(self.root)[:200]} cannot be a workspace: its name is no UTF-8 text."
            raise WorkspaceError(text, remedy) from error
        try:
            if self.root.is_symlink() and not self.root.exists():
                raise WorkspaceError(f"{self.root} is a link that leads nowhere.", remedy)
            if self.root.exists() and not self.root.is_dir():
                raise WorkspaceError(f"{self.root} is a file, not a folder.", remedy)
            above = next((part for part in self.root.parents if part.exists()), None)
            if above is not None and not above.is_dir():
                raise WorkspaceError(f"{above} is a file: {self.root} cannot be a folder below it.", remedy)
            os.stat(self.root)
        except FileNotFoundError:
            pass  # it will be made
        except (OSError, ValueError) as error:
            raise WorkspaceError(
                f"{str(self.root)[:200]} cannot be a workspace ({getattr(error, 'strerror', None) or error}).", remedy
            ) from error

    def _check_format(self, marker: Path) -> None:
        remedy = "Remove that file; the runs beside it are kept."
        found = read_object(marker, remedy).get("format")
        if type(found) is not int:
            raise WorkspaceError(f"{marker} is damaged (its format is not a number).", remedy)
        if found > FORMAT:
            raise WorkspaceError(
                f"{self.root} was made by a newer ganfer (format {found}, this one reads {FORMAT}).",
                "Update ganfer or use another workspace.",
            )

    def run(self, kind: str, prefix: str, key: Mapping[str, Any]) -> Run:
        """The run of this kind whose settings, inputs and seed are `key`; its folder is made when work begins."""
        assert kind in KINDS
        if not (self.root / MARKER).is_file():
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL):
                    raise
                raise WorkspaceError(
                    f"{str(self.root)[:200]} cannot be a workspace ({error.strerror}).", "Give another one with -w DIR."
                ) from error
            write_json(self.root / MARKER, {"format": FORMAT, "ganfer": __version__})
            write_text(self.root / ".gitignore", "*\n")
        return Run(self.root / kind / f"{prefix}-{digest_json(_identifying(dict(key)))[:8]}", key)

    def runs(self, kind: str) -> list[Run]:
        """All runs of a kind that were begun, the newest (`Run.asked`) last, unfinished ones first."""
        folder = self.root / kind
        if not folder.is_dir():
            return []
        found = [Run(path) for path in sorted(folder.iterdir()) if (path / "record.json").exists()]
        return sorted(found, key=lambda run: run.asked)

    def latest(self, kind: str, **inputs: str) -> Run | None:
        """The newest finished run of a kind, among those whose key's inputs equal the given digests."""
        for run in reversed(self.runs(kind)):
            record = run.record
            taken = record.get("key", {}).get("inputs", {})
            if record.get("status") == "complete" and all(taken.get(name) == value for name, value in inputs.items()):
                return run
        return None

    def find(self, kind: str, name: str) -> Run:
        """A finished run by its folder name, or by a beginning of it that fits only one."""
        complete = [run for run in self.runs(kind) if run.complete]
        fitting = [run for run in complete if run.name == name] or [
            run for run in complete if run.name.startswith(name)
        ]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise WorkspaceError(f"{name!r} fits {len(fitting)} of {self.root / kind}.", "Give more of the name.")
        hint = did_you_mean(name, [run.name for run in complete]) if complete else f"There are no finished {kind} yet."
        raise WorkspaceError(f"No {name!r} in {self.root / kind}.", hint)

    @property
    def active_data(self) -> Run | None:
        """The data set that commands use, or None in a workspace without data."""
        run = self._active()
        return run if run is not None and run.complete else None

    def check_active(self) -> None:
        """WorkspaceError where the set in use is gone: other data would take its place without a word."""
        run = self._active()
        if run is not None and not run.complete and not run.name.startswith("drawn"):
            raise WorkspaceError(
                f"The active set {run.path} is gone or damaged.",
                "Add it again, or choose another: ganfer data use NAME.",
            )

    def _active(self) -> Run | None:
        file, remedy = self.root / "data" / "active.json", "Choose a set: ganfer data use NAME."
        try:
            name = read_object(file, remedy).get("name")
        except FileNotFoundError:
            return None
        if not isinstance(name, str) or not name or name in (".", "..") or Path(name).name != name or "\0" in name:
            raise WorkspaceError(f"{file} is damaged (it names no set).", remedy)
        return Run(self.root / "data" / name)

    def activate_data(self, run: Run) -> None:
        """Make `run` the data set that commands use from now on."""
        write_json(self.root / "data" / "active.json", {"name": run.name})


def _identifying(key: dict[str, Any]) -> dict[str, Any]:
    """The key without classifier settings that came after runs were made, where they are at their defaults."""
    return {
        name: _identifying(dict(value)) if isinstance(value, Mapping) else value
        for name, value in identifying(key).items()
    }


@contextmanager
def _exclusive(path: Path, what: str) -> Iterator[None]:
    # no marker in a lock's place: one that a killed process left on another machine would be waited for for ever
    lock, holder = FileLock(path, fallback_to_soft=False), path.with_name(".holder")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if _holder_of(holder) in _ancestors():
                raise WorkspaceError(
                    f"{what}: the process that started this one is at work on it, so this one would wait for ever.",
                    'A script that starts processes must put its own lines under `if __name__ == "__main__":`.',
                ) from None
            say(f"{what}: another ganfer process is at work on it; waiting for it (Ctrl-C gives up).")
            lock.acquire()
    except (OSError, NotImplementedError) as error:  # some network file systems have no flock
        if getattr(error, "errno", None) in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            raise
        reason = getattr(error, "strerror", None) or error
        raise WorkspaceError(
            f"{path} cannot be locked ({reason}): the file system has no locks.",
            "Choose a workspace on another one with -w DIR.",
        ) from error
    try:
        holder.write_text(f"{os.getpid()} {platform.node()}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder_of(file: Path) -> int:
    """The process of this machine that says it holds a run; 0 where none does."""
    try:
        pid, host = file.read_text().split(maxsplit=1)
        return int(pid) if host == platform.node() else 0
    except (OSError, ValueError):
        return 0


def _ancestors() -> set[int]:
    """The processes that this one descends from, as far as the system tells."""
    parent = multiprocessing.parent_process()
    found = {os.getppid()} | ({parent.pid} if parent is not None and parent.pid is not None else set())
    for pid in tuple(found):
        while pid > 1:
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
            except OSError:  # no such folder on this system, or the process has ended
                break
            pid = int(stat.rpartition(")")[2].split()[1])
            found.add(pid)
    return found - {0, 1}


def command_line() -> str:
    """The command as the user could type it again, secrets aside; `notebook` outside the command line."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    if program in ("ganfer", "__main__.py"):
        return hide_secrets(shlex.join(["ganfer", *sys.argv[1:]]))
    return "notebook"


def _origin(command: str) -> dict[str, Any]:
    versions = {"ganfer": __version__, "python": platform.python_version()}
    for package in _VERSIONED:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    return {"stage": command, "command": command_line(), "versions": versions, "machine": machine}
