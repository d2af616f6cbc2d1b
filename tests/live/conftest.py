"""Fixtures of the tests with faces in the wild."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ganfer.live.detect import Detector, open_detector
from ganfer.live.mesh import Landmarker, open_landmarker
from ganfer.live.models import YUNET

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


def model_file(name: str) -> Path:
    path = MODELS / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which a user's machine downloads once")
    return path


@pytest.fixture(scope="session")
def yunet_file() -> Path:
    return YUNET.file()


@pytest.fixture(scope="session")
def landmarker_file() -> Path:
    return model_file("face_landmarker.task")


@pytest.fixture(scope="session")
def yunet(yunet_file: Path) -> Detector:
    return open_detector(model=yunet_file)


@pytest.fixture(scope="session")
def landmarker(landmarker_file: Path) -> Iterator[Landmarker]:
    pytest.importorskip("mediapipe", reason="needs the extra gaze")
    opened = open_landmarker(landmarker_file)
    yield opened
    opened.close()
