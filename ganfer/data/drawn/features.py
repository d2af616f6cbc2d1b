"""Eyes, brows, nose, mouth and glasses, painted in their own colours; light and relief come later."""

import numpy as np

from ganfer.data.drawn.canvas import Canvas, mix, shift
from ganfer.data.drawn.expressions import ActionUnits
from ganfer.data.drawn.face import Face
from ganfer.data.drawn.head import Head, Points
from ganfer.data.drawn.identity import FACIAL_HAIR, GLASSES, Colour
from ganfer.data.drawn.mouth import Mouth

# Along an eye, inner to outer corner: its lids' outlines, the limits of the painted lids, the lashes' weight.
_T = np.linspace(-1.0, 1.0, 13)
_UPPER_LID = (1.0 - np.abs(_T) ** 2.3) ** 0.85
_LOWER_LID = (1.0 - _T * _T) ** 0.9
_LID_REACH = 1.0 - np.abs(_T) ** 3
_LASHES = 0.35 + 0.65 * np.clip(1.0 - (_T - 0.25) ** 2, 0.0, 1.0)
# Along a brow, inner to outer end: where each part of the frontal muscle pulls, and its rest shape and thickness.
_B = np.linspace(0.0, 1.0, 11)
_BROW_INNER = (1.0 - _B) ** 1.25
_BROW_OUTER = np.clip(1.6 * _B - 0.3, 0.0, 1.0) * (1.0 - 0.35 * _B**3)
_BROW_ARCH = np.sin(np.pi * (0.86 * _B) ** 1.15)
_BROW_WEIGHT = (1.0 - 0.72 * _B**1.8) * np.clip(0.55 + 3.0 * _B, 0.0, 1.0)
_WING = np.linspace(-1.0, 1.0, 7)
# Along the mouth, corner to corner.
_M = np.linspace(-1.0, 1.0, 17)
_CIRCLE = np.linspace(0.0, 2.0 * np.pi, 18, endpoint=False)
_COS, _SIN = np.cos(_CIRCLE), np.sin(_CIRCLE)
_WHITE: Colour = (236.0, 232.0, 228.0)
_TEETH: Colour = (240.0, 234.0, 222.0)
_CAVITY: Colour = (58.0, 20.0, 22.0)
_TONGUE: Colour = (176.0, 84.0, 84.0)


def _between(x: Points, top: Points, bottom: Points) -> tuple[Points, Points]:
    """The closed band between two curves over the same x."""
    return np.concatenate((x, x[::-1])), np.concatenate((top, bottom[::-1]))


def paint_features(canvas: Canvas, face: Face, head: Head, mouth: Mouth) -> None:
    """Everything on the front of the head, in painter's order."""
    paint_mouth(canvas, face, head, mouth)
    paint_nostrils(canvas, face)
    for side, units in ((-1.0, face.left), (1.0, face.right)):
        paint_eye(canvas, face, units, side)
        paint_brow(canvas, face, units, side)
    if FACIAL_HAIR[face.identity.facial_hair] == "moustache":
        paint_moustache(canvas, face, mouth)


def paint_eye(canvas: Canvas, face: Face, units: ActionUnits, side: float) -> None:
    """Eyeball first, then skin-coloured lids over it, then lashes and crease."""
    who = face.identity
    closed = units.eye_closure
    x = side * (who.eye_distance + _T * who.eye_width)
    smile = units.cheek_raiser
    upper = who.eye_height * (1.0 + 0.78 * units.upper_lid_raiser) * (1.0 - 0.36 * units.lid_tightener - 0.18 * smile)
    upper = max(0.008, upper * (1.0 - 0.85 * closed) - 0.02 * units.nose_wrinkler)
    lower = 0.66 * who.eye_height * (1.0 + 0.15 * units.upper_lid_raiser)
    lower = lower * (1.0 - 0.42 * units.lid_tightener - 0.5 * smile - 0.3 * units.nose_wrinkler)
    lower = max(0.006, lower * (1.0 - 0.3 * closed)) - 0.05 * closed * who.eye_height
    # The inner half of the upper lid rises with the inner brow (sadness, fear) and sinks with a frown.
    slant = 0.3 * units.inner_brow_raiser - 0.28 * units.brow_lowerer * (1 - 0.6 * units.inner_brow_raiser)
    base = -who.eye_tilt * _T * who.eye_width
    top = base - upper * _UPPER_LID * (1.0 - slant * _T)
    bottom = base + lower * _LOWER_LID
    bottom = np.maximum(bottom, top + 0.002)

    canvas.skin(*_between(x, top, bottom), mix(_WHITE, who.skin, 0.16))
    radius = 0.104
    centre_x = side * who.eye_distance + 0.075 * face.pose.gaze_x
    centre_y = -0.016 + 0.05 * face.pose.gaze_y
    for size, colour in ((1.0, shift(who.iris, 0.55)), (0.86, who.iris), (0.46, (16.0, 14.0, 14.0))):
        canvas.skin(centre_x + radius * size * _COS, centre_y + radius * size * _SIN, colour)
    glint = 0.026
    lamp = -0.4 if face.lighting.azimuth < 0 else 0.4
    canvas.skin(centre_x + lamp * radius + glint * _COS, centre_y - 0.42 * radius + glint * _SIN, (246.0, 246.0, 246.0))

    above = np.minimum(base - 0.16 * _LID_REACH, top - 0.004)
    below = np.maximum(base + 0.14 * _LID_REACH, bottom + 0.004)
    canvas.skin(*_between(x, above, top), shift(who.skin, 0.95))
    canvas.skin(*_between(x, bottom, below), who.skin)

    canvas.skin(*_between(x, top - who.lid_weight * _LASHES, top + 0.006), mix((22.0, 16.0, 16.0), who.skin, 0.12))
    canvas.skin(*_between(x, bottom, bottom + 0.011 * _LASHES), shift(who.skin, 0.66))
    fold = 0.05 * (1.0 - 0.4 * units.upper_lid_raiser) + 0.4 * upper * closed
    crease = top - fold - 0.012 * _T
    canvas.skin(*_between(x[1:-1], (crease - 0.009)[1:-1], (crease + 0.005)[1:-1]), shift(who.skin, 0.74))


