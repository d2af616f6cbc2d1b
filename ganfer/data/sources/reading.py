"""Which folder of a path is the class, which the subject and which the split: one plan for a whole source.

The plan is made from the folders' names and counts before a single image is read. It uses one rule for all classes:
what stands at a level is a class, whether ganfer knows its name or not. Where the names allow two readings, both are
shown, and an option decides.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ganfer.data.sources.folder_paths import FolderPath, class_with_split, folder_paths
from ganfer.data.sources.words import expression_in, kind_of
from ganfer.errors import DataError

_SHOWN = 5  # names of a level said in a line
OUTSIDE = "not in a class folder"


@dataclass(frozen=True, slots=True)
class Place:
    """What a folder's path says of the images in it. split, group: "" where it says nothing. label: "" outside."""

    split: str = ""
    label: str = ""
    group: str = ""


@dataclass(frozen=True)
class Reading:
    """The plan. places: by folder. lines: the plan in words, one line each."""

    places: Mapping[str, Place]
    lines: tuple[str, ...]

    def of(self, name: str) -> Place:
        """The place of a file, by its folder."""
        return self.places.get(name.rpartition("/")[0], Place())


def read_folders(
    counts: Mapping[str, int], what: str, *, class_level: int | None = None, subject_level: int | None = None
) -> Reading:
    """The plan for folders with so many images each; `a/b` is folder b in a, "" the source itself.

    what: the source's name in messages. class_level, subject_level: the user's decision, 1 the folders directly in the
    source, -1 those that hold the images. DataError where no folder is a class, or where it is open which.
    """
    folders = folder_paths(list(counts))
    classes = _classes(folders, counts, what, class_level)
    subjects = _subjects(folders, classes, subject_level)
    places = {
        name: Place(
            folder.split,
            _label(folder, classes[name]),
            "" if subjects.get(name) is None else folder.parts[subjects[name]],
        )
        for name, folder in folders.items()
    }
    return Reading(places, tuple(_lines(folders, counts, classes, subjects, places)))


# --- classes ----------------------------------------------------------------------------------------------------------


def _label(folder: FolderPath, at: int | None) -> str:
    if at is None:
        return ""
    return class_with_split(folder.parts[at]) or folder.parts[at]


def _known(name: str) -> str:
    return class_with_split(name) or expression_in(name)


def _classes(
    folders: Mapping[str, FolderPath], counts: Mapping[str, int], what: str, level: int | None
) -> dict[str, int | None]:
    """Index of the class among every folder's parts; None where the images lie in no class."""
    if level is not None:
        return _at_level(folders, what, level)
    if any(_known(name) for folder in folders.values() for name in folder.names):
        found = _by_expressions(folders, what)
    else:
        found = _by_shape(folders, counts, what)
    inside = sum(counts[name] for name, at in found.items() if at is not None)
    total = sum(counts.values())
    if total and 2 * inside < total:
        rest = _some(_class_names(folders, found))
        stray = Counter({name: counts[name] for name, at in found.items() if at is None})
        raise DataError(
            f"{what}: {total - inside:,} of {total:,} images lie in no class folder ({_some(_shown(stray))})"
            + (f", the rest in {rest}." if rest else "."),
            "Give the folder that holds the class folders, or say which level is the class: --class-level N "
            "(1 = the folders directly in PATH).",
        )
    return found


def _at_level(folders: Mapping[str, FolderPath], what: str, level: int) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name, folder in folders.items():
        at = level - 1 if level > 0 else len(folder.parts) + level
        found[name] = at if 0 <= at < len(folder.parts) else None
    names = _class_names(folders, found)
    if not names:
        deepest = max(len(folder.parts) for folder in folders.values())
        raise DataError(f"{what} has no folders at level {level}.", f"Give 1 to {deepest}, or -1 to -{deepest}.")
    taken = [
        name for name, folder in folders.items()
        if found[name] is not None and folder.split and found[name] not in dict(folder.rest)
    ]  # fmt: skip
    if taken:
        raise DataError(
            f"{what}: level {level} is the splits ({_some(names)}).", "Give the level of the class folders."
        )
    return found


