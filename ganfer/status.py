"""What the workspace holds and what comes next."""

from ganfer.data.unlabelled import pools_of
from ganfer.generate.several import companions
from ganfer.label.labels import newest_labels
from ganfer.results import Result, table
from ganfer.review.effect import decisions_input
from ganfer.workspace import KINDS, Run, Workspace


def status(workspace: Workspace) -> Result:
    """Every run with its state and its main figure, the active data set, and the next command. Makes nothing."""
    runs = {kind: workspace.runs(kind) for kind in KINDS}
    active = workspace.active_data
    rows = []
    for kind in KINDS:
        for run in runs[kind]:
            state = "complete" if run.complete else "unfinished"
            if active and run.name == active.name and kind == "data":
                state = "active"
            rows.append([kind, run.name, state, f"{run.record.get('seconds', 0):.0f} s", _main_figure(run)])
    step = next_step(workspace)
    figures = {
        "workspace": str(workspace.root),
        "active_data": active.name if active else None,
        "runs": {kind: [{"name": run.name, "complete": run.complete} for run in runs[kind]] for kind in KINDS},
        "next": step,
    }
    lines = [f"workspace {workspace.root}"]
    lines += table(["kind", "run", "state", "time", ""], rows, "<<<><") if rows else ["(empty)"]
    lines.append(f"next: {step}")
    return Result("ganfer status", None, figures, lines)


def next_step(workspace: Workspace) -> str:
    """The command that continues the daily use from where the workspace is."""
    for kind in KINDS:
        unfinished = [run for run in workspace.runs(kind) if not run.complete]
        if unfinished:
            command = unfinished[-1].record.get("command", "the same command again")
            return f"{command}   (goes on with {unfinished[-1].name})"
    active = workspace.active_data
    if active is None:
        return "ganfer data add PATH   (or ganfer generate --n 500, which draws faces of its own)"
    inputs = {"data": active.digest}
    batch = workspace.latest("synthetic", **inputs)
    if batch is None:
        return "ganfer generate --n 500"
    labels = newest_labels(batch)
    drawn = companions(workspace, batch)
    if labels is None or any(newest_labels(each) is None for each in drawn):
        return "ganfer label"
    if any(newest_labels(pool, active) is None for pool in pools_of(workspace, active)):
        return "ganfer label --pool"
    said = decisions_input(batch)
    report = workspace.latest("reports", batch=batch.digest, labels=labels.digest, **said, **inputs)
    several = f" --batches {len(drawn)}" if len(drawn) > 1 else ""
    return f"ganfer retrain{several}" if report is None else f"open {report.path / 'index.html'}"


def _main_figure(run: Run) -> str:
    """A few words on what a run brought."""
    figures = run.figures
    if run.kind in ("classifiers", "judges") and "validation" in figures:
        return f"validation balanced accuracy {figures['validation']['balanced_accuracy']:.1%}"
    if run.kind == "reports" and "verdict" in figures:
        return str(figures["verdict"]["word"])
    if run.kind == "gans" and figures.get("kid") is not None:
        return f"KID {figures['kid']:.4f} at step {figures['best_step']:,}"
    if run.kind == "evaluations" and "figures" in figures:
        return f"balanced accuracy {figures['figures']['balanced_accuracy']['mean']:.1%}"
    if run.kind == "crossvals" and "ways" in figures:
        means = {way: found["figures"]["accuracy"]["mean"] for way, found in figures["ways"].items()}
        return "accuracy " + ", ".join(f"{mean:.1%} ({way})" for way, mean in means.items())
    if run.kind == "studies" and "best" in figures:
        return f"best validation {figures['metric'].replace('_', ' ')} {figures['best']['value']:.4g}"
    if run.kind in ("explanations", "exports"):
        return ""
    count = figures.get("images", figures.get("count"))
    return f"{count:,} images" if count is not None and run.kind != "gans" else ""
