"""Hugging Face Parquet: a row per image, `image` a struct of bytes and path (or bytes), `label` a ClassLabel or text.

The classes are those of the file's `huggingface` metadata. The split is a column, the file's name
(train-00000-of-00003.parquet) or its folder (train/0000.parquet). Files are read row group by row group; memory does
not grow with them. FER2013 as Parquet has its grey values as text in `pixels`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ganfer.data.sources.huggingface import GROUP, LABEL
from ganfer.data.sources.items import Item, Note, Pixels, ReadOptions, Refused, Stream
from ganfer.data.sources.parquet_files import Field, ParquetFile, image_bytes, image_path
from ganfer.data.sources.several import missing_shards
from ganfer.data.sources.survey import Survey, split_of
from ganfer.data.sources.tables import meaning, split_column, split_value
from ganfer.data.sources.trees import Tree
from ganfer.data.sources.words import EVAL, meant_by_eval, split_and_rest, words
from ganfer.data.text import printable
from ganfer.errors import DataError, did_you_mean

SUFFIX = ".parquet"
_IMAGE = ("image", "img", "face", "picture", "photo")
MEANINGS = ("image", "label", "split", "group")
_NO_IMAGE, _NO_CLASS = "no image in the row", "no class in the row"
_NAME_ALONE = "only a file's name in the row, no image"
_HOLDS = {
    "image": "images", "bytes": "bytes", "text": "text", "whole": "whole numbers", "list": "lists",
    "other": "neither text nor whole numbers",
}  # fmt: skip


@dataclass(frozen=True)
class Roles:
    """Which column of a file is what; "" for none. names: the classes of a numbered label, in order."""

    image: str
    label: str
    split: str
    group: str
    attributes: tuple[str, ...]
    names: tuple[str, ...]
    split_names: tuple[str, ...]
    pixels: bool
    notes: tuple[str, ...]

    def columns(self) -> list[str]:
        """All that is read."""
        return [name for name in (self.image, self.label, self.split, self.group, *self.attributes) if name]


def fits(seen: Survey) -> bool:
    """Parquet files and no images beside them."""
    return bool(seen.parquet) and not seen.images


def allows(seen: Survey) -> bool:
    """Parquet files, whatever lies beside them."""
    return bool(seen.parquet)


def own(name: str) -> bool:
    """What a folder of the Hub holds beside its data."""
    return PurePosixPath(name).name.lower() in (
        "readme.md",
        "croissant.json",
        "dataset_infos.json",
        "dataset_info.json",
    )


def items(tree: Tree, seen: Survey, options: ReadOptions) -> Stream:
    """One item per row, in the order of the files."""
    splits = _file_splits(seen)
    said: set[str] = set()
    for entry in tree.files(is_parquet):
        if isinstance(entry, Refused):
            yield entry
            continue
        if not isinstance(entry.data, Path):
            raise DataError(f"{tree.path}: {entry.name} is in an archive.", "Unpack it and add the folder.")
        with ParquetFile(entry.data, _what(tree, entry.name)) as file:
            roles = _roles(file, options)
            yield from (Note(note) for note in roles.notes if note not in said)
            said.update(roles.notes)
            stem = entry.name.removesuffix(SUFFIX)
            for number, row in file.read(roles.columns(), roles.image):
                yield _item(row, roles, splits[entry.name], f"{stem}/row-{number}", file.what, number)


def lines(tree: Tree, seen: Survey, options: ReadOptions) -> list[str]:
    """How the files are read, in words, and from where each image's split comes."""
    plain: list[str] = []
    rows, splits = 0, _file_splits(seen)
    by_name: dict[str, int] = {}
    unlike: set[tuple[str, str]] = set()
    has_column = False
    for entry in tree.files(is_parquet):
        if isinstance(entry, Refused) or not isinstance(entry.data, Path):
            continue
        with ParquetFile(entry.data, _what(tree, entry.name)) as file:
            roles = _roles(file, options)
            rows += file.rows
            where = splits[entry.name]
            by_name[where] = by_name.get(where, 0) + file.rows
            has_column |= bool(roles.split)
            unlike.add((roles.image, roles.label))
            _check_values(file, roles)
            plain += _lines(roles, file.fields, options)
    count = len(seen.parquet)
    head = [f"files: {count:,} with {rows:,} rows"]
    if not has_column or set(by_name) != {""}:
        told = ", ".join(f"{name} {n:,}" for name, n in by_name.items() if name)
        head.append(
            f"split: by the files' names ({told})" if told else "no split: neither a column nor a file's name says one"
        )
    if len(unlike) > 1:
        head.append("columns: not the same in all files; each is read by its own")
    return [*head, *dict.fromkeys(plain), *missing_shards(seen.parquet)]


