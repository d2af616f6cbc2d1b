"""A drawn emoji per expression, by the same hand that draws the drawn faces."""

import dataclasses
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from ganfer.data.drawn import EXPRESSIONS, ActionUnits, Face, Lighting, Pose, render_rgba

COLOURS: dict[str, tuple[int, int, int]] = {
    "angry": (229, 72, 77),
    "disgust": (70, 167, 88),
    "fear": (142, 78, 198),
    "happy": (255, 178, 36),
    "sad": (62, 99, 221),
    "surprise": (0, 162, 199),
    "neutral": (139, 141, 152),
    "contempt": (173, 127, 88),
    "embarrassed": (233, 61, 130),
}
_OTHERS = ((18, 165, 148), (246, 104, 94), (110, 86, 207), (153, 213, 42))
_PERSON = 3  # whose proportions the emoji has
_YELLOW, _INK, _LIP = (255.0, 205.0, 70.0), (70.0, 42.0, 20.0), 0.35
_DRAWN = 256


def colour(name: str) -> tuple[int, int, int]:
    """The expression's colour in pictures and pages, RGB; names that are not known get one by their letters."""
    return COLOURS.get(name) or _OTHERS[sum(name.encode("utf-8", "surrogatepass")) % len(_OTHERS)]


@cache
def emoji(name: str, size: int) -> np.ndarray:
    """(size, size, 4) uint8 RGBA with straight alpha; an expression that cannot be drawn looks neutral."""
    face = _face(name)
    head = Image.fromarray(render_rgba(face, _DRAWN)).crop(_disc_box())
    disc = Image.new("L", head.size, 0)
    ImageDraw.Draw(disc).ellipse((2, 2, head.width - 3, head.height - 3), fill=255)
    ground = Image.new("RGBA", head.size, (*(int(0.25 * c + 0.75 * 255) for c in colour(name)), 255))
    ground.alpha_composite(head)
    ground.putalpha(disc)
    return np.asarray(ground.resize((size, size), Image.Resampling.LANCZOS))


def _disc_box() -> tuple[int, int, int, int]:
    return int(0.17 * _DRAWN), int(0.21 * _DRAWN), int(0.83 * _DRAWN), int(0.87 * _DRAWN)


def _face(name: str) -> Face:
    face = Face.sample(0, name if name in EXPRESSIONS else "neutral", identity=_PERSON, difficulty=0.0)
    person = dataclasses.replace(
        face.identity,
        skin=_YELLOW,
        iris=_INK,
        cloth=_YELLOW,
        hair_style=0,
        facial_hair=0,
        glasses=0,
        wrinkles=0.0,
        freckles=0.0,
        lip_red=_LIP,
    )
    left, right, pose = face.left, face.right, Pose()
    if name == "contempt":
        right = ActionUnits(lip_corner_puller=0.8, lip_corner_depressor=0.0, lid_tightener=0.4)
    elif name == "embarrassed":
        left = right = ActionUnits(lip_corner_puller=0.6, lip_tightener=0.4, eye_closure=0.4, inner_brow_raiser=0.5)
        pose = Pose(pitch=-10.0, roll=8.0, gaze_x=0.5, gaze_y=0.6)
    light = Lighting(azimuth=-25.0, elevation=40.0, strength=0.35, shine=0.15)
    return dataclasses.replace(face, identity=person, left=left, right=right, pose=pose, lighting=light)
