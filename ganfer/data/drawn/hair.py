"""Hair, hats, ears, neck and beard: what frames the face, behind it and before it."""

import numpy as np

from ganfer.data.drawn.canvas import Canvas, mix, shift
from ganfer.data.drawn.draws import TEXTURE, Draws
from ganfer.data.drawn.face import Face
from ganfer.data.drawn.head import Field, Head, Points
from ganfer.data.drawn.identity import FACIAL_HAIR, HAIR_STYLES
from ganfer.data.drawn.mouth import Mouth

_CIRCLE = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
_LONG = ("long", "long_fringe")
_STRANDS = 14  # on a frame of 100 pixels and more


def _dome(head: Head, volume: float, low: float, count: int = 33) -> Points:
    """Arc over the skull at `volume` outside it, from the viewer's left at height `low` to the right; (count, 3)."""
    angle = np.linspace(np.pi, 2.0 * np.pi, count)
    x = (1.0 + volume * np.clip(0.1 - 3.0 * np.sin(angle), 0.0, 1.0)) * np.cos(angle)  # lies close at the temples
    y = 0.05 + (head.crown + 0.05 + volume) * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.9
    y[[0, -1]] = low
    return np.stack((x, y, np.full(count, 0.05)), axis=1)


def _curls(points: Points, depth: float, phase: float) -> Points:
    """An outline made bumpy."""
    centre = np.array((0.0, -0.1, 0.0))
    wave = 1.0 + depth * np.sin(np.linspace(0.0, 34.0, len(points)) + phase)[:, None]
    return centre + (points - centre) * np.concatenate((wave, wave, np.ones_like(wave)), axis=1)


def paint_behind(canvas: Canvas, face: Face, head: Head) -> None:
    """Back hair or scarf, neck, shoulders and ears."""
    who = face.identity
    style = HAIR_STYLES[who.hair_style]
    back = shift(who.hair, 0.72)
    volume = who.hair_volume
    if style in _LONG or style == "scarf":
        wide = 1.0 + volume + (0.12 if style == "scarf" else 0.03)
        dome = _dome(head, volume + 0.02, 0.2)
        fall = np.array(((wide, 1.0, -0.2), (wide + 0.05, 1.9, -0.2), (-wide - 0.05, 1.9, -0.2), (-wide, 1.0, -0.2)))
        canvas.fill(np.concatenate((dome, fall)), shift(who.accent, 0.75) if style == "scarf" else back)
    elif style == "curly":
        turn = np.linspace(0.0, 2.0 * np.pi, 49, endpoint=False)
        ball = np.stack((np.cos(turn), np.sin(turn), np.full(49, -0.2)), axis=1) * (1.14 + volume, 1.2 + volume, 1.0)
        canvas.fill(_curls(ball + np.array((0.0, -0.42, 0.0)), 0.03, who.crown * 50), back)
    elif style == "bun":
        knot = np.stack(
            (0.34 * np.cos(_CIRCLE), -head.crown - 0.12 + 0.27 * np.sin(_CIRCLE), np.full(20, -0.3)), axis=1
        )
        canvas.fill(knot, back)
    _paint_neck(canvas, face, head)
    if style in _LONG or style == "scarf":
        return
    for side in (-1.0, 1.0):
        ear = np.stack(
            (side * (0.99 + 0.085 * np.cos(_CIRCLE)), 0.16 + 0.23 * np.sin(_CIRCLE), np.full(20, -0.05)), axis=1
        )
        canvas.fill(ear, shift(who.skin, 0.92))
        inner = ear * (1.0, 0.55, 1.0) + (side * 0.012, 0.075, 0.0)
        canvas.fill(inner, shift(who.skin, 0.7))


def _paint_neck(canvas: Canvas, face: Face, head: Head) -> None:
    who = face.identity
    wide = 0.52 + 0.13 * who.masculinity
    neck = np.array(((-wide, 0.7, -0.35), (wide, 0.7, -0.35), (wide * 1.05, 1.9, -0.35), (-wide * 1.05, 1.9, -0.35)))
    canvas.fill(neck, shift(who.skin, 0.66))
    level = head.chin + 0.28
    cloth = np.array((
        (-2.2, level + 0.5, -0.4), (-1.1, level + 0.14, -0.4), (-wide, level - 0.02, -0.3), (0.0, level + 0.2, -0.2),
        (wide, level - 0.02, -0.3), (1.1, level + 0.14, -0.4), (2.2, level + 0.5, -0.4), (2.2, 4.0, -0.4),
        (-2.2, 4.0, -0.4),
    ))  # fmt: skip
    canvas.fill(cloth, shift(who.cloth, 0.85))


