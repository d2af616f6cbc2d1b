"""From JSON to a `Report`: every value is checked, and a wrong one is named by its place in the file."""

import re
from collections.abc import Sequence
from typing import Any

from ganfer.page.blocks import NOTHING, Bin, Face, Stat
from ganfer.page.node import Node, ReportError, sanitized
from ganfer.page.numbers import METRICS
from ganfer.report.model import (
    FORMAT,
    MEASURES,
    WORDS,
    Arm,
    Calibration,
    Comparison,
    Data,
    Evidence,
    Group,
    LabelCounts,
    Labelling,
    McNemar,
    Origin,
    PriorShifted,
    Report,
    Screen,
    Selection,
    Settings,
    Tried,
    Tuning,
)

__all__ = ["ReportError", "read_report", "sanitized"]

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def read_report(results: Any) -> Report:
    """Check results against the report's contract. Raises ReportError naming the place of the first wrong value."""
    root = Node(results, "")
    version = root.get("format")
    if version.count() > FORMAT:
        raise ReportError(
            f"results.json has format {version.value}, this ganfer reads up to {FORMAT}.", "Update ganfer."
        )
    data = _data(root.get("data"))
    classes = data.class_names
    arms = [_arm(node, classes) for node in root.get("arms").items()]
    names = [arm.name for arm in arms]
    if not arms or len(set(names)) < len(names):
        raise root.get("arms").wrong("a list of arms with different names")
    comparisons = [_comparison(node, names, classes) for node in root.get("comparisons").items()]
    verdict = root.get("verdict")
    return Report(
        title=root.get("title").text(None),
        word=verdict.get("word").one_of(WORDS, "a verdict"),
        sentence=verdict.get("sentence").text(None),
        headline=_headline(verdict, arms, comparisons),
        data=data,
        arms=arms,
        comparisons=comparisons,
        labelling=None if root.get("labelling").absent else _labelling(root.get("labelling"), classes),
        screen=None if root.get("screen").absent else _screen(root.get("screen"), classes),
        faces=_faces(root.get("faces"), classes),
        beside=verdict.get("beside").text(),
        recommendation="" if root.get("recommendation").absent else root.get("recommendation").get("sentence").text(),
        exchange=_exchange(root.get("exchange")),
        selection=_selection(root.get("selection"), names),
        tuning=None if root.get("tuning").absent else _tuning(root.get("tuning")),
        equal_shares=None if root.get("equal_shares").absent else _equal_shares(root.get("equal_shares"), names),
        groups=_groups(root.get("groups")),
        settings=Settings() if root.get("settings").absent else _settings(root.get("settings")),
        origin=Origin() if root.get("run").absent else _origin(root.get("run")),
    )


def _data(node: Node) -> Data:
    classes = [name.text(None) for name in node.get("class_names").items()]
    if not classes or len(set(classes)) < len(classes):
        raise node.get("class_names").wrong("a list of different class names")
    splits = {
        split: node.get(split).counts(classes) for split in ("train", "val", "test") if not node.get(split).absent
    }
    notes = [note.text(None) for note in node.get("notes").items()]
    return Data(node.get("name").text(), node.get("digest").text(), classes, splits, notes, _check(node.get("check")))


def _check(node: Node) -> list[tuple[str, int]]:
    """The data check's counts in words; empty where it was not run."""
    if node.absent or not list(node.fields()):
        return []
    leaks = node.get("leaks").get("by_splits")
    places = {
        "training images that are also in validation": leaks.get("train-val"),
        "training images that are also in the test": leaks.get("train-test"),
        "validation images that are also in the test": leaks.get("val-test"),
        "exact copies beyond the first": node.get("exact").get("surplus_images"),
        "near duplicates, pairs": node.get("near_pairs"),
        "mirrored duplicates, pairs": node.get("mirrored_pairs"),
        "images in pairs with conflicting labels": node.get("conflicts").get("images"),
        "subjects in several splits": node.get("subjects_in_several_splits"),
    }
    found = [(words, place.maybe_count() or 0) for words, place in places.items()]
    damaged = [(f"{kind} images", number.count()) for kind, number in node.get("damaged").fields()]
    return found + damaged


def _stat(node: Node) -> Stat:
    if node.absent:
        return NOTHING
    return Stat(*(node.get(key).maybe_number() for key in ("mean", "low", "high")))


