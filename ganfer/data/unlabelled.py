"""`ganfer data add --pool`: real images without labels, kept apart from the splits in runs of their own (`pools/`).

No reader of a data set sees them. What is also in validation or test, in the training split or in an earlier pool is
left out, and so are repetitions within the pool; `skipped.csv` names each with the reason.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.config import Config, DataConfig
from ganfer.data.damage import NO_PICTURE, damage_of, grey_chunks
from ganfer.data.decode import Target
from ganfer.data.decode_many import decode_items
from ganfer.data.duplicates import find_duplicates
from ganfer.data.imageset import COLUMNS, SPLITS, ImageSet, read_set, write_table
from ganfer.data.importer import SYNTHETIC, SkippedList
from ganfer.data.ingest import refuse_own, settings_of_set, undone
from ganfer.data.sources.items import Item, Refused
from ganfer.data.sources.registry import open_tree, source_stem
from ganfer.data.sources.survey import is_image, survey
from ganfer.data.sources.trees import Tree
from ganfer.data.sources.watched import why_unread
from ganfer.data.splits import rank_of
from ganfer.data.summary import skipped_lines
from ganfer.data.text import printable
from ganfer.data.writer import distinct, npy_header
from ganfer.errors import DataError
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_of
from ganfer.workspace import Run, Workspace

POOL = "pool"  # what a pool's table says in the place of a split
_CHUNK = 4096
_HEADER = npy_header((0, 1, 1, 1))
# where an image of a pool is found again, by rank; 0 is nowhere
_PLACES = ("", "an earlier pool", "the training split", "the validation split", "the test split")
_WITHIN = "repeats another image of the pool"


def add_pool(workspace: Workspace, config: Config, path: Path, *, dry_run: bool = False) -> Result:
    """Add real images without labels to the workspace, beside the active set, at its size and channels.

    path: a folder, zip or tar of image files; folders and label files in it are not read as labels, which is said. The
    same call again finds the work done. DataError without an active set, for another size or other channels than the
    set's, and where no image can be used.
    """
    data = workspace.active_data
    if data is None:
        raise DataError(
            "There is no data set that a pool could be added to: a pool is compared with its validation and test.",
            "Add labelled images first: ganfer data add PATH.",
        )
    refuse_own(path)
    settings = settings_of_set(config.data, data, "A pool has the set's size and channels; leave yours out.")
    tree = open_tree(path)
    reading = _reading(tree, path)
    if dry_run:
        return _plan(path, data, settings, reading)
    for line in reading:
        say(line)
    content = {name: getattr(settings, name) for name in ("size", "channels", "min_side")}
    key = {"inputs": {"data": data.digest, "source": tree.digest()}, "options": content}
    run = workspace.run("pools", source_stem(path), key)
    with run.work("data add") as record:
        if record.get("status") == "complete":
            say(f"{path} is a pool already; nothing to do.")
        else:
            with undone(run):
                digest, figures = _import(run, tree, settings, read_set(data.path), _earlier(workspace, data))
                run.finish(digest=digest, figures=figures | {"reading": reading, "data": data.name})
    return _result(run)


def pools_of(workspace: Workspace, data: Run) -> list[Run]:
    """The finished pools that were compared with this data set, or with one that it is a variant of; oldest first.

    A variant's validation and test images are its parent's, or some of them, so what was left out stays left out.
    """
    known = {data.digest}
    while parent := data.figures.get("parent"):
        data = Run(data.path.parent / str(parent))
        if not data.complete:
            break
        known.add(data.digest)
    found = [
        run
        for run in workspace.runs("pools")
        if run.complete and run.record.get("key", {}).get("inputs", {}).get("data") in known
    ]
    return sorted(found, key=lambda run: str(run.record["finished"]))  # one that is added again stays where it was


def read_pools(runs: Sequence[Run]) -> np.ndarray:
    """The images of these pools, (N, C, H, W) uint8, in memory."""
    return np.concatenate([np.asarray(read_set(run.path).images) for run in runs])


def pool_lines(workspace: Workspace, data: Run) -> list[str]:
    """What commands about the active set say of its pools, and of those that were compared with another set."""
    mine = pools_of(workspace, data)
    lines = []
    for run in mine:
        skipped = run.figures["skipped"]
        left = f" ({', '.join(f'{n:,} {why}' for why, n in skipped.items())} left out)" if skipped else ""
        lines.append(f"pool {run.name}: {run.figures['images']:,} real images without labels{left}")
    others = [run.name for run in workspace.runs("pools") if run.complete and run.name not in {m.name for m in mine}]
    if others:
        lines.append(
            f"pool {', '.join(others)}: compared with other data, so not used with {data.name}; add it again to use it"
        )
    return lines


def _reading(tree: Tree, path: Path) -> list[str]:
    """How the source is read. DataError when it holds no image file."""
    seen = survey(tree.names())
    if not seen.images:
        raise DataError(printable(f"{path} holds no image files."), "--pool takes a folder, zip or tar of images.")
    lines = [printable(f"{path} is read as a pool: images without labels.")]
    if seen.in_classes:
        lines.append(
            f"  {seen.in_classes:,} images lie in folders named like expressions: those labels are ignored."
            " Without --pool they are read."
        )
    if seen.label_files:
        lines.append(printable(f"  Not read, for a pool has no labels: {', '.join(sorted(seen.label_files)[:5])}."))
    return lines


def _plan(path: Path, data: Run, settings: DataConfig, reading: list[str]) -> Result:
    colour = "grey" if settings.channels == 1 else "colour"
    lines = [
        f"Plan (nothing was done): {reading[0]}",
        *reading[1:],
        f"They become {settings.size} x {settings.size} {colour}, as {data.name} is, and those that are also in it are "
        "left out.",
    ]
    return Result("ganfer data add --pool --dry-run", None, {"reading": reading, "source": str(path)}, lines)


def _earlier(workspace: Workspace, data: Run) -> list[np.ndarray]:
    """The images of the pools that are there already, mapped."""
    return [read_set(run.path).images for run in pools_of(workspace, data)]


class _Stack:
    """Images in one file on disk that grows chunk by chunk, so that any number can be compared with each other."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.shape, self.count = folder / "images.npy", shape, 0
        self._out = self.file.open("w+b")
        self._out.write(b"\0" * len(_HEADER))

    def append(self, images: np.ndarray) -> None:
        for start in range(0, len(images), _CHUNK):
            self._out.write(np.ascontiguousarray(images[start : start + _CHUNK]).data)
        self.count += len(images)

    def close(self) -> None:
        if not self._out.closed:
            self._out.seek(0)
            self._out.write(npy_header((self.count, *self.shape)))
            self._out.close()

    def images(self) -> np.ndarray:
        """All of them, mapped; no more can be added."""
        self.close()
        found: np.ndarray = np.load(self.file, mmap_mode="r")
        return found


