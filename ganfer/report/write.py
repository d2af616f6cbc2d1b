"""A report's files: `results.json`, from which all else can be made again, `per_class.csv` and `index.html`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganfer.page.node import RESULTS, read_results, sanitized
from ganfer.report.model import MEASURES, Report
from ganfer.report.page import render
from ganfer.report.reading import read_report
from ganfer.report.terminal import summary_lines
from ganfer.results import Result
from ganfer.runtime.files import write_csv, write_json, write_text
from ganfer.workspace import Run

PAGE, PER_CLASS = "index.html", "per_class.csv"
_COLUMNS = (
    "arm",
    "class",
    "train_images",
    "synthetic_images",
    "test_images",
    *(f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high")),
)


def write_report(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write the results and, made from them, the table and the page; returns the page's path.

    The results are written first, so that a long experiment is safe whatever happens to its page. NaN becomes null.
    Raises ReportError when the results do not follow the contract.
    """
    write_json(folder / RESULTS, sanitized(dict(results)))
    return _write_views(folder, load_report(folder))


def rewrite(run: Run) -> Result:
    """Write a finished report's page and table again from its results, which stay as they are."""
    report = load_report(run.path)
    page = _write_views(run.path, report)
    figures = {
        "page": str(page),
        "verdict": {"word": report.word, "sentence": report.sentence},
        "arms": {arm.name: {metric: stat.mean for metric, stat in arm.metrics.items()} for arm in report.arms},
    }
    return Result("ganfer report", run.path, figures, [*summary_lines(report), "", f"Report: {page}"])


def load_report(folder: Path) -> Report:
    """The report whose results are in a folder. Raises ReportError when they are absent or damaged."""
    return read_report(sanitized(read_results(folder)))


def _write_views(folder: Path, report: Report) -> Path:
    page = render(report)
    write_csv(folder / PER_CLASS, _COLUMNS, _rows(report))
    write_text(folder / PAGE, page)
    return folder / PAGE


def _rows(report: Report) -> Iterator[dict[str, Any]]:
    for arm in report.arms:
        for cls in report.classes:
            row: dict[str, Any] = {"arm": arm.name, "class": cls, "test_images": arm.support[cls]}
            row["train_images"] = arm.train_counts[cls] if arm.train_counts else None
            row["synthetic_images"] = arm.synthetic_counts[cls]
            for measure in MEASURES:
                stat = arm.stat(cls, measure)
                for end, value in (("", stat.mean), ("_low", stat.low), ("_high", stat.high)):
                    row[measure + end] = None if value is None else round(value, 6)
            yield row
