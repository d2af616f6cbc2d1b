"""How often a test split was looked at before: every experiment of a workspace is a look."""

from collections.abc import Mapping
from typing import Any

from ganfer.data.imageset import read_set
from ganfer.errors import GanferError
from ganfer.runtime.files import digest_json
from ganfer.workspace import Run, Workspace


def uses_notes(workspace: Workspace, run: Run, data: Run, key: Mapping[str, Any]) -> list[str]:
    """What the finished reports say of the same test images, and of the same comparison with other seeds.

    A report of the very same trainings (another `retrain.keep`, an earlier rule) is no further look.
    """
    mine = _test_digest(data)
    others = [
        other
        for other in workspace.runs("reports")
        if other.complete and other.name != run.name and _trainings(other.record.get("key", {})) != _trainings(key)
    ]
    digests = {data.digest: mine}
    same = []
    for other in others:
        used = str(other.record.get("key", {}).get("inputs", {}).get("data", ""))
        if used not in digests:
            found = next((one for one in workspace.runs("data") if one.digest == used), None)
            digests[used] = _test_digest(found) if found else ""
        if digests[used] == mine:
            same.append(other)
    notes = []
    before = {_trainings(other.record.get("key", {})) for other in same}
    if before:
        count = len(before)
        notes.append(
            f"This test split was used by {count} experiment{'s' if count > 1 else ''} of this workspace before: of "
            f"{count + 1} in which nothing helps, one says that something does with a chance of up to "
            f"{1 - 0.975 ** (count + 1):.0%}."
        )
    looks = sum(comparison == _comparison(key) for comparison, *_ in before)
    if looks:
        notes.append(
            f"The same comparison was looked at {looks} time{'s' if looks > 1 else ''} before, with other seeds: where "
            "seeds were added because of what was seen, the intervals are narrower than they should be."
        )
    return notes


def _trainings(key: Mapping[str, Any]) -> tuple[str, str, str]:
    """What was compared, and with which seeds."""
    settings = key.get("config", {}).get("retrain", {})
    return _comparison(key), str(key.get("seed")), str(settings.get("seeds"))


def _comparison(key: Mapping[str, Any]) -> str:
    """What was compared, whatever the number of seeds and of trainings beside it."""
    config = {name: dict(part) for name, part in key.get("config", {}).items() if isinstance(part, Mapping)}
    for name in ("seeds", "resamples", "keep"):
        config.get("retrain", {}).pop(name, None)
    return digest_json({"config": config, "inputs": key.get("inputs", {})})


def _test_digest(data: Run) -> str:
    """Of the test images' names: variants of a data set share their test split."""
    try:
        images = read_set(data.path)
    except GanferError:
        return ""
    return digest_json(sorted(images.ids[images.split == "test"].tolist()))
