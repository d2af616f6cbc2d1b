"""The sections about what went in: class balance, faces, the screen, the labels, calibration, the data, the run."""

from collections.abc import Sequence

from markupsafe import Markup

from ganfer.page import svg
from ganfer.page.blocks import (
    Block,
    Cell,
    Code,
    Details,
    Diagram,
    Diagrams,
    FaceClass,
    Faces,
    Items,
    Legend,
    Panel,
    Panels,
    Row,
    Section,
)
from ganfer.page.node import Counts
from ganfer.page.numbers import ABSENT, confidence, count, duration, in_words, points, share
from ganfer.report.model import Arm, Calibration, LabelCounts, Report, Settings

_FACE_GROUPS = {"real": "Real", "synthetic": "Synthetic", "nearest": "Nearest real"}


def balance_section(report: Report) -> Section | None:
    """Training images per class before and after."""
    base, after = report.headline or (report.arms[0], report.arms[0])
    before_counts = base.train_counts or report.data.splits.get("train")
    if not before_counts:
        return None
    after_counts = (after.train_counts or before_counts) if after is not base else before_counts
    largest = max(*before_counts.values(), *after_counts.values(), 1)
    rows = []
    for cls in report.classes:
        synthetic = after.synthetic_counts.get(cls, 0)
        cells = [Cell(count(before_counts[cls])), Cell(count(after_counts[cls])), Cell(count(synthetic))]
        rows.append(Row(cls, cells, _two_bars(before_counts[cls], after_counts[cls], synthetic, largest)))
    sums = [sum(before_counts.values()), sum(after_counts.values()), sum(after.synthetic_counts.values())]
    total = Row("Together", [Cell(count(n)) for n in sums])
    same = after is base
    columns = [base.title] if same else [base.title, after.title, "Generated"]
    if same:
        rows = [Row(row.label, row.cells[:1], row.plot) for row in rows]
        total = Row(total.label, total.cells[:1])
    legend = [(svg.swatch("bar before"), base.title)]
    if not same:
        legend.append((svg.swatch("bar real"), f"{after.title}: real faces"))
        if sums[2]:
            legend.append((svg.swatch("bar synthetic"), f"{after.title}: synthetic faces"))
    panel = Panel("Training images per class", "Class", columns, rows, "Images", total=total, caption_hidden=True)
    blocks: list[Block] = [Legend(legend), panel]
    others = [arm for arm in report.arms if arm.train_counts]
    if len(others) > 2:
        blocks.append(Details("Training images of every arm", [_all_counts(report, others)]))
    ratios = [_imbalance(before_counts)] + ([] if same else [_imbalance(after_counts)])
    lead = "Training images per class. Largest class to smallest: " + ", then ".join(ratios) + "."
    return Section("balance", "Class balance", lead, blocks)


def faces_section(report: Report) -> Section | None:
    """Faces side by side, class by class."""
    classes = []
    for cls, groups in report.faces.items():
        order = [
            *(kind for kind in _FACE_GROUPS if kind in groups),
            *(kind for kind in groups if kind not in _FACE_GROUPS),
        ]
        shown = [(_FACE_GROUPS.get(kind, kind), kind, groups[kind]) for kind in order if groups[kind]]
        if shown:
            classes.append(FaceClass(cls, shown))
    if not classes:
        return None
    lead = (
        "Real and synthetic faces of each class, drawn at random. Under a synthetic face: what the labeller says, and "
        "how surely."
    )
    if any(kind == "nearest" for cls in classes for _, kind, _ in cls.groups):
        lead += (
            " Nearest real: for each synthetic face, in the same order, the most similar training image, its class and "
            "the correlation of the two; near 1 it is a copy."
        )
    return Section("faces", "Faces", lead, [Faces(classes)])


def screen_section(report: Report) -> Section | None:
    """Asked, kept, and why the rest was rejected."""
    screen = report.screen
    if screen is None:
        return None
    largest = max(*screen.asked.values(), *screen.kept.values(), 1)
    rows = []
    for cls in report.classes:
        asked, kept = screen.asked[cls], screen.kept[cls]
        cells = [Cell(count(asked)), Cell(count(kept)), Cell(share(kept, asked))]
        rows.append(Row(cls, cells, svg.single_bar(kept, largest, cls="bar real", of=asked)))
    asked, kept = sum(screen.asked.values()), sum(screen.kept.values())
    total = Row("Together", [Cell(count(asked)), Cell(count(kept)), Cell(share(kept, asked))])
    panels = [Panel("Kept of what was generated", "Class", ("Generated", "Kept", "Share"), rows, "Images", total=total)]
    if screen.reasons:
        most = max(*screen.reasons.values(), 1)
        rejected = sum(screen.reasons.values())
        why = [
            Row(reason, [Cell(count(n)), Cell(share(n, rejected))], svg.single_bar(n, most, cls="bar hurts"))
            for reason, n in sorted(screen.reasons.items(), key=lambda item: -item[1])
        ]
        panels.append(Panel("Why faces were rejected", "Reason", ("Rejected", "Share"), why, "Images"))
    lead = f"Of {count(asked)} synthetic faces, {count(kept)} passed the screen ({share(kept, asked)})."
    return Section("screen", "The screen", lead, [_outlined("generated", "kept"), Panels(panels)])


