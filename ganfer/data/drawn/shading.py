"""Light on skin: a relief of smooth bumps and folds over the head, lit by one soft lamp."""

import math

import numpy as np

from ganfer.data.drawn.expressions import ActionUnits
from ganfer.data.drawn.face import Face
from ganfer.data.drawn.head import Field, Head
from ganfer.data.drawn.mouth import Mouth

# One bump: x, y, deviation along, deviation across, angle, height (raises the surface), tint (< 0 darkens), lift (how
# far it stands before the head, which shifts it as the head turns).
Bump = tuple[float, float, float, float, float, float, float, float]


def _fold(x0: float, y0: float, x1: float, y1: float, width: float, depth: float, tint: float) -> Bump:
    """A groove from one point to another; its length is about four deviations."""
    length = math.hypot(x1 - x0, y1 - y0)
    angle = math.atan2(y1 - y0, x1 - x0)
    return ((x0 + x1) / 2, (y0 + y1) / 2, 0.32 * length, width, angle, -depth, -tint, 0.0)


def _nose(face: Face) -> list[Bump]:
    who = face.identity
    wrinkle = 0.5 * (face.left.nose_wrinkler + face.right.nose_wrinkler)
    tip = who.nose_length - 0.05 * wrinkle
    wide, high = who.nose_width * (1 + 0.12 * wrinkle), who.nose_height
    bumps: list[Bump] = [
        (0.0, 0.5 * tip - 0.02, 0.26 * tip / 0.5, 0.085, math.pi / 2, 0.5 * high, 0.03, 0.10),
        (0.0, tip - 0.07, 0.10, 0.115, 0.0, 0.62 * high, 0.03, 0.30),
        (0.0, tip + 0.09, 0.13, 0.04, 0.0, -0.02, -0.20, 0.12),  # the shadow under the tip
        (0.0, tip + 0.22, 0.03, 0.06, 0.0, -0.012, -0.05, 0.06),  # philtrum
    ]
    for side in (-1.0, 1.0):
        bumps.append((side * wide, tip - 0.01, 0.065, 0.075, 0.0, 0.22 * high, 0.0, 0.14))
        bumps.append((side * (wide + 0.075), tip - 0.02, 0.035, 0.09, 0.0, -0.03, -0.10, 0.08))
        if wrinkle > 0.05:
            bumps.append(_fold(side * 0.05, 0.02, side * 0.17, 0.10, 0.022, 0.030 * wrinkle, 0.20 * wrinkle))
            bumps.append(_fold(side * 0.04, 0.13, side * 0.16, 0.21, 0.022, 0.026 * wrinkle, 0.18 * wrinkle))
    return bumps


def _eye_region(face: Face, units: ActionUnits, side: float) -> list[Bump]:
    who = face.identity
    x = side * who.eye_distance
    old, smile = who.wrinkles, units.cheek_raiser
    bumps: list[Bump] = [
        (x, -0.03, 0.21, 0.13, 0.0, -0.055, -0.10, 0.0),  # socket
        (x - side * 0.19, 0.0, 0.06, 0.10, 0.0, -0.035, -0.10, 0.0),  # inner corner
        (x, -who.brow_height - 0.02, 0.27, 0.07, 0.0, 0.028, 0.02, 0.05),  # brow ridge
        (
            x - side * 0.03,
            0.17 - 0.02 * smile,
            0.15,
            0.03,
            side * 0.2,
            -0.012 - 0.02 * old,
            -0.05 - 0.11 * old - 0.12 * smile,
            0.0,
        ),
    ]
    crow = 0.12 * smile + 0.14 * old
    if crow > 0.03:
        edge = x + side * (who.eye_width + 0.06)
        for rise in (-0.09, 0.0, 0.09):
            bumps.append(
                _fold(edge, 0.02 + 0.4 * rise, edge + side * 0.15, 0.03 + 1.2 * rise, 0.016, 0.06 * crow, crow)
            )
    return bumps