def _by_expressions(folders: Mapping[str, FolderPath], what: str) -> dict[str, int | None]:
    """Classes are the folders named like expressions, and those beside them."""
    known = {name: [k for k, part in enumerate(folder.names) if _known(part)] for name, folder in folders.items()}
    known = _without_wrapper(folders, known)
    twice = next((name for name, at in known.items() if len(at) > 1), None)
    if twice is not None:
        first, *_, last = (folders[twice].rest[k] for k in known[twice])
        raise _ambiguous(what, twice, [(first[0], {first[1]}), (last[0], {last[1]})], folders[twice].parts)
    parents = {folders[name].names[:k] for name, at in known.items() for k in at}
    beside = {
        folder.names[k] for folder in folders.values() for k in range(len(folder.names)) if folder.names[:k] in parents
    }
    found: dict[str, int | None] = {}
    for name, folder in folders.items():
        names = folder.names
        open_to = [k for k in range(len(names)) if names[:k] in parents]
        if known[name]:
            at: int | None = known[name][0]
        elif len(open_to) > 1:
            levels = [(folder.rest[k][0], {names[k]}) for k in (open_to[0], open_to[-1])]
            raise _ambiguous(what, name, levels, folder.parts)
        elif open_to:
            at = open_to[0]
        else:  # a name that is a class elsewhere in the source, as under another subject
            same = [k for k, part in enumerate(names) if part in beside]
            at = same[0] if len(same) == 1 else None
        found[name] = None if at is None else folder.rest[at][0]
    return found


def _without_wrapper(folders: Mapping[str, FolderPath], known: dict[str, list[int]]) -> dict[str, list[int]]:
    """Leave out an expression's name that stands around everything, as in `surprise-set/happy/1.png`."""
    around = {(at[0], folders[name].names[at[0]]) if len(at) > 1 else None for name, at in known.items() if at}
    if len(around) == 1 and None not in around and all(known.values()):
        return {name: at[1:] for name, at in known.items()}
    return known


def _by_shape(folders: Mapping[str, FolderPath], counts: Mapping[str, int], what: str) -> dict[str, int | None]:
    """Classes of names that ganfer does not know: the one level that can be it."""
    start = _common(folders.values())
    below = {name: folder.rest[start:] for name, folder in folders.items() if len(folder.rest) > start}
    if not below:
        return dict.fromkeys(folders, None)
    depths = {len(rest) for rest in below.values()}
    levels = [{rest[k][1] for rest in below.values() if len(rest) > k} for k in range(max(depths))]
    direct = {rest[0][1] for rest in below.values() if len(rest) == 1}
    kinds = [kind_of(names) for names in levels]
    if direct == levels[0]:
        choice = 0
    else:
        possible = [k for k, kind in enumerate(kinds) if kind == "word" and k < min(depths)]
        if len(possible) != 1 or len(depths) > 1:
            example = max(below, key=lambda name: (len(below[name]), counts[name]))
            places = [(below[example][k][0], levels[k]) for k in range(len(below[example]))]
            raise _ambiguous(what, example, places, folders[example].parts)
        choice = possible[0]
    if kinds[choice] != "word":
        like = {
            "subject": "subjects",
            "number": "numbers",
            "shard": "numbered shards of one unlabelled set",
            "container": "places to keep images",
            "clip": "recordings",
        }
        raise DataError(
            f"{what}: its folders ({_some(levels[choice])}) look like {like[kinds[choice]]}, not like classes.",
            "Bring the file with the labels (dataset.json, Emotion/, metadata.csv), or, if they are the classes: "
            f"--class-level {next(iter(below.values()))[choice][0] + 1}.",
        )
    return {name: below[name][choice][0] if name in below else None for name in folders}


def _common(folders: Iterable[FolderPath]) -> int:
    """How many parts that are no split stand around everything."""
    paths = [folder.names for folder in folders if folder.names]
    start = 0
    while paths:
        deeper = [path for path in paths if len(path) > start]
        if len({path[start] for path in deeper}) != 1 or not any(len(path) > start + 1 for path in deeper):
            break
        start += 1
    return start


def _ambiguous(what: str, example: str, levels: Sequence[tuple[int, set[str]]], parts: tuple[str, ...]) -> DataError:
    readings = "; or ".join(f"--class-level {at + 1}: {_some(names)}" for at, names in levels)
    return DataError(
        f"{what}: it is open which folder of {'/'.join(parts) or example} is the class.", f"Say it: {readings}."
    )


# --- subjects ---------------------------------------------------------------------------------------------------------