def _import(
    run: Run, tree: Tree, settings: DataConfig, data: ImageSet, earlier: Sequence[np.ndarray]
) -> tuple[str, dict[str, Any]]:
    """Read, decode, compare and write; returns the pool's digest and the figures."""
    started = time.monotonic()
    scratch = run.path / ".unfinished"
    known = _Stack(scratch, (settings.channels, settings.size, settings.size))
    try:
        for images in (data.images, *earlier):
            known.append(images)
        before = known.count
        rank = [
            np.select([data.split == split for split in SPLITS], range(2, 5)),
            np.ones(before - len(data), np.int64),
        ]
        with SkippedList(run.path) as listed:
            skipped: Counter[str] = Counter()

            def skip(name: str, reason: str) -> None:
                skipped[reason.partition(" (")[0]] += 1
                listed.add(name, reason)

            ids = []
            for names, pixels in _decoded(tree, settings, skip):
                known.append(pixels)
                ids += names
            if not ids:
                raise DataError(
                    f"None of the images of {tree.path} can be used ({_reasons(skipped)}).", "Look at the files."
                )
            reasons = _found_again(known.images(), np.concatenate([*rank, np.zeros(len(ids), np.int64)]), before, ids)
            for name, reason in zip(ids, reasons, strict=True):
                if reason:
                    skip(name, reason)
            kept = [i for i, reason in enumerate(reasons) if not reason]
            if not kept:
                raise DataError(
                    f"All {len(ids):,} images of {tree.path} are known already ({_reasons(skipped)}).",
                    "A pool is of images that the data set does not hold.",
                )
            digest = _write(run, scratch, known.images(), [before + i for i in kept], [ids[i] for i in kept], data)
            listed.keep()
    finally:
        known.close()
        known.file.unlink(missing_ok=True)
    figures = {
        "kind": POOL,
        "images": len(kept),
        "size": settings.size,
        "channels": settings.channels,
        "skipped": dict(skipped.most_common()),
        "source": str(tree.path.resolve()),
        "seconds": round(time.monotonic() - started, 3),
    }
    scratch.rmdir()
    return digest, figures


