"""WebDataset tar shards: KEY.png (or .jpg, ...), KEY.cls and KEY.json one after the other, read as a stream.

The class is the text of KEY.cls, else `label`, `class`, `cls`, `expression` or `emotion` in KEY.json; a number is named
by --class-names. KEY.json may also have `split` and `group` (or `subject`). The split may be in the shard's name
(train-000000.tar) or its folder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ganfer.data.names import EXPRESSIONS, canonical
from ganfer.data.sources.huggingface import GROUP, LABEL
from ganfer.data.sources.items import Item, ReadOptions, Refused, Stream
from ganfer.data.sources.several import ShardsTree, missing_shards
from ganfer.data.sources.survey import Survey, is_image, split_of
from ganfer.data.sources.tables import json_of, meaning, split_value, text_of
from ganfer.data.sources.tars import check_end
from ganfer.data.sources.trees import Entry, Tree, is_tar
from ganfer.data.sources.words import EVAL, meant_by_eval, split_and_rest, words
from ganfer.errors import DataError

_CLASS = (*LABEL, "cls")
_MAX_TEXT = 2**20  # bytes of a .cls or .json
_KNOWN = frozenset((*_CLASS, "split"))


@dataclass
class _Sample:
    """What has been read of one key."""

    key: str
    image: Entry | None = None
    cls: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    damaged: str = ""  # why what is said of the image cannot be read


def fits(seen: Survey) -> bool:
    """A label per image beside it: KEY.cls, or KEY.json where no folder is a class."""
    labels = seen.sample_labels or (0 if 2 * seen.in_classes > seen.images else seen.sample_json)
    return seen.images > 0 and 2 * labels > seen.images


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per sample, in the shards' order."""
    splits = _Splits(tree)
    stream: Callable[..., Iterator[Entry | Refused]] = getattr(tree, "once", tree.files)
    sample = _Sample("")
    for entry in stream(_belongs):
        if isinstance(entry, Refused):
            yield entry
            continue
        key = _key(entry.name)
        if key != sample.key:
            yield from _finished(sample, splits, tree, options)
            sample = _Sample(key)
        _take(sample, entry, tree)
    yield from _finished(sample, splits, tree, options)


def lines(tree: Tree, seen: Survey, options: ReadOptions) -> list[str]:
    """How the shards are read, in words."""
    splits = _Splits(tree)
    source = "KEY.cls" if seen.sample_labels else "KEY.json"
    by = f", numbers named by --class-names ({', '.join(options.class_names)})" if options.class_names else ""
    for file in splits.files:
        check_end(file)
    told = [f"{name}: {', '.join(shards[:3])}{' and more' * (len(shards) > 3)}" for name, shards in splits.told.items()]
    return [
        f"class: {source}{by}",
        f"split: by the shards' names ({'; '.join(told)}), or `split` in KEY.json"
        if told
        else "split: `split` in KEY.json, where it has one",
        *missing_shards(_stem(shard) for shard in splits.shards),
    ]


class _Splits:
    """The split that a shard's name or folder says."""

    def __init__(self, tree: Tree) -> None:
        inner = getattr(tree, "inner", tree)
        self.shards = shards = list(inner.shards) if isinstance(inner, ShardsTree) else []
        self.files = list(inner.shards.values()) if isinstance(inner, ShardsTree) else []
        found = {shard: split_and_rest(PurePosixPath(_stem(shard)).name)[0] or split_of(shard) for shard in shards}
        measured = meant_by_eval(found.values())
        self._of = {shard: measured if split == EVAL else split for shard, split in found.items()}
        self.told: dict[str, list[str]] = {}
        for shard, split in self._of.items():
            if split:
                self.told.setdefault(split, []).append(PurePosixPath(shard).name)

    def of(self, name: str) -> str:
        """The split of an image, by its shard; else by a folder in the archive."""
        shard = next((shard for shard in _above(name) if shard in self._of), "")
        return self._of.get(shard, "") or split_of(name.removeprefix(f"{shard}/"))


