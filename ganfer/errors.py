"""Expected failures: what is wrong, with which file or value, and what to do about it."""

import difflib
from collections.abc import Iterable

_LONGEST = 900  # characters of each part: a file's own text may be in it


class GanferError(Exception):
    """A failure the user can mend. Shown as one line, exit code 1; everything else is a bug and keeps its traceback."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem, self.remedy = _bounded(problem), _bounded(remedy)
        super().__init__(f"{self.problem} {self.remedy}".strip())


def _bounded(text: str) -> str:
    """The text without the middle of what is longer than a message: its beginning names, its end says why."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


class ConfigError(GanferError):
    """A setting that does not exist or has a value outside its range."""


class DataError(GanferError):
    """A source, an archive or an image set that cannot be used as it is."""


class WorkspaceError(GanferError):
    """The workspace is missing something, belongs to another version, or is held by another process."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?` for the nearest known word, else the list of known words."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