def labels(tree: Tree, seen: Survey, options: ReadOptions) -> Iterator[str]:
    """The classes, without reading an image."""
    for entry in tree.files(is_parquet):
        if isinstance(entry, Refused) or not isinstance(entry.data, Path):
            continue
        with ParquetFile(entry.data, _what(tree, entry.name)) as file:
            roles = _roles(file, options)
            if file.fields[roles.label].kind == "whole":
                yield from roles.names
            else:
                found = (_class(row[roles.label], roles, file.what, n) for n, row in file.read([roles.label]))
                yield from dict.fromkeys(label for label in found if label)


def count(tree: Tree) -> int:
    """Rows in all files."""
    total = 0
    for entry in tree.files(is_parquet):
        if not isinstance(entry, Refused) and isinstance(entry.data, Path):
            with ParquetFile(entry.data, _what(tree, entry.name)) as file:
                total += file.rows
    return total


def is_parquet(name: str) -> bool:
    """Whether a file's name ends like that of a Parquet file."""
    return name.lower().endswith(SUFFIX)


def _what(tree: Tree, name: str) -> str:
    return f"{tree.path / name}" if tree.path.is_dir() else f"{tree.path}: {name}"


def _file_splits(seen: Survey) -> dict[str, str]:
    """The split of every file, by its own name first, then by its folder; "" where neither says one."""
    own_words = {name: split_and_rest(PurePosixPath(name).stem)[0] for name in seen.parquet}
    found = {name: own_words[name] or split_of(name) for name in seen.parquet}
    stated = set(found.values())
    measured = meant_by_eval(stated)
    return {name: measured if split == EVAL else split for name, split in found.items()}


def _roles(file: ParquetFile, options: ReadOptions) -> Roles:
    fields = file.fields
    for role, name in options.columns.items():
        if name not in fields:
            raise DataError(f"{file.what} has no column {name!r} (--column {role}={name}).", did_you_mean(name, fields))
    image, pixels = _image(file, options)
    label = _label(file, image, options)
    names = fields[label].names or options.class_names
    _check_names(file, fields[label].names, options)
    if fields[label].kind == "whole" and not names:
        raise DataError(
            f"{file.what}: column {label!r} holds numbers, and the file does not name their classes.",
            "Name them in order: --class-names angry,disgust,... (the first is class 0).",
        )
    rest = [name for name in fields if name not in (image, label)]
    group = options.columns.get("group") or next((name for name in rest if "".join(words(name)) in GROUP), "")
    split, notes = _split(file, rest, group, options)
    others = [name for name in _named(fields, image) if name != label and "label" not in options.columns]
    notes += [f"The class is the column {label!r}; --column label={name} takes {name!r}." for name in others]
    scalar = [name for name in rest if fields[name].kind in ("text", "whole", "other") and name not in (group, split)]
    nested = [name for name in rest if fields[name].kind in ("image", "bytes", "list")]
    if nested:
        notes.append(f"Columns without a place in the set, not read: {', '.join(map(printable, nested))}.")
    return Roles(
        image, label, split, group, tuple(scalar), names, fields[split].names if split else (), pixels, tuple(notes)
    )


