"""What an experiment tracker is: a few methods, called in one process, for one run at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Value = str | int | float | bool | None


class Interval(NamedTuple):
    """A figure with its interval."""

    mean: float
    low: float
    high: float


Metric = float | Interval


@dataclass(frozen=True)
class TrackedRun:
    """A run as a tracker sees it.

    name: its folder's name, of a nested run the name in its parent. stage: the command, such as "train gan". folder:
    the run's own. workspace: where trackers may keep files. known: what `Tracker.start` gave when the run was begun, ""
    for a new one. parent: the same of the run it is nested in. step: points beyond it are told again. uri, experiment:
    the settings.
    """

    name: str
    stage: str
    folder: Path
    workspace: Path
    known: str = ""
    parent: str = ""
    step: int = 0
    uri: str = ""
    experiment: str = ""

    @property
    def nested(self) -> bool:
        """Whether the run is one of several within another."""
        return self.folder.name != self.name


class Tracker(Protocol):
    """Receives one run. A method may raise: the tracker is then left out. It should return within seconds."""

    def start(self, run: TrackedRun) -> str:
        """Begin the run, or go on with the one that `run.known` names; returns what names it from now on, or ""."""
        ...

    def params(self, values: Mapping[str, Value]) -> None:
        """The settings of the run, flat: `gan.steps`."""
        ...

    def metrics(self, values: Mapping[str, Metric], step: int | None) -> None:
        """Figures at a step, or with None those that stand at the end."""
        ...

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """An image (H, W, C) uint8 at a step."""
        ...

    def note(self, name: str, text: str, step: int) -> None:
        """A line of text at a step."""
        ...

    def artefact(self, path: Path) -> None:
        """A file that the run wrote."""
        ...

    def end(self, status: str) -> None:
        """The run's end: finished, failed or stopped (by the user; it may go on later)."""
        ...
