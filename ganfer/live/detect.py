"""Where the faces are in a picture. Detectors share one small interface; the registry is a dict."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ganfer.errors import GanferError, did_you_mean
from ganfer.live.models import YUNET, model_path

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels; may reach beyond the picture."""

MIN_SCORE = 0.7
_FINE_SIDE = 1280  # longer pictures are scaled down to this; a face of 1% of their width is still found
_COARSE_SIDE = 320  # YuNet was trained on faces of 10 to 300 pixels: a larger one is found in a smaller picture
_SMALL_SIDE = 160  # a smaller picture is enlarged to this before the search
_SAME_FACE = 0.4  # overlap (IoU) from which two findings are one face


@dataclass(frozen=True, eq=False)
class Face:
    """One face found. landmarks: (5, 2) float32 pixels: the eye on the picture's left, the other eye, tip of the nose,
    left and right corner of the mouth; or None. score: 0..1. ready: the box is cut as training images are, so that
    nothing is aligned."""

    box: Box
    landmarks: np.ndarray | None
    score: float
    ready: bool = False


class Detector(Protocol):
    """Finds faces. One detector may be used by several threads."""

    name: str

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB picture, the surest first."""


class WholeImage:
    """For ready crops: the whole picture (its middle square, as at import) is one face."""

    name = "none"

    def detect(self, image: np.ndarray) -> list[Face]:
        check_picture(image)
        height, width = image.shape[:2]
        side = min(height, width)
        return [Face(((width - side) / 2, (height - side) / 2, float(side), float(side)), None, 1.0, ready=True)]


class YuNet:
    """YuNet (Wu et al. 2023) through OpenCV, on a fine and a coarse copy of the picture, so that the faces at the back
    of a hall and one that fills the frame are both found."""

    name = "yunet"

    def __init__(self, model: Path, min_score: float) -> None:
        if not 0 < min_score < 1:
            raise GanferError(f"--min-score {min_score:g}.", "It must lie between 0 and 1.")
        self._lock = threading.Lock()  # the network holds its input size and its buffers
        try:
            with _quiet_opencv():
                self._network = cv2.FaceDetectorYN.create(str(model), "", (_COARSE_SIDE, _COARSE_SIDE), min_score)
                self._network.detect(np.zeros((_COARSE_SIDE, _COARSE_SIDE, 3), np.uint8))
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1][:160]
            raise GanferError(
                f"{model} is no YuNet model that OpenCV {cv2.__version__} reads ({reason}).",
                f"Leave {YUNET.option} out to download the right one.",
            ) from error

    def detect(self, image: np.ndarray) -> list[Face]:
        check_picture(image)
        longest = max(image.shape[:2])
        fine = min(max(longest, _SMALL_SIDE), _FINE_SIDE)
        sides = [fine, _COARSE_SIDE] if fine >= 2 * _COARSE_SIDE else [fine]
        bgr = cv2.cvtColor(_scaled(image, max(sides) / longest), cv2.COLOR_RGB2BGR)
        found: list[Face] = []
        for side in sides:
            small = _scaled(bgr, side / max(bgr.shape[:2]))
            found += self._find(small, (image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]))
        return merge(found)

    def _find(self, bgr: np.ndarray, zoom: tuple[float, float]) -> list[Face]:
        """Faces of one scaled copy, in the pixels of the original."""
        with self._lock:
            self._network.setInputSize((bgr.shape[1], bgr.shape[0]))
            rows = self._network.detect(bgr)[1]
        faces = []
        for row in rows if rows is not None else ():
            if not np.isfinite(row).all() or row[2] <= 0 or row[3] <= 0:
                continue
            points = row[:14].astype(np.float32).reshape(7, 2) * np.array(zoom, np.float32)
            (x, y), (width, height) = points[0].tolist(), points[1].tolist()
            faces.append(Face((x, y, width, height), points[2:], float(min(1.0, row[14]))))
        return faces


def _open_yunet(model: Path | None, min_score: float) -> Detector:
    return YuNet(model_path(YUNET, model), min_score)


def _open_none(model: Path | None, min_score: float) -> Detector:
    del model, min_score
    return WholeImage()


DETECTORS: Mapping[str, Callable[[Path | None, float], Detector]] = {"yunet": _open_yunet, "none": _open_none}


def open_detector(kind: str = "yunet", model: str | Path | None = None, min_score: float = MIN_SCORE) -> Detector:
    """A detector by name. model: its file, downloaded once where None. min_score: how sure it must be, 0..1."""
    if kind not in DETECTORS:
        raise GanferError(f"Unknown detector {kind!r}.", did_you_mean(kind, DETECTORS))
    return DETECTORS[kind](Path(model) if model is not None else None, min_score)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def merge(faces: list[Face]) -> list[Face]:
    """The faces without those that overlap a surer one, the surest first (non-maximum suppression)."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def check_picture(image: np.ndarray) -> None:
    """ValueError unless the picture is (H, W, 3) uint8 with at least one pixel."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"a picture is (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")


def _scaled(image: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV 5 warns of its own default settings whenever a network is opened; only errors are let through."""
    log = cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        log.setLogLevel(before)
