"""`ganfer generate`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import daily_shared, parse_counts, setting_option
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
    "--source",
    default="gan",
    show_default=True,
    metavar="NAME",
    help="Generator: gan (the workspace's own; also dcgan), stylegan2, or one that another package registers",
)
@click.option("--gan", metavar="NAME", help="A GAN of the workspace  [default: the newest, or a new one]")
@click.option(
    "--generators", type=click.IntRange(min=1, max=100), default=1, metavar="K",
    help="A batch from each of K GANs that differ in their seed alone; missing ones are trained",
)  # fmt: skip
@setting_option("generate.truncation", "--truncation")
@setting_option("stylegan.network", "--network", metavar="FILE|URL|NAME")
@setting_option("stylegan.truncation_psi", "--truncation-psi")
@click.option("--seeds", metavar="LIST", help="Exactly these faces: 0-99,200; for stylegan2 NVIDIA's own seeds")
@setting_option("stylegan.face_crop", "--face-crop")
@setting_option("stylegan.detector_model", "--detector-model", metavar="FILE")
@setting_option("stylegan.classes", "--network-classes", metavar="NAMES")
@setting_option("stylegan.class_index", "--network-class", metavar="N")
@setting_option("stylegan.mix_seeds", "--mix-seeds", metavar="LIST")
@setting_option("stylegan.mix_layers", "--mix-layers", metavar="LIST")
@click.option(
    "--steer/--no-steer",
    default=None,
    help="Lead the generator to the classes by the classifier, with an independent judge  [default: where classes are "
    "asked of an unconditional generator]",
)
@setting_option("steering.evaluations", "--evaluations")
@click.option(
    "--from-faces",
    metavar="CLASSES",
    help="Change the expression of real training faces of these classes instead: happy,neutral; with --class, "
    "--balance or --to",
)
@setting_option("transfer.identity", "--identity")
@setting_option("transfer.styles", "--styles")
@setting_option("generate.format", "--format")
@click.option("--sign", metavar="CERT,KEY", help="Sign each PNG with content credentials (C2PA); PEM files")
@daily_shared
def generate(
    project: "Project",
    dry_run: bool,
    n: int | None,
    balance: bool,
    to: int | None,
    classes: tuple[str, ...],
    source: str,
    gan: str | None,
    generators: int,
    seeds: str | None,
    steer: bool | None,
    from_faces: str | None,
    sign: str | None,
) -> Result:
    """Draw synthetic faces into synthetic/BATCH/: PNGs that say how they were made, and metadata.csv.

    Without any count, generate.n faces are spread evenly over the classes. The same command again resumes. A StyleGAN2
    network that knows no classes is steered to those that --balance, --to or --class ask for. With --from-faces real
    training faces keep their person and pose and take the expression of the class asked for.
    """
    from ganfer.data.credentials import parse_sign
    from ganfer.runtime.seeding import MOST_SEED, parse_ranges

    return project.generate(
        n,
        balance=balance,
        to=to,
        classes=parse_counts(classes, "--class"),
        gan=gan,
        generators=generators,
        source=source,
        seeds=parse_ranges(seeds, MOST_SEED, "--seeds") if seeds else None,
        steer=steer,
        from_faces=None if from_faces is None else from_faces.split(","),
        sign=parse_sign(sign) if sign else None,
        dry_run=dry_run,
    )
