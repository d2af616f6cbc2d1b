"""The command: serve the pages until Ctrl-C; or export, import and compare decisions without a page."""

import dataclasses
import getpass
from pathlib import Path
from typing import Any

from ganfer.config import Config
from ganfer.errors import GanferError, WorkspaceError
from ganfer.results import Result
from ganfer.review.blind import blind_figures, blind_lines
from ganfer.review.decisions import log_of
from ganfer.review.doubts import audited_sets, label_wall
from ganfer.review.effect import agreement_lines, agreements, by_reviewer
from ganfer.review.exchange import checked_reviewer, export_decisions, import_decisions
from ganfer.review.faces import batch_wall, labelled_batches
from ganfer.runtime.console import say
from ganfer.workspace import Run, Workspace


def plan_lines(
    workspace: Workspace, config: Config, batch: Run | None, port: int, token: str | None = None
) -> list[str]:
    """What `review` will show, and where. GanferError for an address that is not to be had."""
    shown = [f"show {run.name} for review" for run in ([batch] if batch else labelled_batches(workspace)[:1])]
    shown += [f"show the doubtful labels of {run.name}" for run in audited_sets(workspace)[:1]]
    if not shown:
        raise WorkspaceError(
            f"{workspace.root} holds nothing to review yet.", "Label a batch: ganfer label; or: ganfer data audit."
        )
    _check_listening(config, port, token)
    return [*shown, f"listen on {config.serve.host}, port {port or 'any free'}"]


def _check_listening(config: Config, port: int, token: str | None) -> None:
    from ganfer.runtime.extras import require

    require("ganfer review", "serve", "fastapi", "uvicorn")
    from ganfer.serve.server import check_listening

    check_listening(dataclasses.replace(config.serve, port=port), token)


def reviewer_name(given: str | None) -> str:
    """The reviewer's name: the given one, else the login name."""
    if given is not None:
        return checked_reviewer(given)
    try:
        return checked_reviewer(getpass.getuser())
    except (OSError, KeyError, ImportError):  # no login name in this environment
        raise GanferError("Your login name cannot be found.", "Give one with --reviewer NAME.") from None


def serve_review(
    workspace: Workspace,
    config: Config,
    batch: Run | None,
    *,
    reviewer: str,
    port: int,
    token: str | None = None,
    blind_faces: int = 60,
) -> Result:
    """Show the pages until Ctrl-C or SIGTERM. Every decision is on the disk before the page shows it."""
    try:
        from ganfer.review.desk import Desk
        from ganfer.review.server import ReviewServer
        from ganfer.serve.server import Listening
    except ImportError as error:
        raise GanferError(f"ganfer review needs {error.name}.", "Install it: pip install 'ganfer[serve]'.") from error

    settings = dataclasses.replace(config.serve, port=port)
    desk = Desk(workspace, reviewer, batch.name if batch else None, blind_faces)
    for run in desk.batches()[:1]:
        desk.wall("faces", run.name)  # thumbnails are made now, with a bar, rather than while a browser waits
    server = ReviewServer(desk, settings, token=token)

    def started(listening: Listening) -> None:
        say(f"{reviewer} reviews {workspace.root} at {listening.link}   (Ctrl-C ends it)")

    server.run(started)
    decided = {run.name: by_reviewer(log_of(run.path)) for run in (*desk.batches(), *desk.sets())}
    lines = [f"{name}: {_people(people)}" for name, people in decided.items() if people]
    return Result(
        "ganfer review",
        None,
        {"url": server.listening.url, "decided": decided},
        lines or ["Nobody decided on anything."],
    )


def exchange(
    workspace: Workspace, batch: Run | None, *, labels: bool, export: Path | None, take: Path | None
) -> Result:
    """Import and export decisions as CSV, and say who decided how much and how far people agree."""
    if labels:
        sets = audited_sets(workspace)
        if not sets:
            raise WorkspaceError(f"{workspace.root} holds no audited data.", "Audit it: ganfer data audit.")
        run, wall = sets[0], label_wall(sets[0])
        names, classes = wall.names, wall.class_names
    else:
        found = [batch] if batch else labelled_batches(workspace)[:1]
        if not found:
            raise WorkspaceError(f"{workspace.root} holds no labelled batch.", "Label one: ganfer label.")
        run = found[0]
        shown = batch_wall(workspace, run, thumbnails=False)
        names, classes = shown.names, shown.class_names
    log, lines = log_of(run.path), []
    figures: dict[str, Any] = {"name": run.name}
    if take is not None:
        new, old = import_decisions(log, take, names, classes)
        figures["imported"] = new
        lines.append(f"{take}: {new:,} decisions taken up, {old:,} were there already")
    if export is not None:
        figures["exported"] = export_decisions(log, export)
        lines.append(f"{export}: {figures['exported']:,} decisions")
    figures |= {"reviewers": by_reviewer(log), "agreement": agreements(log)}
    lines.append(f"{run.name}: {_people(figures['reviewers']) or 'nobody has decided on anything'}")
    lines += agreement_lines(figures["agreement"])
    if not labels and (blind := blind_figures(run)):
        figures["blind"] = blind
        lines += ["blind test:", *blind_lines(blind), *agreement_lines(blind["agreement"])]
    return Result("ganfer review", run.path, figures, lines)


def _people(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} decided on {n:,}" for name, n in counts.items())
