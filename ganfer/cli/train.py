"""`ganfer train gan` and `ganfer train classifier`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, common, common_shared, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.group()
def train() -> None:
    """Train a GAN or a classifier on the training split. The same command again resumes.

    On several GPUs or machines: torchrun --nproc-per-node N -m ganfer train gan ...
    """


@train.command()
@setting_option("gan.network", "--network")
@setting_option("gan.steps", "--steps")
@setting_option("gan.minutes", "--minutes")
@setting_option("gan.batch_size", "--batch-size")
@setting_option("gan.base_channels", "--base-channels")
@setting_option("gan.loss", "--loss")
@setting_option("gan.regulariser", "--regulariser")
@setting_option("gan.augment", "--augment")
@setting_option("gan.balance", "--balance")
@setting_option("gan.pool", "--pool/--no-pool")
@setting_option("gan.transition", "--transition")
@setting_option("gan.precision", "--precision")
@setting_option("gan.parent", "--from", metavar="FILE|URL|NAME|RUN", type=PathParam())
@setting_option("gan.parent_classes", "--from-classes", metavar="NAMES")
@setting_option("gan.resolution", "--resolution")
@setting_option("gan.freeze_d", "--freeze-d")
@setting_option("gan.classic", "--classic", "--unconditional", is_flag=True)
@click.option(
    "--number", type=click.IntRange(min=1, max=100), default=1, metavar="K",
    help="Train K GANs with the seeds from --seed on, for `ganfer generate --generators K`",
)  # fmt: skip
@setting_option(
    "workers", "--workers", help="GANs of --number side by side; 0 = one per core or GPU, 1 = one after the other"
)
@setting_option("cluster", "--cluster")
@common_shared
def gan(project: "Project", dry_run: bool, number: int) -> Result:
    """Train the generator; keeps the best snapshot, judged on held-back training images.

    Writes gans/RUN/ with the generator, sample grids per class, curves and TensorBoard events. Every setting can be
    given with --set gan.KEY=VALUE. With --from the weights of a StyleGAN2 file or of another GAN are gone on from, at
    low learning rates and with the lower discriminator frozen; --dry-run says what is taken over and what is new.
    """
    return project.train_gan(number, dry_run=dry_run)


@train.command()
@click.option("--gan", metavar="NAME", help="A GAN of the workspace  [default: the newest, or a new one]")
@setting_option("encoder.steps", "--steps")
@setting_option("encoder.batch_size", "--batch-size")
@common
def encoder(project: "Project", dry_run: bool, gan: str | None) -> Result:
    """Train the encoder of one of ganfer's own GANs: from a face to the latent that draws it.

    `ganfer generate --from-faces` needs it, and trains it where it is missing. Every setting can be given with
    --set encoder.KEY=VALUE.
    """
    return project.train_encoder(gan, dry_run=dry_run)


@train.command()
@setting_option("classifier.model", "--model")
@setting_option("classifier.epochs", "--epochs")
@setting_option("classifier.batch_size", "--batch-size")
@setting_option("classifier.lr", "--lr")
@setting_option("classifier.loss", "--loss")
@setting_option("classifier.sampler", "--sampler")
@setting_option("classifier.augment", "--augment")
@setting_option("classifier.precision", "--precision")
@setting_option("classifier.pretrained", "--from", metavar="FOLDER|FILE|imagenet", type=PathParam())
@common_shared
def classifier(project: "Project", dry_run: bool) -> Result:
    """Train and calibrate the classifier; keeps the weights that do best on validation.

    Every setting can be given with --set classifier.KEY=VALUE.
    """
    return project.train_classifier(dry_run=dry_run)
