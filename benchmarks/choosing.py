"""The picture and the table of docs/choosing.md, from what is recorded: it grows with the records.

    python benchmarks/choosing.py

Reads results/recipes.json and recipes_short.json (`benchmarks/recipes.py`), classifier_zoo.json
(`benchmarks/classifier_zoo.py`) and the starter's card; writes docs/choosing.svg and the table into docs/choosing.md.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from recipe_records import RESULTS, rows, write_table
from recipes import RECIPES, Recipe

from ganfer.classifier import starter

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "choosing.md", DOCS / "choosing.svg"
_FIGURES = ("test accuracy", "subject folds accuracy")  # people unknown to the classifier, where that is known
_GAP, _LETTER, _HIGH = 0.07, 0.052, 1.9  # a name's distance from its point and a letter's width, decades; percent
_COLOURS = {
    "7 expressions": "#1f6f8b", "6 expressions": "#c06014", "8 classes": "#6a4c93", "happy or angry": "#3a7d44",
    "CK+48, folds by subject": "#a4243b",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A recorded classifier. accuracy, low, high: 0..1. minutes: of training. rate: faces per second and thread."""

    name: str
    task: str
    accuracy: float
    low: float
    high: float
    minutes: float
    machine: str
    shortened: str
    rate: float | None
    parameters: int | None


def main() -> None:
    """Draw the picture and write the table."""
    points = recorded()
    draw(points, PICTURE)
    write_table(PAGE, table(points))
    write_table(PAGE, peers())
    print(f"{len(points)} classifiers in {PAGE} and {PICTURE}")


def recorded() -> list[Point]:
    """Every recipe with a record, the starter first."""
    file = RESULTS / "classifier_zoo.json"
    zoo = json.loads(file.read_text()) if file.is_file() else {}
    found = [_starter(zoo)] if starter.there() else []
    for row in rows(RECIPES):
        if row.record is None:
            continue
        assert isinstance(row.recipe, Recipe)
        figures = row.record["figures"]
        figure = next(name for name in _FIGURES if name in figures)
        short = ", ".join(f"{key.split('.')[-1]} {value}" for key, value in row.record["shortened"].items())
        rate, parameters = _speed(zoo, row.recipe.config)
        found.append(
            Point(
                row.recipe.config, task(row.recipe), figures[figure], *figures[f"{figure} interval"],
                row.seconds / 60, row.record["machine"], short, rate, parameters,
            )
        )  # fmt: skip
    return found


def _speed(zoo: dict[str, Any], name: str) -> tuple[float | None, int | None]:
    measured = zoo.get(name)
    return (measured["faces_per_second"]["1 thread"]["median"], measured["parameters"]) if measured else (None, None)


def _starter(zoo: dict[str, Any]) -> Point:
    card = starter.card()
    figures, made = card["figures"], card["made"]
    rate, _ = _speed(zoo, "fer2013-compact-cpu")  # the same network
    return Point(
        "starter (in the package)", "7 expressions", figures["accuracy"], *figures["intervals"]["accuracy"],
        made["seconds"] / 60, made["machine"], "", rate, card["parameters"],
    )  # fmt: skip


def on_a_gpu(point: Point) -> bool:
    """By the machine in its record."""
    return "NVIDIA" in point.machine


def task(recipe: Recipe) -> str:
    """What a recipe's accuracy is the accuracy of; only within a task can they be compared."""
    if recipe.sources == ("ck",):
        return "CK+48, folds by subject"
    if "embarrassed" in recipe.sources:
        return "8 classes"
    return {2: "happy or angry", 6: "6 expressions"}.get(len(recipe.classes), "7 expressions")


