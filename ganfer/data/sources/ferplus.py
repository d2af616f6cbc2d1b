"""FERPlus: ten people's votes for every FER2013 image (`fer2013new.csv` beside `fer2013.csv`).

Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution", ICMI
2016. Row i of the one file belongs to row i of the other. As in the paper, an expression with a single vote is an
outlier and dropped. The label is the expression with more than half of the votes left; without one, the image is left
out, as are those voted unknown or no face. With soft labels the votes themselves are kept, and the label is the
expression with most votes.
"""

from collections.abc import Iterator
from itertools import zip_longest

from ganfer.data.sources import fer2013
from ganfer.data.sources.items import Item, Note, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey, base
from ganfer.data.sources.tables import csv_rows, label_files, lines_of, number, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

_VOTES = "fer2013new.csv"
CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
OUTSIDE = ("unknown", "NF")


def fits(seen: Survey) -> bool:
    """The votes and the images."""
    return seen.has(_VOTES) and seen.has("fer2013.csv", "icml_face_data.csv")


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """FER2013's rows with FERPlus's labels."""
    files = label_files(tree, lambda name: base(name).lower() == _VOTES)
    name, content = next(iter(files.items()))
    what = f"{tree.path}: {name}"
    votes = [
        {column: number(row, column, what, line) for column in (*CLASSES, *OUTSIDE)}
        for line, row in csv_rows(lines_of(text_of(content, what)), what, (*CLASSES, *OUTSIDE))
    ]
    faces = Survey(files=1, label_files=[name for name in seen.label_files if base(name).lower() != _VOTES])
    for item, tally in zip_longest(_faces(fer2013.items(fer2013.CLASSES)(tree, faces, options)), votes):
        if item is None or tally is None:
            raise DataError(
                f"{what} has {len(votes):,} rows, fer2013.csv has {'fewer' if item is None else 'more'}.",
                "Use the two files as published: row by row they belong together.",
            )
        yield item if isinstance(item, Refused) else labelled(item, tally, options.soft_labels)


def _faces(stream: Stream) -> Iterator[Item | Refused]:
    """FER2013's rows without notes: they must stay in step with the votes."""
    return (entry for entry in stream if not isinstance(entry, Note))


def labelled(item: Item, tally: dict[str, float], soft: bool) -> Item | Refused:
    """The item with the label that the votes give, or why they give none."""
    kept = {name: count for name, count in tally.items() if count > 1}
    total = sum(kept.values())
    if not kept:
        return Refused(item.id, "FERPlus: no agreement")
    winner = max(kept, key=lambda name: kept[name])
    if winner in OUTSIDE:
        return Refused(item.id, "FERPlus: voted " + ("no face" if winner == "NF" else "unknown"))
    if not soft and kept[winner] <= total / 2:
        return Refused(item.id, "FERPlus: no majority")
    named = {name: count for name, count in kept.items() if name not in OUTSIDE}
    share = {name: count / sum(named.values()) for name, count in named.items()} if soft else None
    return Item(item.id, winner, item.data, split=item.split, votes=share)
