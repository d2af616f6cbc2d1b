"""What a source of images hands out, one at a time: an item to decode, or the name of something it left out and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image written as text: its grey values, 0..255, row by row, separated by blanks (FER2013's CSV)."""

    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image, not decoded yet.

    id: its name within the source. label: the class's name as the source writes it. data: an encoded image, where it
    lies, or pixels as text. split: train, val, test, eval (one of the two), or "" where the source has none. group: the
    subject, "" where unknown. box: (left, top, right, bottom) of the face in pixels, or None for the whole image.
    votes: class name -> share, or None.
    """

    id: str
    label: str
    data: bytes | Path | Pixels
    split: str = ""
    group: str = ""
    box: tuple[int, int, int, int] | None = None
    votes: Mapping[str, float] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """Something the source left out: its name there, and the reason, which `skipped.csv` lists.

    label: the class it would have had, "" where that is unknown.
    """

    id: str
    reason: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """What the user should know of how a source was read."""

    text: str


Stream = Iterator[Item | Refused | Note]


@dataclass(frozen=True)
class ReadOptions:
    """What the user may ask of a source. soft_labels: keep the votes. face_confidence: smallest one taken.

    class_level, subject_level: which folder of a path is the class and which the subject; 1 is the folder directly in
    the source, -1 the one that holds the image. None: found out. class_names: of classes that the source numbers, in
    the order of the numbers. columns: what a table's columns mean (image, label, split, group) -> their names.
    """

    soft_labels: bool = False
    face_confidence: float = 0.0
    class_level: int | None = None
    subject_level: int | None = None
    class_names: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
