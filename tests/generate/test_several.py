"""Several generators, from their training to the verdict: one command each, and each resumes."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny import add_set, fast_config, tiny_set

from ganfer.cli.main import cli
from ganfer.config import Config
from ganfer.errors import ConfigError, GanferError
from ganfer.generate.several import companions, family, relatives
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

TINY = {
    "gan__network": "dcgan", "gan__base_channels": 4, "gan__latent_dim": 8, "gan__batch_size": 8, "gan__steps": 4,
    "gan__snapshot_every": 4, "gan__guidance": 0.0, "device": "cpu", "workers": 1, "classifier__epochs": 1, "seed": 5,
    "label__min_confidence": "0", "label__manifold": 0.0, "label__copies": False, "label__diverse": False,
    "label__require_match": False, "retrain__arms": "original,synthetic", "retrain__seeds": 3,
}  # fmt: skip


def settings(**more: object) -> Config:
    return fast_config(**{**TINY, **more})


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganfer.gan.history.plot_losses", lambda path, history: None)


def test_from_two_generators_to_one_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((20, 30, 10)))
    project = Project(workspace, settings())
    trained = project.train_gan(2)
    assert [run.record["key"]["seed"] for run in workspace.runs("gans")] == [5, 6]
    assert trained.lines[-1] == "Draw from each: ganfer generate --generators 2"
    assert len({run.digest for run in workspace.runs("gans")}) == 2

    drawn = project.generate(classes={"sad": 12}, generators=2)
    assert len(drawn.figures["batches"]) == 2
    batch = workspace.latest("synthetic")
    assert batch is not None
    together = companions(workspace, batch)
    assert [run.figures["gan"] for run in together] == [
        run.name for run in family(workspace, workspace.runs("gans")[0])
    ]
    assert project.status().figures["next"] == "ganfer label"
    project.label()
    assert project.status().figures["next"] == "ganfer retrain --batches 2"

    report = Project(workspace, settings(retrain__batches="2")).retrain()
    assert "2 batches take two seeds each: retrain.seeds = 4" in capsys.readouterr().err
    assert report.figures["settings"]["seeds"] == [5, 6, 7, 8]
    assert "faces of such generators (of 2)" in report.figures["verdict"]["sentence"]
    before = {run.name: run.record["seconds"] for run in workspace.runs("gans")}
    again = project.generate(classes={"sad": 12}, generators=2)
    assert [Path(each["path"]).name for each in again.figures["batches"]] == [run.name for run in together]
    assert {run.name: run.record["seconds"] for run in workspace.runs("gans")} == before  # nothing was trained again
    assert data.digest == batch.record["key"]["inputs"]["data"]


def test_missing_generators_are_trained_as_the_newest_was(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((20, 30, 10)))
    there, missing = relatives(workspace, settings(), data, 2)
    assert there == []
    assert [each.seed for each in missing] == [5, 6]
    Project(workspace, settings(gan__steps=2, seed=6)).train_gan()
    there, missing = relatives(workspace, settings(), data, 3)
    assert [run.record["key"]["seed"] for run in there] == [6]
    assert [(each.seed, each.gan.steps) for each in missing] == [(7, 2), (8, 2)]


def test_what_does_not_go_with_several_generators(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_set(workspace, tiny_set((20, 30, 10)))
    project = Project(workspace, settings())
    plan = str(project.generate(6, generators=3, dry_run=True))
    assert "from each of 3 GANs (missing ones are trained first)" in plan
    assert "4 steps of 8 images, 3 times, with the seeds 5 to 7" in str(project.train_gan(3, dry_run=True))
    with pytest.raises(GanferError, match="as many as it says"):
        project.generate(6, generators=2, source="stylegan2")
    project.generate(classes={"sad": 6})
    project.label()
    with pytest.raises(ConfigError, match=r"there are 1 batch\(es\) like batch-"):
        Project(workspace, settings(retrain__batches="3", retrain__seeds=6)).retrain()
    out = CliRunner().invoke(cli, ["train", "gan", "--number", "0", "-w", str(tmp_path)])
    assert out.exit_code == 2
