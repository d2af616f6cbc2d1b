"""Every shipped config runs from the GAN to the report, shortened to seconds."""

from pathlib import Path

import pytest
from tiny import FAST, add_set, tiny_set

from ganfer.config import load_config, shipped_configs
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

SHORT = {
    **FAST,
    "gan.steps": 4,
    "gan.minutes": 0.0,
    "gan.snapshot_every": 4,
    "gan.base_channels": 4,
    "gan.batch_size": 8,
    "gan.guide_epochs": 1,
    "classifier.epochs": 1,
    "generate.n": 12,
    "label.min_confidence": "0",
    "label.require_match": False,
}


@pytest.mark.parametrize("name", shipped_configs())
def test_a_config_runs_through(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_set(workspace, tiny_set((20, 20, 8)))
    result = Project(workspace, load_config(name, SHORT)).retrain()
    assert [arm["name"] for arm in result.figures["arms"]] == ["original", "synthetic"]
    assert sum(result.figures["screen"]["asked"].values()) == 12
    shipped = load_config(name)
    assert {run.record["key"]["config"]["regulariser"] for run in workspace.runs("gans")} == {shipped.gan.regulariser}
