"""Tiny data sets and trainings: images whose class can be seen, networks of four channels."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ganfer.config import Config, load_config
from ganfer.data.imageset import ImageSet, save_set
from ganfer.workspace import Run, Workspace

NAMES = ("angry", "fear", "happy")
TINY = {
    "device": "cpu",
    "gan.base_channels": 4,
    "gan.latent_dim": 8,
    "gan.batch_size": 8,
    "gan.steps": 12,
    "gan.snapshot_every": 6,
    "gan.guide_epochs": 1,
}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks run fastest on one thread, and other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_images(labels: np.ndarray, size: int = 16, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise around a brightness that tells the class: (N, channels, size, size) uint8."""
    rng = np.random.default_rng(seed)
    base = 60 + 60 * labels[:, None, None, None]
    noise = rng.normal(0, 20, (len(labels), channels, size, size))
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def tiny_set(counts: dict[str, int], size: int = 16, channels: int = 1) -> ImageSet:
    """A set with so many training images per class."""
    labels = np.repeat(np.arange(len(counts)), list(counts.values())).astype(np.int64)
    n = len(labels)
    return ImageSet(
        images=tiny_images(labels, size, channels),
        labels=labels,
        class_names=tuple(counts),
        split=np.full(n, "train"),
        group=np.full(n, ""),
        source=np.full(n, "real"),
        ids=np.array([f"{i}.png" for i in range(n)], dtype=np.str_),
    )


def store(workspace: Workspace, images: ImageSet) -> Run:
    """The set as the workspace's active data."""
    run = workspace.run("data", "tiny", {"counts": images.counts(), "shape": list(images.images.shape)})
    with run.work("data add", {}):
        run.finish(digest=save_set(run.path, images), figures={})
    workspace.activate_data(run)
    return run


@pytest.fixture(autouse=True)
def no_curves(request, monkeypatch):
    """Drawing the loss curve takes longer than a tiny training; only tests that ask for `curves` draw it."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr("ganfer.gan.history.plot_losses", lambda path, history: None)


@pytest.fixture
def curves() -> None:
    """Asks for the loss curves to be drawn."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


@pytest.fixture
def data(workspace: Workspace) -> Run:
    return store(workspace, tiny_set(dict.fromkeys(NAMES, 30)))


@pytest.fixture
def make_config() -> Callable[..., Config]:
    """A tiny config with `section__key=value` changes."""

    def make(**changes: object) -> Config:
        return load_config(None, TINY | {name.replace("__", "."): value for name, value in changes.items()})

    return make


@pytest.fixture
def child_environment() -> dict[str, str]:
    """For processes that a test starts and kills."""
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