def labels_section(report: Report) -> Section | None:
    """What the labeller saw in the synthetic faces, before and after the screen."""
    labelling = report.labelling
    if labelling is None or not (labelling.before or labelling.after):
        return None
    stages = [(name, c) for name, c in (("Before", labelling.before), ("After", labelling.after)) if c]
    columns = [f"{name} the screen" for name, _ in stages]
    if labelling.thresholds:
        columns.append("Threshold")
    largest = max((n for _, counts in stages for n in counts.counts.values()), default=1) or 1
    rows = []
    for cls in report.classes:
        cells = [Cell(_count_and_share(counts.counts, cls)) for _, counts in stages]
        if labelling.thresholds:
            cells.append(Cell(points(labelling.thresholds.get(cls))))
        numbers = [counts.counts[cls] for _, counts in stages]
        rows.append(Row(cls, cells, svg.single_bar(numbers[-1], largest, cls="bar real", of=numbers[0])))
    sums = [Cell(count(sum(c.counts.values()))) for _, c in stages]
    total = Row("Together", [*sums, *([Cell()] if labelling.thresholds else [])])
    caption = "Predicted labels of the synthetic faces before and after the screen"
    panel = Panel(caption, "Predicted class", columns, rows, "Images", total=total, caption_hidden=True)
    blocks: list[Block] = [_outlined("before the screen", "after the screen"), panel] if len(stages) > 1 else [panel]
    lead = f"What {labelling.classifier or 'the labeller'} sees in the synthetic faces. {_entropies(stages)}"
    if labelling.temperature is not None:
        lead += f" Confidences are calibrated at temperature {labelling.temperature:.2f}."
    if labelling.thresholds:
        lead += " A face is kept when its confidence, in %, reaches its class’s threshold."
    return Section("labels", "Labels of the synthetic faces", lead.strip(), blocks)


def calibration_section(report: Report) -> Section | None:
    """Expected calibration error, temperature and reliability diagram of each arm."""
    diagrams = [_reliability(arm, arm.calibration) for arm in report.arms if arm.calibration]
    if not diagrams:
        return None
    lead = (
        "Whether a confidence of 80% is right 80% of the time: on the dashed diagonal it is. Below it the classifier "
        "is surer than it should be; ECE, the expected calibration error, is the mean distance. The bars at the foot "
        "show how many images each point stands for."
    )
    return Section("calibration", "Calibration", lead, [Diagrams(diagrams)])


def data_section(report: Report) -> Section | None:
    """Images per split, and what was excluded or noticed."""
    data = report.data
    blocks: list[Block] = []
    if data.splits:
        titles = {"train": "Train", "val": "Validation", "test": "Test"}
        rows = [Row(cls, [Cell(count(counts[cls])) for counts in data.splits.values()]) for cls in data.class_names]
        total = Row("Together", [Cell(count(sum(counts.values()))) for counts in data.splits.values()])
        columns = [titles[split] for split in data.splits]
        blocks.append(Panel("Real images per class and split", "Class", columns, rows, total=total))
    if data.check:
        found = [Row(words, [Cell(count(n))]) for words, n in data.check]
        blocks.append(Panel("What the data check found", "Finding", ("Count",), found))
    if data.notes:
        blocks.append(Items(data.notes))
    if data.digest:
        blocks.append(Code("Digest of the data", data.digest))
    if not blocks:
        return None
    named = f"The data set {data.name}. " if data.name else ""
    return Section("data", "Data", f"{named}What was excluded or noticed is listed below the counts.", blocks)


def _other_weight(settings: Settings) -> str:
    other = settings.weight_with_best
    return f"{other:g}" if other is not None and other != settings.weight else ""


