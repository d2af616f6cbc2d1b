"""What is not the head: the background behind it, hands and things before it, and the camera that takes it all in."""

import cv2
import numpy as np

from ganfer.data.drawn.canvas import Canvas, mix, shift
from ganfer.data.drawn.draws import NOISE, generator
from ganfer.data.drawn.face import OCCLUDERS, Face
from ganfer.data.drawn.head import Field
from ganfer.data.drawn.identity import Colour

_BLOBS = 5


def background(face: Face, size: int) -> Field:
    """An out-of-focus backdrop (size, size, 3): a few soft patches of light and dark about one colour."""
    random = generator(NOISE, face.seed).random((_BLOBS, _BLOBS, 4)).astype(np.float32)
    patches = random[:, :, :1] * 0.8 + random[:, :, 1:] * 0.2 - 0.5
    smooth = cv2.resize(patches, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.array(face.scene.background, np.float32) * (1.0 + 2.0 * face.scene.background_contrast * smooth)


def occluder_colour(face: Face) -> Colour:
    """The main colour of what hides part of the face."""
    kind = OCCLUDERS[face.scene.occluder]
    if kind == "object":
        return face.scene.occluder_colour
    return face.identity.hair if kind == "hair" else face.identity.skin


def paint_occluder(canvas: Canvas, face: Face) -> None:
    """A hand, a strand of hair or a thing that hides part of the face, on a canvas of its own."""
    kind = OCCLUDERS[face.scene.occluder]
    side, slide = face.scene.occluder_side, face.scene.occluder_shift
    if kind == "hand_mouth":
        _hand(canvas, face, (side * 0.95, 1.55 + slide), (side * -0.28, 0.98 + slide))
    elif kind == "hand_cheek":
        _hand(canvas, face, (side * 1.15, 1.7 + slide), (side * 0.68, 0.5 + slide))
    elif kind == "hand_brow":
        _hand(canvas, face, (side * 1.35, -0.1 + slide), (side * 0.1, -0.42 + slide))
    elif kind == "hair":
        for step in range(5):
            x = side * (0.1 + 0.12 * step + slide)
            y = np.linspace(-1.15, 0.25 + 0.22 * step, 7)
            strand = np.stack((x + side * 0.21 * (y + 1.15) ** 1.2, y, np.full(7, 0.95)), axis=1)
            canvas.line(strand, shift(face.identity.hair, 0.8 + 0.08 * step), 0.5 * face.pose.scale * 0.13, covers=True)
    elif kind == "object":
        low, high = 0.72 + slide, 2.2
        block = np.array(((-0.5, low), (0.05, low - 0.06), (0.6, low), (0.65, high), (-0.55, high)))
        thing = np.column_stack((block[:, 0] + side * 0.3, block[:, 1], np.full(5, 1.0)))
        canvas.fill(thing, face.scene.occluder_colour)
        band = thing[:3] + np.array((0.0, 0.09, 0.0))
        canvas.line(band, mix(face.scene.occluder_colour, (255.0, 255.0, 255.0), 0.35), 0.02, covers=True)


def _hand(canvas: Canvas, face: Face, wrist: tuple[float, float], tip: tuple[float, float]) -> None:
    """Palm and four fingers from wrist to tip, in head coordinates before the face."""
    start, end = np.array(wrist), np.array(tip)
    reach = end - start
    across = np.array((-reach[1], reach[0])) / np.hypot(*reach)
    skin = face.identity.skin
    knuckle = start + 0.42 * reach

    def place(points: list[np.ndarray]) -> np.ndarray:
        return np.column_stack((np.array(points), np.full(len(points), 1.05)))

    width = face.pose.scale
    canvas.line(place([start - 0.6 * reach, start, knuckle]), shift(skin, 0.88), 0.56 * width, covers=True)
    for finger, length in ((-1.5, 0.82), (-0.5, 1.0), (0.5, 1.03), (1.5, 0.85)):
        base = knuckle + 0.155 * finger * across
        far = knuckle + (length - 0.42) * reach + 0.175 * finger * across
        canvas.line(place([base, far]), shift(skin, 0.58), 0.19 * width, covers=True)
        canvas.line(place([base, far]), shift(skin, 0.92), 0.155 * width, covers=True)
        canvas.line(place([base + 0.02 * across, far + 0.02 * across]), shift(skin, 1.03), 0.06 * width, covers=True)


def expose(face: Face, picture: Field) -> Field:
    """The camera: blur, tone curve, noise; (size, size, 3) in 0..255, not clipped to it."""
    scene, size = face.scene, picture.shape[0]
    deviation = scene.blur * size
    if deviation > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
    if scene.gamma != 1.0:
        picture = np.clip(picture * np.float32(1 / 255), 0.0, 1.0) ** np.float32(scene.gamma) * np.float32(255)
    picture = (picture - 120.0) * np.float32(scene.contrast) + np.float32(120.0 + scene.brightness)
    if scene.noise > 0.0:
        # The sum of three uniforms is normal enough for a sensor, and the same with every numpy.
        uniform = generator(NOISE, face.seed).random((3, size, size, 2), dtype=np.float32).sum(axis=0) - np.float32(1.5)
        grain = uniform[:, :, :1] * np.float32(1.7) + uniform[:, :, 1:] * np.array((0.6, 0.0, -0.6), np.float32)
        picture = picture + grain * np.float32(scene.noise)
    return picture
