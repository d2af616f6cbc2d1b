"""Class folders, with or without train/val/test and subject folders; and CK+48, whose file names tell the subject."""

from collections.abc import Iterator

from ganfer.data.sources.items import Item, ReadOptions, Refused, Stream
from ganfer.data.sources.reading import OUTSIDE, Reading, read_folders
from ganfer.data.sources.survey import CK_NAME, Survey, is_image
from ganfer.data.sources.trees import Tree
from ganfer.errors import DataError


def fits(seen: Survey) -> bool:
    """Any images in folders."""
    return seen.in_folders > 0


def fits_ck(seen: Survey) -> bool:
    """Names like S010_004_00000017.png, below folders named like expressions."""
    return seen.ck_names > 0.9 * seen.images > 0 and seen.in_classes > 0


def reading(tree: Tree, seen: Survey, options: ReadOptions) -> Reading:
    """The plan for the source's folders. DataError when it is open which folder is the class."""
    levels = {"class_level": options.class_level, "subject_level": options.subject_level}
    try:
        return read_folders(seen.folders, str(tree.path), **levels)
    except DataError as error:
        tables = [name for name in seen.label_files if name.lower().endswith(".csv")]
        if not tables:
            raise
        more = f"If {tables[0]} holds the classes, call it metadata.csv, with columns file_name and label."
        raise DataError(error.problem, f"{error.remedy} {more}") from error


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per image; the folder is the class, as the plan says."""
    plan = reading(tree, seen, options)
    for entry in tree.files(is_image):
        if isinstance(entry, Refused):
            yield entry
            continue
        place = plan.of(entry.name)
        if place.label:
            yield Item(entry.name, place.label, entry.data, split=place.split, group=place.group)
        else:
            yield Refused(entry.name, OUTSIDE)


def items_ck(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """As `items`, with the subject (S010) as the group: frames of one person must not be on both sides of a split."""
    for item in items(tree, seen, options):
        if not isinstance(item, Item):
            yield item
            continue
        match = CK_NAME.fullmatch(item.id.rpartition("/")[2])
        yield Item(item.id, item.label, item.data, split=item.split, group=match["subject"] if match else item.group)


def labels(tree: Tree, seen: Survey, options: ReadOptions) -> Iterator[str]:
    """The classes, from the names alone."""
    plan = reading(tree, seen, options)
    return (place.label for folder, place in plan.places.items() if place.label and seen.folders[folder])