def beard_share(face: Face, head: Head, mouth: Mouth, x: Field, y: Field) -> Field | None:
    """How much of each pixel is beard or stubble, 0..1, or None without one; `x`, `y` are head coordinates."""
    who = face.identity
    kind = FACIAL_HAIR[who.facial_hair]
    if kind in ("none", "moustache"):
        return None
    lip = float(mouth.lip_top[8])
    if kind == "goatee":
        reach = 0.30 - np.abs(x) + 0.10 * np.clip(y - lip, -0.3, 0.3)
        share = np.clip(reach * 9.0, 0.0, 1.0) * np.clip((y - lip + 0.09) * 12.0, 0.0, 1.0)
    else:
        # The upper edge runs from the sideburns down over the cheek and up again to the moustache.
        edge = lip + 0.08 - 0.22 * np.exp(-((x / 0.2) ** 2)) - 1.15 * np.clip(np.abs(x) - 0.56, 0.0, 0.5)
        share = np.clip((y - edge) * 7.0, 0.0, 1.0)
    # Not on the lips, nor just beneath the lower one.
    centre, tall = (
        0.5 * float(mouth.lip_top[8] + mouth.lip_bottom[8]),
        0.5 * float(mouth.lip_bottom[8] - mouth.lip_top[8]),
    )
    wide = float(mouth.x[-1]) * 1.02
    away = np.sqrt((x / wide) ** 2 + ((y - centre) / (tall + 0.03)) ** 2)
    share = share * np.clip((away - 0.92) * 5.0, 0.0, 1.0)
    most = 0.42 * who.facial_hair_density if kind == "stubble" else 0.55 + 0.4 * who.facial_hair_density
    return (share * most).astype(np.float32)


def _hairline(face: Face, head: Head) -> Points:
    """The border between face and hair from the viewer's left sideburn to the right one, (n, 3)."""
    who = face.identity
    style = HAIR_STYLES[who.hair_style]
    t = np.linspace(-1.0, 1.0, 25)
    y = -who.hair_line + 0.1 * t * t
    sideburn = 0.10 if style in ("cropped", "short", "side", "fringe") else 0.28
    drop = np.clip((np.abs(t) - 0.72) / 0.28, 0.0, 1.0) ** 1.5
    if style in ("fringe", "long_fringe"):
        y = y + (0.34 + 0.04 * np.sin(9.0 * t + who.chin * 40)) * (1.0 - 0.4 * np.abs(t) ** 3)
    elif style in ("side", "long", "bun"):
        parting = 0.35 if who.eye_tilt > 0.05 else -0.35
        y = y + 0.24 * np.abs(t - parting) ** 1.6
    elif style == "short" or style == "cropped":
        y = y + 0.10 * np.clip(np.abs(t) - 0.35, 0.0, 0.3) - 0.09 * (1.0 - who.masculinity) * (1 - t * t)
    elif style == "curly":
        y = y + 0.03 * np.sin(21.0 * t + who.crown * 30)
    y = y + (sideburn - y) * drop
    x = np.sin(t * 1.46) * head.half_width(y)
    if style in _LONG:
        x = x * (1.0 - 0.05 * drop)
    return head.surface(x, y, 0.03)


def paint_front(canvas: Canvas, face: Face, head: Head) -> None:
    """Hair, scarf or beanie over the forehead and temples."""
    who = face.identity
    style = HAIR_STYLES[who.hair_style]
    if style == "scarf":
        _paint_scarf(canvas, face, head)
        return
    if style == "beanie":
        _paint_beanie(canvas, face, head)
        return
    if style == "bald":
        return
    line = _hairline(face, head)
    volume = {"cropped": 0.015, "short": 0.6 * who.hair_volume}.get(style, who.hair_volume)
    if style == "curly":
        crest = _curls(_dome(head, volume + 0.13, -0.25, 49), 0.03, who.crown * 50)
    else:
        crest = _dome(head, volume, 0.1)
    colour = mix(who.hair, who.skin, 0.3) if style == "cropped" else who.hair
    canvas.fill(np.concatenate((line, crest[::-1])), colour)
    _paint_strands(canvas, face, head, line, crest)
    if style in _LONG:
        _paint_locks(canvas, face, head)


