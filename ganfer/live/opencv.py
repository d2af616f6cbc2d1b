"""Whether OpenCV is whole. Imports nothing heavy by itself, so that it can be asked before anything fails."""

import importlib
from importlib import metadata

from ganfer.errors import GanferError

_PACKAGES = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")


def check_opencv() -> None:
    """GanferError with the remedy when OpenCV is missing, torn, or too old to find faces.

    MediaPipe brings opencv-contrib-python, which lies in the same folder `cv2` as opencv-python. Side by side they get
    along; uninstalling either removes the files of both.
    """
    try:
        whole = hasattr(importlib.import_module("cv2"), "FaceDetectorYN")
    except ImportError:
        whole = False
    if whole:
        return
    there = {}
    for name in _PACKAGES:
        try:
            there[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    said = " and ".join(f"{name} {version}" for name, version in there.items()) or "no package of it"
    raise GanferError(
        f"OpenCV does not work here ({said} installed; they share the folder cv2, and removing one tears the other).",
        f"Mend it: pip install --force-reinstall --no-deps {' '.join(there) or 'opencv-python'}",
    )
