"""A face cut out of a picture as the classifier knows faces: upright, the eyes where the training images have them."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from ganfer.live.geometry import Face, similarity, tilt, warp


@dataclass(frozen=True)
class Framing:
    """Where a face lies in its crop, in shares of the side. Medians of FER2013's public test images, and within 0.03 of
    CK+48's and the drawn faces'."""

    eyes_y: float = 0.385  # the middle between the eyes; across it is 0.5
    eye_distance: float = 0.36
    mouth_drop: float = 0.357  # from between the eyes to between the corners of the mouth
    box_height: float = 0.95  # of a detector's box, where there are no landmarks


FER = Framing()


def crop_face(image: np.ndarray, face: Face, size: int, channels: int, framing: Framing = FER) -> np.ndarray:
    """One face as the classifier takes it: (channels, size, size) uint8.

    image: (H, W, 3) uint8 RGB. Turned so that the eyes are level; what lies beyond the picture repeats its border.
    """
    if face.ready:
        return _ready(image, face, size, channels)
    piece = warp(image, crop_matrix(face, size, framing), size)
    if channels == 1:
        return cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY)[None]
    return np.ascontiguousarray(piece.transpose(2, 0, 1))


def crop_matrix(face: Face, size: int, framing: Framing = FER) -> np.ndarray:
    """The similarity (2, 3) float64 that takes the picture's pixels to the crop's, in pixel-edge coordinates."""
    if face.landmarks is None:
        x, y, width, height = face.box
        scale = size * framing.box_height / max(width, height)
        return similarity((x + width / 2, y + height / 2), (size / 2, size / 2), scale, 0.0)
    points = face.landmarks.astype(np.float64)
    between = points[:2].mean(axis=0)
    eyes, drop = np.hypot(*(points[1] - points[0])), np.hypot(*(points[3:5].mean(axis=0) - between))
    # A head turned aside brings its eyes together, one bent down its mouth nearer: the larger measure is the truer.
    unit = max(eyes / framing.eye_distance, drop / framing.mouth_drop, 1e-3)
    return similarity(tuple(between), (size / 2, size * framing.eyes_y), size / unit, tilt(points))


def _ready(image: np.ndarray, face: Face, size: int, channels: int) -> np.ndarray:
    """The box scaled as images are at import, pixel for pixel."""
    x, y, width, height = face.box
    picture = Image.fromarray(image).convert("L" if channels == 1 else "RGB")
    box = (int(x), int(y), int(x) + int(width), int(y) + int(height))
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS, box=box)
    array = np.asarray(picture)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))