def _subjects(
    folders: Mapping[str, FolderPath], classes: Mapping[str, int | None], level: int | None
) -> dict[str, int]:
    """Index of the subject among a folder's parts, for the folders that have one."""
    inside = {name: folder for name, folder in folders.items() if classes[name] is not None}
    if level is not None:
        return {
            name: at
            for name, folder in inside.items()
            if 0 <= (at := level - 1 if level > 0 else len(folder.parts) + level) < len(folder.parts)
        }
    by_offset = _offsets(inside, classes)
    for wanted in ("subject", "number"):
        fitting = [
            found for found in by_offset.values()
            if len(found) == len(inside) and len({inside[n].parts[i] for n, i in found.items()}) > 1
            and kind_of({inside[n].parts[i] for n, i in found.items()}) == wanted
        ]  # fmt: skip
        if len(fitting) == 1:
            return fitting[0]
    return {}


def _offsets(inside: Mapping[str, FolderPath], classes: Mapping[str, int | None]) -> dict[int, dict[str, int]]:
    """Parts that are neither split nor class by their distance from the class: folder -> index."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for name, folder in inside.items():
        order = [i for i, _ in folder.rest]
        own = classes[name]
        assert own is not None
        at = order.index(own) if own in order else 0
        for k, i in enumerate(order):
            if k != at:
                found[k - at][name] = i
    return dict(sorted(found.items()))


# --- the plan in words ------------------------------------------------------------------------------------------------


def _class_names(folders: Mapping[str, FolderPath], classes: Mapping[str, int | None]) -> list[str]:
    return sorted({_label(folder, classes[name]) for name, folder in folders.items() if classes[name] is not None})


def _lines(
    folders: Mapping[str, FolderPath],
    counts: Mapping[str, int],
    classes: Mapping[str, int | None],
    subjects: Mapping[str, int],
    places: Mapping[str, Place],
) -> list[str]:
    levels = sorted({at + 1 for at in classes.values() if at is not None})
    lines = [f"class: folder level {_list(levels)} ({_some(_class_names(folders, classes))})"]
    people = {place.group for place in places.values() if place.group}
    if people:
        lines.append(f"subject: folder level {_list(sorted({at + 1 for at in subjects.values()}))} ({_some(people)})")
    lines += _split_lines(folders, counts, classes)
    used = {(name, i) for name, at in (*classes.items(), *subjects.items()) for i in (at,)}
    unused: dict[int, set[str]] = defaultdict(set)
    for name, folder in folders.items():
        if classes[name] is not None:
            for i, part in folder.rest:
                if (name, i) not in used:
                    unused[i + 1].add(part)
    lines += [
        f"not used: folder level {at} ({_some(names)}); --subject-level {at} makes it the subject; "
        "a split's folder is named train, val or test"
        for at, names in sorted(unused.items())
        if len(names) > 1
    ]
    outside = Counter({name: counts[name] for name, at in classes.items() if at is None and counts[name]})
    if outside:
        lines.append(f"left out: {outside.total():,} images in no class folder ({_some(_shown(outside))})")
    return lines


def _split_lines(
    folders: Mapping[str, FolderPath], counts: Mapping[str, int], classes: Mapping[str, int | None]
) -> list[str]:
    named: dict[str, set[str]] = defaultdict(set)
    open_to: Counter[str] = Counter()
    for name, folder in folders.items():
        if not folder.split and classes[name] is not None:
            open_to["/".join(folder.parts[:1])] += counts[name]
        taken = {i for i, _ in folder.rest}
        own = [p for i, p in enumerate(folder.parts) if i not in taken or class_with_split(p)]
        if folder.split and own:
            named[folder.split].add(own[-1])
    if not named:
        return []
    said = "; ".join(f"{split} from {_some(named[split])}" for split in ("train", "val", "test") if named[split])
    lines = [f"split: {said}"]
    if open_to.total():
        where = _some(_shown(open_to))
        lines.append(f"no split: {open_to.total():,} images lie in no split's folder and stay in train ({where})")
    return lines


def _shown(found: Counter[str]) -> list[str]:
    return [f"{name or '.'}/: {count:,}" for name, count in found.most_common() if count]


def _some(names: Iterable[str]) -> str:
    listed = list(names) if isinstance(names, list) else sorted(names)
    more = f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _list(levels: Sequence[int]) -> str:
    return " or ".join(map(str, levels))
