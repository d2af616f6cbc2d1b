"""`ganfer data`: add images, look at them, check them, thin them, choose among sets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, common, parse_counts, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.group()
def data() -> None:
    """Add images, look at them, check them, audit their labels, thin them."""


@data.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PathParam(path_type=Path))
@click.option("--as", "kind", metavar="KIND", help="Layout of PATH  [default: recognised; see above]")
@click.option("--classes", metavar="A,B,...", default="", help="Take these classes only, e.g. happy,angry")
@click.option(
    "--rename", "renames", metavar="OLD=NEW", multiple=True, help="Rename a class, e.g. anger=angry; may be repeated"
)
@click.option(
    "--class-names", metavar="A,B,...", default="", help="Names of classes that PATH numbers, in order; the first is 0"
)
@click.option(
    "--column",
    "columns",
    metavar="MEANING=NAME",
    multiple=True,
    help="Which column of a Parquet file is the image, label, split or group; may be repeated",
)
@click.option("--merge", is_flag=True, help="Add to the active set instead of making a new one")
@click.option("--pool", is_flag=True, help="Real images without labels, kept apart from the splits; see docs/pool.md")
@click.option(
    "--class-level", type=int, metavar="N", help="Which folder is the class: 1 directly in PATH, -1 innermost"
)
@click.option("--subject-level", type=int, metavar="N", help="Which folder is the subject, counted likewise")
@click.option("--soft-labels", is_flag=True, help="Keep the votes as soft labels (FERPlus)")
@click.option("--allow-synthetic", is_flag=True, help="Take images that ganfer drew, for train only")
@setting_option("data.size", "--size")
@click.option("--gray/--color", "gray", default=None, help="One channel, or three  [default: gray]")
@setting_option("data.val_fraction", "--val")
@setting_option("data.test_fraction", "--test")
@setting_option("data.split_seed", "--split-seed")
@setting_option("data.min_side", "--min-side")
@setting_option("data.face_confidence", "--face-confidence")
@setting_option("data.workers", "--workers")
@common
def add(
    project: "Project",
    dry_run: bool,
    paths: tuple[Path, ...],
    kind: str | None,
    classes: str,
    renames: tuple[str, ...],
    class_names: str,
    columns: tuple[str, ...],
    merge: bool,
    pool: bool,
    class_level: int | None,
    subject_level: int | None,
    soft_labels: bool,
    allow_synthetic: bool,
    gray: bool | None,
) -> Result:
    """Import labelled images from PATH and make them the active set.

    PATH is a folder, zip, tar (gz, xz, bz2), label file or Parquet file; or several Parquet files or tar shards, also
    as a pattern ('train-*.parquet', 'faces-{000..099}.tar'). Layouts (--as): a folder per class, with or without
    train/val/test and subject folders (folder); fer2013.csv (fer2013), with FERPlus's votes (ferplus; its folders of
    images: ferplus+images), with contempt as class 7 (ck+csv); CK+ as released (ck+), CK+48 (ck+48); ExpW (expw);
    RAF-DB (raf-db); AffectNet (affectnet); images with metadata.csv or metadata.jsonl (huggingface), StyleGAN's
    dataset.json (stylegan) or Roboflow's _classes.csv (roboflow); Parquet as Hugging Face writes it (parquet);
    WebDataset tar shards (webdataset); file names of KDEF (kdef), JAFFE (jaffe), RaFD (rafd) and the Chicago Face
    Database (cfd). How PATH is read is said before anything is written.

    With --pool the images of PATH need no labels: they become a pool beside the active set, without those that are in
    it already. Then: ganfer label --pool, and the arm pool of ganfer retrain.
    """
    from ganfer.data.names import parse_renames

    if gray is not None:
        project = _with_channels(project, 1 if gray else 3)
    return project.add(
        *paths,
        kind=kind,
        classes=_names(classes),
        class_names=_names(class_names),
        columns=_meanings(columns),
        renames=parse_renames(renames),
        merge=merge,
        pool=pool,
        soft_labels=soft_labels,
        allow_synthetic=allow_synthetic,
        class_level=class_level,
        subject_level=subject_level,
        dry_run=dry_run,
    )


@data.command()
@common
def stats(project: "Project", dry_run: bool) -> Result:
    """Counts, shares, imbalance ratio, and a contact sheet per class."""
    return project.stats(dry_run=dry_run)


@data.command()
@click.option("--drop", is_flag=True, help="Make a set without the training images that leak into val or test")
@common
def check(project: "Project", dry_run: bool, drop: bool) -> Result:
    """Duplicates within and across splits, conflicting labels, blank and damaged images."""
    return project.check(drop=drop, dry_run=dry_run)


@data.command()
@click.argument("path", type=PathParam(path_type=Path, exists=True), required=False)
@setting_option("audit.folds", "--folds")
@setting_option("cluster", "--cluster")
@click.option(
    "--apply",
    type=click.Choice(["decided", "all"]),
    is_flag=False,
    flag_value="decided",
    help="Make a new active set of train and val as people decided; all: and leave out the doubted training images "
    "nobody decided on",
)
@click.option(
    "--predictions",
    type=PathParam(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="Audit the labels of somebody else's predictions: columns label and p_CLASS",
)
@click.option("--out", type=PathParam(path_type=Path, file_okay=False), metavar="DIR", help="With PATH or "
              "--predictions: where the details go")  # fmt: skip
@common
def audit(
    project: "Project",
    dry_run: bool,
    path: Path | None,
    apply: str | None,
    predictions: Path | None,
    out: Path | None,
) -> Result:
    """Labels that are probably wrong (extra clean); with PATH, the splits of somebody else's data.

    The labels of the active set's training and validation images are compared with what models trained on the other
    folds say (confident learning). `ganfer review` shows the doubtful ones and takes a person's decision; the test
    split is never changed. PATH is a folder or archive with train and test folders: images found in two splits, equal,
    alike, mirrored or turned, and equal images with different labels.
    """
    return project.audit(path, predictions=predictions, out=out, apply=apply or "", dry_run=dry_run)


@data.command()
@click.option(
    "--imbalance", type=click.FloatRange(min=1), metavar="RATIO", help="Exponential long tail, largest : smallest"
)
@click.option(
    "--class", "classes", metavar="CLASS=COUNT", multiple=True, help="Keep this many of a class; may be repeated"
)
@common
def thin(project: "Project", dry_run: bool, imbalance: float | None, classes: tuple[str, ...]) -> Result:
    """A variant of the active set with fewer training images; val and test stay."""
    counts = parse_counts(classes, "--class")
    if imbalance is None and not counts:
        raise click.UsageError("Say how: --imbalance 50, or --class disgust=100.")
    return project.thin(imbalance=imbalance, counts=counts, dry_run=dry_run)


@data.command()
@click.argument("name")
@common
def use(project: "Project", dry_run: bool, name: str) -> Result:
    """Make the set NAME (or the one whose name begins so) the active one."""
    return project.use(name, dry_run=dry_run)


@data.command("export")
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "webdataset", "png"]),
    default="parquet",
    show_default=True,
    help="Parquet as Hugging Face reads it, tar shards, or class folders",
)
@click.option("--synthetic", is_flag=True, help="With the faces kept of the newest batch, in train")
@click.option("--batch", metavar="NAME", help="With the faces kept of this batch")
@click.option("--licence", metavar="ID", default="unknown", show_default=True, help="For the card, like cc-by-4.0")
@setting_option("generate.shard_size", "--shard-size")
@common
def export_command(
    project: "Project", dry_run: bool, form: str, synthetic: bool, batch: str | None, licence: str
) -> Result:  # fmt: skip
    """The active set as a folder that others can read, with a card and Croissant metadata.

    Writes exports/RUN/dataset/. Nothing is sent anywhere; look up the terms of the images before you pass them on.
    """
    return project.export_data(form, synthetic=synthetic, batch=batch, licence=licence, dry_run=dry_run)


@data.command("list")
@common
def list_command(project: "Project", dry_run: bool) -> Result:
    """The workspace's data sets; the active one is marked."""
    from ganfer.data.sets import list_sets

    del dry_run  # it only reads
    return list_sets(project.workspace)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _meanings(pairs: tuple[str, ...]) -> dict[str, str]:
    meanings = ("image", "label", "split", "group")
    found: dict[str, str] = {}
    for pair in pairs:
        meaning, equals, name = pair.partition("=")
        if meaning not in meanings or not equals or not name:
            raise click.UsageError(f"--column {pair!r} is not MEANING=NAME, with one of {', '.join(meanings)}.")
        if meaning in found:
            raise click.UsageError(f"--column gives {meaning} twice. Give it once.")
        found[meaning] = name
    return found


def _with_channels(project: "Project", channels: int) -> "Project":
    from dataclasses import replace

    from ganfer.pipeline import Project

    config = project.config
    return Project(project.workspace, replace(config, data=replace(config.data, channels=channels)))
