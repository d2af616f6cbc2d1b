"""What the workspace has come to so far: its reports side by side, and its GANs' snapshots as films."""

import re
from pathlib import Path
from typing import Any

from ganfer.errors import GanferError
from ganfer.page.node import read_results
from ganfer.workspace import Run, Workspace

_STEP = re.compile(r"step-(\d+)\.png")


def reports(workspace: Workspace) -> list[dict[str, Any]]:
    """The finished reports, the newest first: verdict, and every arm's main figures. One that is damaged says so."""
    return [_report(run) for run in reversed(workspace.runs("reports")) if run.complete]


def _report(run: Run) -> dict[str, Any]:
    about = {"name": run.name, "finished": str(run.record.get("finished", ""))[:16].replace("T", " ")}
    try:
        results = read_results(run.path)
        verdict = results["verdict"]
        return {
            **about,
            "title": str(results.get("title", run.name)),
            "word": str(verdict["word"]),
            "sentence": str(verdict["sentence"]),
            "arms": [_arm(arm) for arm in results["arms"]],
            "batch": str(run.record.get("key", {}).get("inputs", {}).get("batch", ""))[:12],
            "review": results.get("review"),
        }
    except (GanferError, KeyError, TypeError, AttributeError) as error:
        return {**about, "error": f"This report cannot be shown ({error})."}


def _arm(arm: dict[str, Any]) -> dict[str, Any]:
    metrics = arm["metrics"]
    figures = {
        name: [metrics[name][end] for end in ("mean", "low", "high")]
        for name in ("balanced_accuracy", "accuracy", "macro_f1")
        if name in metrics
    }
    recall = {name: found["recall"]["mean"] for name, found in arm["per_class"].items()}
    return {"title": str(arm["title"]), "figures": figures, "recall": recall}


def films(workspace: Workspace) -> list[dict[str, Any]]:
    """The GANs that left samples: name and steps, the newest first."""
    found = []
    for run in reversed(workspace.runs("gans")):
        steps = sorted(frames(run))
        if steps:
            found.append({"name": run.name, "steps": steps})
    return found


def frames(run: Run) -> dict[int, Path]:
    """A GAN's sheets of samples by step; the same seeds on each."""
    folder = run.path / "samples"
    named = ((path, _STEP.fullmatch(path.name)) for path in folder.iterdir()) if folder.is_dir() else ()
    return {int(step[1]): path for path, step in named if step}
