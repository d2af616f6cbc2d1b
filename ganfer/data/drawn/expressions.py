"""Expressions as distributions over FACS action units (Ekman & Friesen 1978; EMFACS prototypes).

An expression is never one fixed face: it has several variants (a closed smile, a laugh), an intensity from hardly
visible to strong, units that fail to appear, a neighbour it blends with, and two sides that differ. That is what makes
fear run into surprise, disgust into anger and sadness, and everything subtle into neutral.
"""

from dataclasses import dataclass, fields

from ganfer.data.drawn.draws import Draws

EXPRESSIONS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@dataclass(frozen=True)
class ActionUnits:
    """Muscle actions of one half of a face, each 0 (rest) to 1 (maximum); the number is the FACS code."""

    inner_brow_raiser: float = 0.0  # 1
    outer_brow_raiser: float = 0.0  # 2
    brow_lowerer: float = 0.0  # 4
    upper_lid_raiser: float = 0.0  # 5
    cheek_raiser: float = 0.0  # 6
    lid_tightener: float = 0.0  # 7
    nose_wrinkler: float = 0.0  # 9
    upper_lip_raiser: float = 0.0  # 10
    lip_corner_puller: float = 0.0  # 12
    lip_corner_depressor: float = 0.0  # 15
    chin_raiser: float = 0.0  # 17
    lip_stretcher: float = 0.0  # 20
    lip_tightener: float = 0.0  # 23, and 24 (lip pressor)
    lips_part: float = 0.0  # 25
    jaw_drop: float = 0.0  # 26, and 27 (mouth stretch) towards 1
    eye_closure: float = 0.0  # 43

    def __post_init__(self) -> None:
        for name in UNITS:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"action unit {name} must lie in 0..1, got {value!r}")


UNITS: tuple[str, ...] = tuple(field.name for field in fields(ActionUnits))
_CODES = dict(zip((1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26, 43), UNITS, strict=True))

# Per expression its variants: (weight, {FACS code: intensity at full strength}).
_Variant = tuple[float, dict[int, float]]
_VARIANTS: dict[str, tuple[_Variant, ...]] = {
    "angry": (
        (5, {4: 1.0, 5: 0.45, 7: 0.75, 23: 0.9, 17: 0.35, 15: 0.2}),
        (3, {4: 1.0, 5: 0.6, 7: 0.6, 10: 0.55, 25: 0.9, 26: 0.45, 20: 0.35, 9: 0.2}),
        (2, {4: 0.85, 7: 0.8, 10: 0.4, 25: 0.5, 23: 0.4}),
    ),
    "disgust": (
        (5, {9: 1.0, 10: 0.8, 17: 0.5, 4: 0.35, 7: 0.6, 6: 0.25}),
        (3, {9: 0.7, 10: 1.0, 25: 0.7, 4: 0.4, 7: 0.5, 15: 0.35}),
        (2, {10: 0.7, 15: 0.6, 17: 0.7, 9: 0.4, 43: 0.25}),
    ),
    "fear": (
        (5, {1: 0.95, 2: 0.55, 4: 0.55, 5: 0.95, 20: 0.8, 25: 0.7, 26: 0.25, 7: 0.2}),
        (3, {1: 0.9, 2: 0.6, 4: 0.4, 5: 1.0, 20: 0.4, 25: 0.8, 26: 0.65}),
        (2, {1: 0.8, 4: 0.6, 5: 0.8, 20: 0.7, 15: 0.2}),
    ),
    "happy": (
        (4, {6: 0.8, 12: 1.0, 25: 0.6, 26: 0.1}),
        (3, {6: 0.55, 12: 0.85}),
        (3, {6: 1.0, 12: 1.0, 25: 0.9, 26: 0.55, 7: 0.2}),
    ),
    "sad": (
        (5, {1: 0.9, 4: 0.45, 15: 0.9, 17: 0.5, 43: 0.25}),
        (3, {1: 0.7, 4: 0.5, 15: 0.6, 43: 0.45, 17: 0.2}),
        (2, {1: 0.7, 4: 0.7, 15: 0.7, 20: 0.4, 25: 0.6, 26: 0.2, 6: 0.5, 7: 0.4}),
    ),
    "surprise": (
        (6, {1: 0.9, 2: 1.0, 5: 0.8, 25: 0.6, 26: 0.85}),
        (2, {1: 0.8, 2: 0.9, 5: 0.6, 25: 0.5, 26: 0.3}),
        (2, {1: 0.7, 2: 0.7, 5: 0.6, 26: 1.0, 25: 0.6, 12: 0.3}),
    ),
    "neutral": ((1, {}),),
}

