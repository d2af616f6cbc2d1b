"""A workspace with a small data set that names subjects, and two classifiers trained on it."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluation_tiny import small_config
from tiny import add_set, tiny_set

from ganfer.pipeline import Project
from ganfer.workspace import Workspace


@pytest.fixture(scope="session")
def evaluated_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluated")
    workspace = Workspace(root)
    images = tiny_set((40, 50, 20), val=10, test=15)
    subjects = np.array([f"S{i % 23:03d}" for i in range(len(images))])
    add_set(workspace, dataclasses.replace(images, group=subjects))
    for seed in (1, 0):
        Project(workspace, small_config(seed=seed)).train_classifier()
    return root


@pytest.fixture
def work(evaluated_workspace: Path, tmp_path: Path) -> Path:
    """A copy of the workspace for one test."""
    return Path(shutil.copytree(evaluated_workspace, tmp_path / "work"))
