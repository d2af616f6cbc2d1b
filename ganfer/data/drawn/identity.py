"""Who a drawn person is: the lasting traits of a head, its skin, hair and what is worn on it."""

from dataclasses import dataclass

from ganfer.data.drawn.draws import IDENTITY, Draws

HAIR_STYLES: tuple[str, ...] = (
    "bald", "cropped", "short", "side", "fringe", "long", "long_fringe", "curly", "bun", "scarf", "beanie",
)  # fmt: skip
FACIAL_HAIR: tuple[str, ...] = ("none", "stubble", "moustache", "goatee", "beard")
GLASSES: tuple[str, ...] = ("none", "round", "square")

Colour = tuple[float, float, float]

_SKIN: tuple[Colour, ...] = (
    (250, 221, 200),
    (241, 202, 172),
    (226, 178, 142),
    (194, 140, 102),
    (150, 101, 70),
    (98, 66, 49),
)
_HAIR: tuple[Colour, ...] = (
    (38, 30, 28),
    (66, 45, 34),
    (104, 70, 45),
    (150, 104, 62),
    (203, 164, 104),
    (146, 66, 38),
    (178, 176, 174),
)
_IRIS: tuple[Colour, ...] = ((70, 46, 30), (104, 72, 42), (96, 110, 66), (92, 128, 150), (120, 146, 160), (52, 38, 32))
_CLOTH: tuple[Colour, ...] = (
    (58, 74, 110),
    (130, 52, 58),
    (64, 98, 84),
    (60, 60, 66),
    (180, 170, 152),
    (204, 150, 84),
    (98, 78, 120),
)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` moved towards `other` by `share` in 0..1."""
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Identity:
    """A person. Lengths are in half face widths; shares are 0..1; colours are RGB in 0..255."""

    masculinity: float
    age: float
    skin: Colour
    hair: Colour
    iris: Colour
    cloth: Colour
    accent: Colour  # scarf, beanie and frame of the glasses
    jaw_power: float  # 1.6 oval .. 2.8 square
    chin: float  # eye line to chin
    crown: float  # eye line to top of the skull
    fullness: float  # cheeks, about 1
    eye_distance: float  # mid line to eye centre
    eye_width: float
    eye_height: float
    eye_tilt: float
    lid_weight: float  # thickness of the lash line
    brow_height: float
    brow_weight: float
    brow_arch: float
    brow_slope: float  # a resting frown (> 0) or worry (< 0)
    nose_length: float
    nose_width: float
    nose_height: float
    mouth_height: float  # eye line to mouth
    mouth_width: float
    lip_upper: float
    lip_lower: float
    mouth_curve: float  # corners at rest, > 0 hang
    lip_red: float
    wrinkles: float
    freckles: float
    hair_style: int  # into HAIR_STYLES
    hair_volume: float
    hair_line: float  # eye line to hair line
    facial_hair: int  # into FACIAL_HAIR
    facial_hair_density: float
    glasses: int  # into GLASSES
    glasses_dark: float  # tint of the lenses

    @classmethod
    def sample(cls, seed: int) -> "Identity":
        """The person of that number."""
        draws = Draws(IDENTITY, seed)
        male = draws.unit()
        is_male = male > 0.5
        age = draws.unit()
        grown = min(1.0, age / 0.22)  # below that a child: larger eyes, shorter lower face
        old = max(0.0, (age - 0.55) / 0.45)

        skin, hair, iris, cloth, accent = _colours(draws, old)
        if is_male:
            style = draws.pick((2.0 * old + 0.6, 3, 4, 3, 1, 0.7, 0.2, 1.2, 0.2, 0, 1))
        else:
            style = draws.pick((0.05, 0.3, 1.0, 1.5, 1.2, 4, 2.5, 1.6, 2, 1.1, 0.7))
        shaves = not is_male or age < 0.25
        beard = draws.pick((1, 0, 0, 0, 0) if shaves else (4, 2.2, 0.9, 0.9, 2))
        return cls(
            masculinity=male,
            age=age,
            skin=skin,
            hair=hair,
            iris=iris,
            cloth=cloth,
            accent=accent,
            jaw_power=draws.normal(1.95 + 0.45 * male, 0.2),
            chin=draws.normal(1.34 + 0.13 * grown + 0.06 * male, 0.05),
            crown=draws.normal(1.33, 0.05),
            fullness=draws.normal(1.0 + 0.04 * (1 - grown), 0.045),
            eye_distance=draws.normal(0.425, 0.022),
            eye_width=draws.normal(0.222 + 0.015 * (1 - grown), 0.013),
            eye_height=draws.normal(0.094 + 0.018 * (1 - grown) - 0.006 * male, 0.011),
            eye_tilt=draws.normal(0.05, 0.06),
            lid_weight=draws.uniform(0.012, 0.02) + (0.0 if is_male else draws.uniform(0.0, 0.016)),
            brow_height=draws.normal(0.275 - 0.02 * male, 0.025),
            brow_weight=draws.normal(0.038 + 0.026 * male, 0.009),
            brow_arch=draws.normal(0.065 - 0.025 * male, 0.022),
            brow_slope=draws.normal(0.0, 0.016),
            nose_length=draws.normal(0.50 + 0.10 * grown, 0.035),
            nose_width=draws.normal(0.185 + 0.025 * male, 0.024),
            nose_height=draws.normal(0.20 + 0.06 * grown, 0.035),
            mouth_height=draws.normal(0.89 + 0.09 * grown, 0.03),
            mouth_width=draws.normal(0.385, 0.028),
            lip_upper=draws.normal(0.076 - 0.016 * male - 0.014 * old, 0.012),
            lip_lower=draws.normal(0.102 - 0.012 * male - 0.016 * old, 0.013),
            mouth_curve=draws.normal(0.006 + 0.012 * old, 0.015),
            lip_red=draws.uniform(0.2, 0.5) + (0.0 if is_male else draws.uniform(0.0, 0.4)),
            wrinkles=old * draws.uniform(0.5, 1.0) + 0.1 * draws.unit(),
            freckles=draws.uniform(0.4, 1.0) if draws.chance(0.14) else 0.0,
            hair_style=style,
            hair_volume=draws.uniform(0.05, 0.17),
            hair_line=draws.normal(0.79 + 0.12 * (old if is_male else 0.0), 0.06),
            facial_hair=beard,
            facial_hair_density=draws.uniform(0.45, 0.95),
            glasses=draws.pick((74, 10, 16)),
            glasses_dark=draws.uniform(0.55, 0.95) if draws.chance(0.12) else draws.uniform(0.0, 0.1),
        )


def _colours(draws: Draws, old: float) -> tuple[Colour, Colour, Colour, Colour, Colour]:
    """Skin, hair, iris, clothes and accent; dark skin goes with dark hair and eyes."""
    tone = draws.unit() ** 1.25 * (len(_SKIN) - 1)
    step = min(int(tone), len(_SKIN) - 2)
    skin = _mix(_SKIN[step], _SKIN[step + 1], tone - step)
    skin = _mix(skin, (skin[0] * 1.04, skin[1] * 0.96, skin[2] * 0.92), draws.uniform(-0.8, 0.5))
    if tone > 2.6:
        hair, iris = _HAIR[draws.pick((6, 2))], _IRIS[draws.pick((3, 1, 0, 0, 0, 3))]
    else:
        hair, iris = _HAIR[draws.pick((3, 3, 3, 2, 2, 0.8))], _IRIS[draws.pick((2, 3, 2, 3, 2, 1))]
    if draws.chance(old * 0.8):
        hair = _mix(hair, _HAIR[-1], draws.uniform(0.4, 1.0))
    hair = _mix(hair, (0.0, 0.0, 0.0), draws.uniform(0.0, 0.25))
    cloth = _CLOTH[draws.pick((1,) * len(_CLOTH))]
    accent = _CLOTH[draws.pick((1,) * len(_CLOTH))]
    return skin, hair, iris, cloth, accent