def _check_names(file: ParquetFile, names: Sequence[str], options: ReadOptions) -> None:
    """DataError where a file gives two classes one name, or where the user names what it names itself."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{file.what} calls two classes {printable(twice[0])!r}.", "Write it again with a name for each."
        )
    numbers = all(name.isdigit() for name in names)  # which are no names: --class-names gives them
    if options.class_names and not numbers and tuple(names) != options.class_names:
        raise DataError(
            f"{file.what} names its classes itself ({', '.join(map(printable, names))}).",
            "Leave --class-names out; --rename OLD=NEW renames one.",
        )


def _check_values(file: ParquetFile, roles: Roles) -> None:
    """DataError for a class or split that cannot be, before an image is decoded."""
    wanted = [roles.label] if file.fields[roles.label].kind == "whole" else []
    wanted += [roles.split] if roles.split else []
    for number, row in file.read(wanted) if wanted else ():
        _class(row.get(roles.label), roles, file.what, number)
        _split_of(row, roles, file.what, number)


def _image(file: ParquetFile, options: ReadOptions) -> tuple[str, bool]:
    """The column of the image, and whether it holds grey values as text."""
    fields = file.fields
    if chosen := options.columns.get("image"):
        if fields[chosen].kind not in ("image", "bytes", "text"):
            raise DataError(
                f"{file.what}: column {chosen!r} holds no encoded images.", "Name another: --column image=NAME."
            )
        if fields[chosen].kind == "text" and not _has_grey_values(file, chosen):
            raise DataError(
                f"{file.what}: column {chosen!r} holds text that is no grey values.",
                "Names of files are not followed; name another: --column image=NAME.",
            )
        return chosen, fields[chosen].kind == "text"
    candidates = [field.name for field in fields.values() if field.kind in ("image", "bytes")]
    said = [name for name in candidates if fields[name].image]
    named = [name for name in said or candidates if name.lower() in _IMAGE]
    for found in (named, said, candidates):
        if len(found) == 1:
            return found[0], False
    if candidates:
        raise DataError(
            f"{file.what} has several columns of images ({', '.join(map(printable, candidates))}).",
            "Name the one with the faces: --column image=NAME.",
        )
    text = next((name for name, field in fields.items() if name.lower() == "pixels" and field.kind == "text"), "")
    if text:
        return text, True
    if other := next((name for name in fields if name.lower() in _IMAGE), ""):
        raise DataError(
            f"{file.what}: column {other!r} holds {_HOLDS[fields[other].kind]}, no encoded images.",
            "ganfer reads a struct of bytes and path, or bytes; names of files are not followed.",
        )
    raise DataError(
        f"{file.what} has no column of images (it has: {', '.join(map(printable, fields)) or 'none'}).",
        "ganfer reads encoded images: a struct of bytes and path, or bytes.",
    )


def _has_grey_values(file: ParquetFile, column: str) -> bool:
    """Whether the first text of a column is one, or the column has none."""
    first = next((row[column] for _, row in file.read([column]) if row[column]), "0")
    return all(value.isdigit() for value in str(first).split())


def _label(file: ParquetFile, image: str, options: ReadOptions) -> str:
    fields = file.fields
    usable = [name for name, field in fields.items() if field.kind in ("whole", "text") and name != image]
    if chosen := options.columns.get("label"):
        if chosen not in usable:
            raise DataError(f"{file.what}: column {chosen!r} holds no classes.", "Name another: --column label=NAME.")
        return chosen
    named = _named(fields, image)
    classes = [name for name in usable if fields[name].names]
    both = [name for name in named if name in classes]
    for found in (both, named):
        if found:
            return found[0]
    if len(classes) == 1:
        return classes[0]
    if unlike := next((name for name in fields if name != image and _is_label(name)), ""):
        raise DataError(
            f"{file.what}: column {unlike!r} holds {_HOLDS.get(fields[unlike].kind, 'no classes')}.",
            "Write the classes as text or whole numbers, or name another column: --column label=NAME.",
        )
    raise DataError(
        f"{file.what} has no column {', '.join(LABEL)} (it has: {', '.join(map(printable, fields))}).",
        "Name the one with the classes: --column label=NAME.",
    )


def _is_label(name: str, wanted: Sequence[str] = LABEL) -> bool:
    return name.lower() in {*wanted, *(f"{each}s" for each in wanted)}


def _named(fields: Mapping[str, Field], image: str) -> list[str]:
    """The columns that are called as a class's column is and can be one, in the order of `LABEL`."""
    usable = [name for name, field in fields.items() if field.kind in ("whole", "text") and name != image]
    return [name for wanted in LABEL for name in usable if _is_label(name, (wanted,))]


