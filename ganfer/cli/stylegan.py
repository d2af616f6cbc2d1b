"""`ganfer stylegan`: what is inside a StyleGAN2 checkpoint, and the same weights as safetensors."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.group()
def stylegan() -> None:
    """Look into StyleGAN2 checkpoints and convert them. Nothing that a checkpoint contains is ever executed."""


@stylegan.command()
@click.argument("file", type=PathParam())
@common
def info(project: "Project", dry_run: bool, file: str) -> Result:
    """What FILE holds: format, image size, classes, latents, parameters.

    Reads NVIDIA's PyTorch and TensorFlow pickles, rosinality's .pt and ganfer's safetensors; the format is found by
    content.
    """
    from stylegan_bridge import inspect

    del project, dry_run  # it only looks
    found = inspect(file)
    return Result("ganfer stylegan info", None, found.as_dict(), str(found).splitlines())


@stylegan.command()
@click.argument("file", type=PathParam())
@click.argument("out", type=PathParam())
@common
def convert(project: "Project", dry_run: bool, file: str, out: str) -> Result:
    """Write the generator in FILE as OUT.safetensors, with a JSON card beside it."""
    from stylegan_bridge import convert as write
    from stylegan_bridge import inspect

    del project
    found = inspect(file)
    if dry_run:
        steps = [f"write the {found.format} generator of {file} to {out}"]
        return Result("ganfer stylegan convert", None, {"plan": steps}, ["Plan (nothing was done):", f"  {steps[0]}"])
    path = write(file, out)
    return Result("ganfer stylegan convert", path, found.as_dict(), [f"{file} ({found.format}) written to {path}"])


@stylegan.command()
@click.argument("images", type=PathParam(), nargs=-1, required=True, metavar="IMAGE...")
@setting_option("stylegan.network", "--network", metavar="FILE|URL|NAME")
@setting_option("stylegan.class_index", "--network-class", metavar="N")
@click.option("--gan", metavar="NAME", help="One of ganfer's own GANs instead: a run of the workspace, or its folder")
@click.option(
    "--class", "of_class", metavar="CLASS", help="The class whose latents are searched, of a GAN with classes"
)
@setting_option("projection.steps", "--steps")
@setting_option("projection.batch", "--batch")
@setting_option("projection.noise", "--noise", is_flag=True)
@common
def project(
    project: "Project", dry_run: bool, images: tuple[str, ...], gan: str | None, of_class: str | None
) -> Result:
    """Find the latent codes of IMAGEs (files or folders): of a StyleGAN2, or of one of ganfer's own GANs.

    Writes projections/RUN/ with latents.npz, the drawings and a page of pairs. The same command again resumes. Images
    are taken whole: cut them to the face as the network's training images were cut.
    """
    return project.project(images, gan=gan, of_class=of_class, dry_run=dry_run)
