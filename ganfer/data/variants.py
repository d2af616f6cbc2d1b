"""A variant of a data set: some of its images, in a run of its own that shares the parent's pixels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ganfer.data.imageset import SPLITS, read_set, save_variant
from ganfer.workspace import Run, Workspace

_INHERITED = ("kind", "size", "channels", "skipped")
_HEX = frozenset("0123456789abcdef")


def make_variant(
    workspace: Workspace,
    data: Run,
    what: str,
    options: Mapping[str, Any],
    indices: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    **figures: Any,
) -> Run:
    """The images of `data` at `indices` as a new run that commands use from now on; made once per `options`.

    what: the word the run's name gets (`thin`, `clean`). labels: (N,) of these images, where they change.
    figures: further numbers for its record.
    """
    key = {"inputs": {"data": data.digest}, "options": {"variant": what, **options}}
    run = workspace.run("data", f"{_stem(data.name)}-{what}", key)
    with run.work(f"data {what}") as record:
        if record.get("status") != "complete":
            digest = save_variant(run.path, data.path, indices, labels)
            made = read_set(run.path)
            own = {"images": len(made), "counts": {split: made.counts(split) for split in SPLITS}, "parent": data.name}
            inherited = {name: data.figures[name] for name in _INHERITED if name in data.figures}
            run.finish(digest=digest, figures={**inherited, **own, **figures}, taken=data.record.get("taken", []))
    workspace.activate_data(run)
    return run


def _stem(name: str) -> str:
    """A run's name without its digest: `fer2013` of `fer2013-1a2b3c4d`."""
    stem, dash, tail = name.rpartition("-")
    return stem if dash and len(tail) == 8 and set(tail) <= _HEX else name
