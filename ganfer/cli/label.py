"""`ganfer label`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.argument("folder", required=False, type=click.Path())
@click.option("--classifier", metavar="NAME", help="A classifier of the workspace  [default: the newest, or a new one]")
@setting_option("label.min_confidence", "--min-confidence")
@setting_option("label.require_match", "--require-match/--any-class")
@common
def label(project: "Project", dry_run: bool, folder: str | None, classifier: str | None) -> Result:
    """Pseudo-label and screen the newest batch, or the images of FOLDER.

    Prints how many faces each class got before and after screening, and how balanced that is.
    """
    return project.label(folder, classifier=classifier, dry_run=dry_run)
