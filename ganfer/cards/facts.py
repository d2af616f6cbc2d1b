"""What is told of a set of images, in its card and in its Croissant metadata alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: What is neither allowed nor sensible, whoever trains on the images.
NOT_FOR = (
    "decisions about a person: hiring, schooling, policing, border control, credit, insurance, health",
    "inferring what somebody feels: a class names what a face shows, as annotators or a classifier saw it",
    "emotion recognition at work or in education: Art. 5(1)(f) of the EU AI Act, but for medical or safety reasons",
    "validation or test: a figure measured on synthetic images says nothing of real faces",
)


@dataclass(frozen=True)
class DatasetFacts:
    """What a card says.

    counts: split -> class -> images; a class of "" where none was asked for. form: png, webdataset or parquet. files:
    split -> pattern of its files, relative to the card. synthetic: how many of the images. made: how they were made,
    (what, value) in order. licence: an identifier of the Hub. columns: of the table, name -> meaning.
    """

    name: str
    title: str
    counts: Mapping[str, Mapping[str, int]]
    size: int
    channels: int
    form: str
    files: Mapping[str, str]
    synthetic: int
    made: Sequence[tuple[str, object]] = ()
    licence: str = "unknown"
    columns: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def total(self) -> int:
        """Images in all splits."""
        return sum(sum(classes.values()) for classes in self.counts.values())

    @property
    def class_names(self) -> list[str]:
        """The classes of all splits, in order."""
        return [name for name in dict.fromkeys(name for classes in self.counts.values() for name in classes) if name]


def description(facts: DatasetFacts) -> str:
    """In two sentences."""
    kind = "grey" if facts.channels == 1 else "colour"
    real = facts.total - facts.synthetic
    what = f"{facts.synthetic:,} synthetic" if not real else f"{real:,} real and {facts.synthetic:,} synthetic"
    what = f"{real:,} real" if not facts.synthetic else what
    classes = ", ".join(facts.class_names)
    return (
        f"{what} face images, {facts.size} x {facts.size} pixels, {kind}"
        + (f", of {len(facts.class_names)} facial expressions ({classes})." if classes else ", without classes.")
        + " Written by ganfer, a toolkit that measures whether synthetic faces help an expression classifier."
    )
