"""A torn OpenCV is named with the command that mends it."""

import sys
from importlib import metadata
from types import ModuleType

import pytest

from ganfer.errors import GanferError
from ganfer.live import opencv
from ganfer.live.opencv import check_opencv
from ganfer.pipeline import Project

BOTH = {"opencv-python": "5.0.0.93", "opencv-contrib-python": "5.0.0.93"}


def pretend(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None, packages: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in packages:
            raise metadata.PackageNotFoundError(name)
        return packages[name]

    monkeypatch.setitem(sys.modules, "cv2", module)
    monkeypatch.setattr(opencv.metadata, "version", version)


def test_a_whole_opencv_passes_whatever_else_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_opencv()
    monkeypatch.setattr(opencv.metadata, "version", BOTH.__getitem__)
    check_opencv()


@pytest.mark.parametrize("module", [None, ModuleType("cv2")])  # gone, or an empty folder left behind
def test_a_torn_one_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    pretend(monkeypatch, module, {"opencv-python": "5.0.0.93"})
    with pytest.raises(GanferError, match="opencv-python 5.0.0.93 installed") as failure:
        Project("work").predict("photo.jpg")
    assert str(failure.value).endswith("pip install --force-reinstall --no-deps opencv-python")
    pretend(monkeypatch, module, BOTH)
    with pytest.raises(GanferError, match="--no-deps opencv-python opencv-contrib-python"):
        check_opencv()
    pretend(monkeypatch, module, {})
    with pytest.raises(GanferError, match="--no-deps opencv-python$"):
        check_opencv()
