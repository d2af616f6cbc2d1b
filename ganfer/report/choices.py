"""The sections about how the answer was reached: what validation chose, the tests, and groups of test images."""

from collections.abc import Callable, Sequence

from ganfer.page import svg
from ganfer.page.blocks import NOTHING, Block, Cell, Details, Diagram, Diagrams, Panel, Panels, Row, Section, Stat
from ganfer.page.numbers import ABSENT, METRICS, change_with_interval, confidence, count, points, with_interval
from ganfer.report.model import Comparison, Group, Report, Tried

_NUMBER_AND_WEIGHT = "How many faces, and their weight"


def tuning_section(report: Report) -> Section | None:
    """How many synthetic faces, at which weight, learned from how: the curves on validation and the stopping point."""
    tuning = report.tuning
    if tuning is None or not (tuning.ratios or tuning.weights or tuning.ways):
        return None
    interval = confidence(report.settings.confidence_level)
    diagrams, words = [], []
    if tuning.ratios:
        diagrams.append(_curve("How many faces", tuning.ratios, "synthetic faces per real image", _ratio, interval))
        chosen = next((point for point in tuning.ratios if point.chosen), None)
        if chosen:
            words.append(
                f"{_ratio(chosen)} synthetic faces per real image ({count(chosen.count)}) is where more stop bringing "
                "more: the smallest ratio within one standard error of the best."
            )
    if tuning.weights:
        diagrams.append(_curve("How much each weighs", tuning.weights, "loss weight of a face", _weight, interval))
        chosen = next((point for point in tuning.weights if point.chosen), None)
        words.append(f"The best weight is {_weight(chosen)}." if chosen else "")
    if tuning.weights_with_best:
        beside = report.arm(report.selection.best_rebalancing).title.lower()
        title = f"How much each weighs, beside {beside}"
        diagrams.append(_curve(title, tuning.weights_with_best, "loss weight of a face", _weight, interval))
        chosen = next((point for point in tuning.weights_with_best if point.chosen), None)
        words.append(f"Beside {beside} it is {_weight(chosen)}." if chosen else "")
    panels = []
    if tuning.ways:
        panels.append(_ways("How they are learned from", tuning.ways, interval))
        chosen = next((point for point in tuning.ways if point.chosen), None)
        words.append(f"The best way to learn from them is {chosen.way}." if chosen else "")
    if tuning.ways_with_best:
        beside = report.arm(report.selection.best_rebalancing).title.lower()
        panels.append(_ways(f"How they are learned from, beside {beside}", tuning.ways_with_best, interval))
        chosen = next((point for point in tuning.ways_with_best if point.chosen), None)
        words.append(f"Beside {beside} it is {chosen.way}." if chosen else "")
    lead = " ".join(["Balanced accuracy on validation; the test split was not used for this.", *words]).strip()
    title = "How many faces, their weight, and how they are learned from" if tuning.ways else _NUMBER_AND_WEIGHT
    blocks: list[Block] = [*([Diagrams(diagrams)] if diagrams else []), *([Panels(panels)] if panels else [])]
    return Section("tuning", title, lead, blocks)


def _curve(title: str, tried: Sequence[Tried], x_label: str, name: Callable[[Tried], str], interval: str) -> Diagram:
    spots = [(name(point), point.level, point.chosen) for point in tried]
    label = f"{title}: " + "; ".join(f"{spot} {points(level.mean)}%" for spot, level, _ in spots)
    rows = [
        Row(
            name(point) + (" (chosen)" if point.chosen else ""),
            [Cell(count(point.count)), Cell(with_interval(point.level.mean, point.level.low, point.level.high))],
        )
        for point in tried
    ]
    table = Panel(title, x_label.capitalize(), ("Faces", f"Balanced accuracy, % [{interval}]"), rows)
    return Diagram(title, "filled: chosen", svg.curve(spots, x_label, label), table)


def _ways(title: str, tried: Sequence[Tried], interval: str) -> Panel:
    """A row per way to learn from the faces, which have no order."""
    known = [value for point in tried for value in point.level.known]
    scale = svg.nice_scale(known, least_span=0.04)
    rows = [
        Row(
            point.way + (" (chosen)" if point.chosen else ""),
            [Cell(with_interval(point.level.mean, point.level.low, point.level.high))],
            svg.strip(svg.grid(scale), svg.estimate(point.level, scale, tone="second")),
        )
        for point in tried
    ]
    columns = (f"Balanced accuracy, % [{interval}]",)
    return Panel(title, "Way", columns, rows, "Balanced accuracy, %", svg.axis(scale))


def _ratio(point: Tried) -> str:
    return "all" if point.ratio is None else f"{point.ratio:g}"


def _weight(point: Tried) -> str:
    return f"{point.weight:g}"


