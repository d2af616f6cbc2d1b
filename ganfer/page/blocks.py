"""The pieces a page is made of. A section is a list of blocks, a block is drawn by the template macro of its `kind`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Stat:
    """An estimate and its interval, as fractions; None where nothing could be measured."""

    mean: float | None
    low: float | None
    high: float | None

    @property
    def known(self) -> tuple[float, ...]:
        """The numbers that are there, for choosing an axis."""
        return tuple(value for value in (self.mean, self.low, self.high) if value is not None)


NOTHING = Stat(None, None, None)


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Face:
    """An embedded image: base64 PNG and what to write under it."""

    png: str
    caption: str


NO_DRAWING = Markup("")
ROOMS = (16, 19, 22, 25, 28, 31, 35, 40, 46, 54)


@dataclass(frozen=True)
class Cell:
    """A value of a table; `word` is a verdict word beside it."""

    text: str = ""
    word: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a panel: what it is about, one strip of the plot, the same in numbers."""

    label: str
    cells: Sequence[Cell]
    plot: Markup = NO_DRAWING
    note: str = ""
    key: Markup = NO_DRAWING


@dataclass(frozen=True)
class Panel:
    """A table, one column of which may be a plot: every plot has its numbers beside it.

    columns: headings of the cells. plot: heading of the plot column, empty for a table without one.
    caption_hidden: for a panel whose section heading says the same already. is_text: the cells are words, not numbers.
    """

    kind: ClassVar[str] = "panel"
    caption: str
    head: str
    columns: Sequence[str]
    rows: Sequence[Row]
    plot: str = ""
    axis: Markup = NO_DRAWING
    note: str = ""
    total: Row | None = None
    caption_hidden: bool = False
    is_text: bool = False

    @property
    def labelled(self) -> bool:
        """Whether a cell must name its column where the head of the table cannot be shown."""
        return len(self.columns) > 1 and not any(cell.word for row in self.rows for cell in row.cells)

    @property
    def room(self) -> int:
        """The width, in rem, below which a row takes several lines, the plot its own; one of `ROOMS`."""
        widest = [
            max(
                *(len(word) for word in heading.split()),
                4,
                *(len(row.cells[i].text + row.cells[i].word) for row in self.rows),
            )
            for i, heading in enumerate(self.columns)
        ]
        name = 16 if self.plot else 12 if any(row.note for row in self.rows) else 6
        needed = name + sum(1 + 0.47 * min(width, 40) for width in widest)
        return next((room for room in ROOMS if room >= needed), ROOMS[-1])


@dataclass(frozen=True)
class Panels:
    """Several panels; beside each other where there is room."""

    kind: ClassVar[str] = "panels"
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Legend:
    """What the marks mean."""

    kind: ClassVar[str] = "legend"
    entries: Sequence[tuple[Markup, str]]


@dataclass(frozen=True)
class MatrixCell:
    """A cell of a confusion matrix: its text, how strongly it is shaded (−1..1), and the count behind it."""

    text: str
    shade: float
    title: str = ""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix (or a difference of two) as a shaded table: rows true, columns predicted."""

    kind: ClassVar[str] = "matrix"
    caption: str
    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[MatrixCell], str]]
    last: str
    is_difference: bool = False

    def percent(self, cell: MatrixCell) -> int:
        """How strongly to shade a cell, 0..100; a difference of 25 points is as strong as it gets."""
        return round(min(100.0, 100 * abs(cell.shade) * (4 if self.is_difference else 1)))


@dataclass(frozen=True)
class Matrices:
    """Matrices beside each other where there is room."""

    kind: ClassVar[str] = "matrices"
    matrices: Sequence[Matrix]


@dataclass(frozen=True)
class FaceClass:
    """Faces of one class: groups (real, synthetic, ...) with a title and a word for the alternative text."""

    name: str
    groups: Sequence[tuple[str, str, Sequence[Face]]]


@dataclass(frozen=True)
class Faces:
    """Real and synthetic faces side by side, class by class."""

    kind: ClassVar[str] = "faces"
    classes: Sequence[FaceClass]


@dataclass(frozen=True)
class Diagram:
    """A drawing with its numbers in a table that opens."""

    kind: ClassVar[str] = "diagram"
    title: str
    text: str
    drawing: Markup | None
    table: Panel | None


@dataclass(frozen=True)
class Diagrams:
    """Diagrams beside each other."""

    kind: ClassVar[str] = "diagrams"
    diagrams: Sequence[Diagram]


@dataclass(frozen=True)
class Details:
    """Blocks that open on request; they are printed."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Items:
    """A list of remarks."""

    kind: ClassVar[str] = "items"
    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Something to type."""

    kind: ClassVar[str] = "code"
    label: str
    text: str


Block = Panel | Panels | Legend | Matrices | Faces | Diagrams | Details | Items | Code


@dataclass(frozen=True)
class Section:
    """A heading, how to read what follows, and the blocks."""

    id: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default_factory=tuple)


@dataclass(frozen=True)
class Tile:
    """A headline figure: before and after, the change and its word."""

    name: str
    before: str
    after: str
    change: str
    word: str


TONES = {
    "helps": "helps", "hurts": "hurts", "does not help": "same", "no difference": "same", "cannot tell": "unknown",
}  # fmt: skip