def run_section(report: Report) -> Section | None:
    """The command, the seeds, versions, machine and times."""
    origin, settings = report.origin, report.settings
    facts = [
        ("Seeds", ", ".join(map(str, settings.seeds))),
        ("Steps per arm and seed", count(settings.steps) if settings.steps is not None else ""),
        ("Synthetic faces per real image", f"{settings.ratio:g}" if settings.ratio is not None else ""),
        ("Weight of a synthetic face", f"{settings.weight:g}" if settings.weight not in (None, 1.0) else ""),
        ("Weight beside the rebalancing", _other_weight(settings)),
        ("How they are learned from", settings.way if settings.way != "plain" else ""),
        ("How, beside the rebalancing", settings.way_with_best if settings.way_with_best != settings.way else ""),
        ("Labels of synthetic faces", "soft" if settings.soft_labels else ""),
        ("Interval", _interval_words(report)),
        ("Stage", origin.stage),
        ("Machine", origin.machine),
        ("Device", origin.device),
        ("Started", origin.started),
        ("Finished", origin.finished),
        ("Time", duration(origin.seconds) if origin.seconds is not None else ""),
        ("Estimated before", duration(origin.estimated) if origin.estimated is not None else ""),
    ]
    blocks: list[Block] = [Code("The command", origin.command)] if origin.command else []
    panels = []
    rows = [Row(name, [Cell(value)]) for name, value in facts if value]
    if rows:
        panels.append(Panel("Settings and machine", "What", ["Value"], rows, is_text=True))
    if origin.versions:
        versions = [Row(package, [Cell(version)]) for package, version in origin.versions.items()]
        panels.append(Panel("Versions", "Package", ["Version"], versions, is_text=True))
    if origin.times:
        longest = max(seconds for _, seconds in origin.times)
        times = [
            Row(stage, [Cell(duration(s))], svg.single_bar(s, longest, cls="bar before")) for stage, s in origin.times
        ]
        panels.append(Panel("Time per stage", "Stage", ["Time"], times, "Time"))
    blocks += [Panels(panels)] if panels else []
    if not blocks:
        return None
    return Section(
        "run", "How to repeat it", "The same command with the same versions and seeds gives the same result.", blocks
    )


# --- parts ------------------------------------------------------------------------------------------------------------


def _two_bars(before: int, after: int, synthetic: int, largest: int) -> Markup:
    """Before above after; the synthetic part of after is hatched."""
    real = 100 * (after - synthetic) / largest
    bars = [
        svg.bar(0, 100 * before / largest, y=3, height=8, cls="bar before"),
        svg.bar(0, real, y=13, height=10, cls="bar real"),
        svg.bar(real, 100 * after / largest, y=13, height=10, cls="bar synthetic"),
    ]
    return svg.strip(*bars, height=26)


def _all_counts(report: Report, arms: Sequence[Arm]) -> Panels:
    panels = []
    for arm in arms:
        assert arm.train_counts is not None
        counted = [(cls, arm.train_counts[cls], arm.synthetic_counts[cls]) for cls in report.classes]
        rows = [Row(cls, [Cell(count(n)), Cell(count(synthetic))]) for cls, n, synthetic in counted]
        panels.append(Panel(arm.title, "Class", ("Images", "Generated"), rows))
    return Panels(panels)


def _outlined(whole: str, part: str) -> Legend:
    return Legend([(svg.swatch("outline"), whole), (svg.swatch("bar real"), part)])


def _imbalance(counts: Counts) -> str:
    smallest, largest = min(counts.values()), max(counts.values())
    return f"{largest / smallest:.1f} to 1" if smallest else f"{count(largest)} to none"


def _count_and_share(counts: Counts, cls: str) -> str:
    return f"{count(counts[cls])} ({share(counts[cls], sum(counts.values()))})"


def _entropies(stages: Sequence[tuple[str, LabelCounts]]) -> str:
    known = [f"{c.entropy:.2f} {name.lower()} the screen" for name, c in stages if c.entropy is not None]
    return f"Entropy relative to uniform (1 = all classes equally frequent): {in_words(known)}." if known else ""


def _reliability(arm: Arm, calibration: Calibration) -> Diagram:
    facts = []
    if calibration.ece is not None:
        facts.append(f"ECE {points(calibration.ece)} points")
    if calibration.temperature is not None:
        facts.append(f"temperature {calibration.temperature:.2f}")
    text = ", ".join(facts)
    if not calibration.bins:
        return Diagram(arm.title, text, None, None)
    rows = [Row(points(b.confidence), [Cell(points(b.accuracy)), Cell(count(b.count))]) for b in calibration.bins]
    table = Panel(f"Reliability of {arm.title}", "Confidence, %", ("Accuracy, %", "Images"), rows)
    label = f"Reliability diagram of {arm.title}" + (f": {text}" if text else "")
    return Diagram(arm.title, text, svg.reliability(calibration.bins, label), table)


def _interval_words(report: Report) -> str:
    settings = report.settings
    if settings.confidence_level is None and settings.resamples is None:
        return ""
    resamples = f"bootstrap with {count(settings.resamples)} resamples" if settings.resamples else ""
    return ", ".join(part for part in (confidence(settings.confidence_level), resamples) if part) or ABSENT
