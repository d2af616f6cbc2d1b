"""Two reports side by side: what differs in how they were made, and how far their figures lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganfer.page import svg
from ganfer.page.blocks import NOTHING, Block, Cell, Panel, Panels, Row, Section, Stat
from ganfer.page.numbers import ABSENT, METRICS, change_with_interval, count, duration, points, with_interval
from ganfer.page.sheet import Headline, Sheet, render_sheet
from ganfer.report.model import Arm, Report
from ganfer.report.write import load_report
from ganfer.results import Result, table
from ganfer.runtime.files import write_text


@dataclass(frozen=True)
class Difference:
    """A figure of both reports and how far the second lies above the first, with an interval on the safe side."""

    arm: str
    figure: str
    first: Stat
    second: Stat
    change: Stat

    @property
    def word(self) -> str:
        """Which is higher, where the interval excludes 0."""
        if self.change.low is None or self.change.high is None:
            return ABSENT
        return "B higher" if self.change.low > 0 else "A higher" if self.change.high < 0 else "no clear difference"


def compare_reports(first: Path, second: Path, page: Path) -> Result:
    """Compare the reports in two folders; writes a page. ReportError when one is absent or damaged.

    A: the first, B: the second. Intervals of differences take the two as independent, as if other test images had been
    used; where the test images are the same ones, the true uncertainty is smaller.
    """
    a, b = load_report(first), load_report(second)
    shared = [arm.name for arm in a.arms if arm.name in {other.name for other in b.arms}]
    metrics = [d for name in shared for d in _metric_differences(a.arm(name), b.arm(name))]
    classes = [cls for cls in a.classes if cls in b.classes]
    recalls = [d for name in shared for d in _recall_differences(a.arm(name), b.arm(name), classes)]
    facts = _facts(a, b)
    notes = _notes(a, b, shared)
    write_text(page, render_sheet(_sheet(a, b, first, second, metrics, recalls, facts, notes)))
    lines = [
        f"A: {first}",
        f"   {a.word.upper()}: {a.sentence}",
        f"B: {second}",
        f"   {b.word.upper()}: {b.sentence}",
        *(["", *table(["differs in", "A", "B"], facts, "<<<")] if facts else []),
        *(["", *notes] if notes else []),
        "",
        *_lines(metrics),
        "",
        *_lines([d for d in recalls if d.word.endswith("higher")], "recalls that differ clearly"),
        f"page: {page.resolve()}",
    ]
    figures = {
        "a": {"path": str(first), "verdict": {"word": a.word, "sentence": a.sentence}},
        "b": {"path": str(second), "verdict": {"word": b.word, "sentence": b.sentence}},
        "page": str(page),
        "differs_in": {name: {"a": left, "b": right} for name, left, right in facts},
        "notes": notes,
        "differences": [_plain(d) for d in (*metrics, *recalls)],
    }
    return Result("ganfer report", page.parent, figures, lines)


def _metric_differences(a: Arm, b: Arm) -> list[Difference]:
    return [
        _difference(a.title, name, a.metrics.get(metric, NOTHING), b.metrics.get(metric, NOTHING))
        for metric, name in METRICS.items()
        if metric in a.metrics and metric in b.metrics
    ]


def _recall_differences(a: Arm, b: Arm, classes: Sequence[str]) -> list[Difference]:
    return [_difference(a.title, f"Recall of {cls}", a.stat(cls, "recall"), b.stat(cls, "recall")) for cls in classes]


def _difference(arm: str, figure: str, a: Stat, b: Stat) -> Difference:
    change = NOTHING
    if a.mean is not None and b.mean is not None:
        middle = b.mean - a.mean
        half = _half(a), _half(b)
        if None in half:
            change = Stat(middle, None, None)
        else:
            width = sum((x or 0.0) ** 2 for x in half) ** 0.5
            change = Stat(middle, middle - width, middle + width)
    return Difference(arm, figure, a, b, change)


def _half(stat: Stat) -> float | None:
    """Of the longer side: an interval that ends at 0% or 100% is cut off there."""
    if stat.mean is None or stat.low is None or stat.high is None:
        return None
    return max(stat.high - stat.mean, stat.mean - stat.low)


def _facts(a: Report, b: Report) -> list[tuple[str, str, str]]:
    """Settings in which the two differ."""
    pairs = [
        ("title", a.title, b.title),
        ("data", a.data.name, b.data.name),
        ("digest of the data", a.data.digest[:12], b.data.digest[:12]),
        ("training images", *(_sum(r, "train") for r in (a, b))),
        ("test images", *(_sum(r, "test") for r in (a, b))),
        ("classes", ", ".join(a.classes), ", ".join(b.classes)),
        ("seeds", *(", ".join(map(str, r.settings.seeds)) for r in (a, b))),
        ("steps", *(count(r.settings.steps) for r in (a, b))),
        ("faces per real image", *(_number(r.settings.ratio) for r in (a, b))),
        ("weight of a face", *(_number(r.settings.weight) for r in (a, b))),
        ("way to learn from a face", *(r.settings.way or ABSENT for r in (a, b))),
        ("way beside the rebalancing", *(r.settings.way_with_best or ABSENT for r in (a, b))),
        ("weight beside the rebalancing", *(_number(r.settings.weight_with_best) for r in (a, b))),
        ("kept faces", *(count(sum(r.screen.kept.values())) if r.screen else ABSENT for r in (a, b))),
        ("device", a.origin.device, b.origin.device),
        ("time", duration(a.origin.seconds), duration(b.origin.seconds)),
        ("command", a.origin.command, b.origin.command),
        *(
            (package, a.origin.versions.get(package, ABSENT), b.origin.versions.get(package, ABSENT))
            for package in dict.fromkeys([*a.origin.versions, *b.origin.versions])
        ),
    ]
    return [(name, left or ABSENT, right or ABSENT) for name, left, right in pairs if left != right]


def _sum(report: Report, split: str) -> str:
    return count(sum(report.data.splits[split].values())) if split in report.data.splits else ABSENT


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:g}"


def _notes(a: Report, b: Report, shared: Sequence[str]) -> list[str]:
    notes = []
    if a.data.splits.get("test") != b.data.splits.get("test"):
        notes.append("The test splits differ: a difference may come from easier or harder test images.")
    if list(a.classes) != list(b.classes):
        notes.append("The classes differ: balanced accuracy is over each report's own.")
    only = [(name, [arm.title for arm in r.arms if arm.name not in shared]) for name, r in (("A", a), ("B", b))]
    notes += [f"Only {name} has: {', '.join(titles)}." for name, titles in only if titles]
    if not shared:
        notes.append("The reports have no arm in common.")
    return notes


def _lines(found: Sequence[Difference], title: str = "") -> list[str]:
    if not found:
        return []
    rows = [[d.arm, d.figure, points(d.first.mean), points(d.second.mean), _change(d.change), d.word] for d in found]
    header = ["arm", "figure, %", "A", "B", "B minus A, points", ""]
    return [*([f"{title}:"] if title else []), *table(header, rows, "<<>>><")]


def _change(stat: Stat) -> str:
    return change_with_interval(stat.mean, stat.low, stat.high)


def _plain(d: Difference) -> dict[str, Any]:
    return {
        "arm": d.arm, "figure": d.figure, "a": d.first.mean, "b": d.second.mean, "change": d.change.mean,
        "low": d.change.low, "high": d.change.high, "word": d.word,
    }  # fmt: skip


def _sheet(
    a: Report,
    b: Report,
    first: Path,
    second: Path,
    metrics: Sequence[Difference],
    recalls: Sequence[Difference],
    facts: Sequence[tuple[str, str, str]],
    notes: Sequence[str],
) -> Sheet:
    verdicts = [Row("A", [Cell(a.word, a.word)], note=a.sentence), Row("B", [Cell(b.word, b.word)], note=b.sentence)]
    sections = [Section("verdicts", "Their verdicts", "", [Panel("Verdicts", "Report", ("Verdict",), verdicts)])]
    for name, title, found in (("metrics", "Every arm", metrics), ("recalls", "Recall per class", recalls)):
        if found:
            lead = "B minus A, with a conservative interval: the two are treated as independent."
            sections.append(Section(name, title, lead, _panels(found)))
    if facts:
        rows = [Row(fact, [Cell(left), Cell(right)]) for fact, left, right in facts]
        panel = Panel("Settings in which the two differ", "What", ("A", "B"), rows, is_text=True)
        sections.append(Section("facts", "What differs", " ".join(notes), [panel]))
    headlines = [
        Headline(f"{d.figure}, {d.arm}", f"{points(d.first.mean)} → {points(d.second.mean)}", "%", _change(d.change))
        for d in metrics
        if d.figure == METRICS["balanced_accuracy"]
    ]
    return Sheet(
        title="Two reports side by side",
        sentence=f"A is {first.name}, B is {second.name}.",
        about=[a.title, *([b.title] if b.title != a.title else [])],
        headlines=headlines[:4],
        sections=sections,
        footer=f"The reports: {first} and {second}.",
    )


def _panels(found: Sequence[Difference]) -> list[Block]:
    scale = svg.nice_scale((v for d in found for v in d.change.known), include=(0.0,), least_span=0.04)
    panels = []
    for arm in dict.fromkeys(d.arm for d in found):
        rows = []
        for d in (d for d in found if d.arm == arm):
            plot = svg.strip(svg.grid(scale, zero=True), svg.estimate(d.change, scale, tone="second"))
            cells = [Cell(_level(d.first)), Cell(_level(d.second)), Cell(_change(d.change))]
            rows.append(Row(d.figure, cells, plot))
        columns = ("A, %", "B, %", "B minus A, points")
        panels.append(Panel(arm, "Figure", columns, rows, "B minus A, points", svg.axis(scale, plus=True)))
    return [Panels(panels)]


def _level(stat: Stat) -> str:
    return with_interval(stat.mean, stat.low, stat.high)