def _arm(node: Node, classes: Sequence[str]) -> Arm:
    per_class, support = {}, dict.fromkeys(classes, 0)
    for name, cls in node.get("per_class").fields():
        Node(name, f"a key of {cls.place}").one_of(classes, "a class")
        per_class[name] = {measure: _stat(cls.get(measure)) for measure in MEASURES}
        support[name] = cls.get("support").maybe_count() or 0
    name = node.get("name").text(None)
    train = None if node.get("train_counts").absent else node.get("train_counts").counts(classes)
    synthetic = node.get("synthetic_counts").counts(classes)
    for cls_name in classes if train else ():
        if train and synthetic[cls_name] > train[cls_name]:
            raise node.get("synthetic_counts").wrong(
                f"at most train_counts, which counts all images of the arm ({cls_name}: {train[cls_name]})"
            )
    return Arm(
        name=name,
        title=node.get("title").text(name),
        description=node.get("description").text(),
        train_counts=train,
        synthetic_counts=synthetic,
        metrics={metric: _stat(node.get("metrics").get(metric)) for metric in METRICS}
        if not node.get("metrics").absent
        else {},
        per_class=per_class,
        support=support,
        confusion=_confusion(node.get("confusion"), len(classes)),
        steps=node.get("steps").maybe_count(),
        seconds=node.get("seconds").maybe_number(),
        calibration=None if node.get("calibration").absent else _calibration(node.get("calibration")),
    )


def _confusion(node: Node, size: int) -> list[list[int]] | None:
    if node.absent:
        return None
    rows = [[cell.count() for cell in row.items()] for row in node.items()]
    if [len(row) for row in rows] != [size] * size:
        raise node.wrong(f"a table of {size} x {size} counts")
    return rows


def _calibration(node: Node) -> Calibration:
    bins = [
        Bin(b.get("confidence").number(), b.get("accuracy").number(), b.get("count").count())
        for b in node.get("bins").items()
        if b.get("count").count()
    ]
    return Calibration(node.get("temperature").maybe_number(), node.get("ece").maybe_number(), bins)


def _comparison(node: Node, arms: Sequence[str], classes: Sequence[str]) -> Comparison:
    metric = node.get("metric")
    measure, colon, cls = metric.text(None).partition(":")
    if colon:
        Node(measure, metric.place).one_of(tuple(MEASURES), "a measure of a class")
        Node(cls, metric.place).one_of(classes, "a class")
    else:
        metric.one_of(tuple(METRICS), "a metric")
    change = Stat(*(node.get(key).maybe_number() for key in ("change", "low", "high")))
    return Comparison(
        arm=node.get("arm").one_of(arms, "an arm"),
        baseline=node.get("baseline").one_of(arms, "an arm"),
        measure=measure,
        cls=cls if colon else None,
        change=change,
        word=node.get("word").one_of(WORDS, "a verdict"),
        evidence=_evidence(node),
        level=node.get("level").maybe_number(),
    )


def _evidence(node: Node) -> Evidence:
    test = node.get("mcnemar")
    found = None
    if not test.absent:
        found = McNemar(test.get("better").count(), test.get("worse").count(), test.get("p").number())
    return Evidence(
        p=node.get("p").maybe_number(),
        p_holm=node.get("p_holm").maybe_number(),
        detectable=node.get("detectable").maybe_number(),
        likely=node.get("detectable_80").maybe_number(),
        mcnemar=found,
    )


