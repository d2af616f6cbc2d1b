"""Nested results as flat metrics, and nested settings as flat parameters."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ganfer.runtime.text import hide_secrets
from ganfer.tracking.tracker import Interval, Metric, Value

_BOUNDS = {"low", "high"}
_SECRET = ("password", "token", "secret", "credential")


def figures_of(results: Any, prefix: str = "") -> dict[str, Metric]:
    """The numbers in nested results, by their path (`per_class/fear/recall`); a mean with low and high is one figure.

    Example: `figures_of({"accuracy": {"mean": 0.5, "low": 0.4, "high": 0.6}})`.
    """
    return dict(_figures(results, prefix))


def flat_params(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Nested settings by their path (`gan.steps`); what may be a secret is hidden."""
    found: dict[str, Value] = {}
    for name, value in settings.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            found |= flat_params(value, f"{path}.")
        elif any(word in name.lower() for word in _SECRET):
            found[path] = "***" if value else ""
        elif isinstance(value, bool | int | float) or value is None:
            found[path] = value
        else:
            found[path] = hide_secrets(str(value))
    return found


def _figures(value: Any, path: str) -> Iterator[tuple[str, Metric]]:
    if isinstance(value, Mapping):
        middle = next((name for name in ("mean", "value", "share", "ratio") if name in value), "")
        if middle and value.keys() >= _BOUNDS:
            found = [_number(value[name]) for name in (middle, "low", "high")]
            if all(number is not None for number in found):
                yield path, Interval(*(float(number) for number in found if number is not None))
            return
        for name, inner in value.items():
            yield from _figures(inner, f"{path}/{name}" if path else str(name))
    elif (number := _number(value)) is not None:
        yield path, number


def _number(value: Any) -> float | None:
    """The finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
