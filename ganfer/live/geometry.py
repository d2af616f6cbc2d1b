"""Boxes, landmarks and the turning of pictures, which detection and cropping share."""

from dataclasses import dataclass

import cv2
import numpy as np

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels; may reach beyond the picture."""

_MAX_SHRINK = 2.0  # beyond this, pixels are averaged before they are turned, or fine texture would alias
_SAME_FACE = 0.4  # overlap (IoU) from which two findings are one face
# a level face's landmarks about their middle, in shares of a crop
_LEVEL = np.array([[-0.18, -0.188], [0.18, -0.188], [0.0, 0.02], [-0.15, 0.178], [0.15, 0.178]])


@dataclass(frozen=True, eq=False)
class Face:
    """One face found. landmarks: (5, 2) float32 pixels: the eye on the picture's left, the other eye, tip of the nose,
    left and right corner of the mouth; or None. score: 0..1. ready: the box is cut as training images are, so that
    nothing is aligned."""

    box: Box
    landmarks: np.ndarray | None
    score: float
    ready: bool = False


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


def tilt(landmarks: np.ndarray) -> float:
    """Radians by which a face with these (5, 2) landmarks is turned in the picture, clockwise: the turn that brings a
    level face nearest to them (Procrustes), steadier than the line of the eyes alone."""
    shape = landmarks - landmarks.mean(axis=0)
    cross = (_LEVEL[:, 0] * shape[:, 1] - _LEVEL[:, 1] * shape[:, 0]).sum()
    return float(np.arctan2(cross, (_LEVEL * shape).sum()))


def similarity(source: tuple[float, ...], target: tuple[float, float], scale: float, angle: float) -> np.ndarray:
    """The (2, 3) float64 matrix that turns by -angle and scales about `source`, which lands on `target`."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[c, s], [-s, c]])
    return np.column_stack((linear, np.array(target) - linear @ np.array(source[:2])))


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (n, 2) under a (2, 3) matrix."""
    result: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return result


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The picture under a similarity, (size, size, 3) uint8; what lies beyond it repeats its border.

    Only the part that is needed is touched, and averaged before it is shrunk far. `matrix` counts from pixel edges.
    """
    corners = moved(np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64), inverse(matrix))
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


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix that undoes another."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack((linear, -linear @ matrix[:, 2]))
