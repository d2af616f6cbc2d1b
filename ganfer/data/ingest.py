"""`ganfer data add`: labelled images become the workspace's active set; the drawn faces do, where none were added.

Items are read, decoded and written as one stream. What cannot be used is left out and listed in `skipped.csv`.
"""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.config import Config, DataConfig
from ganfer.data.checkpoint import is_there
from ganfer.data.imageset import SPLITS, ImageSet, read_set, save_set
from ganfer.data.importer import Importer
from ganfer.data.selection import Selection
from ganfer.data.sources import open_source, source_stem
from ganfer.data.sources.items import ReadOptions
from ganfer.data.sources.trees import WORKSPACE, says_workspace
from ganfer.data.summary import plan, result
from ganfer.data.text import printable
from ganfer.data.writer import MENDABLE, discard_scratch
from ganfer.errors import DataError, GanferError
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.workspace import Run, Workspace

_READING = 6  # the rules by which paths and tables are read: what older rules made is not taken for these
# the settings that change what an import gives
_CONTENT = ("size", "channels", "val_fraction", "test_fraction", "split_seed", "min_side", "face_confidence")


def add(
    workspace: Workspace,
    config: Config,
    path: Path | str | Sequence[Path | str],
    *,
    kind: str | None = None,
    classes: Sequence[str] = (),
    renames: Mapping[str, str] | None = None,
    merge: bool = False,
    soft_labels: bool = False,
    allow_synthetic: bool = False,
    class_level: int | None = None,
    subject_level: int | None = None,
    class_names: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Result:
    """Import labelled images from a folder, archive or label file and make them the active set.

    kind: the layout, found out when None. merge: add to the active set. soft_labels: keep votes (FERPlus).
    allow_synthetic: take images that carry ganfer's mark, for train only. class_level, subject_level: which folder of a
    path is the class and which the subject (1: directly in PATH, -1: around the image), found out when None.
    class_names: of classes that the source numbers, in order. columns: of Parquet, what a column means (image, label,
    split, group) -> its name. How the source is read is said before anything is written. The same call again finds the
    work done, or goes on from where it was interrupted.
    DataError for what cannot be used.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(each) for each in path]
    for each in paths:
        refuse_own(each, allow_synthetic)
    wanted = ReadOptions(
        soft_labels, config.data.face_confidence, class_level, subject_level, tuple(class_names), dict(columns or {})
    )
    source = open_source(paths[0] if len(paths) == 1 else paths, kind, wanted)
    lines = source.lines()
    selection = Selection.of(source, classes, renames or {})
    if dry_run:
        return plan(source, selection, config.data)
    for line in lines:
        say(printable(line))
    digest = source.digest()
    parent = _parent(workspace) if merge else None
    settings = _settings(config.data, parent)
    options = {
        "kind": source.kind,
        "classes": list(selection.classes),
        "renames": dict(selection.renames),
        "soft_labels": soft_labels,
        "allow_synthetic": allow_synthetic,
        **{name: getattr(settings, name) for name in _CONTENT},
        **{name: level for name, level in (("class_level", class_level), ("subject_level", subject_level)) if level},
        **{name: value for name, value in (("class_names", list(class_names)), ("columns", columns)) if value},
        "reading": _READING,
    }
    if parent is not None and any(_same(each, {"source": digest, "options": options}) for each in _taken(parent)):
        say(f"{source.path} is in {parent.name} already.")
        return result(parent)
    inputs = {"source": digest} | ({"parent": parent.digest} if parent else {})
    key = {"inputs": inputs, "options": options}
    run = workspace.run("data", source_stem(source.path), key)
    with run.work("data add") as record:
        if record.get("status") == "complete":
            say(f"{source.path} was added before; nothing to do.")
        else:
            with undone(run):
                importer = Importer(run, source, selection, settings, allow_synthetic)
                digest_of_set, figures = importer.all(parent)
                taken = [*(_taken(parent) if parent else []), {"source": digest, "options": options}]
                run.finish(digest=digest_of_set, figures=figures, source=str(source.path.resolve()), taken=taken)
    workspace.activate_data(run)
    return result(run)


def refuse_own(path: Path, allow_synthetic: bool = False) -> None:
    """DataError for a path in a run of a workspace: what ganfer made is not what a data set is made of."""
    here = path.resolve()
    for folder in (here, *here.parents):
        marker = folder.parent.parent / WORKSPACE
        if not ((folder / "record.json").is_file() and marker.is_file() and says_workspace(marker.read_bytes())):
            continue
        if folder.parent.name == "synthetic":
            if allow_synthetic:
                return
            raise DataError(
                f"{path} is a batch of synthetic images; a data set is made of real ones.",
                "Label it with `ganfer label`, or take it for training with --allow-synthetic.",
            )
        raise DataError(
            f"{path} belongs to the workspace {marker.parent}.", "Give the folder that its images came from."
        )


def draw(workspace: Workspace, config: Config) -> Run:
    """The drawn faces as the active set: what a workspace without data works on."""
    from ganfer.data.drawn import DRAWN_VERSION

    data, drawn = config.data, config.drawn
    options = {**dataclasses.asdict(drawn), "size": data.size, "channels": data.channels}
    key = {"inputs": {}, "options": {**options, "version": DRAWN_VERSION}}
    run = workspace.run("data", "drawn", key)
    with run.work("data draw") as record:
        if record.get("status") != "complete":
            say(f"Drawing {drawn.total:,} training faces, and those for choosing and testing.")
            started = time.monotonic()
            made = _drawn_images(config)
            (run.path / "images.npy").unlink(missing_ok=True)
            digest = save_set(run.path, made)
            counts = {name: made.counts(name) for name in SPLITS}
            seconds = round(time.monotonic() - started, 3)
            figures = {"kind": "drawn", "images": len(made), "size": made.size, "channels": made.channels}
            run.finish(digest=digest, figures={**figures, "counts": counts, "skipped": {}, "seconds": seconds})
    workspace.activate_data(run)
    return run


def _drawn_images(config: Config) -> ImageSet:
    from ganfer.data.drawn import EXPRESSIONS, drawn_set

    data, drawn = config.data, config.drawn
    try:
        faces = drawn_set(drawn.total, drawn.seed, data.size, data.channels, val=drawn.val, test=drawn.test)
    except ValueError as error:
        raise DataError(
            f"Such faces cannot be drawn: {error}.", "Change drawn.total, drawn.seed or data.size."
        ) from error
    count = len(faces.images)
    return ImageSet(
        images=faces.images,
        labels=faces.labels.astype(np.int64),
        class_names=tuple(EXPRESSIONS),
        split=faces.split,
        group=faces.groups.astype(np.str_),
        source=np.full(count, "real"),
        ids=np.array([f"drawn/{i:06d}" for i in range(count)]),
    )


@contextlib.contextmanager
def undone(run: Run) -> Iterator[None]:
    """An import that fails for its data leaves no run behind that `status` would call begun, and no scratch; what an
    interrupt or a full disk ends keeps its checkpoint, where it has one.

    The writer removes its own scratch, but an interrupt can arrive before the writer's context is entered.
    """
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, MENDABLE) and is_there(run.path)):
            discard_scratch(run.path)
        if not isinstance(error, GanferError):
            raise
        for path in run.path.iterdir():
            if path.name != ".lock":  # held by us, perhaps waited for by another
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def _parent(workspace: Workspace) -> Run:
    parent = workspace.active_data
    if parent is None:
        raise DataError("There is no data set to merge into.", "Add the first one without --merge.")
    return parent


def _settings(data: DataConfig, parent: Run | None) -> DataConfig:
    """The settings to import with: into a set goes what has its size and channels."""
    if parent is None:
        return data
    return settings_of_set(data, parent, "Merge with the set's own, or add both anew.")


def settings_of_set(data: DataConfig, run: Run, remedy: str) -> DataConfig:
    """The settings with the set's own size and channels. DataError where others were asked for."""
    default, images = DataConfig(), read_set(run.path)
    there = {"size": images.size, "channels": images.channels}
    for name, own in there.items():
        wanted = getattr(data, name)
        if wanted != own and wanted != getattr(default, name):
            raise DataError(f"{run.name} has {name} {own}, not {wanted}.", remedy)
    return replace(data, **there)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two imports took the same images, whichever version of the reading rules they went by."""
    first, second = ({**each["options"], "reading": 0} for each in (one, other))
    return one["source"] == other["source"] and first == second


def _taken(run: Run) -> list[dict[str, Any]]:
    taken: list[dict[str, Any]] = run.record.get("taken", [])
    return taken
