"""The page of an evaluation, made from its `results.json` alone, and its short form for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.report import svg
from ganfer.report.blocks import (
    Block,
    Cell,
    Code,
    Details,
    Diagram,
    Diagrams,
    FaceClass,
    Faces,
    Items,
    Matrices,
    Matrix,
    MatrixCell,
    Panel,
    Panels,
    Row,
    Section,
)
from ganfer.report.charts import Line, chart
from ganfer.report.model import NOTHING, Bin, Face, Stat
from ganfer.report.numbers import ABSENT, confidence, count, duration, points, share, signed, with_interval
from ganfer.report.sheet import Headline, Sheet, render_sheet

_UNITS = {
    "shift": ("{:g}% of the side", 100),
    "zoom": ("{:g}×", 1),
    "rotation": ("{:g}°", 1),
    "blur": ("σ {:g} px", 1),
    "noise": ("σ {:g} levels", 1),
    "brightness": ("{:+g} levels", 1),
}


def evaluation_page(results: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    sections = (
        _class_section(results),
        _confusion_section(results),
        _prediction_section(results),
        _calibration_section(results),
        _selective_section(results),
        _stress_section(results),
        _curve_section(results),
        _run_section(results),
    )
    known = results["figures"]
    level = confidence(results["settings"]["confidence_level"])
    tiles = [
        *(
            Headline(name, points(known[key]["mean"]), "%", _bracket(known[key]))
            for key, name in _names(results).items()
        ),
        Headline("Calibration error (ECE)", points(results["ece"]), "points"),
    ]
    note = f"In brackets the {level} interval: other test images of the same kind would land there."
    sheet = Sheet(
        results["title"],
        _sentence(results),
        _about(results),
        tiles,
        note,
        [section for section in sections if section],
        "The same figures are in results.json and per_class.csv, every prediction is in predictions.csv.",
    )
    return render_sheet(sheet)


def evaluation_lines(results: Mapping[str, Any]) -> list[str]:
    """The title, the headline figures and scikit-learn's classification report."""
    known = results["figures"]
    lines = [results["title"], ""]
    for key, name in _names(results).items():
        lines.append(f"{name:18} {with_interval(*known[key].values())} %")
    lines.append(f"{'ECE':18} {points(results['ece'])} points")
    if results.get("selective"):
        found = results["selective"]
        lines.append(f"{'Sure enough':18} {with_interval(*found['coverage'].values())} %")
        lines.append(f"{'  of those right':18} {with_interval(*found['accuracy'].values())} %")
    lines += ["", *results["report"].rstrip("\n").split("\n")]
    if results.get("stress"):
        worst = max(results["stress"][1:], key=lambda row: row["balanced_accuracy_lost"])
        lines += [
            "",
            f"Hardest stress: {_condition(worst)}, {signed(-worst['balanced_accuracy_lost'])} points balanced accuracy",
        ]
    return lines + (["", *(f"Note: {note}" for note in results["notes"])] if results["notes"] else [])


# --- the head ---------------------------------------------------------------------------------------------------------


def _names(results: Mapping[str, Any]) -> dict[str, str]:
    beta = results["settings"]["beta"]
    return {
        "accuracy": "Accuracy",
        "balanced_accuracy": "Balanced accuracy",
        "macro_f1": "Macro-F1",
        "f_beta": f"Macro-F{beta:g}",
    }


def _sentence(results: Mapping[str, Any]) -> str:
    recalls = {name: figures["recall"]["mean"] for name, figures in results["per_class"].items() if figures["recall"]}
    accuracy = points(results["figures"]["accuracy"]["mean"])
    text = f"Of {count(results['data']['images'])} images, {accuracy}% are recognised"
    if len(recalls) > 1:
        best, worst = max(recalls, key=recalls.__getitem__), min(recalls, key=recalls.__getitem__)
        text += f": {best} best ({points(recalls[best])}%), {worst} worst ({points(recalls[worst])}%)"
    confused = _surest_confusion(results["confusion"], results["data"]["class_names"])
    if confused:
        text += (
            f". The commonest mistake takes {confused[0]} for {confused[1]}: {points(confused[2])}% of {confused[0]}"
        )
    return text + "."


