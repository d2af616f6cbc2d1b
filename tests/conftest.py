"""Fixtures that every test may use."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run on all cores already, one process each

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder with the development data; the test skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs the development data in {SHARED}, which is not part of the project")
    return SHARED


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in its own empty folder, away from any workspace of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANFER_WORKSPACE", raising=False)


def striped(labels: np.ndarray, seed: int, size: int = 16, noise: float = 70.0) -> np.ndarray:
    """Images a small network tells apart in seconds: class k is a grating of direction k. (N, 1, size, size) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    angle = np.asarray(labels)[:, None, None] * np.pi / 3
    phase = rng.uniform(0, 2 * np.pi, (len(labels), 1, 1))
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 1.3 + phase)
    pixels = 128 + 60 * wave + rng.normal(0, noise, wave.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)[:, None]
