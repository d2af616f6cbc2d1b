"""Times as people write them."""

import math
import re

_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> float:
    """`1s`, `0.5`, `500ms` or `2min` in seconds. ValueError otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|min|m|h|)\s*", text)
    if not match:
        raise ValueError(f"{text!r} is no time; write it like 1s, 500ms or 2min")
    return float(match[1]) * _SECONDS[match[2]]


def finite(text: str) -> float:
    """A number, with a decimal point or comma. ValueError for anything else, infinity too."""
    value = float(text.strip().replace(",", "."))
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not finite")
    return value


def as_clock(seconds: float) -> str:
    """`1:05` or `1:02:05`."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
