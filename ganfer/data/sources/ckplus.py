"""CK+ as released: `cohn-kanade-images/S005/001/S005_001_00000001.png` and `Emotion/S005/001/..._emotion.txt`.

Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)", CVPR Workshops 2010. A sequence runs from neutral to the peak of
an expression; the label file bears the name of its peak frame, which is the labelled image. Sequences without a label
file (about half) and all other frames are left out and listed.
"""

from ganfer.data.sources.items import Item, Note, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import CK_LABEL, CK_NAME, Survey, base, is_image
from ganfer.data.sources.tables import label_files, named
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

CLASSES = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
_END = "_emotion.txt"
UNLABELLED = "CK+: not a labelled peak frame"


def fits(seen: Survey) -> bool:
    """CK+'s label files and frames."""
    return seen.emotion_files > 0 and seen.ck_names > 0


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per labelled peak frame, the subject as its group."""
    del seen, options
    files = label_files(tree, lambda name: CK_LABEL.fullmatch(base(name)) is not None)
    labels = {base(name).removesuffix(_END): _label(content, f"{tree.path}: {name}") for name, content in files.items()}
    frames = 0
    for entry in tree.files(lambda name: is_image(name) and base(name).rpartition(".")[0] in labels):
        if isinstance(entry, Refused):
            yield entry
            continue
        match = CK_NAME.fullmatch(base(entry.name))
        label = labels.pop(base(entry.name).rpartition(".")[0], "")
        if not label:
            yield Refused(entry.name, "CK+: another image of that name was used")
            continue
        frames += 1
        yield Item(entry.name, label, entry.data, group=match["subject"] if match else "")
    for stem in labels:
        yield Refused(stem + _END, "CK+: its frame is not there")
    yield Note(f"CK+: the {frames:,} peak frames that have a label; their sequences' other frames are left out.")


def _label(content: bytes, what: str) -> str:
    try:
        code = float(content.decode("ascii"))
    except ValueError as error:
        raise DataError(
            f"{what}: {content[:40]!r} is not a number.", "It must be 0 (neutral) to 7 (surprise)."
        ) from error
    return named(code, CLASSES, what, 1)


def own(name: str) -> bool:
    """Files of the release that are not needed: facial landmarks and action units."""
    return base(name).lower().endswith(("_landmarks.txt", "_facs.txt"))
