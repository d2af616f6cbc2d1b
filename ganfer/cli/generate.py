"""`ganfer generate`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import common, parse_counts, setting_option
from ganfer.errors import GanferError
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.option(
    "--n", "n", type=click.IntRange(min=1), metavar="N", help="How many faces, spread evenly; with --balance at most N"
)
@click.option("--balance", is_flag=True, help="Fill every class up to the largest, the rarest first")
@click.option("--to", type=click.IntRange(min=1), metavar="N", help="Fill every class up to N instead")
@click.option(
    "--class", "classes", multiple=True, metavar="CLASS=N", help="Exactly N faces of a class; may be repeated"
)
@click.option(
    "--source", type=click.Choice(["dcgan", "stylegan2"]), default="dcgan", show_default=True, help="Generator"
)
@click.option("--gan", metavar="NAME", help="A GAN of the workspace  [default: the newest, or a new one]")
@setting_option("generate.truncation", "--truncation")
@common
def generate(
    project: "Project",
    dry_run: bool,
    n: int | None,
    balance: bool,
    to: int | None,
    classes: tuple[str, ...],
    source: str,
    gan: str | None,
) -> Result:
    """Draw synthetic faces into synthetic/BATCH/: PNGs that say how they were made, and metadata.csv.

    Without any count, generate.n faces are spread evenly over the classes. The same command again resumes.
    """
    if source == "stylegan2":
        raise GanferError(
            "--source stylegan2 is not available in this version.", "Use --source dcgan, which needs no download."
        )
    counts = parse_counts(classes, "--class")
    return project.generate(n, balance=balance, to=to, classes=counts, gan=gan, dry_run=dry_run)
