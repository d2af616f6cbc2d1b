"""`ganfer predict` and `ganfer timeline`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, classifier_option, common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.argument("sources", nargs=-1, required=True, type=PathParam(), metavar="PATH|CAMERA...")
@classifier_option(several="twice to compare", default="the newest trained on real images, else the starter")
@click.option("--every", metavar="TIME", default="0", help="One frame per TIME, e.g. 1s or 500ms  [default: all]")
@click.option("--seconds", type=click.FloatRange(min=0), default=0.0, help="Stop each video or camera after this time")
@click.option("--out", type=PathParam(path_type=Path), help="Folder of the results  [default: in the workspace]")
@click.option("--log", type=PathParam(path_type=Path), help="The CSV file  [default: faces.csv in the folder]")
@click.option("--attention", is_flag=True, help="Head, gaze and blinks: who attends when (extra gaze)")
@click.option("--blendshapes", is_flag=True, help="51 action units of every face into the rows, b_... (extra gaze)")
@click.option("--landmarks", is_flag=True, help="Let the landmarks have a say in the expression (extra gaze)")
@click.option("--no-pictures", is_flag=True, help="Write no annotated copies")
@click.option("--show", is_flag=True, help="Show a window meanwhile; q ends it")
@setting_option("live.detector", "--detector")
@click.option("--detector-model", type=PathParam(path_type=Path), help="YuNet's file  [default: ganfer's own]")
@click.option("--landmarker-model", type=PathParam(path_type=Path), help="MediaPipe's file  [default: downloaded]")
@setting_option("live.min_score", "--min-score")
@setting_option("live.max_side", "--max-side")
@setting_option("live.min_face", "--min-face")
@setting_option("live.smooth", "--smooth")
@setting_option("live.calibrate", "--calibrate")
@common
def predict(
    project: "Project",
    dry_run: bool,
    sources: tuple[str, ...],
    classifiers: tuple[str, ...],
    every: str,
    seconds: float,
    out: Path | None,
    log: Path | None,
    attention: bool,
    blendshapes: bool,
    landmarks: bool,
    no_pictures: bool,
    show: bool,
    detector_model: Path | None,
    landmarker_model: Path | None,
) -> Result:
    """Find faces and read their expressions in photos, folders, videos or from a camera (its number).

    Writes annotated copies, and every score per face and frame as CSV and JSON.
    """
    from ganfer.live.clock import parse_seconds

    if not math.isfinite(seconds):
        raise click.UsageError(f"--seconds {seconds} is no time. Give a number of seconds; 0 is all.")
    try:
        step = parse_seconds(every)
    except ValueError as error:
        raise click.UsageError(f"--every {error}.") from error
    return project.predict(
        *sources,
        classifiers=classifiers,
        every=step,
        seconds=seconds,
        out=out,
        log=log,
        attention=attention,
        blendshapes=blendshapes,
        landmarks=landmarks,
        pictures=not no_pictures,
        show=show,
        detector_model=detector_model,
        landmarker_model=landmarker_model,
        dry_run=dry_run,
    )


@click.command()
@click.argument("logs", nargs=-1, required=True, type=PathParam(path_type=Path), metavar="LOG.csv...")
@click.option("--title", default="Lecture timeline", help="Heading of the page  [default: Lecture timeline]")
@click.option("--offset", "offsets", multiple=True, metavar="LOG=SECONDS", help="A log that began this much later")
@click.option("--people", type=click.IntRange(min=1), help="How many are in each recording at most  [default: as seen]")
@click.option("--out", type=PathParam(path_type=Path), help="Folder of the page  [default: in the workspace]")
@common
def timeline(
    project: "Project",
    dry_run: bool,
    logs: tuple[Path, ...],
    title: str,
    offsets: tuple[str, ...],
    people: int | None,
    out: Path | None,
) -> Result:
    """Who attended and showed what when, over all viewers, as a page with a scrubber.

    LOG.csv is what `ganfer predict RECORDING --attention --log LOG.csv` writes, one per viewer or camera.
    """
    from ganfer.live.clock import finite

    shifts: dict[str, float] = {}
    for pair in offsets:
        name, _, number = pair.rpartition("=")
        if name.removesuffix(".csv") in shifts:
            raise click.UsageError(f"--offset gives {name!r} twice. Give it once.")
        try:
            shifts[name.removesuffix(".csv")] = finite(number)
        except ValueError:
            raise click.UsageError(f"--offset {pair!r} is not LOG=SECONDS. Write it like anna=2.5.") from None
    return project.timeline(*logs, title=title, offsets=shifts, people=people, out=out, dry_run=dry_run)