def paint_brow(canvas: Canvas, face: Face, units: ActionUnits, side: float) -> None:
    """A tapering band of hair that the frontal and corrugator muscles move."""
    who = face.identity
    inner = _BROW_INNER
    raised = 0.165 * units.inner_brow_raiser * inner + 0.145 * units.outer_brow_raiser * _BROW_OUTER
    lowered = units.brow_lowerer * (0.125 * inner + 0.055) * (1.0 - 0.55 * units.inner_brow_raiser)
    lowered = lowered + 0.05 * units.nose_wrinkler * inner - 0.012 * units.upper_lid_raiser
    x = side * (0.165 + 0.57 * _B - 0.06 * (units.brow_lowerer + 0.4 * units.nose_wrinkler) * inner)
    y = -who.brow_height - who.brow_arch * _BROW_ARCH + who.brow_slope * (1.0 - 2.0 * _B) - raised + lowered
    half = who.brow_weight * _BROW_WEIGHT
    colour = mix(shift(who.hair, 0.8), who.skin, 0.12)
    edge = mix(colour, who.skin, 0.55)
    canvas.skin(*_between(x, y - 1.25 * half, y + 1.2 * half), edge, 0.03)
    canvas.skin(*_between(x, y - 0.85 * half, y + 0.8 * half), colour, 0.03)


def paint_nostrils(canvas: Canvas, face: Face) -> None:
    """Nostrils and the underside of the wings; the rest of the nose is relief."""
    who = face.identity
    for side, units in ((-1.0, face.left), (1.0, face.right)):
        wide = who.nose_width * (1.0 + 0.14 * units.nose_wrinkler)
        y = who.nose_length + 0.035 - 0.05 * units.nose_wrinkler
        dark = shift(mix(who.skin, (70.0, 22.0, 18.0), 0.45), 0.55)
        canvas.skin(side * 0.52 * wide + 0.062 * _COS, y + 0.026 * _SIN - 0.014 * side * _COS, dark, 0.13)
        curve = side * (0.93 * wide + 0.055 * (1 - _WING * _WING))
        level = y - 0.045 + 0.062 * _WING
        wing = (np.concatenate((curve, curve[::-1] - side * 0.016)), np.concatenate((level, level[::-1])))
        canvas.skin(*wing, shift(who.skin, 0.8), 0.08)


