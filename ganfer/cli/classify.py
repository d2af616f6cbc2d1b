"""`ganfer evaluate`, `ganfer crossval`, `ganfer explain` and `ganfer export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, classifier_option, common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.argument("folder", required=False, type=PathParam())
@classifier_option(several="several are one ensemble")
@setting_option("evaluate.split", "--split")
@setting_option("evaluate.tta", "--tta")
@setting_option("evaluate.beta", "--beta")
@setting_option("evaluate.thresholds", "--thresholds")
@setting_option("evaluate.stress", "--stress/--no-stress")
@setting_option("evaluate.resamples", "--resamples")
@common
def evaluate(project: "Project", dry_run: bool, folder: str | None, classifiers: tuple[str, ...]) -> Result:
    """Measure a classifier on the test split: the classification report, confusions, calibration, mistakes, curves.

    FOLDER measures on images from elsewhere instead, a subfolder per class. Writes evaluations/RUN/ with a page, its
    plots as PNG, results.json, per_class.csv and predictions.csv.
    """
    return project.evaluate(folder, classifiers=classifiers, dry_run=dry_run)


@click.command()
@setting_option("crossval.folds", "--folds")
@setting_option("crossval.by", "--by")
@setting_option("crossval.splits", "--splits")
@setting_option("crossval.tta", "--tta")
@setting_option("crossval.workers", "--workers")
@setting_option("cluster", "--cluster")
@setting_option("classifier.model", "--model")
@setting_option("classifier.epochs", "--epochs")
@common
def crossval(project: "Project", dry_run: bool) -> Result:
    """Train and test the classifier's settings fold by fold; the figure by subject stands beside the random one.

    Writes crossvals/RUN/ with a page, results.json and the out-of-fold predictions. The same command again goes on
    with the folds that are missing.
    """
    return project.crossval(dry_run=dry_run)


@click.command()
@click.argument("images", nargs=-1, required=True, type=PathParam(path_type=Path))
@classifier_option(default="the newest trained on real images, else the starter")
@click.option("--class", "target", metavar="CLASS", help="Show the evidence for this class  [default: the one it says]")
@common
def explain(
    project: "Project", dry_run: bool, images: tuple[Path, ...], classifier: str | None, target: str | None
) -> Result:
    """Show where in IMAGES the classifier found its evidence (Grad-CAM), its scores, and what its first layer sees.

    Give face crops like those it was trained on. Writes explanations/RUN/ with a PNG per image and a page.
    """
    return project.explain(images, classifier=classifier, target=target, dry_run=dry_run)


@click.command()
@click.argument("out", required=False, type=PathParam(path_type=Path))
@classifier_option()
@common
def export(project: "Project", dry_run: bool, out: Path | None, classifier: str | None) -> Result:
    """Write a classifier as ONNX (OUT.onnx, or exports/RUN/model.onnx) with a JSON card beside it.

    The file takes uint8 images and gives calibrated probabilities. It appears only after ONNX Runtime and torch gave
    the same. Needs the extra: pip install 'ganfer[export]'.
    """
    return project.export(out, classifier=classifier, dry_run=dry_run)