def _paint_strands(canvas: Canvas, face: Face, head: Head, line: Points, crest: Points) -> None:
    """Lighter and darker strands from the crown to the hair line."""
    draws = Draws(TEXTURE, face.seed)
    count = _STRANDS if canvas.size >= 100 else _STRANDS // 2
    at = np.array([draws.uniform(0.03, 0.97) for _ in range(count)])
    top = crest[((0.25 + 0.5 * at) * (len(crest) - 1)).astype(int)]
    end = line[(at * (len(line) - 1)).astype(int)]
    middle = 0.5 * (top + end) + np.stack((0.22 * (end[:, 0] - 0.2), 0 * at, 0.3 + 0 * at), axis=1)
    bend = (0.97 * top, 0.3 * top + 0.6 * middle + 0.1 * end, 0.1 * top + 0.5 * middle + 0.4 * end, end)
    dark, light = shift(face.identity.hair, 0.72), mix(face.identity.hair, (255.0, 240.0, 220.0), 0.13)
    for curve in np.stack(bend, axis=1):
        canvas.line(curve, dark if draws.chance(0.55) else light, 0.006)


def _paint_locks(canvas: Canvas, face: Face, head: Head) -> None:
    """Long hair that falls before the shoulders beside the face."""
    who = face.identity
    for side in (-1.0, 1.0):
        y = np.linspace(-0.5, 1.9, 13)
        inner = np.where(y < 1.0, 0.955 * head.half_width(np.minimum(y, 0.75)) - 0.03, 0.80 + 0.04 * y)
        inner = np.minimum(inner, 0.93)
        outer = 1.0 + (who.hair_volume + 0.03 * np.sin(3.0 * y + who.crown * 40)) * np.clip((y + 0.5) * 1.2, 0.0, 1.0)
        x = side * np.concatenate((inner, outer[::-1]))
        lock = np.stack((x, np.concatenate((y, y[::-1])), np.full(26, 0.12)), axis=1)
        canvas.fill(lock, shift(who.hair, 0.9))
        for share, tone in ((0.3, 0.74), (0.65, 1.12)):
            strand = np.stack((side * (inner + share * (outer - inner)), y, np.full(13, 0.12)), axis=1)
            canvas.line(strand[2:], shift(who.hair, tone), 0.007)


def _paint_scarf(canvas: Canvas, face: Face, head: Head) -> None:
    """A head scarf: a ring about the face."""
    who = face.identity
    angle = np.linspace(0.0, 2.0 * np.pi, 33)
    middle, tall = 0.5 * (head.chin - who.hair_line) + 0.02, 0.5 * (head.chin + who.hair_line) + 0.02
    inner_y = middle - tall * np.cos(angle)
    inner_x = 0.86 * np.sin(angle) * (1.0 - 0.12 * np.clip(inner_y, 0, 2))
    outer_y = middle - 0.02 - (tall + 0.52) * np.cos(angle)
    outer_x = (1.12 + 0.05 * np.clip(inner_y, 0, 1)) * np.sin(angle)
    inner = np.stack((inner_x, inner_y, np.full(33, 0.2)), axis=1)
    outer = np.stack((outer_x, outer_y, np.full(33, 0.0)), axis=1)
    canvas.fill(np.concatenate((inner, outer[::-1])), who.accent)
    for share, tone in ((0.25, 0.8), (0.6, 1.1)):
        canvas.line(inner + share * (outer - inner), shift(who.accent, tone), 0.008, closed=True)


def _paint_beanie(canvas: Canvas, face: Face, head: Head) -> None:
    """A knitted hat with a brim."""
    who = face.identity
    t = np.linspace(-1.0, 1.0, 15)
    y = -0.62 + 0.22 * t * t
    brim = np.stack((1.06 * np.sin(t * 1.57), y, 0.95 * np.cos(t * 1.57)), axis=1)
    upper = brim * (1.02, 1.0, 1.0) + np.array((0.0, -0.26, 0.0))
    canvas.fill(np.concatenate((brim, _dome(head, 0.08, -0.45)[::-1])), who.accent)
    canvas.fill(np.concatenate((brim, upper[::-1])), shift(who.accent, 0.78))
    for place in range(1, 14, 2):
        canvas.line(np.stack((brim[place], upper[place])), shift(who.accent, 0.62), 0.004)
