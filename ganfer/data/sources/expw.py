"""ExpW (Expression in-the-Wild): `label/label.lst` and photographs with one or more faces each.

Zhang et al., "From Facial Expression Recognition to Interpersonal Relation Prediction", IJCV 2018. A line is: image
name, face id, top, left, right, bottom, confidence of the face box, label.
"""

from collections import defaultdict

from ganfer.data.sources.items import Item, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey, base
from ganfer.data.sources.tables import joined, label_files, named, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_LABELS = "label.lst"


def fits(seen: Survey) -> bool:
    """A label.lst and images."""
    return seen.images > 0 and seen.has(_LABELS)


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per face: the image cut at the face box. Faces below the wanted confidence are left out and listed."""
    del seen
    files = label_files(tree, lambda name: base(name).lower() == _LABELS)
    rows: dict[str, list[Item | Refused]] = defaultdict(list)
    unsure = f"face confidence below {options.face_confidence:g}"
    for name, content in files.items():
        what = f"{tree.path}: {name}"
        for line, text in enumerate(text_of(content, what).splitlines(), start=1):
            if not text.strip():
                continue
            item, confidence = _parse(text.split(), what, line)
            sure = confidence >= options.face_confidence
            rows[item.id.rpartition("#")[0]].append(item if sure else Refused(item.id, unsure))
    yield from joined(tree, dict(rows), base, _LABELS)


def _parse(fields: list[str], what: str, line: int) -> tuple[Item, float]:
    try:
        image, face, *box, confidence, label = fields
        top, left, right, bottom = (int(float(value)) for value in box)
        sure, code = float(confidence), int(label)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{what}, line {line}: {' '.join(fields)!r}.",
            "It must be: name, face id, top, left, right, bottom, confidence, label.",
        ) from error
    expression = named(code, CLASSES, what, line)
    item = Item(
        f"{image}#{face}", expression, b"", box=(left, top, right, bottom), attributes={"face_confidence": confidence}
    )
    return item, sure
