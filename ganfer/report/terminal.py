"""The report in short, for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.page.blocks import NOTHING
from ganfer.page.numbers import ABSENT, METRICS, change_with_interval, count, points, with_interval
from ganfer.report.model import Arm, Report
from ganfer.report.reading import read_report, sanitized
from ganfer.results import table

_LONGEST = 24  # characters of a name before it is cut


def terminal_summary(results: Mapping[str, Any]) -> list[str]:
    """The verdict, the metrics of every arm, the classes before and after. Raises ReportError for damaged results."""
    return summary_lines(read_report(sanitized(dict(results))))


def summary_lines(report: Report) -> list[str]:
    """The same from a report that was read already."""
    lines = [f"{report.word.upper()}: {report.sentence}", *([report.beside] if report.beside else [])]
    lines += [report.recommendation] if report.recommendation else []
    lines += [*report.exchange, *(f"Note: {note}" for note in report.data.notes)]
    arms = _arms(report)
    lines += ["", *arms] if arms else []
    if report.headline:
        lines += _classes(report, *report.headline)
    return lines


def _arms(report: Report) -> list[str]:
    metrics = [metric for metric in METRICS if any(metric in arm.metrics for arm in report.arms)]
    rows = []
    for arm in report.arms:
        stats = [arm.metrics.get(metric, NOTHING) for metric in metrics]
        rows.append([_cut(arm.title), *(with_interval(s.mean, s.low, s.high) for s in stats)])
    return table(["arm", *(f"{METRICS[metric]}, %" for metric in metrics)], rows) if metrics else []


def _classes(report: Report, base: Arm, arm: Arm) -> list[str]:
    rows: list[Sequence[str]] = []
    for cls in report.classes:
        before, after = base.stat(cls, "recall"), arm.stat(cls, "recall")
        change = report.headline_change("recall", cls)
        written = change_with_interval(change.change.mean, change.change.low, change.change.high) if change else ABSENT
        counts = [count(a.train_counts[cls]) if a.train_counts else ABSENT for a in (base, arm)]
        recalls = [points(before.mean), points(after.mean)]
        rows.append([_cut(cls), *counts, *recalls, written, change.word if change else ABSENT])
    header = ["class", "n before", "after", "recall before", "after", "change, points", "verdict"]
    return ["", f"{_cut(arm.title)} against {_cut(base.title)}:", *table(header, rows, "<>>>>><")]


def _cut(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
