"""From JSON to a `Report`: every value is checked, and a wrong one is named by its place in the file."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ganfer.errors import GanferError
from ganfer.report.model import (
    FORMAT,
    MEASURES,
    METRICS,
    NOTHING,
    WORDS,
    Arm,
    Bin,
    Calibration,
    Comparison,
    Counts,
    Data,
    Face,
    LabelCounts,
    Labelling,
    Origin,
    Report,
    Screen,
    Settings,
    Stat,
)

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
# Class names come from folder names: a lone surrogate cannot be written as UTF-8, and a control character (an escape
# sequence, say) has no business in a terminal.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def sanitized(value: Any) -> Any:
    """The value with NaN and infinities as None, unprintable characters replaced, NumPy scalars and arrays as plain."""
    if isinstance(value, dict):
        return {sanitized(str(key)): sanitized(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sanitized(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy scalar or array, without importing NumPy
        return sanitized(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) else value


class ReportError(GanferError):
    """Results that no report can be written from."""


class _Node:
    """A value in the JSON and its place, for messages."""

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def wrong(self, expected: str) -> ReportError:
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return ReportError(
            f"results.json: {self.place or 'the file'} is {shown}, not {expected}.",
            "Make the report again: ganfer retrain.",
        )

    def get(self, key: str) -> "_Node":
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return _Node(self.value.get(key), f"{self.place}.{key}" if self.place else key)

    def fields(self) -> Iterator[tuple[str, "_Node"]]:
        if self.value is not None and not isinstance(self.value, dict):
            raise self.wrong("an object")
        for key in self.value or {}:
            yield key, self.get(key)

    def items(self) -> list["_Node"]:
        if self.value is not None and not isinstance(self.value, list):
            raise self.wrong("a list")
        return [_Node(item, f"{self.place}[{i}]") for i, item in enumerate(self.value or [])]

    @property
    def absent(self) -> bool:
        return self.value is None

    def text(self, default: str | None = "") -> str:
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str):
            raise self.wrong("text")
        return self.value

    def maybe_number(self) -> float | None:
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        return self.value

    def number(self) -> float:
        value = self.maybe_number()
        if value is None:
            raise self.wrong("a number")
        return value

    def maybe_count(self) -> int | None:
        return None if self.value is None else self.count()

    def count(self) -> int:
        value = self.number()
        if value < 0 or value != int(value):
            raise self.wrong("a count")
        return int(value)

    def one_of(self, known: Sequence[str], what: str) -> str:
        if not isinstance(self.value, str) or self.value not in known:
            raise self.wrong(f"{what} ({', '.join(known)})")
        return self.value

    def counts(self, classes: Sequence[str]) -> Counts:
        found = {}
        for name, node in self.fields():
            _Node(name, f"a key of {self.place}").one_of(classes, "a class")
            found[name] = node.count()
        return {name: found.get(name, 0) for name in classes}


def read_report(results: Any) -> Report:
    """Check results against the report's contract. Raises ReportError naming the place of the first wrong value."""
    root = _Node(results, "")
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
        settings=Settings() if root.get("settings").absent else _settings(root.get("settings")),
        origin=Origin() if root.get("run").absent else _origin(root.get("run")),
    )


def _data(node: _Node) -> Data:
    classes = [name.text(None) for name in node.get("class_names").items()]
    if not classes or len(set(classes)) < len(classes):
        raise node.get("class_names").wrong("a list of different class names")
    splits = {
        split: node.get(split).counts(classes) for split in ("train", "val", "test") if not node.get(split).absent
    }
    notes = [note.text(None) for note in node.get("notes").items()]
    return Data(node.get("name").text(), node.get("digest").text(), classes, splits, notes)


def _stat(node: _Node) -> Stat:
    if node.absent:
        return NOTHING
    return Stat(*(node.get(key).maybe_number() for key in ("mean", "low", "high")))


def _arm(node: _Node, classes: Sequence[str]) -> Arm:
    per_class, support = {}, dict.fromkeys(classes, 0)
    for name, cls in node.get("per_class").fields():
        _Node(name, f"a key of {cls.place}").one_of(classes, "a class")
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


def _confusion(node: _Node, size: int) -> list[list[int]] | None:
    if node.absent:
        return None
    rows = [[cell.count() for cell in row.items()] for row in node.items()]
    if [len(row) for row in rows] != [size] * size:
        raise node.wrong(f"a table of {size} x {size} counts")
    return rows


def _calibration(node: _Node) -> Calibration:
    bins = [
        Bin(b.get("confidence").number(), b.get("accuracy").number(), b.get("count").count())
        for b in node.get("bins").items()
        if b.get("count").count()
    ]
    return Calibration(node.get("temperature").maybe_number(), node.get("ece").maybe_number(), bins)


def _comparison(node: _Node, arms: Sequence[str], classes: Sequence[str]) -> Comparison:
    metric = node.get("metric")
    measure, colon, cls = metric.text(None).partition(":")
    if colon:
        _Node(measure, metric.place).one_of(tuple(MEASURES), "a measure of a class")
        _Node(cls, metric.place).one_of(classes, "a class")
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
    )


def _headline(verdict: _Node, arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> tuple[Arm, Arm] | None:
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


def _labelling(node: _Node, classes: Sequence[str]) -> Labelling:
    def counted(part: _Node) -> LabelCounts | None:
        if part.absent:
            return None
        return LabelCounts(part.get("counts").counts(classes), part.get("entropy").maybe_number())

    thresholds = {}
    for name, threshold in node.get("thresholds").fields():
        _Node(name, f"a key of {threshold.place}").one_of(classes, "a class")
        if not threshold.absent:
            thresholds[name] = threshold.number()
    return Labelling(
        node.get("classifier").text(),
        node.get("temperature").maybe_number(),
        counted(node.get("before")),
        counted(node.get("after")),
        thresholds,
    )


def _screen(node: _Node, classes: Sequence[str]) -> Screen:
    reasons = {name: reason.count() for name, reason in node.get("reasons").fields()}
    return Screen(node.get("asked").counts(classes), node.get("kept").counts(classes), reasons)


def _faces(node: _Node, classes: Sequence[str]) -> dict[str, dict[str, list[Face]]]:
    faces: dict[str, dict[str, list[Face]]] = {}
    for cls, kinds in node.fields():
        _Node(cls, f"a key of {node.place}").one_of(classes, "a class")
        faces[cls] = {kind: [_face(face) for face in shown.items()] for kind, shown in kinds.fields()}
    return {cls: faces[cls] for cls in classes if cls in faces}


def _face(node: _Node) -> Face:
    png = node.get("png")
    if not _BASE64.fullmatch(png.text(None)):
        raise png.wrong("a base64 PNG")
    return Face(png.text(None), node.get("caption").text())


def _settings(node: _Node) -> Settings:
    return Settings(
        seeds=[seed.count() for seed in node.get("seeds").items()],
        steps=node.get("steps").maybe_count(),
        confidence_level=node.get("confidence_level").maybe_number(),
        resamples=node.get("resamples").maybe_count(),
    )


def _origin(node: _Node) -> Origin:
    texts = {key: node.get(key).text() for key in ("command", "stage", "machine", "device", "started", "finished")}
    return Origin(
        **texts,
        versions={package: version.text(None) for package, version in node.get("versions").fields()},
        seconds=node.get("seconds").maybe_number(),
        times=[(time.get("stage").text(None), time.get("seconds").number()) for time in node.get("times").items()],
    )
