"""`ganfer demo`, `ganfer status`, `ganfer report`."""

from typing import TYPE_CHECKING

import click

from ganfer.cli.options import common, common_with
from ganfer.results import Result

if TYPE_CHECKING:
    from ganfer.pipeline import Project


@click.command()
@common_with(default_config="demo", default_workspace="ganfer-demo")
def demo(project: "Project", dry_run: bool) -> Result:
    """The whole story on drawn faces: data, GAN, faces, labels, retraining, report. Minutes on a CPU.

    Uses the settings of the config `demo` unless --config names another, and the workspace `ganfer-demo` unless -w
    does.
    """
    return project.demo(dry_run=dry_run)


@click.command()
@common
def status(project: "Project", dry_run: bool) -> Result:
    """What the workspace holds and what comes next."""
    del dry_run  # it only looks
    return project.status()


@click.command()
@click.argument("name", required=False)
@click.argument("other", required=False)
@common
def report(project: "Project", dry_run: bool, name: str | None, other: str | None) -> Result:
    """Write the newest report's page (or NAME's) again from its results, and say where it lies.

    With two, compare them. Each is a run of the workspace or a folder that holds a results.json.
    """
    del dry_run
    return project.report(name, other)
