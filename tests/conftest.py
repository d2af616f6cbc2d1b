"""Fixtures that every test may use."""

import os
import signal
from pathlib import Path

import pytest

# A suite that is started in the background, or by nohup, inherits signals that are ignored; its tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
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
