"""`ganfer quality`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import classifier_option, common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.argument("batch", required=False)
@classifier_option(starter=False)
@setting_option("quality.faces", "--faces")
@setting_option("quality.halvings", "--halvings")
@setting_option("quality.cas", "--cas/--no-cas")
@setting_option("quality.inception", "--inception", metavar="FILE")
@setting_option("quality.lpips", "--lpips", metavar="FILE")
@setting_option("workers", "--workers")
@setting_option("cluster", "--cluster")
@common
def quality(project: "Project", dry_run: bool, batch: str | None, classifier: str | None) -> Result:
    """Measure the newest batch, or BATCH: FID, KID, precision, recall, density, coverage, diversity, copies, and what
    a classifier learns from the faces; overall and per class, beside what as many held-back real images reach.

    Writes qualities/RUN/ with a page, quality.json, per_class.csv and faces.csv.
    """
    return project.quality(batch, classifier=classifier, dry_run=dry_run)