def paint_mouth(canvas: Canvas, face: Face, head: Head, mouth: Mouth) -> None:
    """Lips, the gap between them, teeth and tongue."""
    who = face.identity
    lip = mix(who.skin, (168.0, 56.0, 62.0), 0.25 + 0.5 * who.lip_red)
    upper, lower = shift(lip, 0.84), shift(lip, 0.98)
    x = mouth.x
    soft = mix(lip, who.skin, 0.6)
    canvas.skin(*_between(x, mouth.lip_top - 0.008, mouth.lip_bottom + 0.008), soft, 0.05)
    canvas.skin(*_between(x, mouth.lip_top, mouth.gap_top + 0.004), upper, 0.05)
    canvas.skin(*_between(x, mouth.gap_bottom - 0.004, mouth.lip_bottom), lower, 0.05)
    shine = mouth.gap_bottom + 0.42 * (mouth.lip_bottom - mouth.gap_bottom)
    inner = slice(5, 12)
    height = 0.14 * (mouth.lip_bottom - mouth.gap_bottom)
    canvas.skin(
        *_between(x[inner], (shine - height)[inner], (shine + height)[inner]),
        mix(lower, (255.0, 235.0, 230.0), 0.18),
        0.05,
    )
    if mouth.gap < 0.02:
        seam = 0.5 * (mouth.gap_top + mouth.gap_bottom)
        canvas.skin(*_between(x, seam - 0.010, seam + 0.008), shift(mix(lip, _CAVITY, 0.55), 0.75), 0.05)
        return
    canvas.skin(*_between(x, mouth.gap_top, mouth.gap_bottom), _CAVITY, 0.05)
    if mouth.gap > 0.16:
        rise = np.clip(
            mouth.gap_bottom - 0.42 * mouth.gap * np.exp(-((x / 0.24) ** 2)), mouth.gap_top, mouth.gap_bottom
        )
        canvas.skin(*_between(x[3:-3], rise[3:-3], (mouth.gap_bottom - 0.006)[3:-3]), shift(_TONGUE, 0.8), 0.05)
    row = slice(1, -1)
    if mouth.upper_teeth > 0.012:
        edge = np.minimum(mouth.gap_bottom, mouth.gap_top + mouth.upper_teeth * (1.0 - 0.35 * _M**2))
        canvas.skin(*_between(x[row], mouth.gap_top[row], edge[row]), mix(_TEETH, _CAVITY, 0.08), 0.05)
        _tooth_gaps(canvas, head, x, mouth.gap_top, edge)
    if mouth.lower_teeth > 0.02:
        edge = np.maximum(mouth.gap_top, mouth.gap_bottom - mouth.lower_teeth * (1.0 - 0.4 * _M**2))
        canvas.skin(*_between(x[row], edge[row], mouth.gap_bottom[row]), mix(_TEETH, _CAVITY, 0.2), 0.05)


def _tooth_gaps(canvas: Canvas, head: Head, x: Points, top: Points, bottom: Points) -> None:
    """Faint lines between the teeth, only where they are wide enough to be seen as such."""
    if canvas.side < 200:
        return
    for place in np.arange(-0.26, 0.27, 0.075):
        if abs(place) < 0.85 * x[-1]:
            ends = np.interp((place, place), x, top)[0], np.interp((place, place), x, bottom)[0]
            line = head.surface(np.array((place, place)), np.array(ends), 0.05)
            canvas.line(line, mix(_TEETH, _CAVITY, 0.3), 0.002)


def paint_moustache(canvas: Canvas, face: Face, mouth: Mouth) -> None:
    """Hair on the upper lip."""
    who = face.identity
    colour = mix(shift(who.hair, 0.85), who.skin, 0.3 * (1 - who.facial_hair_density))
    x = mouth.x * 0.98
    drop = 0.05 * np.abs(_M) ** 2
    top = mouth.lip_top - 0.105 + 0.09 * np.abs(_M) ** 1.6
    bottom = mouth.lip_top + 0.014 + drop
    canvas.skin(*_between(x, top, np.maximum(bottom, top + 0.01)), colour, 0.07)


def paint_glasses(canvas: Canvas, face: Face) -> None:
    """Lenses, frame, bridge and temples, standing before the face."""
    who = face.identity
    kind = GLASSES[who.glasses]
    if kind == "none":
        return
    frame = shift(mix(who.accent, (30.0, 28.0, 28.0), 0.6), 0.8)
    width = face.pose.scale * (0.028 if kind == "round" else 0.042)
    power = 1.0 if kind == "round" else 0.5  # a superellipse of exponent 2 / power
    x = np.sign(_COS) * np.abs(_COS) ** power
    y = np.sign(_SIN) * np.abs(_SIN) ** power
    for side in (-1.0, 1.0):
        centre = side * (who.eye_distance + 0.01)
        rim = np.stack(
            (centre + 0.30 * x, 0.045 + (0.26 if kind == "round" else 0.215) * y, np.full_like(x, 0.88)), axis=1
        )
        if who.glasses_dark > 0.3:
            canvas.tint(rim, (34.0, 34.0, 38.0), who.glasses_dark)
        else:
            canvas.tint(rim, (228.0, 236.0, 244.0), 0.05 + who.glasses_dark)
        canvas.line(rim, frame, width, closed=True)
        temple = np.array(((centre + side * 0.30, 0.0, 0.88), (side * 1.0, -0.02, 0.15)))
        canvas.line(temple, frame, width)
    bridge = who.eye_distance - 0.29
    canvas.line(np.array(((-bridge, 0.02, 0.9), (0.0, -0.02, 0.95), (bridge, 0.02, 0.9))), frame, width)
