"""`ganfer label`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, classifier_option, daily, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.argument("folder", required=False, type=PathParam())
@classifier_option(starter=False)
@setting_option("label.min_confidence", "--min-confidence")
@setting_option("label.require_match", "--require-match/--any-class")
@setting_option("label.manifold", "--manifold", metavar="SHARE")
@setting_option("label.copies", "--copies/--allow-copies")
@setting_option("label.diverse", "--diverse/--allow-repetitions")
@click.option("--fill", is_flag=True, help="Have more faces drawn until as many of each class are kept as asked for")
@click.option("--pool", is_flag=True, help="Label the real images of `ganfer data add --pool` instead")
@setting_option("label.draws", "--draws", metavar="N")
@setting_option("workers", "--workers")
@setting_option("cluster", "--cluster")
@daily
def label(
    project: "Project", dry_run: bool, folder: str | None, classifier: str | None, fill: bool, pool: bool
) -> Result:
    """Pseudo-label and screen the newest batch, or the images of FOLDER.

    A face is kept when the classifier sees the class asked for and is sure enough, when it lies on the manifold of
    real images, is no copy of a training image and no repetition of another face. Prints how many faces of each class
    were kept, why the others were not, and how balanced the kept ones are.
    """
    return project.label(folder, classifier=classifier, fill=fill, pool=pool, dry_run=dry_run)
