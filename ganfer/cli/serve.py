"""`ganfer serve`: REST and the live page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganfer.cli.options import PathParam, classifier_option, common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@classifier_option(
    several="may be repeated",
    default="the newest trained on real images, else the starter; before and after once there is a report",
)
@setting_option("serve.host", "--host")
@setting_option("serve.port", "--port")
@click.option("--token", envvar="GANFER_TOKEN", help="What every request has to bring  [default: $GANFER_TOKEN; "
              "made and printed for a --host that others reach]")  # fmt: skip
@setting_option("serve.backend", "--backend")
@setting_option("live.detector", "--detector")
@setting_option("live.min_score", "--min-score")
@click.option("--detector-model", type=PathParam(path_type=Path), help="YuNet's file  [default: ganfer's own]")
@click.option("--attention", is_flag=True, help="Also where people look (extra gaze)")
@click.option("--landmarker-model", type=PathParam(path_type=Path), help="MediaPipe's file  [default: downloaded]")
@click.option("--certificate", type=PathParam(path_type=Path), metavar="FILE", help="PEM certificate, for https")
@click.option("--key", type=PathParam(path_type=Path), metavar="FILE", help="PEM key of the certificate")
@common
def serve(
    project: "Project",
    dry_run: bool,
    classifiers: tuple[str, ...],
    token: str | None,
    detector_model: Path | None,
    attention: bool,
    landmarker_model: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> Result:
    """Answer over HTTP and show a live page, until Ctrl-C.

    The page at / reads faces from the browser's camera, a photo or a video; nothing leaves this machine, no picture is
    kept. Programs ask through TensorFlow Serving's API, the Open Inference Protocol v2, or POST /analyze; /docs
    describes them. A model that is trained meanwhile is taken up.
    """
    return project.serve(
        classifiers,
        token=token,
        detector_model=detector_model,
        attention=attention,
        landmarker_model=landmarker_model,
        certificate=certificate,
        key=key,
        dry_run=dry_run,
    )
