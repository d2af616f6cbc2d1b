"""The workspace's data sets: which there are, and which one commands use."""

from ganfer.data.imageset import SPLITS
from ganfer.data.unlabelled import pool_lines
from ganfer.errors import WorkspaceError
from ganfer.results import Result, table
from ganfer.workspace import Run, Workspace


def use(workspace: Workspace, name: str) -> Result:
    """Make a finished data set, named by its folder or a beginning of it, the one commands use."""
    run = workspace.find("data", name)
    workspace.activate_data(run)
    return Result("ganfer data use", run.path, {"name": run.name}, [f"Active set: {run.path}"])


def is_drawn(run: Run) -> bool:
    """Whether a data set holds drawn faces only: drawn by ganfer, or a part of such a set."""
    return bool(run.figures.get("kind") == "drawn")  # a set into which others were merged has their kind


def drawn_digests(workspace: Workspace) -> set[str]:
    """The digests of the workspace's data sets of drawn faces."""
    return {run.digest for run in workspace.runs("data") if run.complete and is_drawn(run)}


def list_sets(workspace: Workspace) -> Result:
    """The finished data sets, the newest last; the active one is marked."""
    runs = [run for run in workspace.runs("data") if run.complete]
    if not runs:
        raise WorkspaceError(f"{workspace.root} holds no data yet.", "Add some: ganfer data add PATH.")
    active = workspace.active_data
    sets = []
    for run in runs:
        counts = run.figures.get("counts", {})
        totals = {split: sum(counts.get(split, {}).values()) for split in SPLITS}
        chosen = active is not None and active.name == run.name
        sets.append({"name": run.name, "active": chosen, "classes": len(counts.get("train", {})), **totals})
    rows = [
        ["* " if s["active"] else "  ", s["name"], s["classes"], *(f"{s[split]:,}" for split in SPLITS)] for s in sets
    ]
    lines = [*table(["", "set", "classes", *SPLITS], rows, "<<>>>>"), "* = the set that commands use"]
    lines += pool_lines(workspace, active) if active is not None else []
    return Result("ganfer data list", None, {"sets": sets}, lines)
