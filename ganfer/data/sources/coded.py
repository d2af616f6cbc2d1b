"""Data sets whose file names tell expression and subject (`codes`), wherever the files lie."""

from collections.abc import Callable

from ganfer.data.sources.codes import CODES
from ganfer.data.sources.folders import reading
from ganfer.data.sources.items import Item, ReadOptions, Refused, Stream
from ganfer.data.sources.survey import Survey, base, is_image, split_of
from ganfer.data.sources.trees import Tree

_MOST = 0.9  # of the images must be named so


def fits(kind: str) -> Callable[[Survey], bool]:
    """Nearly all images named like that data set's, and no folders that say otherwise."""
    return lambda seen: seen.coded[kind] > _MOST * seen.images > 0


def items(kind: str) -> Callable[[Tree, Survey, ReadOptions], Stream]:
    """One item per image: class and subject by its name."""
    code = CODES[kind]

    def stream(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
        plan = reading(tree, seen, options) if seen.in_classes == seen.images else None
        for entry in tree.files(is_image):
            if isinstance(entry, Refused):
                yield entry
                continue
            match = code.pattern.fullmatch(base(entry.name))
            if match is None:
                yield Refused(entry.name, f"not one of {code.title}")
                continue
            found = match.groupdict()
            named = code.names[found.pop("expression").upper()]
            label = plan.of(entry.name).label if plan else named  # class folders were somebody's decision
            group = found.pop("subject").upper()
            yield Item(entry.name, label or named, entry.data, split_of(entry.name), group, attributes=found)

    return stream
