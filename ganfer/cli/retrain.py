"""`ganfer retrain`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, daily, setting_option
from ganfer.errors import ConfigError
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@setting_option("retrain.arms", "--arms")
@setting_option("retrain.seeds", "--seeds")
@click.option("--quick", "set__retrain__arms", flag_value="quick", help="The four arms that matter most")
@setting_option("retrain.weight", "--weight")
@setting_option("retrain.ratios", "--ratios")
@setting_option("retrain.weights", "--weights")
@setting_option("retrain.soft_labels", "--soft-labels/--hard-labels")
@setting_option("retrain.way", "--way")
@setting_option("retrain.ways", "--ways")
@setting_option("retrain.batches", "--batches")
@setting_option(
    "retrain.fresh", "--fresh", is_flag=False, flag_value=1000, metavar="[N]",
    help="Other faces in every pass, drawn and screened as the kept ones were: a set for each, or N in turn",
)  # fmt: skip
@setting_option("retrain.pretrained", "--pretrained", metavar="FOLDER", type=PathParam())
@setting_option("retrain.tries", "--tries")
@setting_option("retrain.keep", "--keep")
@click.option("--drop-leaks/--keep-leaks", "drop_leaks", default=None, hidden=True)
@setting_option("retrain.folds", "--folds")
@setting_option("retrain.workers", "--workers")
@setting_option("cluster", "--cluster")
@setting_option("classifier.model", "--model")
@setting_option("classifier.epochs", "--epochs")
@daily
def retrain(project: "Project", dry_run: bool, drop_leaks: bool | None) -> Result:
    """Train with and without the synthetic faces, with paired seeds and equal steps, and report what changed."""
    if drop_leaks:
        raise ConfigError(
            "--drop-leaks left the test's images to the GAN and took them from the real arms only, so it is gone.",
            "Make a set without them, for all: ganfer data check --drop, then train the GAN on it.",
        )
    return project.retrain(dry_run=dry_run)
