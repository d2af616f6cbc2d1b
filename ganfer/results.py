"""What every command returns: figures for programs, text for the terminal, HTML for a notebook."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganfer.runtime.text import one_line


@dataclass(frozen=True)
class Result:
    """The outcome of a command.

    path: the run's folder, or None when nothing was written (a plan, a status). figures: what `--json` prints.
    lines: what the terminal shows.
    """

    command: str
    path: Path | None
    figures: Mapping[str, Any]
    lines: Sequence[str] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """Machine-readable form: the command, the folder and the figures."""
        return {"command": self.command, "path": str(self.path) if self.path else None, **self.figures}

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def together(what: str, results: Sequence[Result]) -> Result:
    """Several results of a command as one: the last one's folder and figures, those of all under `what`, all lines."""
    last = results[-1]
    if len(results) == 1:
        return last
    figures = {**last.figures, what: [{"path": str(each.path), **each.figures} for each in results]}
    return Result(last.command, last.path, figures, [line for each in results for line in [*each.lines, ""]][:-1])


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], align: str = "") -> list[str]:
    """Lines of a plain-text table; `align` has one of `<>` per column (default: first left, others right)."""
    cells = [[one_line(str(cell)) for cell in row] for row in (header, *rows)]  # names of files and classes, too
    align = align or "<" + ">" * (len(header) - 1)
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(row, align, widths, strict=True)).rstrip() for row in cells
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
