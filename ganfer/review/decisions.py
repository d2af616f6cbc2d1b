"""A person's decisions on images: a log that is only ever appended to, and what it says now.

One line of JSON per act, flushed to the disk before the page is told: `{"id", "at", "by", "do", "names", "label"}` (a
class, or one per image), or `{"id", "at", "by", "undo": ID}`. A kill in the middle of a line leaves a torn last line,
which never counted and is cut off by the next act. Where several people decided on one image, the newest decision
counts: that is how a disagreement is settled.
"""

import json
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ganfer.review import journal
from ganfer.runtime.files import digest_json

FOLDER = "review"
FILE = "decisions.jsonl"
KEEP, REJECT = "keep", "reject"
MAX_NAME = 64  # characters of a reviewer's name


@dataclass(frozen=True)
class Decision:
    """What a person said of one image: that it may be used as `label`, or, with `keep` False, not at all."""

    keep: bool
    label: str
    by: str

    @property
    def word(self) -> str:
        """The decision as one word, for comparing two people: the class, or "reject"."""
        return self.label if self.keep else REJECT


@dataclass
class _Act:
    id: str
    by: str
    said: dict[str, Decision]  # by image
    undone: bool = False


@dataclass
class Log:
    """The decisions in one folder. Threads and processes may use it side by side."""

    path: Path
    _acts: dict[str, _Act] = field(default_factory=dict)
    _of: dict[str, list[_Act]] = field(default_factory=dict)  # the acts on each image, oldest first
    _read: int = 0  # bytes taken up so far
    _lines: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- writing --------------------------------------------------------------------------------------------------

    def keep(self, labels: Mapping[str, str], by: str) -> str:
        """Write one act that keeps images, each as a class; returns its id once it is on the disk."""
        assert labels
        classes = list(labels.values())
        label = classes[0] if len(set(classes)) == 1 else classes
        return self._append(by, {"do": KEEP, "names": list(labels), "label": label})

    def reject(self, names: Iterable[str], by: str) -> str:
        """Write one act that rejects images; returns its id once it is on the disk."""
        return self._append(by, {"do": REJECT, "names": list(names)})

    def undo(self, by: str) -> tuple[str, ...]:
        """Take this person's newest act back that still counts; returns the images it was on, none if there is none."""
        with self._lock, journal.alone(self.path):
            self._take_up()
            mine = [act for act in self._acts.values() if act.by == by and not act.undone]
            if not mine:
                return ()
            self._write(by, {"undo": mine[-1].id})
            return tuple(mine[-1].said)

    def _append(self, by: str, entry: Mapping[str, Any]) -> str:
        with self._lock, journal.alone(self.path):
            self._take_up()  # a damaged log is said before anything is added to it
            return self._write(by, entry)

    def _write(self, by: str, entry: Mapping[str, Any]) -> str:
        name = secrets.token_hex(6)
        line = {"id": name, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), "by": by, **entry}
        journal.append(self.path, line)
        self._take_up()
        return name

    # --- reading --------------------------------------------------------------------------------------------------

    def state(self, by: str | None = None) -> dict[str, Decision]:
        """What counts now of every image decided on, or what one person said of it."""
        with self._lock:
            self._take_up()
            found = ((name, self._newest(name, by)) for name in self._of)
            return {name: decision for name, decision in found if decision}

    def newest(self, names: Iterable[str]) -> dict[str, Decision | None]:
        """What counts now of these images; None where nothing does."""
        with self._lock:
            self._take_up()
            return {name: self._newest(name) for name in names}

    @property
    def reviewers(self) -> list[str]:
        """Whose decisions count, in alphabetical order."""
        with self._lock:
            self._take_up()
            return sorted({act.by for act in self._acts.values() if not act.undone})

    @property
    def length(self) -> int:
        """Lines so far; grows with every act, so that a page sees that somebody else decided."""
        with self._lock:
            self._take_up()
            return self._lines

    def _newest(self, name: str, by: str | None = None) -> Decision | None:
        for act in reversed(self._of.get(name, [])):
            if not act.undone and by in (None, act.by):
                return act.said[name]
        return None

    def _take_up(self) -> None:
        """Read what was appended since, by whomever; a line that is not ended yet waits. A damaged one is come to again
        each time: what stands after it may undo what stands before."""
        for line in journal.read_after(self.path, self._read)[0]:
            if line.strip():
                self._take(line)
            self._lines += 1
            self._read += len(line) + 1

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if "undo" in entry:
                self._acts[entry["undo"]].undone = True
                return
            keep = {KEEP: True, REJECT: False}[entry["do"]]
            names, label = entry["names"], entry.get("label", "")
            labels = label if isinstance(label, list) else [label] * len(names)
            said = {
                str(name): Decision(keep, str(own) if keep else "", str(entry["by"]))
                for name, own in zip(names, labels, strict=True)
            }
            act = _Act(entry["id"], str(entry["by"]), said)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise journal.damaged(self.path, self._lines + 1, error) from error
        self._acts[act.id] = act
        for name in act.said:
            self._of.setdefault(name, []).append(act)


def log_of(folder: Path) -> Log:
    """The decisions that belong to a run's folder."""
    return Log(folder / FOLDER / FILE)


def decisions_digest(folder: Path) -> str:
    """Digest of what people's decisions in a run's folder come to, whoever took them; "" where there are none."""
    state = log_of(folder).state()
    return digest_json({name: [d.keep, d.label] for name, d in state.items()}) if state else ""
