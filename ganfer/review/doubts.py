"""The wall of an audit: the real training and validation images whose label is doubtful, the most doubtful first."""

from typing import Any

import numpy as np

from ganfer.data.imageset import read_set
from ganfer.errors import DataError
from ganfer.review.audit import audited, doubted_rows
from ganfer.review.decisions import log_of
from ganfer.review.thumbs import small
from ganfer.review.wall import Wall
from ganfer.workspace import Run, Workspace

KINDS = ("train", "val")


def audited_sets(workspace: Workspace) -> list[Run]:
    """The data sets that were audited, the active one first."""
    active = workspace.active_data
    runs = [run for run in reversed(workspace.runs("data")) if run.complete and audited(run)]
    return sorted(runs, key=lambda run: active is None or run.name != active.name)


def label_wall(run: Run) -> Wall:
    """The doubted labels of a data set. DataError when the audit's table is damaged or names a test image."""
    rows, images = doubted_rows(run), read_set(run.path)
    names = images.class_names
    place = {name: i for i, name in enumerate(images.ids.tolist())}
    try:
        index = np.array([place[row["id"]] for row in rows], dtype=np.int64)
        suggested = np.array([names.index(row["suggested"]) for row in rows], np.int8)
        probabilities = [[float(row[f"p_{name}"]) for name in names] for row in rows]
        doubt = np.array([1 - float(row["confidence"]) for row in rows], np.float32)
        kind = np.array([KINDS.index(images.split[i]) for i in index], np.uint8)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{run.path / 'audit'} is damaged ({error}).", "Run the audit again: ganfer data audit."
        ) from error

    def facts(i: int) -> dict[str, Any]:
        row = rows[i]
        return {
            "name": row["id"],
            "asked": row["label"],
            "predicted": row["suggested"],
            "reason": f"{row['split']} image",
            "confidence": float(row["confidence"]),
            "probabilities": probabilities[i],
            "figures": {"label given": row["label"], "likelier": row["suggested"]},
            "beside": "",
        }

    given = images.labels[index].astype(np.int8)
    return Wall(
        name=run.name,
        title=f"{run.name}, {len(rows):,} doubtful labels",
        class_names=names,
        names=tuple(row["id"] for row in rows),
        kinds=KINDS,
        kind=kind,
        asked=given,
        label=given,
        suggested=suggested,
        doubt=doubt,
        log=log_of(run.path),
        thumbs=lambda chosen: small(np.asarray(images.images[index[chosen]])),
        picture=lambda i: np.asarray(images.images[index[i]]),
        beside=lambda i: None,
        facts=facts,
    )