def _split(file: ParquetFile, rest: Sequence[str], group: str, options: ReadOptions) -> tuple[str, list[str]]:
    """The column of the split, and what to say of those that only look like one."""
    if chosen := options.columns.get("split"):
        return chosen, []
    texts = [name for name in rest if file.fields[name].kind == "text" and name != group]
    named = [name for name, field in file.fields.items() if name in rest and field.names]  # ClassLabel: train, test
    wanted = [*texts, *named]
    if not wanted:
        return "", []
    row: dict[str, Any] = next(iter(file.read(wanted)), (0, {}))[1]
    first = {name.lower(): _text(row.get(name), file.fields[name].names) for name in wanted}
    column, notes = split_column([name.lower() for name in wanted], first, ())
    return next((name for name in wanted if name.lower() == column), ""), [note.text for note in notes]


def _text(value: object, names: Sequence[str]) -> str:
    if isinstance(value, int) and names:
        return names[value] if 0 <= value < len(names) else ""
    return "" if value is None else str(value)


def _item(row: dict[str, Any], roles: Roles, place: str, name: str, what: str, number: int) -> Item | Refused:
    label = _class(row[roles.label], roles, what, number)
    cell = row[roles.image]
    data: bytes | Pixels | None = image_bytes(cell)
    if roles.pixels:
        data = Pixels(cell) if isinstance(cell, str) else None
    path = image_path(cell).replace("\\", "/").lstrip("/")
    if path:
        name = path if "/" in path else f"{label or 'unlabelled'}/{path}"
    if data is None:
        return Refused(name, _NAME_ALONE if path else _NO_IMAGE, label)
    if not label:
        return Refused(name, _NO_CLASS)
    split = _split_of(row, roles, what, number)
    attributes = {key: str(row[key]) for key in roles.attributes if row[key] is not None}
    group = "" if not roles.group or row[roles.group] is None else meaning(str(row[roles.group]))
    return Item(name, label, data, split or place, group, attributes=attributes)


def _split_of(row: Mapping[str, Any], roles: Roles, what: str, number: int) -> str:
    if not roles.split:
        return ""
    return split_value(_text(row[roles.split], roles.split_names), roles.split, what, number)


def _class(value: object, roles: Roles, what: str, number: int) -> str:
    """The class's name; "" for none, which the Hub's unlabelled splits write as -1."""
    if value is None or value == -1:
        return ""
    if isinstance(value, int):
        if not 0 <= value < len(roles.names):
            raise DataError(f"{what}, row {number}: class {value}.", f"It must be 0 to {len(roles.names) - 1}.")
        return roles.names[value]
    return meaning(str(value))


def _lines(roles: Roles, fields: dict[str, Field], options: ReadOptions) -> list[str]:
    kind = "grey values as text" if roles.pixels else "encoded images"
    by = "the file's names" if fields[roles.label].names else "--class-names"
    named = (
        f", numbers named by {by} ({', '.join(map(printable, roles.names))})"
        if fields[roles.label].kind == "whole"
        else ""
    )
    plain = [f"image: column {roles.image!r}, {kind}", f"class: column {roles.label!r}{named}"]
    plain += [f"{role}: column {name!r}" for role, name in (("subject", roles.group), ("split", roles.split)) if name]
    return plain
