"""Predictions that must be sure enough: per-class confidence thresholds, and what they leave of a test split."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from classifiers import class_thresholds
from ganfer.errors import ConfigError, DataError, did_you_mean

_WANTED = 0.9  # share of right predictions that `auto` asks for
_FORM = "Write 'auto', 'auto:0.95' or CLASS=CONFIDENCE,... with numbers from 0 to 1."


def parse_thresholds(text: str, class_names: Sequence[str]) -> float | Mapping[str, float] | None:
    """None for "", the precision asked for with `auto`, or the confidence per class (0 where none was given)."""
    if not text.strip():
        return None
    word, _, number = text.partition(":")
    if word.strip() == "auto":
        wanted = _fraction(number, text) if number else _WANTED
        if not 0 < wanted < 1:
            raise ConfigError(
                f"evaluate.thresholds = {text!r}.", "The share of right predictions lies between 0 and 1."
            )
        return wanted
    found = dict.fromkeys(class_names, 0.0)
    for part in text.split(","):
        name, equals, number = part.partition("=")
        if not equals:
            raise ConfigError(f"evaluate.thresholds = {text!r}.", _FORM)
        if name.strip() not in found:
            raise ConfigError(f"evaluate.thresholds names {name.strip()!r}.", did_you_mean(name.strip(), class_names))
        found[name.strip()] = _fraction(number, text)
    return found


def thresholds_for(
    wanted: float | Mapping[str, float], class_names: Sequence[str], held_out: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """The confidence per class (K,) float32: as given, or fitted on held-out probabilities (N, K) and labels (N,)."""
    if not isinstance(wanted, float):
        return np.array([wanted[name] for name in class_names], np.float32)
    if held_out is None:
        raise DataError(
            "Automatic thresholds need validation images of the classifier's classes, and there are none here.",
            "Add the data it was trained on, or give the thresholds: --thresholds happy=0.8,sad=0.6.",
        )
    return class_thresholds(*held_out, precision=wanted)


def selective_figures(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, class_names: Sequence[str], level: float
) -> dict[str, Any]:
    """How many predictions reach their class's threshold, and how many of those are right; intervals are Wilson's."""
    predicted, right = probabilities.argmax(axis=1), probabilities.argmax(axis=1) == labels
    sure = accepted(probabilities, thresholds)
    rows = {}
    for k, name in enumerate(class_names):
        mine = predicted == k
        rows[name] = {
            "threshold": float(thresholds[k]),
            "predicted": int(mine.sum()),
            "accepted": int((mine & sure).sum()),
            "right": _share(int((mine & sure & right).sum()), int((mine & sure).sum()), level),
        }
    return {
        "coverage": _share(int(sure.sum()), len(labels), level),
        "accuracy": _share(int((sure & right).sum()), int(sure.sum()), level),
        "per_class": rows,
    }


def accepted(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Whether each prediction reaches the threshold of the class it names, (N,) bool."""
    reached: np.ndarray = probabilities.max(axis=1) >= thresholds[probabilities.argmax(axis=1)]
    return reached


def _share(part: int, whole: int, level: float) -> dict[str, float | None]:
    if not whole:
        return {"mean": None, "low": None, "high": None}
    interval = binomtest(part, whole).proportion_ci(level, method="wilson")
    return {"mean": part / whole, "low": float(interval.low), "high": float(interval.high)}


def _fraction(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise ConfigError(f"evaluate.thresholds = {text!r}.", _FORM)
    return value