def _headline(verdict: Node, arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> tuple[Arm, Arm] | None:
    """The pair that the verdict names; else the first comparison's; else the first two arms."""
    by_name = {arm.name: arm for arm in arms}
    pair = [arm.name for arm in arms[:2]]
    if comparisons:
        pair = [comparisons[0].baseline, comparisons[0].arm]
    if not verdict.get("arm").absent:
        named = verdict.get("arm").one_of(tuple(by_name), "an arm")
        against = next((c.baseline for c in comparisons if c.arm == named), arms[0].name)
        pair = [against, named]
    if not verdict.get("baseline").absent:
        pair[0] = verdict.get("baseline").one_of(tuple(by_name), "an arm")
    return (by_name[pair[0]], by_name[pair[1]]) if len(pair) == 2 and pair[0] != pair[1] else None


def _labelling(node: Node, classes: Sequence[str]) -> Labelling:
    def counted(part: Node) -> LabelCounts | None:
        if part.absent:
            return None
        return LabelCounts(part.get("counts").counts(classes), part.get("entropy").maybe_number())

    thresholds = {}
    for name, threshold in node.get("thresholds").fields():
        Node(name, f"a key of {threshold.place}").one_of(classes, "a class")
        if not threshold.absent:
            thresholds[name] = threshold.number()
    return Labelling(
        node.get("classifier").text(),
        node.get("temperature").maybe_number(),
        counted(node.get("before")),
        counted(node.get("after")),
        thresholds,
    )


def _screen(node: Node, classes: Sequence[str]) -> Screen:
    reasons = {name: reason.count() for name, reason in node.get("reasons").fields()}
    return Screen(node.get("asked").counts(classes), node.get("kept").counts(classes), reasons)


def _faces(node: Node, classes: Sequence[str]) -> dict[str, dict[str, list[Face]]]:
    faces: dict[str, dict[str, list[Face]]] = {}
    for cls, kinds in node.fields():
        Node(cls, f"a key of {node.place}").one_of(classes, "a class")
        faces[cls] = {kind: [_face(face) for face in shown.items()] for kind, shown in kinds.fields()}
    return {cls: faces[cls] for cls in classes if cls in faces}


def _face(node: Node) -> Face:
    png = node.get("png")
    if not _BASE64.fullmatch(png.text(None)):
        raise png.wrong("a base64 PNG")
    return Face(png.text(None), node.get("caption").text())


def _exchange(node: Node) -> list[str]:
    return [] if node.absent else [sentence.text(None) for sentence in node.get("sentences").items()]


def _selection(node: Node, arms: Sequence[str]) -> Selection:
    def arm(key: str) -> str:
        return node.get(key).one_of(arms, "an arm") if node.get(key).text() else ""

    if node.absent:
        return Selection()
    means = {}
    for name, mean in node.get("validation").fields():
        Node(name, f"a key of {mean.place}").one_of(arms, "an arm")
        means[name] = mean.number()
    return Selection(arm("best_cheap"), arm("best_rebalancing"), means, arm("best_without"))


def _tuning(node: Node) -> Tuning:
    def tried(key: str) -> list[Tried]:
        return [
            Tried(
                ratio=point.get("ratio").maybe_number(),
                weight=point.get("weight").number(),
                count=point.get("count").count(),
                level=_stat(point),
                chosen=point.get("chosen").value is True,
                way=point.get("way").text() or "plain",
            )
            for point in node.get(key).items()
        ]

    return Tuning(tried("ratios"), tried("weights"), tried("weights_with_best"), tried("ways"), tried("ways_with_best"))


def _equal_shares(node: Node, arms: Sequence[str]) -> PriorShifted:
    def metrics(part: Node) -> dict[str, Stat]:
        return {metric: _stat(part.get(metric)) for metric in ("balanced_accuracy", "accuracy")}

    rows = {row.get("name").one_of(arms, "an arm"): row for row in node.get("arms").items()}
    if set(rows) != set(arms):
        raise node.get("arms").wrong("a row per arm")
    changes = {name: metrics(row.get("change")) for name, row in rows.items() if not row.get("change").absent}
    levels = {name: metrics(row.get("metrics")) for name, row in rows.items()}
    return PriorShifted(node.get("best").one_of(arms, "an arm"), levels, changes)


def _groups(node: Node) -> dict[str, list[Group]]:
    def stats(part: Node) -> dict[str, Stat]:
        return {} if part.absent else {metric: _stat(part.get(metric)) for metric in METRICS if metric in part.value}

    return {
        column: [
            Group(
                row.get("value").text(None),
                row.get("count").count(),
                *(stats(row.get(part)) for part in ("before", "after", "change")),
            )
            for row in table.items()
        ]
        for column, table in node.fields()
    }


def _settings(node: Node) -> Settings:
    return Settings(
        seeds=[seed.count() for seed in node.get("seeds").items()],
        steps=node.get("steps").maybe_count(),
        confidence_level=node.get("confidence_level").maybe_number(),
        resamples=node.get("resamples").maybe_count(),
        ratio=node.get("ratio").maybe_number(),
        weight=node.get("weight").maybe_number(),
        weight_with_best=node.get("weight_with_best").maybe_number(),
        way=node.get("way").text(),
        way_with_best=node.get("way_with_best").text(),
        soft_labels=node.get("soft_labels").value is True,
    )


def _origin(node: Node) -> Origin:
    texts = {key: node.get(key).text() for key in ("command", "stage", "machine", "device", "started", "finished")}
    return Origin(
        **texts,
        versions={package: version.text(None) for package, version in node.get("versions").fields()},
        seconds=node.get("seconds").maybe_number(),
        estimated=node.get("budget").get("seconds").maybe_number() if not node.get("budget").absent else None,
        times=[(time.get("stage").text(None), time.get("seconds").number()) for time in node.get("times").items()],
    )
