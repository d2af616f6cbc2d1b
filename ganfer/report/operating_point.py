"""The section about the arms once more, each decided for balanced accuracy."""

from ganfer.page import svg
from ganfer.page.blocks import NOTHING, Block, Cell, Panel, Row, Section
from ganfer.page.numbers import ABSENT, METRICS, change_with_interval, confidence, points
from ganfer.report.model import Report


def operating_point_section(report: Report) -> Section | None:
    """Every arm with class biases fitted on validation, and its change from the best arm without faces."""
    equal = report.equal_shares
    if equal is None:
        return None
    level = confidence(report.settings.confidence_level)
    best = report.arm(equal.best).title
    panels: list[Block] = []
    for metric in ("balanced_accuracy", "accuracy"):
        changes = {name: change.get(metric, NOTHING) for name, change in equal.changes.items()}
        known = [value for change in changes.values() for value in change.known]
        scale = svg.nice_scale(known, include=(0.0,), least_span=0.04)
        rows = []
        for arm in report.arms:
            change, own = changes.get(arm.name), equal.levels[arm.name].get(metric, NOTHING)
            text = change_with_interval(change.mean, change.low, change.high) if change else ABSENT
            mark = svg.estimate(change, scale, tone="second") if change else ""
            plot = svg.strip(svg.grid(scale, zero=True), mark)
            rows.append(Row(arm.title, [Cell(points(own.mean)), Cell(text)], plot))
        columns = ("Score, %", f"Change, points [{level}]")
        panels.append(Panel(METRICS[metric], "Arm", columns, rows, "Change, points", svg.axis(scale, plus=True)))
    lead = (
        "Rebalancing makes a classifier say rare classes more often, and so do synthetic faces of them; that alone "
        "raises balanced accuracy, and shifting the classes’ thresholds after training does it for nothing. Here "
        f"every arm has that: class biases fitted on validation. What is left, against {best} (the best without "
        "synthetic faces), is what an arm learned. Where nothing is left of a gain, the faces are not said to help."
    )
    return Section("threshold", "More than a moved threshold?", lead, panels)
