"""Faces marked in a picture: a frame, and a panel with emoji, score bars and attention that hides no other face."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganfer.live.emoji import colour, emoji
from ganfer.live.faces import FaceResult, best
from ganfer.live.geometry import Box

_FINE = 2  # panels are drawn this much larger and reduced: smooth edges
_PANEL = (22, 24, 29, 214)
_TEXT, _FAINT = (245, 246, 248, 255), (164, 170, 182, 255)
_TRACK = (62, 66, 75, 230)
_AWAY = (255, 112, 82)
_HERE = (64, 200, 130)
_CROWDED = 0.04  # share of a face or panel that may be hidden; else a short tag is drawn


def annotate(image: np.ndarray, faces: Sequence[FaceResult], *, bars: bool = True) -> np.ndarray:
    """A copy of the (H, W, 3) uint8 RGB picture with its faces marked. bars: with every score, not just the highest."""
    picture = image.copy()
    if not faces:
        return picture
    unit = max(0.7, min(4.0, max(image.shape[:2]) / 1280))
    for face in faces:
        _frame(picture, face, unit)
    taken = [face.box for face in faces]
    for number, face in sorted(enumerate(faces, 1), key=lambda pair: -pair[1].box[2]):
        who = f"person {face.track}" if face.track else f"face {number}" if len(faces) > 1 else ""
        panel = _panel(face, who, unit) if bars else _tag(face, unit)
        place, hidden = _place(face.box, panel.shape, picture.shape, taken)
        if bars and hidden > _CROWDED:
            panel = _tag(face, unit)
            place, _ = _place(face.box, panel.shape, picture.shape, taken)
        _paste(picture, panel, place)
        taken.append((*place, panel.shape[1], panel.shape[0]))
    return picture


def _frame(picture: np.ndarray, face: FaceResult, unit: float) -> None:
    """Corner brackets in the colour of the expression."""
    x, y, width, height = face.box
    left, top, right, bottom = round(x), round(y), round(x + width), round(y + height)
    length = max(4, round(0.22 * min(width, height)))
    thick = max(1, round(2.2 * unit))
    for ink, extra in (((0, 0, 0), 2), (colour(face.label), 0)):
        for cx, cy, dx, dy in ((left, top, 1, 1), (right, top, -1, 1), (left, bottom, 1, -1), (right, bottom, -1, -1)):
            for end in ((cx + dx * length, cy), (cx, cy + dy * length)):
                cv2.line(picture, (cx, cy), end, ink, thick + extra, cv2.LINE_AA)


def _panel(face: FaceResult, who: str, unit: float) -> np.ndarray:
    """(h, w, 4) uint8: emoji, number, expression, a bar per score; a column of bars per model."""
    u = unit * _FINE
    models = list(face.by_model.items())
    names = list(face.scores)
    pad, row, head, column = 9 * u, 15 * u, 42 * u, 62 * u
    label_width = max(_width(name, 10.5 * u) for name in names) + 7 * u
    titles = 15 * u if len(models) > 1 else 0.0
    note = 16 * u if face.attention is not None else 0.0
    width = round(pad * 2 + max(label_width + column * len(models) + 30 * u, 150 * u))
    column = (width - 2 * pad - label_width) / len(models)
    height = round(pad * 1.6 + head + titles + row * len(names) + note)
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, width - 1, height - 1), 9 * u, fill=_PANEL)
    side = round(34 * u)
    image.alpha_composite(Image.fromarray(emoji(face.label, side)), (round(pad), round(pad * 0.8)))
    left = pad + side + 8 * u
    pen.text((left, pad * 0.8), _shown(face.label, 12), _TEXT, _font(15 * u))
    pen.text((left, pad * 0.8 + 18 * u), f"{face.confidence:.0%}   {who}", _FAINT, _font(11 * u))
    top = pad * 0.8 + head
    for i, (model, scores) in enumerate(models):
        x = pad + label_width + i * column
        if titles:
            pen.text((x, top), _shown(model, 9), _FAINT, _font(9.5 * u))
        for j, name in enumerate(names):
            y = top + titles + j * row
            _bar(pen, (x, y + 3 * u, x + column - 27 * u, y + 10 * u), scores.get(name, 0.0), colour(name))
            bold = name == best(scores)[0]
            text = f"{scores.get(name, 0.0):.0%}"
            pen.text((x + column - 23 * u, y), text, _TEXT if bold else _FAINT, _font(9.5 * u))
            if i == 0:
                pen.text((pad, y - 1 * u), name, _TEXT if bold else _FAINT, _font(10.5 * u))
    if face.attention is not None:
        _attention_line(pen, face, (pad, top + titles + row * len(names) + 1 * u), u)
    return np.asarray(image.resize((width // _FINE, height // _FINE), Image.Resampling.BOX))


def _tag(face: FaceResult, unit: float) -> np.ndarray:
    """(h, w, 4) uint8: the expression alone."""
    u = unit * _FINE
    text = f"{_shown(face.label, 12)} {face.confidence:.0%}"
    room = 34 * u if face.attention is None else 46 * u
    width, height = round(_width(text, 11 * u) + room), round(22 * u)
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, width - 1, height - 1), height / 2, fill=_PANEL)
    side = round(18 * u)
    image.alpha_composite(Image.fromarray(emoji(face.label, side)), (round(2 * u), round(2 * u)))
    pen.text((side + 6 * u, 3.5 * u), text, _TEXT, _font(11 * u))
    if face.attention is not None:
        ink = _HERE if face.attention.state == "attentive" else _AWAY
        pen.ellipse((width - 15 * u, 8 * u, width - 9 * u, 14 * u), fill=ink)
    return np.asarray(image.resize((width // _FINE, height // _FINE), Image.Resampling.BOX))


def _bar(pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float], share: float, ink: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    radius = (bottom - top) / 2
    pen.rounded_rectangle(box, radius, fill=_TRACK)
    end = left + share * (right - left)
    if end - left >= 1:
        pen.rounded_rectangle((left, top, max(end, left + 2 * radius), bottom), radius, fill=(*ink, 255))


def _attention_line(pen: ImageDraw.ImageDraw, face: FaceResult, at: tuple[float, float], u: float) -> None:
    assert face.attention is not None
    ink = _HERE if face.attention.state == "attentive" else _AWAY
    pen.ellipse((at[0] + u, at[1] + 3.5 * u, at[0] + 7 * u, at[1] + 9.5 * u), fill=ink)
    words = face.attention.state if face.attention.calibrated else f"{face.attention.state} (calibrating)"
    pen.text((at[0] + 12 * u, at[1]), words, _TEXT, _font(10.5 * u))


def _place(
    box: Box, panel: tuple[int, ...], picture: tuple[int, ...], taken: Sequence[Box]
) -> tuple[tuple[int, int], float]:
    """Where the panel hides least, (x, y), and the shares of faces and panels that it hides, added up."""
    x, y, width, height = box
    tall, wide = panel[:2]
    gap = 6
    levels = [y, y + height / 2 - tall / 2, y + height - tall]
    columns = [x + width / 2 - wide / 2, x, x + width - wide]
    wanted = [(side, level) for level in levels for side in (x + width + gap, x - wide - gap)]
    wanted += [(column, level) for column in columns for level in (y + height + gap, y - tall - gap)]
    choices = []
    for order, (px, py) in enumerate(wanted):
        inside = (
            round(max(0.0, min(px, picture[1] - wide))),
            round(max(0.0, min(py, picture[0] - tall))),
        )
        hidden = sum(_shared((*inside, wide, tall), other) for other in taken)
        choices.append((round(hidden, 3), order, inside))
    hidden, _, place = min(choices)
    return place, hidden


def _shared(a: Box, b: Box) -> float:
    """What two boxes share, of the smaller one."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height) / max(1.0, min(a[2] * a[3], b[2] * b[3]))


def _paste(picture: np.ndarray, panel: np.ndarray, at: tuple[int, int]) -> None:
    """The panel over the picture, cut where the picture ends."""
    part = picture[at[1] : at[1] + panel.shape[0], at[0] : at[0] + panel.shape[1]]
    panel = panel[: part.shape[0], : part.shape[1]]
    cover = panel[:, :, 3:].astype(np.uint16)
    part[:] = ((panel[:, :, :3] * cover + part * (255 - cover) + 127) // 255).astype(np.uint8)


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _width(text: str, size: float) -> float:
    return float(_font(size).getlength(text))


def _shown(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
