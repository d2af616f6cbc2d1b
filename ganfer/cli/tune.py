"""`ganfer tune`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@setting_option("tune.space", "--space")
@click.option(
    "--search",
    "search",
    metavar="KEY=SPEC",
    multiple=True,
    help="Search this classifier setting: lr=1e-4..1e-2:log, epochs=10..50:10, augment=light,strong; may be repeated",
)
@setting_option("tune.trials", "--trials")
@setting_option("tune.minutes", "--minutes")
@setting_option("tune.sampler", "--sampler")
@setting_option("tune.pruning", "--pruning/--no-pruning")
@setting_option("tune.metric", "--metric")
@setting_option("tune.workers", "--workers")
@setting_option("cluster", "--cluster")
@setting_option("tune.storage", "--storage")
@setting_option("classifier.model", "--model")
@setting_option("classifier.epochs", "--epochs")
@common
def tune(project: "Project", dry_run: bool, search: tuple[str, ...]) -> Result:
    """Search for better classifier settings, judged on validation; the test split is not read.

    Needs the extra: pip install 'ganfer[tune]'. Writes studies/RUN/ with best.toml, trials.csv and a page. The same
    command again goes on with the study, also after an interruption; a larger --trials adds to it.
    """
    return project.tune(search, dry_run=dry_run)
