"""Sections that the pages about classifiers share: figures per class, confusions, training curves, facts."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.page import svg
from ganfer.page.blocks import (
    NOTHING,
    Block,
    Cell,
    Code,
    Details,
    Diagram,
    Diagrams,
    Matrices,
    Matrix,
    MatrixCell,
    Panel,
    Row,
    Section,
    Stat,
)
from ganfer.page.charts import Line, chart
from ganfer.page.numbers import count, points, with_interval


def stat_of(estimate: Mapping[str, float] | None) -> Stat:
    """{"mean", "low", "high"} as a Stat."""
    return Stat(estimate["mean"], estimate["low"], estimate["high"]) if estimate else NOTHING


def bracket(estimate: Mapping[str, float]) -> str:
    """`[60.1, 64.5]`."""
    return f"[{points(estimate['low'])}, {points(estimate['high'])}]"


def facts_panel(title: str, facts: Sequence[tuple[str, Any]]) -> Panel:
    """A table of what and value; empty values are left out."""
    rows = [Row(name, [Cell(str(value))]) for name, value in facts if value not in ("", None)]
    return Panel(title, "What", ("Value",), rows, is_text=True)


def command_blocks(run: Mapping[str, Any]) -> list[Block]:
    """The command that made the page, where it was typed."""
    command = run.get("command", "")
    return [Code("The command", command)] if command not in ("", "notebook") else []


def recognised(
    num_images: int, accuracy: float, per_class: Mapping[str, Any], confusion: Sequence[Sequence[int]]
) -> str:
    """The figures in a sentence: how many are right, which class is best and worst, the commonest mistake."""
    recalls = {name: figures["recall"]["mean"] for name, figures in per_class.items() if figures["recall"]}
    text = f"Of {count(num_images)} images, {points(accuracy)}% are recognised"
    if len(recalls) > 1:
        best, worst = max(recalls, key=recalls.__getitem__), min(recalls, key=recalls.__getitem__)
        text += f": {best} best ({points(recalls[best])}%), {worst} worst ({points(recalls[worst])}%)"
    mistake = _commonest_mistake(confusion)
    if mistake:
        names = list(per_class)
        share, true, called = mistake
        taken = f"{names[true]} predicted as {names[called]}"
        text += f". The most frequent mistake: {taken}, {points(share)}% of {names[true]}"
    return text + "."


def _commonest_mistake(confusion: Sequence[Sequence[int]]) -> tuple[float, int, int] | None:
    """(share of its true class, true class, what it is taken for): the largest of all; None without mistakes."""
    found = [(n / sum(row), i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n]
    return max(found, key=lambda each: (each[0], -each[1], -each[2])) if found else None


def class_section(per_class: Mapping[str, Any], beta: float, report: str) -> Section:
    """Recall with its interval, precision, F1 and F-beta of each class; scikit-learn's report opens on request."""
    stats = {name: stat_of(figures["recall"]) for name, figures in per_class.items()}
    scale = svg.nice_scale([value for stat in stats.values() for value in stat.known], least_span=0.2)
    rows = []
    for name, figures in per_class.items():
        recall = stats[name]
        cells = [Cell(with_interval(recall.mean, recall.low, recall.high))]
        cells += [Cell(points(stat_of(figures[figure]).mean)) for figure in ("precision", "f1", "f_beta")]
        plot = svg.strip(svg.grid(scale), svg.estimate(recall, scale, tone="second"))
        rows.append(Row(name, cells, plot, note=f"{count(figures['support'])} images"))
    columns = ("Recall, %", "Precision, %", "F1, %", f"F{beta:g}, %")
    panel = Panel("Figures per class", "Class", columns, rows, "Recall", svg.axis(scale), caption_hidden=True)
    whole = Details("scikit-learn’s classification report", [Code("support counts the images", report.rstrip("\n"))])
    lead = (
        "Recall: of the images that show an expression, the share recognised. Precision: of the images predicted "
        "as an expression, the share that shows it. Few images make long intervals."
    )
    return Section("classes", "Figures per class", lead, [panel, whole])


def confusion_section(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Section:
    """The confusion matrix twice: as shares of each true class, and as counts."""
    counted, shared = [], []
    for name, row in zip(names, confusion, strict=True):
        total = sum(row)
        titles = [f"{n} of {total} {name} called {other}" for n, other in zip(row, names, strict=True)]
        fractions = [n / total if total else 0.0 for n in row]
        cells = list(zip(row, fractions, titles, strict=True))
        shared.append((name, [MatrixCell(f"{100 * f:.0f}" if n else "", f, t) for n, f, t in cells], count(total)))
        counted.append((name, [MatrixCell(count(n) if n else "", f, t) for n, f, t in cells], count(total)))
    matrices = [
        Matrix("Share of each true class, %", names, shared, "images"),
        Matrix("Images", names, counted, "images"),
    ]
    lead = "Each row is a true class, each column a predicted class; the diagonal is correct."
    return Section("confusion", "Confusion matrix", lead, [Matrices(matrices)])


def curve_section(curves: Sequence[Mapping[str, Any]]) -> Section | None:
    """Loss and validation figures over the epochs of each training: {"name", "history"}."""
    diagrams = [
        diagram
        for curve in curves
        if len(curve["history"]) > 1
        for diagram in _curves(curve["history"], f"{curve['name']}: " if len(curves) > 1 else "")
    ]
    if not diagrams:
        return None
    lead = (
        "Loss and validation figures over the epochs. Training loss is measured on augmented images with smoothed "
        "labels and so may lie above the validation loss."
    )
    return Section("curves", "How it was trained", lead, [Diagrams(diagrams)])


def _curves(history: Sequence[Mapping[str, float]], prefix: str) -> list[Diagram]:
    def lines(*named: tuple[str, str]) -> list[Line]:
        return [Line(name, [(row["epoch"], row[key]) for row in history]) for name, key in named]

    first, last = history[0], history[-1]
    losses = lines(("validation", "val_loss"), ("training", "train_loss"))
    scores = lines(("balanced accuracy", "val_balanced_accuracy"), ("accuracy", "val_accuracy"))
    told = f"Validation loss from {first['val_loss']:.2f} to {last['val_loss']:.2f} nats"
    scored = f"Validation accuracy from {points(first['val_accuracy'])} to {points(last['val_accuracy'])}%"
    return [
        Diagram(f"{prefix}Loss", "nats", chart(losses, x_label="epoch", label=told), _history_table(history)),
        Diagram(f"{prefix}Validation", "%", chart(scores, x_label="epoch", label=scored, percent=True), None),
    ]


def _history_table(history: Sequence[Mapping[str, float]]) -> Panel:
    """At most about a dozen rows of the history, the last one included."""
    every = max(1, len(history) // 12)
    thinned = [*history[: len(history) - 1 : every], history[-1]]
    rows = []
    for row in thinned:
        losses = [Cell(f"{row[key]:.3f}") for key in ("train_loss", "val_loss")]
        scores = [Cell(points(row[key])) for key in ("val_accuracy", "val_balanced_accuracy")]
        rows.append(Row(f"{row['epoch']:.4g}", [*losses, *scores]))
    return Panel("Curves", "Epoch", ("Training loss", "Validation loss", "Accuracy, %", "Balanced, %"), rows)
