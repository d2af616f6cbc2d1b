"""The mouth's curves from action units: where lips, gap and teeth are, shared by the painter and the relief."""

from dataclasses import dataclass

import numpy as np

from ganfer.data.drawn.expressions import ActionUnits
from ganfer.data.drawn.head import Points
from ganfer.data.drawn.identity import Identity

_T = np.linspace(-1.0, 1.0, 17)  # corner to corner, viewer's left to right
_ARCH = 1.0 - _T * _T


@dataclass(frozen=True)
class Mouth:
    """Curves of 17 points over `x`, top to bottom, in head coordinates; `gap` is the opening at the middle."""

    x: Points
    lip_top: Points
    gap_top: Points
    gap_bottom: Points
    lip_bottom: Points
    gap: float
    upper_teeth: float  # shown height below gap_top
    lower_teeth: float
    corners: tuple[tuple[float, float], tuple[float, float]]


def _spread(left: float, right: float) -> Points:
    """A value per point that goes over from the left side's to the right side's."""
    return left + (right - left) * (0.5 + 0.5 * _T)


def shape_mouth(identity: Identity, left: ActionUnits, right: ActionUnits) -> Mouth:
    """The mouth of one identity under the action units of both sides."""

    def unit(name: str) -> Points:
        return _spread(getattr(left, name), getattr(right, name))

    def middle(name: str) -> float:
        return 0.5 * float(getattr(left, name) + getattr(right, name))

    pull, depress, stretch = unit("lip_corner_puller"), unit("lip_corner_depressor"), unit("lip_stretcher")
    jaw, part = middle("jaw_drop"), middle("lips_part")
    chin_up, tight, sneer = middle("chin_raiser"), middle("lip_tightener"), unit("upper_lip_raiser")
    smile = middle("lip_corner_puller")

    half = identity.mouth_width * (1.0 + 0.30 * pull + 0.24 * stretch - 0.10 * tight - 0.22 * jaw * (1 - 0.8 * smile))
    x = _T * half
    side = np.abs(_T) ** 1.7
    corner = identity.mouth_curve - 0.175 * pull + 0.15 * depress + 0.045 * stretch + 0.03 * chin_up
    line = identity.mouth_height + corner * side - 0.055 * chin_up * (1 - side) + 0.025 * pull - 0.01 * depress
    line = line - 0.02 * middle("nose_wrinkler")

    opened = max(0.0, part - 0.12) * 0.115 + jaw * 0.41
    square = 2.0 + 2.6 * middle("lip_stretcher") + 1.6 * middle("upper_lip_raiser") * (1 - smile)
    gap_shape = 1.0 - np.abs(_T) ** square
    up = (0.30 * opened + 0.018 * smile * min(1.0, part * 2)) * gap_shape
    gap_top = line - up - 0.075 * sneer * (1.0 - np.abs(_T) ** 3)
    gap_bottom = line + 0.78 * opened * gap_shape - 0.03 * sneer * _ARCH * (1.0 if opened < 0.02 else 0.2)
    gap_bottom = np.maximum(gap_bottom, gap_top + 0.004)

    thin = (1.0 - 0.62 * tight) * (1.0 - 0.35 * smile) * (1.0 - 0.25 * middle("lip_stretcher")) * (1 - 0.2 * jaw)
    bow = np.exp(-((np.abs(_T) - 0.24) ** 2) / 0.03) * 0.22 - np.exp(-(_T**2) / 0.012) * 0.16
    lip_top = gap_top - identity.lip_upper * thin * (_ARCH**0.75 * 0.85 + bow * _ARCH)
    pout = 1.0 + 0.35 * chin_up * (1 - tight)
    lip_bottom = gap_bottom + identity.lip_lower * thin * pout * _ARCH**0.7

    open_middle = float(gap_bottom[8] - gap_top[8])
    bare = 0.35 + 0.8 * smile + 0.9 * middle("upper_lip_raiser") + 0.3 * middle("lip_stretcher")
    low = 0.75 * middle("lip_stretcher") + 0.6 * middle("upper_lip_raiser") * (1 - smile)
    return Mouth(
        x=x,
        lip_top=lip_top,
        gap_top=gap_top,
        gap_bottom=gap_bottom,
        lip_bottom=lip_bottom,
        gap=open_middle,
        upper_teeth=min(0.115, 0.1 * bare) if open_middle > 0.02 else 0.0,
        lower_teeth=min(0.075, 0.09 * low) if open_middle > 0.05 else 0.0,
        corners=((float(x[0]), float(line[0])), (float(x[-1]), float(line[-1]))),
    )