def table(points: list[Point]) -> list[str]:
    """The points as Markdown, by task and then the most accurate first."""
    head = "| classifier | task | accuracy | training, minutes | machine | faces/s, one thread | parameters |"
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for point in sorted(points, key=lambda p: (list(_COLOURS).index(p.task), bool(p.shortened), -p.accuracy)):
        accuracy = f"{100 * point.accuracy:.1f}% [{100 * point.low:.1f}, {100 * point.high:.1f}]"
        accuracy += f" *(shortened: {point.shortened})*" if point.shortened else ""
        rate = "not measured" if point.rate is None else f"{point.rate:,.0f}"
        size = "–" if point.parameters is None else f"{point.parameters:,}"
        cells = (f"`{point.name}`", point.task, accuracy, f"{point.minutes:.0f}", point.machine, rate, size)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def peers() -> list[str]:
    """What `benchmarks/peers.py` measured, as Markdown."""
    measured = json.loads((RESULTS / "peers.json").read_text())
    rates = measured["faces_per_second"]["1 threads"]
    head = "| network, mirrored too? | right | balanced accuracy | starter ahead by | faces/s, one thread |"
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for name, row in measured["right"].items():
        low, high = row["interval"]
        ahead = row.get("starter_ahead")
        words = f"{100 * ahead['difference']:+.1f} {_bounds(ahead['interval'])}" if ahead else "–"
        network = name.rpartition(", ")[0]
        rate = rates.get(network, rates["ganfer compact, the starter's network"])["median"]  # of one look, not mirrored
        lines.append(
            f"| {name} | {100 * row['accuracy']:.1f}% [{100 * low:.1f}, {100 * high:.1f}] "
            f"| {100 * row['balanced_accuracy']:.1f}% | {words} | {rate:,.0f} |"
        )
    return lines


def _bounds(interval: list[float]) -> str:
    return f"[{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"


@dataclass(frozen=True)
class Box:
    """Room that is taken: decades of x, percent of y."""

    left: float
    right: float
    low: float
    high: float

    def meets(self, other: "Box") -> bool:
        return self.left < other.right and other.left < self.right and self.low < other.high and other.low < self.high


def name_box(point: Point, x: float, taken: list[Box]) -> Box:
    """Where a point's name goes: beside it, or as near above or below as there is room."""
    for step in sorted(range(-24, 25), key=lambda k: (abs(k), k)):
        middle, left = 100 * point.accuracy + step * _HIGH / 2, math.log10(x) + _GAP
        box = Box(left, left + _LETTER * len(point.name), middle - _HIGH / 2, middle + _HIGH / 2)
        if not any(box.meets(other) for other in taken):
            return box
    raise AssertionError(f"no room for {point.name}")


def draw(points: list[Point], path: Path) -> None:
    """Accuracy against minutes of training, and against faces per second.

    Squares were trained on a GPU; what is hollow was shortened.
    """
    plt.rcParams |= {"svg.hashsalt": "ganfer", "svg.fonttype": "none"}  # the same records, the same small file
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.6), sharey=True, layout="constrained")
    for axis, label, value in (
        (axes[0], "minutes of training (on the machine recorded)", lambda p: p.minutes),
        (axes[1], "faces per second, one thread", lambda p: p.rate),
    ):
        shown = [(point, x) for point in sorted(points, key=lambda p: -p.accuracy) if (x := value(point)) is not None]
        taken = [Box(math.log10(x) - 0.05, math.log10(x) + 0.05, 100 * p.low, 100 * p.high) for p, x in shown]
        for point, x in shown:
            y, colour = 100 * point.accuracy, _COLOURS[point.task]
            error = [[y - 100 * point.low], [100 * point.high - y]]
            fill = "none" if point.shortened else colour
            mark = "s" if on_a_gpu(point) else "o"
            axis.errorbar(x, y, error, fmt=mark, ms=5, color=colour, capsize=2, elinewidth=1, markerfacecolor=fill)
            box = name_box(point, x, taken)
            taken.append(box)
            start, middle = 10**box.left, (box.low + box.high) / 2
            axis.text(start, middle, point.name, size=7, color=colour, va="center_baseline")
            if abs(middle - y) > _HIGH / 2:
                axis.plot([x, start], [y, middle], color=colour, lw=0.5, alpha=0.6)
        axis.set_xscale("log")
        axis.margins(x=0.08, y=0.12)
        axis.set_xlim(right=max(10**box.right for box in taken) * 1.2)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}" if x < 1000 else f"{x:,.0f}")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.tick_params(axis="x", labelsize=7)
        axis.set_xlabel(label)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("right on people it has not seen, %, with 95% interval")
    used = [name for name in _COLOURS if any(point.task == name for point in points)]
    marks = [plt.Line2D([], [], marker="o", ls="", color=_COLOURS[name], label=name) for name in used]
    kinds = [("o", "grey", "trained on a CPU"), ("s", "grey", "trained on a GPU")]
    if any(point.shortened for point in points):
        kinds.append(("o", "none", "training shortened"))
    marks += [
        plt.Line2D([], [], marker=mark, ls="", color="grey", markerfacecolor=fill, label=words)
        for mark, fill, words in kinds
    ]
    axes[1].legend(handles=marks, fontsize=7, loc="lower left")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
