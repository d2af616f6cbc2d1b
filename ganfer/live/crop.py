"""A face cut out of a picture as the classifier knows faces: upright, the eyes where the training images have them."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from ganfer.live.detect import Face


@dataclass(frozen=True)
class Framing:
    """Where a face lies in its crop, in shares of the side. Medians of FER2013's public test images, and within 0.03 of
    CK+48's and the drawn faces'."""

    eyes_y: float = 0.385  # the middle between the eyes; across it is 0.5
    eye_distance: float = 0.36
    mouth_drop: float = 0.357  # from between the eyes to between the corners of the mouth
    box_height: float = 0.95  # of a detector's box, where there are no landmarks


FER = Framing()
_MAX_SHRINK = 2.0  # beyond this, pixels are averaged before they are turned, or fine texture would alias


def crop_face(image: np.ndarray, face: Face, size: int, channels: int, framing: Framing = FER) -> np.ndarray:
    """One face as the classifier takes it: (channels, size, size) uint8.

    image: (H, W, 3) uint8 RGB. Turned so that the eyes are level; what lies beyond the picture repeats its border.
    """
    if face.ready:
        return _ready(image, face, size, channels)
    piece = _warp(image, crop_matrix(face, size, framing), size)
    if channels == 1:
        return cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY)[None]
    return np.ascontiguousarray(piece.transpose(2, 0, 1))


def crop_matrix(face: Face, size: int, framing: Framing = FER) -> np.ndarray:
    """The similarity (2, 3) float64 that takes the picture's pixels to the crop's, in pixel-edge coordinates."""
    if face.landmarks is None:
        x, y, width, height = face.box
        scale = size * framing.box_height / max(width, height)
        return _similarity((x + width / 2, y + height / 2), (size / 2, size / 2), scale, 0.0)
    left, right = face.landmarks[0].astype(np.float64), face.landmarks[1].astype(np.float64)
    between, mouth = (left + right) / 2, face.landmarks[3:5].astype(np.float64).mean(axis=0)
    eyes, drop = np.hypot(*(right - left)), np.hypot(*(mouth - between))
    # A head turned aside brings its eyes together, one bent down its mouth nearer: the larger measure is the truer.
    unit = max(eyes / framing.eye_distance, drop / framing.mouth_drop, 1e-3)
    angle = _tilt(right - left, mouth - between)
    return _similarity(tuple(between), (size / 2, size * framing.eyes_y), size / unit, angle)


def _ready(image: np.ndarray, face: Face, size: int, channels: int) -> np.ndarray:
    """The box scaled as images are at import, pixel for pixel."""
    x, y, width, height = face.box
    picture = Image.fromarray(image).convert("L" if channels == 1 else "RGB")
    box = (int(x), int(y), int(x) + int(width), int(y) + int(height))
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS, box=box)
    array = np.asarray(picture)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _tilt(across: np.ndarray, down: np.ndarray) -> float:
    """Radians by which the face is turned in the picture; the longer of both axes says more."""
    level = np.arctan2(across[1], across[0])
    upright = np.arctan2(-down[0], down[1])
    if np.hypot(*across) * 2 < np.hypot(*down):  # nearly in profile: the line of the eyes means nothing
        return float(upright)
    return float(level)


def _similarity(source: tuple[float, ...], target: tuple[float, float], scale: float, angle: float) -> np.ndarray:
    """Turn by -angle and scale about `source`, which lands on `target`."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[c, s], [-s, c]])
    return np.column_stack((linear, np.array(target) - linear @ np.array(source[:2])))


def _warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3); only the part of the picture that is needed is touched, and shrunk by averaging first."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64) @ inverse[:, :2].T + inverse[:, 2]
    height, width = image.shape[:2]
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, (width - 1, height - 1))
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, low + 1, (width, height))
    part = image[low[1] : high[1], low[0] : high[0]]
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ low
    shrink = 1 / float(np.hypot(*matrix[:, 0]))
    if shrink > _MAX_SHRINK:
        wide = (max(1, round(part.shape[1] / shrink)), max(1, round(part.shape[0] / shrink)))
        zoom = np.array((part.shape[1] / wide[0], part.shape[0] / wide[1]))
        part = cv2.resize(np.ascontiguousarray(part), wide, interpolation=cv2.INTER_AREA)
        matrix[:, :2] *= zoom
    # from pixel edges to pixel centres, which warpAffine counts from
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(part, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