def evidence_section(report: Report) -> Section | None:
    """p-values, McNemar's test, and the smallest change that this test split could have shown."""
    if not any(c.evidence.p is not None for c in report.comparisons):
        return None
    overall = [c for c in report.comparisons if c.cls is None and c.measure == "balanced_accuracy"]
    blocks: list[Block] = []
    classes = _reach(report)
    if classes:
        blocks.append(classes)
    counted = any(c.evidence.mcnemar for c in report.compared("accuracy"))
    tests = [_test_row(report, c, counted) for c in overall]
    columns = ("Change, points", "p", "p, Holm", *(("McNemar: better / worse", "p") if counted else ()))
    blocks.append(Details("Every comparison’s tests", [Panel("Tests of balanced accuracy", "Arm", columns, tests)]))
    lead = (
        "A change smaller than “least” cannot be told from no change with these test images and seeds; one as large as "
        "“likely” would be found four times in five. The words beside the other comparisons are Holm-corrected for "
        "their number."
    )
    if counted:
        lead += (
            " McNemar’s exact test counts the test images that one arm gets right and the other does not; it is about "
            "accuracy, and about these trained models only."
        )
    return Section("evidence", "What this experiment could have shown", lead, blocks)


def _reach(report: Report) -> Panel | None:
    """A row per figure of the headline comparison: the change, and what could have been seen."""
    changes = [report.headline_change(metric) for metric in METRICS]
    rows = [_reach_row(METRICS[c.measure], c) for c in changes if c]
    for cls in report.classes:
        change = report.headline_change("recall", cls)
        tested = max((arm.support.get(cls, 0) for arm in report.arms), default=0)
        if change:
            rows.append(_reach_row(f"Recall of {cls}", change, f"{count(tested)} test images"))
    if not rows or not report.headline:
        return None
    base, arm = report.headline
    columns = ("Change", "Least", "Likely")
    return Panel(f"{arm.title} against {base.title}, points", "Figure", columns, rows)


def _reach_row(label: str, c: Comparison, note: str = "") -> Row:
    cells = [Cell(change_with_interval(c.change.mean, c.change.low, c.change.high))]
    cells += [Cell(points(value)) for value in (c.evidence.detectable, c.evidence.likely)]
    return Row(label, cells, note=note)


def _test_row(report: Report, c: Comparison, counted: bool) -> Row:
    accuracy = next((o for o in report.compared("accuracy") if (o.arm, o.baseline) == (c.arm, c.baseline)), None)
    test = accuracy.evidence.mcnemar if accuracy else None
    cells = [
        Cell(change_with_interval(c.change.mean, c.change.low, c.change.high)),
        Cell(_p(c.evidence.p)),
        Cell(_p(c.evidence.p_holm)),
    ]
    if counted:
        cells.append(Cell(f"{count(test.better)} / {count(test.worse)}" if test else ABSENT))
        cells.append(Cell(_p(test.p if test else None)))
    return Row(report.arm(c.arm).title, cells, note=f"against {report.arm(c.baseline).title}")


def _p(value: float | None) -> str:
    return ABSENT if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def groups_section(report: Report) -> Section | None:
    """The headline comparison within groups of test images."""
    if not report.groups or not report.headline:
        return None
    base, arm = report.headline
    level = confidence(report.settings.confidence_level)
    panels = [
        panel
        for column, groups in report.groups.items()
        for metric in ("balanced_accuracy", "accuracy")
        if (panel := _group_panel(column, groups, metric, level))
    ]
    if not panels:
        return None
    lead = (
        f"{arm.title} against {base.title} within groups of the test images: who gains and who loses. A group’s "
        "balanced accuracy is over the classes it has; groups of fewer than 20 images are counted only."
    )
    return Section("groups", "By group", lead, [Panels(panels)])


def _group_panel(column: str, groups: Sequence[Group], metric: str, level: str) -> Panel | None:
    known = [value for group in groups for value in group.change.get(metric, NOTHING).known]
    if not known:
        return None
    scale = svg.nice_scale(known, include=(0.0,), least_span=0.04)
    rows = []
    for group in groups:
        before, after, change = (part.get(metric, NOTHING) for part in (group.before, group.after, group.change))
        cells = [Cell(points(before.mean)), Cell(points(after.mean)), Cell(_change(change))]
        plot = svg.strip(svg.grid(scale, zero=True), svg.estimate(change, scale, tone="second"))
        rows.append(Row(group.value, cells, plot, f"{count(group.count)} test images"))
    columns = ("Before, %", "After, %", f"Change, points [{level}]")
    return Panel(f"{METRICS[metric]} by {column}", column, columns, rows, "Change, points", svg.axis(scale, plus=True))


def _change(stat: Stat) -> str:
    return change_with_interval(stat.mean, stat.low, stat.high)


def selection_words(report: Report) -> str:
    """Which arms validation chose, in a sentence; empty where there was nothing to choose."""
    chosen = report.selection
    if not chosen.best_cheap:
        return ""
    best = chosen.best_without or chosen.best_cheap
    words = f"Of the arms without synthetic faces {report.arm(best).title} is best on validation"
    if chosen.best_rebalancing and chosen.best_rebalancing != best:
        words += f", of those that rebalance {report.arm(chosen.best_rebalancing).title}"
    return words + "."