def _cheek(face: Face, mouth: Mouth, units: ActionUnits, side: float) -> list[Bump]:
    who = face.identity
    corner_x, corner_y = mouth.corners[0 if side < 0 else 1]
    pull, raised = units.lip_corner_puller, units.cheek_raiser
    sneer = 0.5 * (units.nose_wrinkler + units.upper_lip_raiser)
    wing = side * (who.nose_width + 0.10)
    fold = min(1.0, 0.75 * pull + 0.8 * sneer + 0.45 * who.wrinkles + 0.06)
    hollow = 0.5 * units.jaw_drop + 0.1 * who.masculinity
    bumps: list[Bump] = [
        (
            side * 0.60,
            0.46 - 0.06 * raised,
            0.19,
            0.17 - 0.03 * raised,
            0.0,
            0.05 + 0.07 * max(pull, raised),
            0.03 + 0.05 * raised,
            0.05,
        ),
        (side * 0.68, 0.84, 0.13, 0.20, side * 0.3, -0.035 * hollow, -0.10 * hollow, 0.0),
        _fold(wing, who.nose_length - 0.06, corner_x + side * 0.09, corner_y - 0.05, 0.03, 0.045 * fold, 0.30 * fold),
        (corner_x + side * 0.035, corner_y, 0.03, 0.04, 0.0, -0.02 - 0.02 * pull, -0.10 - 0.12 * pull, 0.0),
    ]
    drooping = units.lip_corner_depressor + 0.4 * who.wrinkles
    if drooping > 0.08:
        bumps.append(
            _fold(
                corner_x + side * 0.02,
                corner_y,
                corner_x + side * 0.07,
                corner_y + 0.21,
                0.024,
                0.03 * drooping,
                0.17 * drooping,
            )
        )
    if units.lip_stretcher > 0.08:
        tense = units.lip_stretcher
        bumps.append(
            _fold(
                corner_x + side * 0.1,
                corner_y - 0.12,
                corner_x + side * 0.1,
                corner_y + 0.14,
                0.024,
                0.03 * tense,
                0.13 * tense,
            )
        )
    return bumps


def _brow_lines(face: Face, units: ActionUnits, side: float) -> list[Bump]:
    who = face.identity
    bumps: list[Bump] = []
    frown = units.brow_lowerer
    if frown > 0.05:
        base = -who.brow_height + 0.08
        bumps.append(_fold(side * 0.075, base - 0.19, side * 0.065, base + 0.04, 0.022, 0.05 * frown, 0.34 * frown))
        bumps.append((side * 0.16, base - 0.05, 0.09, 0.06, 0.0, 0.04 * frown, -0.03 * frown, 0.05))
    inner, outer = units.inner_brow_raiser, units.outer_brow_raiser
    top = -who.brow_height - 0.2
    for step, row in enumerate((0.0, -0.11, -0.22)):
        high = (0.75 * outer + 0.35 * inner + 0.5 * who.wrinkles) * (1 - 0.15 * step)
        if high > 0.1:
            bumps.append(_fold(side * 0.08, top + row, side * 0.62, top + row - 0.02, 0.018, 0.022 * high, 0.15 * high))
        if inner - 0.7 * outer > 0.1 and step < 2:
            bumps.append(_fold(0.0, top + row - 0.03, side * 0.26, top + row + 0.01, 0.018, 0.02 * inner, 0.13 * inner))
    return bumps


def relief(face: Face, head: Head, mouth: Mouth) -> Field:
    """All bumps of one face, (k, 8)."""
    who = face.identity
    chin_up = 0.5 * (face.left.chin_raiser + face.right.chin_raiser)
    low_lip = float(mouth.lip_bottom[8])
    ball = 0.5 * (low_lip + head.chin) + 0.05
    bumps = _nose(face)
    bumps += [
        (0.0, low_lip + 0.05, 0.17, 0.04, 0.0, -0.035, -0.17 - 0.08 * chin_up, 0.04),
        (0.0, ball, 0.17, 0.10, 0.0, 0.055 + 0.05 * chin_up, 0.02, 0.08),
        (0.0, -0.72, 0.55, 0.28, 0.0, 0.03, 0.03, 0.0),  # forehead
    ]
    if chin_up > 0.15:  # the chin puckers
        for dx, dy in ((-0.07, 0.0), (0.07, 0.01), (0.0, 0.06), (0.0, -0.04)):
            bumps.append((dx, ball + dy, 0.03, 0.026, 0.0, -0.014 * chin_up, -0.07 * chin_up, 0.08))
    for side, units in ((-1.0, face.left), (1.0, face.right)):
        bumps += _eye_region(face, units, side) + _cheek(face, mouth, units, side) + _brow_lines(face, units, side)
    if who.freckles > 0:
        bumps += _freckles(face)
    return np.array(bumps, dtype=np.float32)


