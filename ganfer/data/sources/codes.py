"""Data sets whose file names tell expression and subject, wherever the files lie.

KDEF (Lundqvist, Flykt and Öhman, Karolinska Institutet, 1998): AF01ANS.JPG is series A, female 01, angry, straight.
JAFFE (Lyons et al., "Coding Facial Expressions with Gabor Wavelets", FG 1998): KA.AN1.39.tiff is subject KA, angry.
RaFD (Langner et al., "Presentation and Validation of the Radboud Faces Database", Cognition and Emotion, 2010):
Rafd090_01_Caucasian_female_angry_frontal.jpg is subject 01.
CFD (Ma, Correll and Wittenbrink, "The Chicago Face Database", Behavior Research Methods, 2015): CFD-WF-001-003-HO.jpg.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """Names of one data set. pattern: with groups `subject`, `expression` and perhaps others, kept as attributes."""

    title: str
    pattern: re.Pattern[str]
    names: Mapping[str, str]


_KDEF = {
    **{"AF": "afraid", "AN": "angry", "DI": "disgusted", "HA": "happy"},
    **{"NE": "neutral", "SA": "sad", "SU": "surprised"},
}
_JAFFE = _KDEF | {"FE": "fear"}
_RAFD = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
CODES = {
    "kdef": Code(
        "KDEF's file names",
        re.compile(r"[AB](?P<subject>[FM]\d{2})(?P<expression>AF|AN|DI|HA|NE|SA|SU)(?P<view>FL|FR|HL|HR|S)\.\w+", re.I),
        _KDEF,
    ),
    "jaffe": Code(
        "JAFFE's file names",
        re.compile(r"(?P<subject>[A-Z]{2})\.(?P<expression>AN|DI|FE|HA|NE|SA|SU)\d+\.\d+\.\w+", re.I),
        _JAFFE,
    ),
    "rafd": Code(
        "RaFD's file names",
        re.compile(
            r"Rafd(?P<angle>\d{3})_(?P<subject>\d{2})_[a-z]+_[a-z]+_"
            rf"(?P<expression>{'|'.join(_RAFD)})_(?P<gaze>frontal|left|right)\.\w+",
            re.I,
        ),
        {name.upper(): name for name in _RAFD},
    ),
    "cfd": Code(
        "the Chicago Face Database's file names",
        re.compile(r"CFD-(?P<subject>[A-Z]{2}-\d{3})-\d{3}-(?P<expression>N|A|F|HO|HC)\.\w+", re.I),
        {"N": "neutral", "A": "angry", "F": "fear", "HO": "happy", "HC": "happy"},
    ),
}


def coded_by(last: str) -> str:
    """The data set that names a file so; "" for any other name."""
    return next((kind for kind, code in CODES.items() if code.pattern.fullmatch(last)), "")