def _surest_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> tuple[str, str, float] | None:
    """(true class, what it is taken for, share of its images): the largest of all; None without mistakes."""
    shares = [(n / sum(row), i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n]
    if not shares:
        return None
    share, i, j = max(shares, key=lambda found: (found[0], -found[1], -found[2]))
    return names[i], names[j], share


def _about(results: Mapping[str, Any]) -> list[str]:
    first = results["classifiers"][0]
    facts = [str(first.get("architecture", ""))] if len(results["classifiers"]) == 1 else []
    facts += [f"{count(results['data']['images'])} images", f"{len(results['data']['class_names'])} classes"]
    tta = results["settings"]["tta"]
    facts += [f"test-time augmentation: {tta}"] if tta != "none" else []
    facts += [str(results["run"].get("started", ""))[:10]]
    return [fact for fact in facts if fact]


def _bracket(estimate: Mapping[str, float]) -> str:
    return f"[{points(estimate['low'])}, {points(estimate['high'])}]"


def _stat(estimate: Mapping[str, float] | None) -> Stat:
    return Stat(estimate["mean"], estimate["low"], estimate["high"]) if estimate else NOTHING


# --- the sections -----------------------------------------------------------------------------------------------------


def _class_section(results: Mapping[str, Any]) -> Section:
    per_class = results["per_class"]
    stats = {name: _stat(figures["recall"]) for name, figures in per_class.items()}
    scale = svg.nice_scale([value for stat in stats.values() for value in stat.known], least_span=0.2)
    beta = f"F{results['settings']['beta']:g}"
    columns = ("Recall, %", "Precision, %", "F1, %", f"{beta}, %")
    rows = []
    for name, figures in per_class.items():
        recall = stats[name]
        cells = [Cell(with_interval(recall.mean, recall.low, recall.high))]
        cells += [Cell(points(_stat(figures[figure]).mean)) for figure in ("precision", "f1", "f_beta")]
        plot = svg.strip(svg.grid(scale), svg.estimate(recall, scale, tone="second"))
        rows.append(Row(name, cells, plot, note=f"{count(figures['support'])} images"))
    panel = Panel("Figures per class", "Class", columns, rows, "Recall", svg.axis(scale), caption_hidden=True)
    whole = Details(
        "scikit-learn’s classification report", [Code("support counts the images", results["report"].rstrip("\n"))]
    )
    lead = (
        "Recall: of the images that show an expression, the share recognised. Precision: of the images called so, the "
        "share that is. Few images make long intervals."
    )
    return Section("classes", "Class by class", lead, [panel, whole])


def _confusion_section(results: Mapping[str, Any]) -> Section:
    names, confusion = results["data"]["class_names"], results["confusion"]
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
    lead = "Each row is a true class, each column what the images were called; the diagonal is right."
    return Section("confusion", "What is taken for what", lead, [Matrices(matrices)])


def _prediction_section(results: Mapping[str, Any]) -> Section | None:
    classes = []
    for name, groups in results["faces"].items():
        wrong = [Face(f["png"], f"{f['predicted']} {_percent(f['confidence'])}") for f in groups["wrong"]]
        right = [Face(f["png"], _percent(f["confidence"])) for f in groups["right"]]
        shown = [
            (title, kind, each) for title, kind, each in (("Wrong", "wrong", wrong), ("Right", "right", right)) if each
        ]
        if shown:
            classes.append(FaceClass(name, shown))
    if not classes:
        return None
    lead = (
        "Of each true class, the mistakes the classifier was surest of, with what it said and how surely, beside right "
        "answers drawn at random. Many a sure mistake is a wrong label."
    )
    return Section("predictions", "Right and wrong", lead, [Faces(classes)])


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def _calibration_section(results: Mapping[str, Any]) -> Section:
    bins = [Bin(b["confidence"], b["accuracy"], int(b["count"])) for b in results["reliability"]]
    rows = [Row(points(b.confidence), [Cell(points(b.accuracy)), Cell(count(b.count))]) for b in bins]
    table = Panel("Reliability", "Confidence, %", ("Accuracy, %", "Images"), rows)
    text = f"ECE {points(results['ece'])} points, temperature {results['settings']['temperature']:.2f}"
    drawing = svg.reliability(bins, f"Reliability diagram: {text}")
    lead = (
        "Whether a confidence of 80% is right 80% of the time: on the dashed diagonal it is, below it the classifier "
        "is surer than it should be. ECE is the mean distance; the bars at the foot show how many images a point "
        "stands for."
    )
    return Section("calibration", "Calibration", lead, [Diagrams([Diagram("Reliability", text, drawing, table)])])


def _selective_section(results: Mapping[str, Any]) -> Section | None:
    found = results.get("selective")
    if not found:
        return None
    rows = []
    stats = {name: _stat(row["right"]) for name, row in found["per_class"].items()}
    scale = svg.nice_scale([value for stat in stats.values() for value in stat.known], least_span=0.1)
    for name, row in found["per_class"].items():
        stat = stats[name]
        cells = [
            Cell(points(row["threshold"])),
            Cell(f"{count(row['accepted'])} ({share(row['accepted'], row['predicted'])})"),
            Cell(with_interval(stat.mean, stat.low, stat.high)),
        ]
        rows.append(Row(name, cells, svg.strip(svg.grid(scale), svg.estimate(stat, scale, tone="second"))))
    columns = ("Threshold, %", "Accepted", "Of those right, %")
    panel = Panel("Accepted predictions", "Called", columns, rows, "Right", svg.axis(scale), caption_hidden=True)
    lead = (
        f"With the thresholds, {points(found['coverage']['mean'])}% of the images get an answer, and "
        f"{points(found['accuracy']['mean'])}% of those answers are right; the others are left to a person."
    )
    return Section("thresholds", "Only when sure", lead, [panel])


def _stress_section(results: Mapping[str, Any]) -> Section | None:
    stressed = results.get("stress")
    if not stressed:
        return None
    scale = svg.nice_scale([row["balanced_accuracy"] for row in stressed], include=(stressed[0]["balanced_accuracy"],))
    rows = []
    for row in stressed:
        stat = Stat(row["balanced_accuracy"], None, None)
        plot = svg.strip(
            svg.grid(scale, reference=stressed[0]["balanced_accuracy"]), svg.estimate(stat, scale, tone="second")
        )
        lost = ABSENT if row["condition"] == "none" else signed(-row["balanced_accuracy_lost"])
        cells = [Cell(points(row["balanced_accuracy"])), Cell(lost), Cell(points(row["accuracy"]))]
        rows.append(Row(_condition(row), cells, plot))
    columns = ("Balanced accuracy, %", "Change, points", "Accuracy, %")
    panel = Panel("Under stress", "Condition", columns, rows, "Balanced accuracy", svg.axis(scale), caption_hidden=True)
    lead = (
        "The same images moved, scaled, turned, blurred, noisy, darker or brighter. The dashed line is the images as "
        "they are. Lengths are at 48 pixels, levels of 255."
    )
    return Section("stress", "Under stress", lead, [panel])


def _condition(row: Mapping[str, Any]) -> str:
    if row["condition"] == "none":
        return "as they are"
    text, factor = _UNITS.get(row["condition"], ("{:g}", 1))
    return f"{row['condition']} {text.format(row['strength'] * factor).replace('-', '−')}"


def _curve_section(results: Mapping[str, Any]) -> Section | None:
    diagrams = []
    for curve in results["curves"]:
        history = curve["history"]
        if len(history) < 2:
            continue
        losses = [
            Line(name, [(row["epoch"], row[key]) for row in history])
            for name, key in (("validation", "val_loss"), ("training", "train_loss"))
        ]
        scores = [
            Line(name, [(row["epoch"], row[key]) for row in history])
            for name, key in (("balanced accuracy", "val_balanced_accuracy"), ("accuracy", "val_accuracy"))
        ]
        table = _history_table(history)
        several = f"{curve['name']}: " if len(results["curves"]) > 1 else ""
        ends = f"from {history[0]['val_loss']:.2f} to {history[-1]['val_loss']:.2f}"
        diagrams += [
            Diagram(f"{several}Loss", "nats", chart(losses, x_label="epoch", label=f"Validation loss {ends}"), table),
            Diagram(
                f"{several}Validation",
                "%",
                chart(scores, x_label="epoch", label="Accuracy and balanced accuracy on validation", percent=True),
                None,
            ),
        ]
    if not diagrams:
        return None
    lead = (
        "Loss and validation figures over the epochs. Training loss is measured on augmented images with smoothed "
        "labels and so may lie above the validation loss."
    )
    return Section("curves", "How it was trained", lead, [Diagrams(diagrams)])


def _history_table(history: Sequence[Mapping[str, float]]) -> Panel:
    thinned = history[:: max(1, len(history) // 12)]
    rows = [
        Row(
            f"{row['epoch']:.4g}",
            [
                Cell(f"{row['train_loss']:.3f}"),
                Cell(f"{row['val_loss']:.3f}"),
                Cell(points(row["val_accuracy"])),
                Cell(points(row["val_balanced_accuracy"])),
            ],
        )
        for row in thinned
    ]
    return Panel("Curves", "Epoch", ("Training loss", "Validation loss", "Accuracy, %", "Balanced, %"), rows)


def _run_section(results: Mapping[str, Any]) -> Section:
    run, settings = results["run"], results["settings"]
    blocks: list[Block] = [Items(results["notes"])] if results["notes"] else []
    if run.get("command"):
        blocks.append(Code("The command", run["command"]))
    panels = []
    for each in results["classifiers"]:
        facts = [
            ("Network", str(each.get("architecture", ""))),
            ("Parameters", count(each["parameters"]) if "parameters" in each else ""),
            ("Trained for", f"{count(each['steps'])} steps, {duration(each['seconds'])}" if "steps" in each else ""),
            ("Seed", str(each.get("seed", ""))),
            ("Digest", str(each["digest"])[:16]),
        ]
        rows = [Row(name, [Cell(value)]) for name, value in facts if value]
        panels.append(Panel(each["name"], "What", ("Value",), rows, is_text=True))
    facts = [
        ("Images", results["data"]["name"]),
        ("Their digest", str(results["data"]["digest"])[:16]),
        (
            "Interval",
            f"{confidence(settings['confidence_level'])}, bootstrap with {count(settings['resamples'])} resamples",
        ),
        ("Machine", run.get("machine", "")),
        ("Device", run.get("device", "")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (run.get("versions") or {}).items())),
    ]
    rows = [Row(name, [Cell(str(value))]) for name, value in facts if value]
    panels.append(Panel("Measurement", "What", ("Value",), rows, is_text=True))
    return Section("run", "What was measured, and how to repeat it", "", [*blocks, Panels(panels)])
