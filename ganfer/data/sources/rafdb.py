"""RAF-DB, basic part: `EmoLabel/list_patition_label.txt` and `Image/aligned/train_00001_aligned.jpg`.

Li, Deng and Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the Wild",
CVPR 2017. Also the redistribution with folders `train/1` ... `test/7`. Where the aligned faces are there, the original
photographs are left out: they show the same faces. `Annotation/manual/*_manu_attri.txt` gives gender, race and age
group as attributes.
"""

from pathlib import PurePosixPath

from ganfer.data.sources.items import Item, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import RAF_NAME, Survey, base, is_image
from ganfer.data.sources.tables import joined, label_files, named, text_of
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError

CLASSES = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
_LABELS = "list_patition_label.txt"  # the publisher's spelling
_ATTRIBUTES = "_manu_attri.txt"
GENDER = ("male", "female", "unsure")
RACE = ("Caucasian", "African-American", "Asian")
AGE = ("0-3", "4-19", "20-39", "40-69", "70+")


def fits(seen: Survey) -> bool:
    """The label file, or folders 1 to 7 of names like train_00001_aligned.jpg."""
    return seen.images > 0 and (seen.has(_LABELS) or (seen.raf_names > 0.9 * seen.images and not seen.in_classes))


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per image of the label file, or of the numbered folders."""
    del options
    if not seen.has(_LABELS):
        yield from _numbered(tree)
        return
    files = label_files(tree, lambda name: base(name).lower() == _LABELS or name.endswith(_ATTRIBUTES))
    attributes = {
        base(name).removesuffix(_ATTRIBUTES): _people(content)
        for name, content in files.items()
        if name.endswith(_ATTRIBUTES)
    }
    rows: dict[str, list[Item]] = {}
    for name, content in files.items():
        if name.endswith(_ATTRIBUTES):
            continue
        what = f"{tree.path}: {name}"
        for line, text in enumerate(text_of(content, what).splitlines(), start=1):
            image, _, code = text.strip().rpartition(" ")
            if not text.strip():
                continue
            match = RAF_NAME.fullmatch(image.strip())
            if match is None or not code.isdecimal():
                raise DataError(f"{what}, line {line}: {text.strip()!r}.", "It must be like: train_00001.jpg 5.")
            stem = PurePosixPath(image).stem
            label = named(int(code), CLASSES, what, line, first=1)
            if stem in rows and rows[stem][0].label != label:
                raise DataError(
                    f"{what}, line {line}: {image.strip()} is {label}, and {rows[stem][0].label} before.",
                    "Mend one of the lines.",
                )
            rows[stem] = [Item(image.strip(), label, b"", split=match["split"], attributes=attributes.get(stem, {}))]
    aligned = any("_aligned." in name for name in tree.names() if is_image(name))
    yield from joined(
        tree, rows, _stem, _LABELS, among=lambda name: is_image(name) and ("_aligned." in name or not aligned)
    )


def own(name: str) -> bool:
    """Annotations that are not needed: landmarks and boxes found by machine."""
    return "Annotation/" in name and name.endswith(".txt")


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.removesuffix("_aligned")


def _numbered(tree: Tree) -> Stream:
    for entry in tree.files(is_image):
        if isinstance(entry, Refused):
            yield entry
            continue
        folder, match = PurePosixPath(entry.name).parent.name, RAF_NAME.fullmatch(base(entry.name))
        if match is None or not folder.isdecimal() or not 1 <= int(folder) <= len(CLASSES):
            yield Refused(entry.name, "not in a folder 1 to 7 of RAF-DB's classes")
        else:
            yield Item(entry.name, CLASSES[int(folder) - 1], entry.data, split=match["split"])


def _people(content: bytes) -> dict[str, str]:
    """gender, race and age group, the last three lines after five landmarks; nothing in any other file."""
    codes = content.decode("ascii", "replace").split()[-3:]
    tables = {"gender": GENDER, "race": RACE, "age_group": AGE}
    if len(codes) < 3 or not all(code.isdecimal() for code in codes):
        return {}
    return {
        name: values[int(code)]
        for (name, values), code in zip(tables.items(), codes, strict=True)
        if int(code) < len(values)
    }
