"""What a report says, typed: `ganfer.report.reading` makes these from `results.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ganfer.page.blocks import NOTHING, Bin, Face, Stat
from ganfer.page.node import Counts

FORMAT = 1
WORDS = ("helps", "does not help", "no difference", "hurts", "cannot tell")
MEASURES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}


@dataclass(frozen=True)
class Calibration:
    """Temperature, expected calibration error (fraction) and the bins they come from."""

    temperature: float | None
    ece: float | None
    bins: Sequence[Bin]


@dataclass(frozen=True)
class Arm:
    """One way to train. `train_counts` are all its images, `synthetic_counts` how many of those are synthetic."""

    name: str
    title: str
    description: str
    train_counts: Counts | None
    synthetic_counts: Counts
    metrics: Mapping[str, Stat]
    per_class: Mapping[str, Mapping[str, Stat]]
    support: Counts
    confusion: Sequence[Sequence[int]] | None
    steps: int | None
    seconds: float | None
    calibration: Calibration | None

    @property
    def is_synthetic(self) -> bool:
        """Whether any of its training images are synthetic."""
        return any(self.synthetic_counts.values())

    def stat(self, cls: str, measure: str) -> Stat:
        """Precision, recall or F1 of one class."""
        return self.per_class.get(cls, {}).get(measure, NOTHING)


@dataclass(frozen=True)
class McNemar:
    """Test images that the arm gets right more often, and less often, and the exact p-value."""

    better: int
    worse: int
    p: float


@dataclass(frozen=True)
class Evidence:
    """Beside a change: its p-value, the one corrected for its family, the smallest change that could have been shown
    and the one that would be found four times in five (fractions), and McNemar's test (of the accuracy only)."""

    p: float | None = None
    p_holm: float | None = None
    detectable: float | None = None
    likely: float | None = None
    mcnemar: McNemar | None = None


@dataclass(frozen=True)
class Comparison:
    """The change from `baseline` to `arm` in a metric (`accuracy`) or a measure of a class (`recall`, `angry`)."""

    arm: str
    baseline: str
    measure: str
    cls: str | None
    change: Stat
    word: str
    evidence: Evidence = Evidence()
    level: float | None = None  # of the interval, where Holm's correction asked for another than the report's


@dataclass(frozen=True)
class Selection:
    """What validation chose: the best cheap arm, the best rebalancing one, every arm's balanced accuracy there, and the
    best of all arms without synthetic faces ("" in reports made before it was written down)."""

    best_cheap: str = ""
    best_rebalancing: str = ""
    validation: Mapping[str, float] = field(default_factory=dict)
    best_without: str = ""


@dataclass(frozen=True)
class Tried:
    """One way of adding faces and its balanced accuracy on validation. ratio: per real image, None for all kept. way:
    how they are learned from."""

    ratio: float | None
    weight: float
    count: int
    level: Stat
    chosen: bool
    way: str = "plain"


@dataclass(frozen=True)
class Tuning:
    """How many faces, which weight and which way to learn from them were tried; these two also beside the best
    rebalancing."""

    ratios: Sequence[Tried]
    weights: Sequence[Tried]
    weights_with_best: Sequence[Tried] = ()
    ways: Sequence[Tried] = ()
    ways_with_best: Sequence[Tried] = ()


@dataclass(frozen=True)
class PriorShifted:
    """Every arm decided for balanced accuracy: its metrics, and their change from `best`, which itself has none."""

    best: str
    levels: Mapping[str, Mapping[str, Stat]]
    changes: Mapping[str, Mapping[str, Stat]]


@dataclass(frozen=True)
class Group:
    """Test images with one value of a column; metrics by name, empty where the group is too small."""

    value: str
    count: int
    before: Mapping[str, Stat]
    after: Mapping[str, Stat]
    change: Mapping[str, Stat]


@dataclass(frozen=True)
class Data:
    """The data set: names, counts per split, what was excluded; check: what the data check found, in words."""

    name: str
    digest: str
    class_names: Sequence[str]
    splits: Mapping[str, Counts]
    notes: Sequence[str]
    check: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class LabelCounts:
    """How many images the labeller gave to each class, and the entropy of that relative to uniform (0..1)."""

    counts: Counts
    entropy: float | None


@dataclass(frozen=True)
class Labelling:
    """The labeller and what it said before and after the screen."""

    classifier: str
    temperature: float | None
    before: LabelCounts | None
    after: LabelCounts | None
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class Screen:
    """What the screen kept of what was asked for, and why it rejected the rest."""

    asked: Counts
    kept: Counts
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class Origin:
    """How the report was made: everything needed to make it again."""

    command: str = ""
    stage: str = ""
    machine: str = ""
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    started: str = ""
    finished: str = ""
    times: Sequence[tuple[str, float]] = ()
    estimated: float | None = None  # seconds, before the start


@dataclass(frozen=True)
class Settings:
    """Seeds, steps and the statistics' settings."""

    seeds: Sequence[int] = ()
    steps: int | None = None
    confidence_level: float | None = None
    resamples: int | None = None
    ratio: float | None = None
    weight: float | None = None
    weight_with_best: float | None = None
    way: str = ""
    way_with_best: str = ""
    soft_labels: bool = False


@dataclass(frozen=True)
class Report:
    """Everything that a report shows; `None` and empty parts leave their section out."""

    title: str
    word: str
    sentence: str
    headline: tuple[Arm, Arm] | None  # (baseline, arm) that the verdict is about
    data: Data
    arms: Sequence[Arm]
    comparisons: Sequence[Comparison]
    labelling: Labelling | None
    screen: Screen | None
    faces: Mapping[str, Mapping[str, Sequence[Face]]]
    settings: Settings
    origin: Origin
    selection: Selection = Selection()
    tuning: Tuning | None = None
    equal_shares: PriorShifted | None = None
    beside: str = ""  # what belongs beside the verdict's sentence
    recommendation: str = ""  # which arm to use, in a sentence
    exchange: Sequence[str] = ()  # what the faces were worth in real images, and what more would bring, in sentences
    groups: Mapping[str, Sequence[Group]] = field(default_factory=dict)

    @property
    def classes(self) -> Sequence[str]:
        """The class names in order."""
        return self.data.class_names

    @property
    def baseline(self) -> Arm:
        """What the others are measured against."""
        return self.headline[0] if self.headline else self.arms[0]

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def compared(self, measure: str, cls: str | None = None) -> list[Comparison]:
        """All comparisons in one metric, or in one measure of one class."""
        return [c for c in self.comparisons if c.measure == measure and c.cls == cls]

    def headline_change(self, measure: str, cls: str | None = None) -> Comparison | None:
        """The comparison that the verdict is about, in one metric."""
        if self.headline is None:
            return None
        pair = tuple(arm.name for arm in self.headline)
        return next((c for c in self.compared(measure, cls) if (c.baseline, c.arm) == pair), None)
