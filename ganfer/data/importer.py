"""One import, from a source's items to a set on disk, as one stream; what cannot be used is counted and listed."""

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ganfer.config import DataConfig
from ganfer.data.checkpoint import Checkpoint
from ganfer.data.decode import Decoded, Target
from ganfer.data.decode_many import decode_items
from ganfer.data.imageset import SPLITS, ImageSet, read_set
from ganfer.data.names import is_loose
from ganfer.data.selection import Selection, check_counts, check_splits
from ganfer.data.sources import DatasetSource, source_stem
from ganfer.data.sources.items import Item, Note, Refused
from ganfer.data.sources.words import expression_in
from ganfer.data.splits import NO_GROUP, TRAIN, Splits, assign, code_of
from ganfer.data.text import composed, folded, printable
from ganfer.data.writer import SCRATCH, Row, SetWriter
from ganfer.runtime.console import progress, say
from ganfer.runtime.room import need_room
from ganfer.runtime.tables import TableWriter
from ganfer.workspace import Run

_COUNTERS = ("skipped", "seen", "placed", "lost")
_USED = 0.9  # of a source's images at the least: some cannot be read
SYNTHETIC = "synthetic (drawn by ganfer)"


class Importer:
    """One import: from items to a set, with the list of what was left out."""

    def __init__(
        self, run: Run, source: DatasetSource, selection: Selection, settings: DataConfig, allow_synthetic: bool
    ) -> None:
        self.run = run
        self.source = source
        self.selection = selection
        self.settings = settings
        self.allow_synthetic = allow_synthetic
        self.skipped: Counter[str] = Counter()
        self.first: dict[str, str] = {}  # of each reason, the first name and the reason in full
        self.seen: Counter[str] = Counter()
        self.raw: dict[str, set[str]] = defaultdict(set)  # the source's own names of each class
        self.placed: Counter[str] = Counter()  # images by the source's own split, "" without one
        self.lost: Counter[str] = Counter()  # images left out, by class
        self.notes: list[str] = []
        self.prefix = ""
        self.ahead: deque[tuple[int, Item | Refused | Note]] = deque()  # said by the source, not counted yet
        self.waiting = 0  # of these, images that are being decoded
        self.taken = 0  # how much of the source's stream is counted and written

    def all(self, parent: Run | None) -> tuple[str, dict[str, Any]]:
        """Read, decode, split and write; returns the set's digest and the figures."""
        started = time.monotonic()
        settings = self.settings
        target = Target(settings.size, settings.channels, settings.min_side)
        (self.run.path / "soft_labels.npy").unlink(missing_ok=True)
        point = Checkpoint(self.run.path)
        resume = point.read()
        if resume is None:
            self._need_room(parent)
        sizes = resume["sizes"] if resume else None
        with (
            SetWriter(self.run.path, settings.size, settings.channels, sizes) as writer,
            SkippedList(self.run.path, sizes) as listed,
        ):
            if resume:
                writer.keep = True
                before = self._restore(resume)
                say(f"Going on after {self.taken:,} of the source's images and files.")
            elif parent is not None:
                previous = read_set(parent.path)
                self.prefix = _free_prefix(source_stem(self.source.path), previous)
                writer.append_set(previous)
            before = before if resume else len(writer)
            with progress("Importing", self.source.count) as advance:
                advance(len(writer) - before)
                for items, decoded in decode_items(self._wanted(listed), target, settings.workers):
                    self._write(writer, items, decoded, listed)
                    advance(len(items))
                    if point.due():
                        point.write(self._state(before) | {"sizes": writer.checkpoint() | listed.checkpoint()})
                        writer.keep = True
                self._tell_until(listed, None)
            check_counts(
                self.source.path,
                self.selection,
                seen=self.seen,
                skipped=self.skipped,
                first=self.first,
                added=len(writer) - before,
                names=writer.class_names,
            )
            splits = self._split(writer, before)
            digest = writer.finish(splits.codes)
            listed.keep()
            figures = self._figures(writer, splits)
        return digest, figures | {"seconds": round(time.monotonic() - started, 3)}

    def _need_room(self, parent: Run | None) -> None:
        """GanferError where the disk cannot hold the pixels, as far as their number is known before."""
        count = self.source.count if not self.selection.classes else None
        images = (count or 0) + (0 if parent is None else int(parent.figures["images"]))
        side, channels = self.settings.size, self.settings.channels
        need_room(
            self.run.path,
            _USED * images * channels * side * side,
            f"{images:,} images of {channels} x {side} x {side} pixels",
            "Give a smaller --size, free space, or choose a workspace on another disk with -w DIR.",
        )

    def _wanted(self, listed: "SkippedList") -> Iterator[Item]:
        """Items of the wanted classes. All that is said of the source waits in `ahead` until the images before it are
        written, so that a checkpoint tells of what is behind it and of nothing else.
        """
        for place, item in enumerate(self.source.items(), 1):
            if place <= self.taken:
                continue
            taken = isinstance(item, Item) and self.selection.takes(self.selection.name(item.label))
            self.ahead.append((place, item))
            self.waiting += taken
            if isinstance(item, Item) and taken:
                yield replace(item, label=self.selection.name(item.label), votes=self._votes(item))
            elif not self.waiting:
                self._tell_until(listed, place)

    def _tell_until(self, listed: "SkippedList", place: int | None) -> None:
        """Count and list what the source gave as far as `place`; None: all of it."""
        while self.ahead and (place is None or self.ahead[0][0] <= place):
            self.taken, item = self.ahead.popleft()
            if isinstance(item, Note):
                self.notes.append(printable(item.text))
            elif isinstance(item, Refused):
                self._skip(listed, item.id, item.reason, self.selection.name(item.label) if item.label else "")
            else:
                name = self.selection.name(item.label)
                self.raw[name].add(printable(item.label))
                self.seen[name] += 1

    def _tell_items(self, listed: "SkippedList", count: int) -> None:
        """Count and list as far as the count-th of the items that wait."""
        for _ in range(count):
            while self.ahead:
                place, item = self.ahead[0]
                self._tell_until(listed, place)
                if isinstance(item, Item) and self.selection.takes(self.selection.name(item.label)):
                    self.waiting -= 1
                    break

    def _state(self, before: int) -> dict[str, Any]:
        """What has been counted, for a checkpoint."""
        counts = {name: dict(getattr(self, name)) for name in _COUNTERS}
        raw = {name: sorted(names) for name, names in self.raw.items()}
        return {
            **counts, "raw": raw, "first": self.first, "notes": self.notes, "prefix": self.prefix, "taken": self.taken,
            "before": before,
        }  # fmt: skip

    def _restore(self, state: Mapping[str, Any]) -> int:
        """Take a checkpoint's counts over; returns how many images are of the set that was merged into."""
        for name in _COUNTERS:
            getattr(self, name).update(state[name])
        self.raw.update({name: set(names) for name, names in state["raw"].items()})
        self.first.update(state["first"])
        self.notes += state["notes"]
        self.prefix, self.taken = state["prefix"], state["taken"]
        return int(state["before"])

    def _votes(self, item: Item) -> dict[str, float] | None:
        """Votes for the wanted classes under their ganfer names, adding up to 1."""
        if item.votes is None:
            return None
        named: Counter[str] = Counter()
        for label, share in item.votes.items():
            name = self.selection.name(label)
            if self.selection.takes(name):
                named[name] += share  # type: ignore[assignment]
        total = sum(named.values())
        return {name: share / total for name, share in named.items()} if total else None

    def _write(self, writer: SetWriter, items: list[Item], decoded: Decoded, listed: "SkippedList") -> None:
        self._tell_items(listed, len(items))
        rows, kept = [], []
        at = -1
        for item, reason, synthetic in zip(items, decoded.reasons, decoded.synthetic, strict=True):
            at += not reason
            if not reason and synthetic and not (self.allow_synthetic and item.split in ("", "train")):
                reason = SYNTHETIC if not self.allow_synthetic else f"{SYNTHETIC} in {item.split}"
            if reason:
                self._skip(listed, item.id, reason, item.label)
                continue
            subject = composed(item.group).strip()
            group = f"{self.prefix}{subject}" if subject else ""
            rows.append(
                Row(f"{self.prefix}{item.id}", item.label, item.split, group, synthetic, item.votes, item.attributes)
            )
            self.placed["train" if synthetic else item.split] += 1
            kept.append(at)
        pixels = decoded.pixels if len(kept) == len(decoded.pixels) else decoded.pixels[kept]
        writer.append(pixels, rows)

    def _skip(self, listed: "SkippedList", name: str, reason: str, label: str = "") -> None:
        short = reason.partition(" (")[0]
        self.skipped[short] += 1
        self.first.setdefault(short, f"{printable(name)}: {printable(reason)}")
        if label and self.selection.takes(label):
            self.lost[label] += 1
        listed.add(name, reason)

    def _split(self, writer: SetWriter, before: int) -> Splits:
        columns = {name: values[before:] for name, values in writer.columns().items()}
        own, notes = columns["splits"], list[str]()
        if (own < 0).all() and (named := self.source.named_split):
            own = np.where(columns["synthetic"], TRAIN, code_of(named)).astype(np.int8)
            name = printable(self.source.path.resolve().name)
            notes = [f"{name} is named after a split: its images are {named}."] if before else []
        splits = assign(
            own,
            columns["labels"],
            columns["groups"],
            columns["ranks"],
            val_fraction=self.settings.val_fraction,
            test_fraction=self.settings.test_fraction,
            seed=self.settings.split_seed,
            lone_val_is_test=self.source.layout.lone_val_is_test,
            pinned=columns["synthetic"],
            merged=before > 0,
        )
        whole = writer.columns()
        codes = np.concatenate([whole["splits"][:before], splits.codes])
        check_splits(self.source.path, codes, whole["labels"], whole["groups"])
        notes += [*splits.notes, *_group_notes(whole["groups"], codes), *self._namesakes(writer.group_names)]
        return Splits(codes, notes)

    def _namesakes(self, groups: Collection[str]) -> list[str]:
        """What is assumed of subjects whose names the set that was merged into has already."""
        mine = {name.removeprefix(self.prefix) for name in groups if self.prefix and name.startswith(self.prefix)}
        there = {name.rpartition("/")[2] for name in groups if not name.startswith(self.prefix)}
        both = sorted(mine & there)
        if not both:
            return []
        some = ", ".join(both[:3]) + (", ..." if len(both) > 3 else "")
        return [f"{len(both):,} subjects are called as some of the set ({some}): they are taken for other people."]

    def _figures(self, writer: SetWriter, splits: Splits) -> dict[str, Any]:
        labels, names = writer.columns()["labels"], writer.class_names
        counts = {}
        for code, split in enumerate(SPLITS):
            tally = np.bincount(labels[(splits.codes == code) & (labels >= 0)], minlength=len(names))
            counts[split] = {name: int(n) for name, n in zip(names, tally, strict=True)}
        small = [name for name, n in counts["train"].items() if n + counts["val"][name] + counts["test"][name] == 1]
        reading = [printable(line) for line in self.source.lines()]
        told = [line.strip() for line in reading if line.strip().startswith(("not used", "left out", "no split"))]
        notes = [
            *self._class_notes(names, counts),
            *dict.fromkeys(self.notes),
            *told,
            *self._unsplit_note(told),
            *splits.notes,
            *(f"{name}: a single image; it stays in train, so {name} is never tested." for name in small),
        ]
        return {
            "kind": self.source.kind,
            "images": len(writer),
            "size": self.settings.size,
            "channels": self.settings.channels,
            "counts": counts,
            "skipped": dict(self.skipped.most_common()),
            "notes": notes,
            "reading": reading,
        }

    def _unsplit_note(self, told: Sequence[str]) -> list[str]:
        """What a table with splits leaves open; of folders the plan has told."""
        without = self.placed[""]
        if not without or without == self.placed.total() or any(line.startswith("no split") for line in told):
            return []
        return [f"no split: {without:,} images have none in the source, whose others have one; they stay in train."]

    def _class_notes(self, names: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> list[str]:
        """What became of the source's classes: those that fell together, vanished, or are not in every split."""
        notes = []
        for name, raw in self.raw.items():
            written = sorted(raw)
            distinct = {folded(each) for each in raw}
            if len(distinct) > 1:
                keep = min(distinct - {name})
                notes.append(
                    f"{' and '.join(written)} became one class, {name}; --rename {keep}={keep} keeps them apart."
                )
            elif len(written) > 1:
                notes.append(f"{' and '.join(written)} became one class, {name}.")
            elif is_loose(written[0], name):
                notes.append(f"{written[0]} is read as {name}; --rename {written[0]}={written[0]} keeps it.")
        notes += [
            f"{name}: none of its {count:,} images can be used, so the class is not in the set (see skipped.csv)."
            for name, count in self.lost.items()
            if name not in names
        ]
        like = {name: expression_in(name) for name in self.raw if name in names}
        like = {name: meant for name, meant in like.items() if meant not in ("", name) and not is_loose(name, meant)}
        if like:
            old, new = next(iter(like.items()))
            notes.append(f"Kept as written: {', '.join(like)}; --rename {old}={new} gives one ganfer's name.")
        if SYNTHETIC.partition(" (")[0] in self.skipped:
            notes.append(
                "Images that ganfer drew are left out: label them with `ganfer label FOLDER`, or take them for "
                "training with --allow-synthetic."
            )
        for split in ("train", "test"):
            missing = [name for name in names if not counts[split][name]]
            if missing:
                notes.append(f"No {split} images of {', '.join(missing)}.")
        return notes


class SkippedList:
    """`skipped.csv`: name and reason of every image left out; kept only when the import ends well."""

    def __init__(self, folder: Path, resume: Mapping[str, int] | None = None) -> None:
        self._final = folder / "skipped.csv"
        self._path = folder / SCRATCH / "skipped.csv"
        self._file = self._path.open("w" if resume is None else "r+", newline="", encoding="utf-8")
        if resume is not None:
            self._file.truncate(resume["skipped"])
            self._file.seek(0, 2)
        self._writer = TableWriter(self._file, ("file_name", "reason"), header=resume is None)

    def __enter__(self) -> "SkippedList":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk; what failed before is told, and a list that is kept was closed
            self._file.close()  # the writer's scratch, in which it lies, goes or stays as a whole

    def checkpoint(self) -> dict[str, int]:
        """Flush what was listed to the disk; returns how far that is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"skipped": os.fstat(self._file.fileno()).st_size}

    def add(self, name: str, reason: str) -> None:
        self._writer.write({"file_name": printable(name), "reason": printable(reason)})

    def keep(self) -> None:
        self._file.close()
        self._path.replace(self._final)


def _group_notes(groups: np.ndarray, codes: np.ndarray) -> list[str]:
    known = groups != NO_GROUP
    if not known.any():
        return []
    pairs = np.unique(np.stack([groups[known], codes[known]]), axis=1)
    across = int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())
    return [f"{across:,} subjects are in more than one split, as the source has them."] if across else []


def _free_prefix(stem: str, images: ImageSet) -> str:
    """A beginning of ids that no image of the set has yet, so that merged ids stay unique."""
    count = 1
    while True:
        prefix = f"{stem}/" if count == 1 else f"{stem}-{count}/"
        if not np.char.startswith(images.ids, prefix).any():
            return prefix
        count += 1
