"""A person's decisions as CSV: for another machine, another tool, a table in a paper; and back."""

import io
from collections.abc import Collection
from pathlib import Path

from ganfer.errors import DataError, did_you_mean
from ganfer.generate.batch import read_rows
from ganfer.review.decisions import KEEP, MAX_NAME, REJECT, Log
from ganfer.runtime.files import write_csv
from ganfer.runtime.tables import TableWriter

COLUMNS = ("file_name", "reviewer", "decision", "label")


def decisions_rows(log: Log) -> list[dict[str, str]]:
    """Every person's decision on every image, in the order of reviewers and names."""
    return [
        {"file_name": name, "reviewer": by, "decision": KEEP if d.keep else REJECT, "label": d.label}
        for by in log.reviewers
        for name, d in sorted(log.state(by).items())
    ]


def export_decisions(log: Log, path: Path) -> int:
    """Write all decisions that count; returns how many."""
    rows = decisions_rows(log)
    write_csv(path, COLUMNS, rows)
    return len(rows)


def import_decisions(log: Log, path: Path, names: Collection[str], class_names: Collection[str]) -> tuple[int, int]:
    """Take up a table's decisions under their reviewers' names; returns how many were new, and how many were there.

    DataError, before anything is written, for a table that lacks columns, an image or a class that is not there.
    """
    rows = read_rows(path)
    if rows and not set(COLUMNS) <= rows[0].keys():
        raise DataError(f"{path} lacks a column of {', '.join(COLUMNS)}.", "Give a table of: ganfer review --export.")
    known = set(names)
    said: dict[tuple[str, str], tuple[bool, str]] = {}
    for i, row in enumerate(rows, 2):
        _check(path, i, row, known, class_names)
        who, keep = checked_reviewer(row["reviewer"], f"{path}, line {i}"), row["decision"] == KEEP
        decision = (keep, row["label"] if keep else "")
        if said.setdefault((who, row["file_name"]), decision) != decision:
            raise DataError(
                f"{path}, line {i}: another decision of {who} on {row['file_name']!r} than further up.",
                "Leave one of the two out.",
            )
    there = {by: log.state(by) for by in log.reviewers}
    kept: dict[str, dict[str, str]] = {}
    rejected: dict[str, list[str]] = {}
    for (by, name), (keep, label) in said.items():
        old = there.get(by, {}).get(name)
        if old is None or (old.keep, old.label) != (keep, label):
            if keep:
                kept.setdefault(by, {})[name] = label
            else:
                rejected.setdefault(by, []).append(name)
    for by, labels in kept.items():
        log.keep(labels, by)
    for by, images in rejected.items():
        log.reject(images, by)
    new = sum(map(len, kept.values())) + sum(map(len, rejected.values()))
    return new, len(rows) - new


def _check(path: Path, line: int, row: dict[str, str], known: set[str], class_names: Collection[str]) -> None:
    where = f"{path}, line {line}"
    if row["file_name"] not in known:
        raise DataError(f"{where}: there is no image {row['file_name']!r}.", "Give the table of this batch.")
    if row["decision"] not in (KEEP, REJECT):
        raise DataError(f"{where}: the decision is {row['decision']!r}.", f"It must be {KEEP} or {REJECT}.")
    if row["decision"] == KEEP and row["label"] not in class_names:
        raise DataError(f"{where}: there is no class {row['label']!r}.", did_you_mean(row["label"], class_names))


def checked_reviewer(name: str, where: str = "--reviewer") -> str:
    """A reviewer's name. DataError for one that is empty, too long or not printable."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise DataError(f"{where}: {name[:80]!r} is no name.", f"Give 1 to {MAX_NAME} printable characters.")
    return name.strip()


def csv_text(log: Log) -> str:
    """The table as the page hands it out."""
    out = io.StringIO()
    writer = TableWriter(out, COLUMNS)
    for row in decisions_rows(log):
        writer.write(row)
    return out.getvalue()