def _freckles(face: Face) -> list[Bump]:
    """Freckles at places that belong to the person: a low-discrepancy walk that starts at one of the traits."""
    start = face.identity.eye_distance * 977.0
    spots: list[Bump] = []
    for index in range(26):
        x = ((start + 0.7549 * index) % 1.0 - 0.5) * 1.3
        y = 0.2 + 0.38 * ((start + 0.5698 * index) % 1.0)
        spots.append((x, y, 0.013, 0.013, 0.0, 0.0, -0.2 * face.identity.freckles, 0.0))
    return spots


def shade(face: Face, head: Head, mouth: Mouth, size: int) -> tuple[Field, Field, Field, Field]:
    """Light over a (size, size) frame: factor on the albedo, added shine in 0..1, and the head's x and y per pixel."""
    x, y, width = head.look_up(size)
    bumps = relief(face, head, mouth)
    # A line finer than a pixel is drawn one pixel wide and fainter, so that faces of 48 and 256 pixels agree.
    finest = np.float32(0.55 / (size * face.pose.scale))
    along, across = np.maximum(bumps[:, 2], finest), np.maximum(bumps[:, 3], finest)
    faint = (bumps[:, 2] * bumps[:, 3]) / (along * across)
    cos, sin = np.cos(bumps[:, 4]), np.sin(bumps[:, 4])
    centre = bumps[:, 0] + bumps[:, 7] * np.float32(head.sin_yaw / head.cos_yaw)

    # Quadratic form of each bump, expanded in (x², xy, y², x, y, 1), so that all of them are two matrix products.
    a = (cos / along) ** 2 + (sin / across) ** 2
    b = cos * sin * (1 / along**2 - 1 / across**2)
    c = (sin / along) ** 2 + (cos / across) ** 2
    cx, cy = centre, bumps[:, 1]
    flat_x, flat_y = x.ravel(), y.ravel()
    basis = np.stack((flat_x * flat_x, flat_x * flat_y, flat_y * flat_y, flat_x, flat_y, np.ones_like(flat_x)))
    form = np.stack(
        (a, 2 * b, c, -2 * (a * cx + b * cy), -2 * (b * cx + c * cy), a * cx * cx + 2 * b * cx * cy + c * cy * cy),
        axis=1,
    )
    weights = form @ basis
    np.multiply(weights, -0.5, out=weights)
    # Below exp(-40) lies nothing but denormals, which make the product many times slower.
    np.exp(np.clip(weights, -40.0, 0.0, out=weights), out=weights)

    height = bumps[:, 5] * faint
    outputs = np.stack((
        bumps[:, 6] * faint,
        height * (a * cx + b * cy), -height * a, -height * b,  # slope along x: constant, and factors of x and y
        height * (b * cx + c * cy), -height * b, -height * c,
    ))  # fmt: skip
    tint, *slopes = (outputs @ weights).reshape(7, size, size)
    slope_x = slopes[0] + slopes[1] * x + slopes[2] * y
    slope_y = slopes[3] + slopes[4] * x + slopes[5] * y

    nx, ny, nz = head.normals(x, y, width)
    nx, ny = nx - 0.9 * slope_x, ny - 0.9 * slope_y
    norm = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
    light = _lamp(face)
    lx, ly, lz = head.to_head(light)
    facing = (nx * np.float32(lx) + ny * np.float32(ly) + nz * np.float32(lz)) * norm
    hx, hy, hz = head.to_head(_half_way(light))
    gloss = np.clip((nx * np.float32(hx) + ny * np.float32(hy) + nz * np.float32(hz)) * norm, 0.0, 1.0)
    gloss = gloss**2 * gloss
    gloss = (gloss**2) ** 2
    gloss *= gloss  # to the power of 24, at a fraction of the price of pow
    strength = np.float32(face.lighting.strength)
    wrapped = np.clip(0.3 + 0.7 * facing, 0.0, 1.0)  # light that creeps round a soft body
    lit = (1.0 - 0.72 * strength) * 0.98 + strength * 1.0 * wrapped
    factor = lit * np.clip(1.0 + tint, 0.25, 1.3)
    return factor, gloss * np.float32(face.lighting.shine * (0.3 + strength)), x, y


def _lamp(face: Face) -> tuple[float, float, float]:
    across, up = math.radians(face.lighting.azimuth), math.radians(face.lighting.elevation)
    return math.sin(across) * math.cos(up), -math.sin(up), math.cos(across) * math.cos(up)


def _half_way(light: tuple[float, float, float]) -> tuple[float, float, float]:
    """Half-way vector between lamp and viewer (Blinn 1977)."""
    x, y, z = light[0], light[1], light[2] + 1.0
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length
