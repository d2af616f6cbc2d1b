"""Fixtures of the GAN tests: one thread, no curves unless asked for, a tiny workspace."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gan_tiny import NAMES, TINY, store, tiny_set

from ganfer.config import Config, load_config
from ganfer.workspace import Run, Workspace


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks run fastest on one thread, and other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
