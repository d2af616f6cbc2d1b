"""How far a long import has come, so that the same command goes on from there after a kill."""

import time
from pathlib import Path
from typing import Any

from ganfer.data.writer import SCRATCH
from ganfer.errors import WorkspaceError
from ganfer.runtime.files import read_object, write_json
from ganfer.version import __version__

FILE = "checkpoint.json"
SECONDS = 20.0  # between checkpoints; an import that takes less has none
_PARTS = {"pixels": "images.npy", "names": "names.jsonl", "skipped": "skipped.csv"}


class Checkpoint:
    """The checkpoint of the import into a folder. It lies in the import's scratch and vanishes with it."""

    def __init__(self, folder: Path) -> None:
        self._scratch = folder / SCRATCH
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for one."""
        return time.monotonic() - self._last >= SECONDS

    def write(self, state: dict[str, Any]) -> None:
        """Keep what was counted, and in `sizes` how much of each file goes with it."""
        write_json(self._scratch / FILE, {"ganfer": __version__, **state})
        self._last = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """What to go on from; None where there is nothing, or nothing whole: the import then begins anew."""
        try:
            state = read_object(self._scratch / FILE, "")
            sizes = {part: (self._scratch / name).stat().st_size for part, name in _PARTS.items()}
        except (OSError, WorkspaceError):
            return None
        if state.get("ganfer") != __version__ or any(sizes[part] < state["sizes"][part] for part in _PARTS):
            return None
        return state


def is_there(folder: Path) -> bool:
    """Whether an import into the folder has one."""
    return (folder / SCRATCH / FILE).is_file()
