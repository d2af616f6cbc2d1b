"""What `benchmarks/recipes.py` has recorded: whole trainings and shortened ones, merged, and as a table in Markdown.

A record of a whole training takes the place of a shortened one of the same config.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs" / "earlier-projects.md"
FULL, SHORT, COST = "recipes.json", "recipes_short.json", "recipes_cost.json"
_HEAD = "| config | reported | target | reached | hours | seed | machine |"
_SHOWN = ("val accuracy", "test accuracy", "random folds accuracy", "subject folds accuracy")


class Wanted(Protocol):
    """What the table needs of a recipe."""

    @property
    def config(self) -> str: ...
    @property
    def theirs(self) -> str: ...
    @property
    def bars(self) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Row:
    """A recipe and its record; None where it was not run yet."""

    recipe: Wanted
    record: dict[str, Any] | None
    cost: Mapping[str, Any] | None = None  # the hours of the whole training; where one was begun, what it `stopped` at

    @property
    def shortened(self) -> bool:
        return bool(self.record and self.record["shortened"])

    @property
    def seconds(self) -> float:
        assert self.record is not None
        return float(self.record["seconds"])


def rows(recipes: Iterable[Wanted], folder: Path = RESULTS) -> list[Row]:
    """Every recipe with its whole training's record, else its shortened one's."""
    full, short, file = read(folder / FULL), read(folder / SHORT), folder / COST
    cost = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return [
        Row(recipe, full.get(recipe.config) or short.get(recipe.config), cost.get(recipe.config)) for recipe in recipes
    ]


def read(file: Path) -> dict[str, dict[str, Any]]:
    """The records of a file by config; empty where it does not exist. SystemExit for a file of something else."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SystemExit(f"{file} is no JSON ({error})") from None
    wrong = None if isinstance(found, dict) else "it holds no object"
    for name, record in found.items() if not wrong else ():
        if not isinstance(record, dict) or not {"figures", "seconds", "shortened", "seed", "machine"} <= record.keys():
            wrong = f"{name} is no record of a training"
    if wrong:
        raise SystemExit(f"{file} is no result of recipes.py: {wrong}")
    return dict(found)


def merge(files: Sequence[Path], out: Path, *, known: Collection[str], again: bool = False) -> list[str]:
    """Add the records of `files` to `out`; says of each what became of it.

    What is recorded stays, unless `again`. SystemExit, with nothing written, for a file that is not there, is none of
    recipes.py's, names an unknown config, or holds shortened trainings, which are no results.
    """
    results, said = read(out), []
    for file in files:
        if not file.is_file():
            raise SystemExit(f"{file} is not there")
        for name, record in read(file).items():
            if name not in known:
                raise SystemExit(f"{file}: there is no recipe {name}")
            if record["shortened"]:
                raise SystemExit(f"{file}: {name} is shortened; only whole trainings are merged")
            before = results.get(name)
            if before == record:
                said.append(f"{name}: recorded already")
            elif before and not again:
                said.append(f"{name}: another record is there already and stays; --again replaces it by {file}'s")
            else:
                results[name] = record
                said.append(f"{name}: {'replaced' if before else 'added'}, {_in_words(record['figures'])}")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.part")
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    temporary.replace(out)
    return said


def table(found: Iterable[Row]) -> list[str]:
    """The rows as Markdown."""
    lines = [_HEAD, "|" + "---|" * (_HEAD.count("|") - 1)]
    for row in found:
        bars = ", ".join(f"{name} {100 * bar:g}%" for name, bar in row.recipe.bars.items() if bar) or "–"
        hours = None if row.cost is None else _hours(row.cost["hours"])
        whole = "" if hours is None else f"the whole takes about {hours} hours by its measured pace"
        cells = [f"not run: {whole}" if whole else "not run yet", "–", "–", "–"]
        if row.cost and (stopped := row.cost.get("stopped")):
            share = f"{stopped['step']:,} of {row.cost['steps']:,} steps"
            cells[0] = f"stopped after {share} at val accuracy {100 * stopped['val accuracy']:.1f}%: {whole}"
            cells[1:] = [_hours(stopped["seconds"] / 3600), str(stopped["seed"]), row.cost["machine"]]
        if row.record is not None:
            short = ", ".join(f"{key.split('.')[-1]} {value}" for key, value in row.record["shortened"].items())
            reached = (
                _in_words(row.record["figures"])
                + _together(row.record)
                + (f" *(shortened: {'; '.join(filter(None, (short, whole)))})*" if short else "")
            )
            cells = [reached, _hours(row.seconds / 3600), str(row.record["seed"]), str(row.record["machine"])]
        lines.append(f"| `{row.recipe.config}` | {row.recipe.theirs or '–'} | {bars} | {' | '.join(cells)} |")
    return lines


def write_table(page: Path, lines: Sequence[str]) -> None:
    """Put the table in the place of the one in a page with its first column. SystemExit when the page has none."""
    text, first = page.read_text(encoding="utf-8"), lines[0].split("|")[1].strip()
    found = re.search(rf"^\| {re.escape(first)} \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{page} has no table that begins with | {first} |")
    page.write_text(text[: found.start()] + "\n".join(lines) + "\n" + text[found.end() :], encoding="utf-8")


def _hours(value: float) -> str:
    """Two digits, none of them an exponent."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _together(record: Mapping[str, Any]) -> str:
    """What several seeds of a recipe reach as an ensemble, where that was measured."""
    found = record.get("ensemble")
    return f"; {found['seeds']} seeds together {_in_words(found[record['tta']])}" if found else ""


def _in_words(figures: Mapping[str, Any]) -> str:
    """The main figures of a record, with their intervals."""
    parts = []
    for name in _SHOWN:
        if name in figures:
            low, high = figures[f"{name} interval"]
            parts.append(f"{name} {100 * figures[name]:.1f}% [{100 * low:.1f}, {100 * high:.1f}]")
    if len([name for name in figures if name.startswith("test recall")]) == 2:
        parts.append(f"test recall angry {100 * figures['test recall angry']:.1f}%")
    return ", ".join(parts)


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95% interval of a share of n."""
    centre, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
