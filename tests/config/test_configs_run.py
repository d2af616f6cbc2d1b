"""Every shipped config runs, shortened to seconds: those of a GAN to the report, those of a classifier to its card."""

import dataclasses
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tiny import FAST, NAMES, add_set, tiny_set

from classifiers.config import TrainConfig
from ganfer.cli.main import cli
from ganfer.config import configs_folder, load_config, shipped_configs
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
    "retrain.arms": "original,synthetic",
}


CLASSIFIER_ONLY = [name for name in shipped_configs() if not {"gan"} & set(tomllib.loads(
    (configs_folder() / f"{name}.toml").read_text()
))]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in shipped_configs() if name not in CLASSIFIER_ONLY])
def test_a_config_runs_through(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    add_set(workspace, tiny_set((20, 20, 8)))
    result = Project(workspace, load_config(name, SHORT)).retrain()
    assert [arm["name"] for arm in result.figures["arms"]] == ["original", "synthetic"]  # of the settings above
    assert sum(result.figures["screen"]["asked"].values()) == 12
    wanted = load_config(name).gan
    trained = [run.record["key"]["config"] for run in workspace.runs("gans")]
    assert {(gan["network"], gan["regulariser"], gan["loss"]) for gan in trained} == {
        (wanted.network, wanted.regulariser, wanted.loss)
    }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * ("resnet152" in name)) for name in CLASSIFIER_ONLY]
)
def test_a_classifiers_config_trains_its_network(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    images = tiny_set((8, 8, 8), val=2, test=2)
    if name.startswith("happy-angry"):
        images = dataclasses.replace(images.select(np.flatnonzero(images.labels < 2)), class_names=NAMES[:2])
    add_set(workspace, images)
    short = {"classifier.steps": 2, "classifier.batch_size": 8, "classifier.pretrained": "none", "device": "cpu"}
    shipped = load_config(name).classifier
    result = Project(workspace, load_config(name, {**short, "classifier.tensorboard": False})).train_classifier()
    assert (result.figures["model"], result.figures["steps"]) == (shipped.model, 2)
    assert shipped != TrainConfig()


@pytest.mark.parametrize("name", shipped_configs())
def test_the_commands_in_a_configs_head_are_commands(name: str) -> None:
    text = (configs_folder() / f"{name}.toml").read_text()
    commands = re.findall(r"^#   ganfer (.+)$", text, re.MULTILINE)
    assert commands or name in ("demo", "dcgan-48", "dcgan-classic", "fer2013-cpu")
    for command in commands:
        words = command.split()
        group = cli.get_command(None, words[0])  # type: ignore[arg-type]
        if words[0] in ("data", "train"):
            group, words = group.commands[words[1]], words[1:]  # type: ignore[union-attr]
        assert group is not None, command
        group.make_context(words[0], [w if w != "RUN" else "run" for w in words[1:]], resilient_parsing=False)
