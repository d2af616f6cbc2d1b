"""`ganfer data export` as a stage of the workspace: the files, the card and the Croissant metadata."""

import numpy as np

from ganfer.cards.dataset import write_cards
from ganfer.cards.facts import DatasetFacts
from ganfer.config import Config
from ganfer.data import parquet
from ganfer.data.imageset import read_set
from ganfer.data.sets import is_drawn
from ganfer.errors import GanferError, did_you_mean
from ganfer.generate.batch import read_batch
from ganfer.label.labels import newest_labels, read_labels
from ganfer.results import Result, table
from ganfer.review.effect import decided
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_json
from ganfer.share.files import COLUMNS, FORMATS, check_folders, patterns, write
from ganfer.share.rows import Content, left_behind
from ganfer.workspace import Run, Workspace

FOLDER = "dataset"


def plan_lines(form: str, batch: Run | None, licence: str) -> list[str]:
    """What `export` will write, in words. GanferError for an unknown format, a missing package, a blank licence."""
    if form not in FORMATS:
        raise GanferError(f"--format {form!r} is unknown.", did_you_mean(form, FORMATS))
    if not licence.strip() or not licence.isprintable():
        raise GanferError(f"--licence {licence!r} is not a name.", "Give one line, like cc-by-4.0, or leave it out.")
    if form == "parquet":
        parquet.need_pyarrow("--format parquet")
    with_faces = f", with the faces kept of {batch.name}" if batch else ""
    return [f"write the active set{with_faces} as {form}, with a card and Croissant metadata"]


def export(
    workspace: Workspace, config: Config, data: Run, batch_run: Run | None, *, form: str, licence: str = "unknown"
) -> Result:
    """Write `exports/<run>/dataset/`; the same command again goes on with the files that are missing, or finds it done.

    batch_run: its kept faces go into train; None: the set alone. licence: an identifier of the Hub, for the card.
    """
    plan_lines(form, batch_run, licence)
    images = read_set(data.path)
    if form == "png":
        check_folders(images.class_names)
    labels_run = newest_labels(batch_run) if batch_run else None
    inputs = {"data": data.digest}
    if batch_run is not None:
        if labels_run is None:
            raise GanferError(f"{batch_run.name} is not labelled yet.", "Label it first: ganfer label.")
        inputs |= {"batch": batch_run.digest, "labels": labels_run.digest}
    content = Content(images, None, ())
    if batch_run is not None and labels_run is not None:
        labels = decided(read_labels(labels_run, images.class_names), batch_run)
        kept = np.flatnonzero(labels.kept).tolist()
        content = Content(images, read_batch(batch_run), [(i, images.class_names[labels.predicted[i]]) for i in kept])
    settings = {"form": form, "shard_size": config.generate.shard_size, "licence": licence}
    faces = digest_json([list(face) for face in content.faces])
    key = {"config": settings, "inputs": inputs | {"faces": faces}}
    run = workspace.run("exports", "dataset", key)
    with run.work("data export") as record:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return _result(run)
        for line in left_behind(images, form):
            say(line)
        with progress("export", sum(content.size(split) for split in ("train", "val", "test"))) as advance:
            for done in write(run.path / FOLDER, content, form, config.generate.shard_size):
                advance(done)
        counts = content.counts()
        write_cards(run.path / FOLDER, _facts(content, data, batch_run, form, licence))
        figures = {"counts": counts, "synthetic": content.synthetic, "format": form, "licence": licence}
        run.finish(digest=digest_json(key), figures=figures)
    return _result(run)


def _facts(content: Content, data: Run, batch: Run | None, form: str, licence: str) -> DatasetFacts:
    images, origin = content.images, data.figures.get("kind", "")
    drawn = ("All faces of the set are drawn by ganfer from a seed; no person is on them.",) if is_drawn(data) else ()
    columns = {name: meaning for name, meaning in COLUMNS.items() if name != "seed" or batch}
    return DatasetFacts(
        name=data.name,
        title=f"Faces {data.name}" + (f" with synthetic ones of {batch.name}" if batch else ""),
        counts=content.counts(),
        size=images.size,
        channels=images.channels,
        form=form,
        files=patterns(content, form),
        synthetic=content.synthetic,
        made=(
            ("set", data.name),
            ("read as", origin),
            ("batch", batch.name if batch else ""),
            ("generator", batch.figures.get("generator", "") if batch else ""),
        ),
        licence=licence,
        columns=columns if form == "parquet" else {},
        notes=(
            *drawn,
            "Images were cut to squares and scaled; train, validation and test are the splits that ganfer trains and "
            "measures on. Synthetic faces are in train only.",
        ),
    )


def _result(run: Run) -> Result:
    figures, folder = run.figures, run.path / FOLDER
    counts = figures["counts"]
    names = list(next(iter(counts.values())))
    rows = [[name, *(f"{counts[split].get(name, 0):,}" for split in counts)] for name in names]
    lines = [
        *table(["class", *counts], rows),
        f"{figures['synthetic']:,} of them synthetic." if figures["synthetic"] else "None of them synthetic.",
        f"{folder}: {figures['format']}, README.md, croissant.json",
    ]
    if figures["licence"] == "unknown":
        lines.append("No licence was stated (--licence); look up the terms of the images before you pass them on.")
    return Result("ganfer data export", run.path, {**figures, "folder": str(folder)}, lines)
