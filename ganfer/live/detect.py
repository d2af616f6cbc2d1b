"""Where the faces are in a picture. Detectors share one small interface; the registry is a dict."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ganfer.errors import GanferError, did_you_mean
from ganfer.live.geometry import Face, inverse, merge, moved, overlap, similarity, tilt, warp
from ganfer.live.models import YUNET

MIN_SCORE = 0.7
_LEAST_SIDE = 64  # of what the network is given
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT
MAX_SIDE = 1280  # longer pictures are scaled down to this; a face of 1% of their width is still found
_COARSE_SIDE = 320  # YuNet was trained on faces of 10 to 300 pixels: a larger one is found in a smaller picture
_SMALL_SIDE = 160  # a smaller picture is enlarged to this before the search
_LOOK_SIDE = 320  # every face is looked at again in a patch of this side, turned upright and as large as
_LOOK_FACE = 0.55  # this share of it: small or tilted, its landmarks come out too level, by up to all of the angle
_STILL_IT = 0.3  # overlap (IoU) with where it was first found
_TILT = math.radians(30)  # by which copies are turned in search of tilted faces
_TURNED = math.radians(8)  # a turn from which a further look pays


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

    def __init__(self, model: Path, min_score: float, max_side: int = MAX_SIDE, tilted: bool = False) -> None:
        if not 0 < min_score < 1:
            raise GanferError(f"--min-score {min_score:g}.", "It must lie between 0 and 1.")
        self.max_side, self.tilted = max_side, tilted
        self._lock = threading.Lock()  # the network holds its input size and its buffers
        try:
            with quiet_opencv():
                self._network = cv2.FaceDetectorYN.create(str(model), "", (_COARSE_SIDE, _COARSE_SIDE), min_score)
                self._network.detect(np.zeros((_COARSE_SIDE, _COARSE_SIDE, 3), np.uint8))
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1][:160]
            raise GanferError(
                f"{model} is no YuNet model that OpenCV {cv2.__version__} reads ({reason}).",
                f"Leave {YUNET.option} out to use the one that comes with ganfer.",
            ) from error

    def detect(self, image: np.ndarray) -> list[Face]:
        check_picture(image)
        longest = max(image.shape[:2])
        fine = min(max(longest, _SMALL_SIDE), self.max_side)
        sides = [fine, _COARSE_SIDE] if fine >= 2 * _COARSE_SIDE else [fine]
        bgr = cv2.cvtColor(_scaled(image, max(sides) / longest), cv2.COLOR_RGB2BGR)
        found: list[Face] = []
        for side in sides:
            small = _scaled(bgr, side / max(bgr.shape[:2]))
            found += self._find(small, (image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]))
        if self.tilted:
            found += self._tilted(bgr, image.shape[1] / bgr.shape[1])
        return [self._closer(image, face) for face in merge(found)]

    def _tilted(self, bgr: np.ndarray, zoom: float) -> list[Face]:
        """Faces of one scaled copy turned to either side, in the pixels of the original."""
        side = math.ceil(math.hypot(*bgr.shape[:2]))
        faces = []
        for angle in (-_TILT, _TILT):
            matrix = similarity((bgr.shape[1] / 2, bgr.shape[0] / 2), (side / 2, side / 2), 1.0, angle)
            back = inverse(matrix)
            for face in self._find(warp(bgr, matrix, side), (1.0, 1.0)):
                x, y, width, height = face.box
                ((mx, my),) = moved(np.array([[x + width / 2, y + height / 2]]), back) * zoom
                box = (float(mx - width * zoom / 2), float(my - height * zoom / 2), width * zoom, height * zoom)
                landmarks = None
                if face.landmarks is not None:
                    landmarks = (moved(face.landmarks.astype(np.float64), back) * zoom).astype(np.float32)
                faces.append(Face(box, landmarks, face.score))
        return faces

    def _closer(self, image: np.ndarray, face: Face) -> Face:
        """The face with landmarks found in a larger, upright copy; as it was where that shows none."""
        for _ in range(3):
            x, y, width, height = face.box
            scale, middle = _LOOK_FACE * _LOOK_SIDE / max(height, width), _LOOK_SIDE / 2
            angle = tilt(face.landmarks) if face.landmarks is not None else 0.0
            matrix = similarity((x + width / 2, y + height / 2), (middle, middle), scale, angle)
            patch = cv2.cvtColor(warp(image, matrix, _LOOK_SIDE), cv2.COLOR_RGB2BGR)
            inner = (middle - width * scale / 2, middle - height * scale / 2, width * scale, height * scale)
            found = [other for other in self._find(patch, (1.0, 1.0)) if overlap(other.box, inner) > _STILL_IT]
            if not found or found[0].landmarks is None:
                break
            landmarks = moved(found[0].landmarks.astype(np.float64), inverse(matrix)).astype(np.float32)
            face = Face(face.box, landmarks, face.score)
            if abs(tilt(found[0].landmarks)) < _TURNED:
                break
        return face

    def _find(self, bgr: np.ndarray, zoom: tuple[float, float]) -> list[Face]:
        """Faces of one scaled copy, in the pixels of the original."""
        below, beside = (max(0, _LEAST_SIDE - side) for side in bgr.shape[:2])
        if below or beside:  # OpenCV 4.10 sees faces in the memory beside a strip of 32 rows
            bgr = cv2.copyMakeBorder(bgr, 0, below, 0, beside, cv2.BORDER_CONSTANT)
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


def _open_yunet(model: Path | None, min_score: float, max_side: int, tilted: bool) -> Detector:
    return YuNet(YUNET.file(model), min_score, max_side, tilted)


def _open_none(model: Path | None, min_score: float, max_side: int, tilted: bool) -> Detector:
    del model, min_score, max_side, tilted
    return WholeImage()


DETECTORS: Mapping[str, Callable[[Path | None, float, int, bool], Detector]] = {
    "yunet": _open_yunet,
    "none": _open_none,
}


def open_detector(
    kind: str = "yunet",
    model: str | Path | None = None,
    min_score: float = MIN_SCORE,
    max_side: int = MAX_SIDE,
    *,
    tilted: bool = False,
) -> Detector:
    """A detector by name. model: its file, the package's where None. min_score: how sure it must be, 0..1.

    max_side: pictures are searched at this many pixels on their longer side; 640 is four times as fast and finds faces
    from 2% of the width on. tilted: also search copies turned by 30 degrees, for small heads that are, at three times
    the cost.
    """
    if kind not in DETECTORS:
        raise GanferError(f"Unknown detector {kind!r}.", did_you_mean(kind, DETECTORS))
    return DETECTORS[kind](Path(model) if model is not None else None, min_score, max_side, tilted)


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
def quiet_opencv() -> Iterator[None]:
    """OpenCV logs its own default settings as warnings and a missing file as errors; what matters is raised anyway."""
    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has these functions at its top
    before = log.getLogLevel()
    log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)
