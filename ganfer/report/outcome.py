"""The sections that answer the question: every arm, recall per class, the changes, the confusion matrices."""

from collections.abc import Iterable, Sequence

from ganfer.page import svg
from ganfer.page.blocks import (
    TONES,
    Block,
    Cell,
    Details,
    Legend,
    Matrices,
    Matrix,
    MatrixCell,
    Panel,
    Panels,
    Row,
    Section,
    Stat,
    Tile,
)
from ganfer.page.numbers import (
    ABSENT,
    METRICS,
    change_with_interval,
    confidence,
    count,
    duration,
    points,
    signed,
    with_interval,
)
from ganfer.report.choices import selection_words
from ganfer.report.model import MEASURES, WORDS, Arm, Comparison, Report

_SHAPES = {
    "helps": "up", "hurts": "down", "does not help": "circle", "no difference": "circle", "cannot tell": "hollow",
}  # fmt: skip
FEW = 3  # up to so many arms share the rows of one plot; more get a panel per metric and class


def tiles(report: Report) -> list[Tile]:
    """The headline figures of the comparison that the verdict is about."""
    found = []
    for metric, name in METRICS.items():
        change = report.headline_change(metric)
        if change and report.headline:
            before, after = (points(arm.metrics.get(metric, Stat(None, None, None)).mean) for arm in report.headline)
            found.append(Tile(name, before, after, _change(change), change.word))
    return found


def arms_section(report: Report) -> Section | None:
    """What was trained, and the three metrics of every arm."""
    validation = report.selection.validation
    described = [
        Row(
            arm.title,
            [
                Cell(count(sum(arm.train_counts.values())) if arm.train_counts else ABSENT),
                Cell(count(sum(arm.synthetic_counts.values()))),
                Cell(count(arm.steps)),
                *([Cell(points(validation.get(arm.name)))] if validation else []),
                Cell(duration(arm.seconds)),
            ],
            note=arm.description,
            key=svg.marker(*_looks(report)[arm.name]),
        )
        for arm in report.arms
    ]
    blocks: list[Block] = []
    metrics = [metric for metric in METRICS if any(arm.metrics.get(metric) for arm in report.arms)]
    if metrics:
        rows = [(METRICS[metric], "", [arm.metrics.get(metric) for arm in report.arms]) for metric in metrics]
        known = [value for _, _, stats in rows for stat in stats if stat for value in stat.known]
        blocks += _levels(report, rows, svg.nice_scale(known), head="Metric", what="Score")
    columns = ("Images", "Generated", "Steps", *(["Validation, %"] if validation else []), "Time")
    blocks.append(Panel("What each arm was trained on", "Arm", columns, described))
    level = confidence(report.settings.confidence_level)
    lead = (
        f"Each mark is the mean over the seeds, its line the {level} interval. "
        "Balanced accuracy is the mean of the classes’ recalls, so rare classes count as much as common ones. "
        f"{selection_words(report)}"
    ).rstrip()
    return Section("arms", "Every arm", lead, blocks)


def recall_section(report: Report) -> Section | None:
    """Recall per class of every arm, and precision and F1 in a table."""
    classes = [cls for cls in report.classes if any(cls in arm.per_class for arm in report.arms)]
    if not classes:
        return None
    rows = [(cls, _tested(report, cls), [arm.stat(cls, "recall") for arm in report.arms]) for cls in classes]
    known = [value for _, _, stats in rows for stat in stats for value in stat.known]
    blocks = _levels(report, rows, svg.nice_scale(known, least_span=0.2), head="Class", what="Recall")
    blocks.append(Details("Precision, recall and F1 of every class and arm", [_per_class_table(report, classes)]))
    lead = (
        "Of the test images that truly show an expression, the share that was recognised. "
        "Few test images mean long lines: such a class cannot show a small change."
    )
    return Section("recall", "Recall per class", lead, blocks)


def change_section(report: Report) -> Section | None:
    """Forest plots: the change in every metric, then in every class."""
    if not report.comparisons:
        return None
    level = confidence(report.settings.confidence_level)
    overall = [c for c in report.comparisons if c.cls is None]
    blocks: list[Block] = [_words_legend(report)]
    if overall:
        scale = _change_scale(overall)
        pairs = _pairs(overall)
        if len(pairs) == 1:
            rows = [_change_row(METRICS[c.measure], c, scale) for c in _in_order(overall)]
            blocks.append(_forest(_against(report, *pairs[0]), "Metric", rows, scale, level))
        else:
            for metric, name in METRICS.items():
                several = [c for c in overall if c.measure == metric]
                rows = [_change_row(report.arm(c.arm).title, c, scale, _note(report, c, several)) for c in several]
                blocks += [_forest(name, "Arm", rows, scale, level)] if rows else []
    blocks += _class_changes(report, level)
    lead = (
        f"Points gained or lost against the baseline, with the {level} interval; zero is the bold line. "
        "An interval that includes zero is compatible with no change at all."
    )
    if any(c.level is not None for c in report.comparisons):
        lead += (
            " Where several changes are judged side by side, the intervals are widened for their number (Holm), so "
            "that words and intervals agree."
        )
    return Section("change", "What changed", lead, blocks)


