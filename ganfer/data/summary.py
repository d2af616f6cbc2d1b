"""What an import says of itself: the plan before, the counts after."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ganfer.config import DataConfig
from ganfer.data.imageset import SPLITS
from ganfer.data.names import in_order
from ganfer.data.selection import Selection
from ganfer.data.sources import DatasetSource
from ganfer.data.sources.items import Note, Refused
from ganfer.data.sources.words import EVAL, meant_by_eval
from ganfer.data.text import printable
from ganfer.results import Result, table
from ganfer.runtime.tables import read_rows
from ganfer.workspace import Run

SHOWN_SKIPPED = 5


def plan(source: DatasetSource, selection: Selection, settings: DataConfig) -> Result:
    """What would be added, counted without decoding anything."""
    counts: Counter[tuple[str, str]] = Counter()
    refused: Counter[str] = Counter()
    notes: list[str] = []
    for item in source.items():
        if isinstance(item, Note):
            notes.append(printable(item.text))
        elif isinstance(item, Refused):
            refused[item.reason.partition(" (")[0]] += 1
        elif selection.takes(name := selection.name(item.label)):
            counts[name, item.split] += 1
    meant = meant_by_eval({split for _, split in counts})
    for name in {name for name, split in counts if split == EVAL}:
        counts[name, meant] += counts.pop((name, EVAL))
    if not any(split for _, split in counts):
        counts = Counter({(name, source.named_split): n for (name, _), n in counts.items()})
    names = in_order(name for name, _ in counts)
    places = [place for place in ("", *SPLITS) if any(split == place for _, split in counts)]
    rows = [[name, *(f"{counts[name, place]:,}" for place in places)] for name in names]
    total, side = sum(counts.values()), settings.size
    colour = "grey" if settings.channels == 1 else "colour"
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in refused.most_common())
    left_out = f"; left out {refused.total():,} ({reasons})." if refused else "."
    first, *rest = map(printable, source.lines())
    lines = [
        f"Plan (nothing was done): {first}",
        *rest,
        f"{total:,} images become {side} x {side} {colour}{left_out}",
        *table(["class", *(place or "to be split" for place in places)], rows),
        *dict.fromkeys(notes),
    ]
    figures = {"kind": source.kind, "images": total, "refused": refused.total(), "reading": [first, *rest]}
    by_split = {place or "unsplit": {name: counts[name, place] for name in names} for place in places}
    return Result("ganfer data add --dry-run", None, {**figures, "counts": by_split}, lines)


def result(run: Run) -> Result:
    figures = run.figures
    return Result("ganfer data add", run.path, {"name": run.name, **figures}, _lines(run, figures))


def _lines(run: Run, figures: Mapping[str, Any]) -> list[str]:
    counts: Mapping[str, Mapping[str, int]] = figures["counts"]
    names = list(counts["train"])
    rows = [[name, *(f"{counts[split][name]:,}" for split in SPLITS)] for name in names]
    rows.append(["all", *(f"{sum(counts[split].values()):,}" for split in SPLITS)])
    colour = "grey" if figures["channels"] == 1 else "colour"
    side = figures["size"]
    lines = [
        f"{figures['images']:,} images, {side} x {side} {colour}, from {figures['kind']}.",
        *table(["class", *SPLITS], rows),
    ]
    lines += figures.get("notes", [])
    return [*lines, *skipped_lines(run, figures["skipped"]), f"Active set: {run.path}"]


def skipped_lines(run: Run, skipped: Mapping[str, int]) -> list[str]:
    """How many images an import left out and why, and the first of them by name."""
    if not skipped:
        return []
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in skipped.items())
    lines = [f"Left out {sum(skipped.values()):,} ({reasons}); all named in {run.path / 'skipped.csv'}:"]
    with contextlib.suppress(OSError), (run.path / "skipped.csv").open(newline="", encoding="utf-8") as file:
        first = [row for row, _ in zip(read_rows(file), range(SHOWN_SKIPPED), strict=False)]
        lines += [f"  {row['file_name']}: {row['reason']}" for row in first]
    return lines
