"""`ganfer serve`: REST and the live page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganfer.cli.options import common, setting_option
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@click.option(
    "--classifier",
    "classifiers",
    multiple=True,
    metavar="[NAME=]RUN",
    help="Classifier to serve: a run, a .safetensors file, 'before' or 'after' (of the newest report); may be repeated"
    "  [default: the newest, and before and after once there is a report]",
)
@setting_option("serve.host", "--host")
@setting_option("serve.port", "--port")
@click.option("--token", envvar="GANFER_TOKEN", help="What every request has to bring  [default: $GANFER_TOKEN; "
              "made and printed for a --host that others reach]")  # fmt: skip
@setting_option("serve.backend", "--backend")
@click.option("--detector", type=click.Choice(["yunet", "none"]), default="yunet", show_default=True,
              help="Finds the faces; none: pictures are ready crops")  # fmt: skip
@click.option("--detector-model", type=click.Path(path_type=Path), metavar="FILE", help="YuNet's .onnx file  "
              "[default: downloaded once]")  # fmt: skip
@click.option("--certificate", type=click.Path(path_type=Path), metavar="FILE", help="PEM certificate, for https")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="PEM key of the certificate")
@common
def serve(
    project: "Project",
    dry_run: bool,
    classifiers: tuple[str, ...],
    token: str | None,
    detector: str,
    detector_model: Path | None,
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
        detector=detector,
        detector_model=detector_model,
        certificate=certificate,
        key=key,
        dry_run=dry_run,
    )