# What an expression is mistaken for, with how often a blend goes that way.
_NEIGHBOURS: dict[str, tuple[tuple[float, str], ...]] = {
    "angry": ((4, "disgust"), (3, "sad"), (2, "neutral"), (1, "fear")),
    "disgust": ((5, "angry"), (3, "sad"), (1, "happy")),
    "fear": ((5, "surprise"), (3, "sad"), (1, "angry")),
    "happy": ((3, "neutral"), (2, "surprise"), (1, "disgust")),
    "sad": ((3, "neutral"), (3, "fear"), (2, "angry"), (2, "disgust")),
    "surprise": ((5, "fear"), (2, "happy"), (1, "neutral")),
    "neutral": ((4, "sad"), (3, "happy"), (3, "angry"), (1, "surprise"), (1, "fear")),
}

# At difficulty 1.
_SUBTLE_SHARE = 0.09
_BLEND_SHARE = 0.4
_BLEND_MOST = 0.36
_MISSING_UNIT = 0.08
_STRAY_UNIT = 0.04
_TALKING_SHARE = 0.1


def _pure(draws: Draws, expression: str, difficulty: float) -> dict[str, float]:
    """One variant of an expression at full strength, each unit with its own strength."""
    variants = _VARIANTS[expression]
    variant = variants[draws.pick(tuple(weight for weight, _ in variants))][1]
    units = dict.fromkeys(UNITS, 0.0)
    for code, mean in variant.items():
        strength = mean * draws.normal(1.0, 0.2 * difficulty)
        if draws.chance(_MISSING_UNIT * difficulty):
            strength *= 0.3
        units[_CODES[code]] = strength
    return units


def sample_units(draws: Draws, expression: str, difficulty: float) -> tuple[ActionUnits, ActionUnits]:
    """Left and right action units of one face that shows `expression`; at difficulty 0 the textbook face."""
    units = _pure(draws, expression, difficulty)
    subtle = draws.chance(_SUBTLE_SHARE * difficulty)
    share = draws.uniform(0.18, 0.48) if subtle else draws.uniform(0.48, 1.0)
    intensity = 1.0 - min(1.0, difficulty) * (1.0 - share)
    neighbours = _NEIGHBOURS[expression]
    neighbour = neighbours[draws.pick(tuple(weight for weight, _ in neighbours))][1]
    blend = draws.uniform(0.08, _BLEND_MOST) if draws.chance(_BLEND_SHARE * min(1.0, difficulty)) else 0.0
    blend = min(0.49, blend * difficulty)
    if expression == "neutral":
        blend *= 0.5  # a neutral face that shows half of something else is no longer neutral
        intensity = 1.0
    other = _pure(draws, neighbour, difficulty)
    talking = draws.uniform(0.15, 0.55) if draws.chance(_TALKING_SHARE * difficulty) else 0.0

    sides: list[dict[str, float]] = [{}, {}]
    for name in UNITS:
        value = intensity * ((1.0 - blend) * units[name] + blend * other[name])
        value += abs(draws.normal(0.0, _STRAY_UNIT * difficulty))
        if name == "lips_part":
            value = max(value, talking)
        elif name == "jaw_drop":
            value = max(value, 0.5 * talking)
        tilt = draws.normal(0.0, 0.09 * difficulty)
        for side, sign in zip(sides, (-1.0, 1.0), strict=True):
            side[name] = min(1.0, max(0.0, value * (1.0 + sign * tilt)))
    return ActionUnits(**sides[0]), ActionUnits(**sides[1])