def _above(name: str) -> Iterator[str]:
    """The tars in a path: `a/b.tar` of `a/b.tar/c/1.png`."""
    parts = name.split("/")
    return ("/".join(parts[: i + 1]) for i, part in enumerate(parts) if is_tar(part))


def _stem(shard: str) -> str:
    lower = shard.lower()
    end = next(end for end in (".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".tar") if lower.endswith(end))
    return shard[: -len(end)]


def _key(name: str) -> str:
    """A sample's key: the name as far as the first dot of its last part, as the `webdataset` package has it."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _belongs(name: str) -> bool:
    return is_image(name) or name.lower().endswith((".cls", ".json", ".txt"))


def _take(sample: _Sample, entry: Entry, tree: Tree) -> None:
    if is_image(entry.name):
        if sample.image is not None:
            sample.refused.append(Refused(entry.name, "a second image of its key"))
        else:
            sample.image = entry
        return
    suffix = entry.name.lower().rpartition(".")[2]
    if suffix == "txt":  # a caption
        return
    what = f"{tree.path}: {entry.name}"
    size = entry.data.stat().st_size if isinstance(entry.data, Path) else len(entry.data)
    if size > _MAX_TEXT:
        sample.refused.append(Refused(entry.name, "a label of more than a megabyte"))
        return
    if (suffix == "cls" and sample.cls) or (suffix == "json" and sample.facts):
        sample.refused.append(Refused(entry.name, f"a second .{suffix} of its key"))
        return
    try:
        text = text_of(entry.bytes(), what)
        facts = json_of(text, what, "") if suffix == "json" else None
    except DataError as error:  # its group may be in there: an image without it could be tested on its own person
        sample.damaged = error.problem.removeprefix(f"{tree.path}: ").rstrip(".")
        return
    if suffix == "cls":
        sample.cls = text.strip()
        return
    sample.facts = {str(key): value for key, value in facts.items()} if isinstance(facts, dict) else {}


def _class(cls: str, facts: dict[str, Any], what: str) -> str:
    """The class that KEY.cls says, else KEY.json; "" for none. DataError where they name two expressions."""
    told = next((str(facts[name]) for name in _CLASS if facts.get(name) not in (None, "")), "")
    if (one := canonical(cls)) != (two := canonical(told)) and {one, two} <= set(EXPRESSIONS):
        raise DataError(f"{what} has class {cls} in its .cls, and {told} in its .json.", "Mend one of them.")
    return meaning(cls) or meaning(told)


def _finished(sample: _Sample, splits: _Splits, tree: Tree, options: ReadOptions) -> Stream:
    """The sample as an item, or why there is none."""
    yield from sample.refused
    if not sample.key:
        return
    if sample.damaged:
        yield Refused(sample.image.name if sample.image else sample.key, f"unreadable ({sample.damaged})")
        return
    facts = {key: value for key, value in sample.facts.items() if isinstance(value, str | int | float)}
    what = f"{tree.path}: {sample.key}"
    label = _class(sample.cls, facts, what)
    if sample.image is None:
        yield Refused(sample.key, "no image in the sample", label)
        return
    if not label:
        yield Refused(sample.image.name, "no class in the sample")
        return
    if label.lstrip("-").isdecimal() and not options.class_names:
        raise DataError(
            f"{what} has class {label}, and nothing names the numbers.",
            "Name them in order: --class-names angry,disgust,... (the first is class 0).",
        )
    told = str(facts.get("split", ""))
    split = split_value(told, "split", what, 1) if told else splits.of(sample.image.name)
    group = next((key for key in facts if "".join(words(key)) in GROUP), "")
    yield Item(
        sample.image.name,
        label,
        sample.image.data,
        split,
        meaning(str(facts[group])) if group else "",
        attributes={key: str(value) for key, value in facts.items() if key not in _KNOWN and key != group},
    )
