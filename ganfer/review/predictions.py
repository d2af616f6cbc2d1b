"""A table of somebody else's predictions: a column `label` (or `true`), and per class `p_CLASS`, its probability."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganfer.data.sources.tables import csv_rows, lines_of, text_of
from ganfer.data.text import folded, printable
from ganfer.errors import DataError, did_you_mean

_PREFIX = "p_"
_UNEVEN = 0.02  # how far from 1 the probabilities of a row may add up by rounding


@dataclass(frozen=True)
class Predictions:
    """labels: (N,) into names. probabilities: (N, K), rows that add up to 1. rows, ids: where each stands, and what.

    notes: what was made of numbers that were none of the kind.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    rows: tuple[int, ...]
    ids: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_predictions(path: Path) -> Predictions:
    """The table. Names are compared without regard to case; a decimal comma is read where semicolons or tabs part the
    cells. DataError names the row that cannot be read.
    """
    found = list(csv_rows(lines_of(text_of(path.read_bytes(), str(path))), str(path)))
    columns = {name: printable(name)[len(_PREFIX) :] for name in (found[0][1] if found else {}) if _is_class(name)}
    given = [name for name in (found[0][1] if found else {}) if folded(name) in ("label", "true")]
    if len(columns) < 2 or not given:
        raise DataError(
            f"{path} needs a column label (or true) and a column p_CLASS per class.",
            "ganfer crossval writes such tables (out_of_fold-*.csv).",
        )
    if len(given) > 1 and any(folded(row.get(given[0], "")) != folded(row.get(given[1], "")) for _, row in found):
        raise DataError(f"{path}: {given[0]} and {given[1]} name different classes.", "Leave one of the columns out.")
    place = {folded(name): k for k, name in enumerate(columns.values())}
    if len(place) < len(columns):
        raise DataError(f"{path} has two columns of one class ({', '.join(columns)}).", "Rename one of them.")
    labels = np.zeros(len(found), np.int64)
    probabilities = np.zeros((len(found), len(columns)))
    for i, (line, row) in enumerate(found):
        label = folded(printable(row.get(given[0], "")))
        if label not in place:
            raise DataError(
                f"{path}, row {line}: there is no column {_PREFIX}{label} for the label {label!r}.",
                did_you_mean(label, columns.values()),
            )
        labels[i] = place[label]
        probabilities[i] = [_number(row.get(name, ""), path, line) for name in columns]
    total = probabilities.sum(axis=1)
    wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1) | (probabilities < 0).any(axis=1) | (total <= 0))
    if len(wrong):
        raise DataError(
            f"{path}, row {found[wrong[0]][0]}: the probabilities are not valid.", "Give numbers from 0 to 1."
        )
    uneven = int((np.abs(total - 1) > _UNEVEN).sum())
    notes = (
        [f"in {uneven:,} rows the probabilities do not add up to 1: each was divided by their sum"] if uneven else []
    )
    key = next((name for wanted in ("id", "file_name") for name in found[0][1] if folded(name) == wanted), None)
    return Predictions(
        tuple(columns.values()), labels, probabilities / total[:, None], tuple(line for line, _ in found),
        tuple(printable(row.get(key, "")) if key else "" for _, row in found), tuple(notes),
    )  # fmt: skip


def _is_class(name: str) -> bool:
    return name.lower().startswith(_PREFIX) and len(name) > len(_PREFIX)


def _number(text: str, path: Path, line: int) -> float:
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        raise DataError(
            f"{path}, row {line}: {printable(text)[:40]!r} is no probability.", "Write numbers from 0 to 1."
        ) from None
