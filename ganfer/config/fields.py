"""A setting: its default, meaning and allowed range in one place, and the checks that follow from them."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from ganfer.errors import ConfigError, did_you_mean


def setting(
    default: Any, help: str, *, low: float | None = None, high: float | None = None, choices: tuple[Any, ...] = ()
) -> Any:
    """A config field with its meaning and allowed range, which the loader checks and the command line shows."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def check_values(known: Mapping[str, dataclasses.Field[Any]], values: Mapping[str, Any], prefix: str) -> None:
    for name, value in values.items():
        if value is None:  # only where the type allows it
            continue
        meta = known[name].metadata
        choices = meta.get("choices") or ()
        if choices and value not in choices:
            raise ConfigError(f"{prefix}{name} = {value!r}.", did_you_mean(str(value), map(str, choices)))
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not math.isfinite(value):
            raise ConfigError(f"{prefix}{name} = {value}.", "It must be a finite number.")
        low, high = meta.get("low"), meta.get("high")
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            limits = " and ".join(f"{word} {x}" for word, x in (("at least", low), ("at most", high)) if x is not None)
            raise ConfigError(f"{prefix}{name} = {value}.", f"It must be {limits}.")


def check_ranges(config: Any, prefix: str) -> None:
    known = {f.name: f for f in dataclasses.fields(config)}
    values = {name: getattr(config, name) for name in known}
    check_values(known, {n: v for n, v in values.items() if not dataclasses.is_dataclass(v)}, prefix)
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            check_ranges(value, f"{prefix}{name}.")