def confusion_section(report: Report) -> Section | None:
    """The confusion matrix of every arm, and the difference from the baseline."""
    shown = [arm for arm in report.arms if arm.confusion]
    if not shown:
        return None
    first = [arm for arm in (report.headline or report.arms[:1]) if arm.confusion]
    blocks: list[Block] = []
    if first:
        blocks.append(Matrices([*(_matrix(report, arm) for arm in first), *_difference(report, first[-1])]))
    for arm in shown:
        if arm not in first:
            blocks.append(Details(arm.title, [Matrices([_matrix(report, arm), *_difference(report, arm)])]))
    lead = (
        "Rows are the true class, columns what was predicted, in percent of the true class, over all seeds. "
        "In a difference, plus means that the second arm predicts so more often; on the diagonal, plus is good."
    )
    return Section("confusion", "Confusion matrix", lead, blocks)


# --- levels: a mark per arm, at the arm's value ---------------------------------------------------------------------


def _levels(
    report: Report,
    rows: Sequence[tuple[str, str, Sequence[Stat | None]]],
    scale: svg.Scale,
    *,
    head: str,
    what: str,
) -> list[Block]:
    """One plot with all arms in each row when they are few; else a panel per row with the arms below each other.

    rows: (label, note, one value per arm).
    """
    looks = _looks(report)
    interval = confidence(report.settings.confidence_level)
    axis = svg.axis(scale)
    stats_of = [(label, note, [stat or Stat(None, None, None) for stat in stats]) for label, note, stats in rows]
    if len(report.arms) <= FEW:
        lines = []
        height = 12.0 * len(report.arms) + 6
        for label, note, stats in stats_of:
            marks = [
                svg.estimate(stat, scale, y=9 + 12 * i, shape=looks[arm.name][0], tone=looks[arm.name][1])
                for i, (arm, stat) in enumerate(zip(report.arms, stats, strict=True))
            ]
            plot = svg.strip(svg.grid(scale, height=height), *marks, height=height)
            lines.append(Row(label, [Cell(_level(stat)) for stat in stats], plot, note))
        legend = Legend([(svg.marker(*looks[arm.name]), arm.title) for arm in report.arms])
        caption = f"{what} of every arm, % [{interval} interval]"
        titles = [arm.title for arm in report.arms]
        return [legend, Panel(caption, head, titles, lines, f"{what}, %", axis, caption_hidden=True)]
    panels = []
    for label, note, stats in stats_of:
        reference = next(stat.mean for arm, stat in zip(report.arms, stats, strict=True) if arm is report.baseline)
        lines = []
        for arm, stat in zip(report.arms, stats, strict=True):
            shape, tone = looks[arm.name]
            plot = svg.strip(svg.grid(scale, reference=reference), svg.estimate(stat, scale, shape=shape, tone=tone))
            lines.append(Row(arm.title, [Cell(_level(stat))], plot))
        panels.append(Panel(label, "Arm", [f"{what}, % [{interval}]"], lines, f"{what}, %", axis, note))
    kinds = [(svg.marker("hollow", "first"), f"baseline ({report.baseline.title}; dashed line)")]
    others = [arm for arm in report.arms if arm is not report.baseline]
    if any(arm.is_synthetic for arm in others):
        kinds.append((svg.marker("diamond", "second"), "with synthetic faces"))
    if not all(arm.is_synthetic for arm in others):
        kinds.append((svg.marker("circle", "plain"), "real faces only"))
    return [Legend(kinds), *panels] if len(panels) <= len(METRICS) else [Legend(kinds), Panels(panels)]


def _looks(report: Report) -> dict[str, tuple[str, str]]:
    """Shape and tone of each arm: the baseline hollow, those with synthetic faces diamonds; few arms each their own."""
    others = [arm for arm in report.arms if arm is not report.baseline]
    looks = {report.baseline.name: ("hollow", "first")}
    if len(report.arms) <= FEW:
        distinct = (("diamond", "second"), ("square", "third"))
        return looks | {arm.name: look for arm, look in zip(others, distinct, strict=False)}
    return looks | {arm.name: ("diamond", "second") if arm.is_synthetic else ("circle", "plain") for arm in others}


def _per_class_table(report: Report, classes: Iterable[str]) -> Panels:
    panels = []
    for cls in classes:
        rows = [
            Row(arm.title, [Cell(_level(arm.stat(cls, measure))) for measure in MEASURES])
            for arm in report.arms
            if cls in arm.per_class
        ]
        panels.append(Panel(cls, "Arm", [f"{name}, %" for name in MEASURES.values()], rows, note=_tested(report, cls)))
    return Panels(panels)


def _tested(report: Report, cls: str) -> str:
    n = max((arm.support.get(cls, 0) for arm in report.arms), default=0)
    return f"{count(n)} test image{'' if n == 1 else 's'}" if n else "no test images"


def _level(stat: Stat) -> str:
    return with_interval(stat.mean, stat.low, stat.high)


# --- changes: forest plots ---------------------------------------------------------------------------------------