def _reasons(skipped: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count:,}" for reason, count in skipped.most_common())


def _decoded(tree: Tree, settings: DataConfig, skip: Any) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and pixels of the usable images, a chunk at a time; what is not usable goes to `skip`."""

    def items() -> Iterator[Item]:
        for entry in tree.files(lambda name: True):
            if isinstance(entry, Refused):
                skip(entry.id, entry.reason)
            elif is_image(entry.name):
                yield Item(entry.name, "", entry.data)
            else:
                skip(entry.name, why_unread(entry.name))

    target = Target(settings.size, settings.channels, settings.min_side)
    with progress("Importing", None) as advance:
        for chunk, decoded in decode_items(items(), target, settings.workers):
            names, rows, at = [], [], -1
            for item, reason, synthetic in zip(chunk, decoded.reasons, decoded.synthetic, strict=True):
                at += not reason
                if reason or synthetic:
                    skip(item.id, reason or SYNTHETIC)
                else:
                    names.append(printable(item.id))
                    rows.append(at)
            yield names, decoded.pixels[rows]
            advance(len(chunk))


def _found_again(images: np.ndarray, rank: np.ndarray, before: int, ids: Sequence[str]) -> list[str]:
    """For each image from `before` on why it is left out, "" where it stays; rank: (N,) place in `_PLACES`."""
    with progress("comparing", 2 * len(images)) as advance:
        damage = [damage_of(grey) for _, grey in grey_chunks(images)]
        usable = ~np.isin(np.concatenate(damage), NO_PICTURE)
        advance(len(images))
        found = find_duplicates(images, usable, rank, advance)
    own = rank[found.same_as]
    reach = own.copy()
    np.maximum.at(reach, found.first, own[found.second])
    np.maximum.at(reach, found.second, own[found.first])
    reach = reach[found.same_as]
    alike: dict[int, list[int]] = {}
    for first, second in zip(found.first.tolist(), found.second.tolist(), strict=True):
        alike.setdefault(second, []).append(first)  # first < second: of two that are alike the earlier one stays
    reasons: list[str] = []
    for i in range(before, len(images)):
        twin = int(found.same_as[i])
        near = [j for j in alike.get(i, []) if j >= before and not reasons[j - before]]
        if reach[i]:
            reasons.append(f"also in {_PLACES[reach[i]]}")
        elif twin != i or near:
            reasons.append(f"{_WITHIN} ({ids[(near[0] if twin == i else twin) - before]})")
        else:
            reasons.append("")
    return reasons


def _write(run: Run, scratch: Path, images: np.ndarray, rows: Sequence[int], ids: Sequence[str], data: ImageSet) -> str:
    """The pool as an image set whose images have no label and are of no split; returns its digest."""
    kept = _Stack(scratch / "kept", images.shape[1:])
    for start in range(0, len(rows), _CHUNK):
        kept.append(images[np.array(rows[start : start + _CHUNK])])
    kept.close()
    kept.file.replace(run.path / "images.npy")
    kept.file.parent.rmdir()
    ranks = np.array([rank_of(name) for name in ids], dtype=np.uint64)
    unique = distinct(ranks)
    table = (
        dict(zip(COLUMNS, (i, unique(name, int(rank)), "", POOL, "", "real"), strict=True))
        for i, (name, rank) in enumerate(zip(ids, ranks, strict=True))
    )
    return write_table(
        run.path, table, (), class_names=data.class_names, count=len(ids), file="images.npy",
        pixels=digest_of(run.path / "images.npy"),
    )  # fmt: skip


def _result(run: Run) -> Result:
    figures = run.figures
    colour = "grey" if figures["channels"] == 1 else "colour"
    lines = [
        f"{figures['images']:,} real images without labels, {figures['size']} x {figures['size']} {colour}.",
        *skipped_lines(run, figures["skipped"]),
        f"Pool: {run.path}",
        "Label and screen it with: ganfer label --pool",
    ]
    return Result("ganfer data add --pool", run.path, {"name": run.name, **figures}, lines)
