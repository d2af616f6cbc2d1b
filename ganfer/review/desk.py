"""What the routes work on: the workspace's walls, opened when somebody looks at one, and the blind test."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ganfer.errors import GanferError
from ganfer.label.labels import newest_labels
from ganfer.review.audit import FOLDER, TABLE
from ganfer.review.blind import BlindTest
from ganfer.review.doubts import audited_sets, label_wall
from ganfer.review.faces import batch_wall, labelled_batches
from ganfer.review.wall import Wall
from ganfer.serve.errors import Refused
from ganfer.workspace import Run, Workspace

FACES, LABELS = "faces", "labels"
_STILL = 2.0  # seconds in which a wall is not looked for anew: a page asks for many sheets at once


class Desk:
    """One workspace and the person who reviews it. Threads may ask side by side."""

    def __init__(self, workspace: Workspace, reviewer: str, batch: str | None = None, blind_faces: int = 60) -> None:
        """batch: the name of the batch to begin with; None is the newest."""
        self.workspace, self.reviewer, self._first, self._blind_faces = workspace, reviewer, batch, blind_faces
        self._seen: dict[tuple[str, str], tuple[float, Wall]] = {}
        self._walls: dict[tuple[str, str, str], Wall] = {}
        self._blind: tuple[str, BlindTest] | None = None
        self._lock = threading.Lock()

    def batches(self) -> list[Run]:
        """The labelled batches, the one to begin with first."""
        found = labelled_batches(self.workspace)
        return sorted(found, key=lambda run: run.name != self._first) if self._first else found

    def sets(self) -> list[Run]:
        """The audited data sets, the active one first."""
        return audited_sets(self.workspace)

    def wall(self, kind: str, name: str) -> Wall:
        """The wall of a batch or a data set. Refused (404) when there is none."""
        with self._lock:
            seen, open_wall = self._seen.get((kind, name), (0.0, None))
        if open_wall is not None and time.monotonic() - seen < _STILL:
            return open_wall
        found = self._find(kind, name)
        with self._lock:
            self._seen[kind, name] = (time.monotonic(), found)
        return found

    def _find(self, kind: str, name: str) -> Wall:
        if kind == FACES:
            run = _named(self.batches(), name)
            labels = newest_labels(run)
            return self._opened((kind, name, labels.name if labels else ""), lambda: batch_wall(self.workspace, run))
        if kind == LABELS:
            run = _named(self.sets(), name)
            made = (run.path / FOLDER / TABLE).stat().st_mtime_ns
            return self._opened((kind, name, str(made)), lambda: label_wall(run))
        raise Refused(404, f"No wall {kind[:40]!r}: there are {FACES} and {LABELS}.")

    def blind(self) -> BlindTest:
        """The blind test of the first batch. Refused (404) when there is none, or too little for one."""
        batches = self.batches()
        if not batches:
            raise Refused(404, "There is no labelled batch yet: ganfer label.")
        run = batches[0]
        labels = newest_labels(run)
        key = f"{run.name}/{labels.name if labels else ''}"
        with self._lock:
            if self._blind is None or self._blind[0] != key:
                try:
                    self._blind = (key, BlindTest(run, self._data_of(run), self._blind_faces))
                except GanferError as error:
                    raise Refused(404, str(error)) from error
            return self._blind[1]

    def about(self) -> dict[str, Any]:
        """What a page says of the workspace, and which walls there are."""
        return {
            "workspace": self.workspace.root.resolve().name,
            "reviewer": self.reviewer,
            FACES: [run.name for run in self.batches()],
            LABELS: [run.name for run in self.sets()],
        }

    def _data_of(self, batch: Run) -> Run:
        digest = batch.record.get("key", {}).get("inputs", {}).get("data")
        for run in self.workspace.runs("data"):
            if run.complete and run.digest == digest:
                return run
        raise Refused(404, f"The data that {batch.name} was made from is not in the workspace.")

    def _opened(self, key: tuple[str, str, str], make: Callable[[], Wall]) -> Wall:
        with self._lock:
            if key not in self._walls:
                for old in [k for k in self._walls if k[:2] == key[:2]]:
                    del self._walls[old]
                self._walls[key] = make()
            return self._walls[key]


def _named(runs: list[Run], name: str) -> Run:
    for run in runs:
        if run.name == name:
            return run
    raise Refused(404, f"There is no {name[:80]!r} to review here.")