def _class_changes(report: Report, level: str) -> list[Block]:
    """One forest of recalls per comparison, the verdict's open; precision and F1 in tables."""
    per_class = [c for c in report.comparisons if c.cls is not None]
    if any(c.level is not None for c in per_class):
        level = f"{level}, adjusted for {len({c.cls for c in per_class})} classes"
    scale = _change_scale(per_class)
    blocks: list[Block] = []
    headline = tuple(arm.name for arm in report.headline) if report.headline else None
    for pair in sorted(_pairs(per_class), key=lambda pair: pair != headline):
        mine = [c for c in per_class if (c.baseline, c.arm) == pair]
        recalls = [_change_row(c.cls or "", c, scale) for c in _by_class(report, mine) if c.measure == "recall"]
        title = _against(report, *pair)
        inner: list[Block] = []
        if recalls:
            inner.append(_forest(f"Recall per class: {title}", "Class", recalls, scale, level))
        for measure in ("precision", "f1"):
            rows = [_change_row(c.cls or "", c, scale) for c in _by_class(report, mine) if c.measure == measure]
            if rows:
                forest = _forest(f"{MEASURES[measure]} per class: {title}", "Class", rows, scale, level)
                inner.append(Details(f"{MEASURES[measure]} per class", [forest]))
        blocks += inner if pair == headline else [Details(f"Every class: {title}", inner)]
    return blocks


def _forest(caption: str, head: str, rows: Sequence[Row], scale: svg.Scale, level: str) -> Panel:
    columns = (f"Change, points [{level}]", "Verdict")
    return Panel(caption, head, columns, rows, "Change, points", svg.axis(scale, plus=True))


def _change_row(label: str, c: Comparison, scale: svg.Scale, note: str = "") -> Row:
    mark = svg.estimate(c.change, scale, shape=_SHAPES[c.word], tone=TONES[c.word])
    return Row(label, [Cell(_change(c)), Cell(c.word, c.word)], svg.strip(svg.grid(scale, zero=True), mark), note)


def _change_scale(comparisons: Iterable[Comparison]) -> svg.Scale:
    known = [value for c in comparisons for value in c.change.known]
    return svg.nice_scale(known, include=(0.0,), least_span=0.04)


def _change(c: Comparison) -> str:
    return change_with_interval(c.change.mean, c.change.low, c.change.high)


def _pairs(comparisons: Iterable[Comparison]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((c.baseline, c.arm) for c in comparisons))


def _in_order(comparisons: Iterable[Comparison]) -> list[Comparison]:
    return sorted(comparisons, key=lambda c: list(METRICS).index(c.measure))


def _by_class(report: Report, comparisons: Iterable[Comparison]) -> list[Comparison]:
    return sorted(comparisons, key=lambda c: list(report.classes).index(c.cls or ""))


def _against(report: Report, baseline: str, arm: str) -> str:
    return f"{report.arm(arm).title} against {report.arm(baseline).title}"


def _note(report: Report, c: Comparison, among: Sequence[Comparison]) -> str:
    """Names the baseline where not all comparisons share one."""
    return f"against {report.arm(c.baseline).title}" if len({other.baseline for other in among}) > 1 else ""


def _words_legend(report: Report) -> Legend:
    used = {c.word for c in report.comparisons}
    return Legend([(svg.marker(_SHAPES[word], TONES[word]), word) for word in WORDS if word in used])


# --- confusion matrices -----------------------------------------------------------------------------------------------


def _rates(confusion: Sequence[Sequence[int]]) -> list[list[float | None]]:
    return [[cell / sum(row) if sum(row) else None for cell in row] for row in confusion]


def _matrix(report: Report, arm: Arm) -> Matrix:
    assert arm.confusion is not None
    rows = []
    for name, row, rates in zip(report.classes, arm.confusion, _rates(arm.confusion), strict=True):
        total = sum(row)
        cells = [
            MatrixCell(ABSENT if rate is None else f"{100 * rate:.0f}", rate or 0.0, f"{count(n)} of {count(total)}")
            for n, rate in zip(row, rates, strict=True)
        ]
        rows.append((name, cells, count(total)))
    return Matrix(arm.title, report.classes, rows, "n")


def _difference(report: Report, arm: Arm) -> list[Matrix]:
    """The arm's matrix minus the baseline's, in points; nothing for the baseline itself."""
    base = report.baseline
    if arm is base or not (arm.confusion and base.confusion):
        return []
    rows = []
    pairs = zip(_rates(arm.confusion), _rates(base.confusion), strict=True)
    for i, (name, (after, before)) in enumerate(zip(report.classes, pairs, strict=True)):
        cells = []
        for j, (a, b) in enumerate(zip(after, before, strict=True)):
            change = None if a is None or b is None else a - b
            good = 1 if i == j else -1  # off the diagonal, more is worse
            cells.append(MatrixCell(_whole_points(change), good * (change or 0.0), signed(change)))
        rows.append((name, cells, ""))
    return [Matrix(f"{arm.title} minus {base.title}, points", report.classes, rows, "", is_difference=True)]


def _whole_points(change: float | None) -> str:
    return ABSENT if change is None else signed(round(change, 2)).removesuffix(".0")
