"""From the numbers of a face to its pixels."""

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from ganfer.data.drawn.canvas import Canvas, shift
from ganfer.data.drawn.face import Face
from ganfer.data.drawn.features import paint_features, paint_glasses
from ganfer.data.drawn.hair import beard_share, paint_behind, paint_front
from ganfer.data.drawn.head import Field, Head
from ganfer.data.drawn.mouth import shape_mouth
from ganfer.data.drawn.scene import background, expose, occluder_colour, paint_occluder
from ganfer.data.drawn.shading import shade

MIN_SIZE, MAX_SIZE = 32, 512
_SHADING_SIZE = 192  # light is smooth: beyond this it is worked out coarser and enlarged
_WHOLE_HEAD = 0.255  # scale at which hair and chin of the largest head stay within the frame
_GREY = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601, as in Pillow's and OpenCV's conversions


def check_size(size: int, channels: int = 3) -> None:
    """ValueError unless a face can be drawn so."""
    if not isinstance(size, (int, np.integer)) or not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size must be {MIN_SIZE}..{MAX_SIZE} pixels, got {size!r}")
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels!r}")


def render(face: Face, size: int, channels: int = 3) -> NDArray[np.uint8]:
    """The face as photographed: (channels, size, size) uint8, RGB or grey."""
    check_size(size, channels)
    colours, cover = _paint(face, size)
    cover = cover[:, :, None]
    picture = expose(face, _occlude(face, background(face, size) * (1.0 - cover) + colours * cover))
    if channels == 1:
        return _to_bytes(picture @ _GREY)[None]
    return np.ascontiguousarray(_to_bytes(picture).transpose(2, 0, 1))


def render_rgba(face: Face, size: int) -> NDArray[np.uint8]:
    """The head alone, cut out: (size, size, 4) uint8, straight alpha.

    The whole head with its hair is in the frame, upright or turned as the pose says; no background, nothing in front of
    it, no blur and no noise, so that it can be pasted into any scene.
    """
    check_size(size)
    whole = dataclasses.replace(face.pose, scale=_WHOLE_HEAD, shift_x=0.0, shift_y=0.07)
    colours, cover = _paint(dataclasses.replace(face, pose=whole), size)
    return np.concatenate((_to_bytes(colours), _to_bytes(cover * 255.0)[:, :, None]), axis=2)


def _paint(face: Face, size: int) -> tuple[Field, Field]:
    """Lit colours (size, size, 3) in 0..255 and coverage (size, size) in 0..1 of the head."""
    jaw = 0.5 * (face.left.jaw_drop + face.right.jaw_drop)
    head = Head(face.identity, face.pose, jaw)
    mouth = shape_mouth(face.identity, face.left, face.right)
    factor, shine, x, y = (_enlarge(field, size) for field in shade(face, head, mouth, min(size, _SHADING_SIZE)))

    canvas = Canvas(size, _supersampling(size), head, face.identity.skin)
    paint_behind(canvas, face, head)
    canvas.hull(head.outline(), face.identity.skin)
    beard = beard_share(face, head, mouth, x, y)
    if beard is not None:
        canvas.blend(head.outline(), shift(face.identity.hair, 0.8), beard)
    paint_features(canvas, face, head, mouth)
    paint_front(canvas, face, head)
    paint_glasses(canvas, face)
    rgb, cover = canvas.finish()
    warmth = 0.07 * face.lighting.warmth
    lamp = np.array((1.0 + warmth, 1.0, 1.0 - warmth), np.float32)
    return rgb * (factor[:, :, None] * lamp) + 255.0 * shine[:, :, None], cover


def _occlude(face: Face, picture: Field) -> Field:
    """Put what hides part of the face, if anything, over the picture (size, size, 3)."""
    if not face.scene.occluder:
        return picture
    size = picture.shape[0]
    canvas = Canvas(size, _supersampling(size), Head(face.identity, face.pose, 0.0), occluder_colour(face))
    paint_occluder(canvas, face)
    rgb, cover = canvas.finish()
    bright = 1.0 - 0.35 * face.lighting.strength
    return picture + (rgb * np.float32(bright) - picture) * cover[:, :, None]


def _supersampling(size: int) -> int:
    return 2


def _enlarge(field: Field, size: int) -> Field:
    if field.shape[0] == size:
        return field
    return cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR)


def _to_bytes(values: Field) -> NDArray[np.uint8]:
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
