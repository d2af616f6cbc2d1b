"""`ganfer review`: a page to look, decide and correct."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.option("--batch", metavar="NAME", help="Batch to begin with  [default: the newest that is labelled]")
@click.option("--reviewer", metavar="NAME", help="Who decides  [default: the login name]")
@click.option("--port", type=click.IntRange(0, 65_535), default=8502, show_default=True, help="0 = any free one")
@setting_option("serve.host", "--host")
@click.option("--token", envvar="GANFER_TOKEN", help="What every request has to bring  [default: $GANFER_TOKEN; "
              "made and printed for a --host that others reach]")  # fmt: skip
@click.option("--blind-faces", type=click.IntRange(8, 2000), default=60, show_default=True, metavar="N",
              help="Faces in the blind test, half of them made")  # fmt: skip
@click.option("--export", type=PathParam(path_type=Path, dir_okay=False), metavar="CSV", help="Write all decisions")
@click.option("--import", "take", type=PathParam(path_type=Path, dir_okay=False), metavar="CSV",
              help="Take up decisions of such a table")  # fmt: skip
@click.option("--agreement", is_flag=True, help="Who decided how much, and how far people agree")
@click.option("--labels", is_flag=True, help="With the three above: the labels of the audited data, not the faces")
@common
def review(
    project: "Project",
    dry_run: bool,
    batch: str | None,
    reviewer: str | None,
    port: int,
    token: str | None,
    blind_faces: int,
    export: Path | None,
    take: Path | None,
    agreement: bool,
    labels: bool,
) -> Result:
    """Look at the faces of a batch and at doubtful labels; keep, reject, relabel; until Ctrl-C.

    Every decision is written at once and goes into the next `ganfer retrain`. The page also shows the reports side by
    side, a GAN's snapshots as a film, and a blind test. Nothing leaves this machine.
    """
    return project.review(
        batch,
        reviewer=reviewer,
        port=port,
        token=token,
        blind_faces=blind_faces,
        export=export,
        take=take,
        agreement=agreement,
        labels=labels,
        dry_run=dry_run,
    )
