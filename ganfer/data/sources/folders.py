"""Class folders, with or without train/val/test folders; and CK+48, whose file names tell the subject."""

from collections.abc import Iterator

from ganfer.data.names import EXPRESSIONS, canonical
from ganfer.data.sources.items import Item, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import CK_NAME, SPLIT_FOLDERS, Survey, is_image
from ganfer.data.sources.trees import Tree


def fits(seen: Survey) -> bool:
    """Any images in folders."""
    return seen.images > seen.depths[0]


def fits_ck(seen: Survey) -> bool:
    """Names like S010_004_00000017.png, and class folders."""
    return seen.ck_names > 0.9 * seen.images > 0 and seen.depth > 0


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per image; the folder is the class, as `place` reads the path."""
    del options
    for entry in tree.files(is_image):
        if isinstance(entry, Refused):
            yield entry
            continue
        split, label = place(entry.name, seen.depth)
        if label:
            yield Item(entry.name, label, entry.data, split=split)
        else:
            yield Refused(entry.name, "not in a class folder")


def items_ck(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """As `items`, with the subject (S010) as the group: frames of one person must not be on both sides of a split."""
    for item in items(tree, seen, options):
        if isinstance(item, Refused):
            yield item
            continue
        match = CK_NAME.fullmatch(item.id.rpartition("/")[2])
        subject = match["subject"] if match else ""
        yield Item(item.id, item.label, item.data, split=item.split, group=subject)


def labels(tree: Tree, seen: Survey) -> Iterator[str]:
    """The class of every image, from the names alone."""
    for name in tree.names():
        if is_image(name):
            label = place(name, seen.depth)[1]
            if label:
                yield label


def place(name: str, depth: int) -> tuple[str, str]:
    """(split, class) of a path; "" where it does not say. `depth`: folders above most images.

    A folder named like an expression is the class wherever it stands. Otherwise the class is the first folder inside
    the split's (`train/ann/x.png`), or around it (`ann/train/x.png`), or, without splits, the folder at the usual
    depth: an image above that depth lies outside the classes.
    """
    folders = name.split("/")[:-1]
    at = next((i for i, folder in enumerate(folders) if folder.lower() in SPLIT_FOLDERS), None)
    split = SPLIT_FOLDERS[folders[at].lower()] if at is not None else ""
    inside = folders if at is None else folders[at + 1 :]
    around = [] if at is None else folders[:at]
    for folder in (*inside, *around):
        if canonical(folder) in EXPRESSIONS:
            return split, folder
    if at is not None:
        return split, (inside[:1] or around[-1:] or [""])[0]
    return split, folders[depth - 1] if 0 < depth <= len(folders) else ""
