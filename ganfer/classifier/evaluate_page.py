"""The page of an evaluation, made from its `results.json` alone, and its short form for the terminal."""

from collections.abc import Mapping
from typing import Any

from ganfer.classifier.sections import (
    bracket,
    class_section,
    command_blocks,
    confusion_section,
    curve_section,
    facts_panel,
    recognised,
    stat_of,
)
from ganfer.page import svg
from ganfer.page.blocks import (
    Bin,
    Block,
    Cell,
    Diagram,
    Diagrams,
    Face,
    FaceClass,
    Faces,
    Items,
    Panel,
    Panels,
    Row,
    Section,
    Stat,
)
from ganfer.page.numbers import ABSENT, confidence, count, duration, points, share, signed, with_interval
from ganfer.page.sheet import Headline, Sheet, render_sheet

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
    settings, known = results["settings"], results["figures"]
    sections = (
        class_section(results["per_class"], settings["beta"], results["report"]),
        confusion_section(results["data"]["class_names"], results["confusion"]),
        _prediction_section(results),
        _calibration_section(results),
        _selective_section(results),
        _stress_section(results),
        curve_section(results["curves"]),
        _run_section(results),
    )
    level = confidence(settings["confidence_level"])
    tiles = [
        *(
            Headline(name, points(known[key]["mean"]), "%", bracket(known[key]))
            for key, name in _names(results).items()
        ),
        Headline("Calibration error (ECE)", points(results["ece"]), "points"),
    ]
    note = f"In brackets the {level} interval: other test images of the same kind would fall there."
    sheet = Sheet(
        results["title"],
        recognised(results["data"]["images"], known["accuracy"]["mean"], results["per_class"], results["confusion"]),
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


def _about(results: Mapping[str, Any]) -> list[str]:
    first = results["classifiers"][0]
    facts = [str(first.get("architecture", ""))] if len(results["classifiers"]) == 1 else []
    facts += [f"{count(results['data']['images'])} images", f"{len(results['data']['class_names'])} classes"]
    tta = results["settings"]["tta"]
    facts += [f"test-time augmentation: {tta}"] if tta != "none" else []
    facts += [str(results["run"].get("started", ""))[:10]]
    return [fact for fact in facts if fact]


# --- the sections -----------------------------------------------------------------------------------------------------


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
        "The most confident mistakes in each true class, with prediction and confidence, beside correct predictions "
        "drawn at random. Many confident mistakes are wrong labels."
    )
    return Section("predictions", "Correct and wrong predictions", lead, [Faces(classes)])


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
    stats = {name: stat_of(row["right"]) for name, row in found["per_class"].items()}
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
        f"With the thresholds, {points(found['coverage']['mean'])}% of the images get a prediction, and "
        f"{points(found['accuracy']['mean'])}% of those answers are right; the rest is left to a person."
    )
    return Section("thresholds", "Confidence thresholds", lead, [panel])


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
    panel = Panel("Robustness", "Condition", columns, rows, "Balanced accuracy", svg.axis(scale), caption_hidden=True)
    lead = (
        "The same images moved, scaled, turned, blurred, noisy, darker or brighter. The dashed line is the images as "
        "they are. Lengths are at 48 pixels, levels of 255."
    )
    return Section("stress", "Robustness", lead, [panel])


def _condition(row: Mapping[str, Any]) -> str:
    if row["condition"] == "none":
        return "as they are"
    text, factor = _UNITS.get(row["condition"], ("{:g}", 1))
    return f"{row['condition']} {text.format(row['strength'] * factor).replace('-', '−')}"


def _run_section(results: Mapping[str, Any]) -> Section:
    run, settings = results["run"], results["settings"]
    blocks: list[Block] = [Items(results["notes"])] if results["notes"] else []
    blocks += command_blocks(run)
    panels = [facts_panel(each["name"], _classifier_facts(each)) for each in results["classifiers"]]
    level, resamples = confidence(settings["confidence_level"]), count(settings["resamples"])
    versions = ", ".join(f"{name} {version}" for name, version in (run.get("versions") or {}).items())
    facts = [
        ("Images", results["data"]["name"]),
        ("Their digest", str(results["data"]["digest"])[:16]),
        (
            "Interval",
            f"{level}, bootstrap with {resamples} resamples; a recall's is Wilson's where no subjects are known",
        ),
        ("Machine", run.get("machine")),
        ("Device", run.get("device")),
        ("Versions", versions),
    ]
    panels.append(facts_panel("Measurement", facts))
    return Section("run", "What was measured, and how to repeat it", "", [*blocks, Panels(panels)])


def _classifier_facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Network", str(card.get("architecture", ""))),
        ("Parameters", count(card["parameters"]) if "parameters" in card else ""),
        ("Trained for", f"{count(card['steps'])} steps, {duration(card['seconds'])}" if "steps" in card else ""),
        ("Seed", str(card.get("seed", ""))),
        ("Digest", str(card["digest"])[:16]),
    ]
