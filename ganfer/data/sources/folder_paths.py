"""Folders as paths, and the splits that their names say."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganfer.data.sources.words import EVAL, expression_in, meant_by_eval, split_and_rest


@dataclass(frozen=True, slots=True)
class FolderPath:
    """One folder with images: its parts, the split they name, and the parts that name none (index, name)."""

    parts: tuple[str, ...]
    split: str
    rest: tuple[tuple[int, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.rest)


def folder_paths(names: Sequence[str]) -> dict[str, FolderPath]:
    """Of every folder: its parts, its innermost split, and the parts that are no split."""
    paths = {name: tuple(name.split("/")) if name else () for name in names}
    children: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for parts in paths.values():
        for i, part in enumerate(parts):
            children[parts[:i]].add(part)
    found = {name: _split_parts(parts, children) for name, parts in paths.items()}
    stated = {split for splits in found.values() for _, split in splits[-1:]}
    measured = meant_by_eval(stated)
    result = {}
    for name, splits in found.items():
        split = splits[-1][1] if splits else ""
        taken = {i for i, _ in splits}
        rest = tuple((i, part) for i, part in enumerate(paths[name]) if i not in taken or class_with_split(part))
        result[name] = FolderPath(paths[name], measured if split == EVAL else split, rest)
    return result


def _split_parts(parts: tuple[str, ...], children: Mapping[tuple[str, ...], set[str]]) -> list[tuple[int, str]]:
    """(index, split) of the parts that name a split.

    A name with further words (`fer_train`) is a split where all folders beside it are, and they are of two kinds; so
    `test_anxiety` beside `calm` stays a class.
    """
    found = []
    for i, part in enumerate(parts):
        split, rest = split_and_rest(part)
        if split and rest and not class_with_split(part):
            beside = [split_and_rest(name)[0] for name in children[parts[:i]]]
            split = split if all(beside) and len(set(beside)) > 1 else ""
        if split:
            found.append((i, split))
    return found


def class_with_split(part: str) -> str:
    """The expression in a name that is split and class in one (`train_happy`), "" in any other."""
    split, rest = split_and_rest(part)
    return expression_in(rest[0]) if split and len(rest) == 1 else ""
