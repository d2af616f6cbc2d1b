"""Strict TOML and overrides from the command line, as the dataclasses of `ganfer.config`."""

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from ganfer.config.fields import check_values
from ganfer.config.training import gan_settings
from ganfer.config.tree import Config
from ganfer.errors import ConfigError, did_you_mean

_HUGE = 10**300  # whole numbers below it are numbers with a point, too
_WRITTEN = {bool: "true or false", float: "float, like 0.05"}


def configs_folder() -> Path:
    """Where the shipped configs lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def shipped_configs() -> list[str]:
    """Names that `--config` takes besides paths."""
    return sorted(path.stem for path in configs_folder().glob("*.toml"))


def load_config(
    source: str | Path | None = None, overrides: Iterable[str | tuple[str, Any]] | Mapping[str, Any] = ()
) -> Config:
    """Config from defaults, then a TOML file (a path or the name of a shipped one), then `section.key=value` overrides.

    The network of the GAN brings some defaults of its own; what file and overrides say goes before them.
    Raises ConfigError for an unknown key (naming the nearest one), a wrong type or a value out of range.

    Example: `load_config("demo", {"gan.steps": 500})`.
    """
    tree: dict[str, Any] = _read_toml(_find(source)) if source is not None else {}
    for each in overrides.items() if isinstance(overrides, Mapping) else overrides:
        _insert(tree, *(_split_override(each) if isinstance(each, str) else each))
    if isinstance(tree.get("gan"), dict):
        tree["gan"] = gan_settings(tree["gan"])
    config: Config = _build(Config, tree, "")
    return config


def field_of(path: str) -> dataclasses.Field[Any]:
    """The dataclass field behind `section.key`; the command line reads default and help from it."""
    cls: Any = Config
    *sections, name = path.split(".")
    for section in sections:
        cls = typing.get_type_hints(cls)[section]
    return next(f for f in dataclasses.fields(cls) if f.name == name)


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    shipped = configs_folder() / f"{source}.toml"
    if shipped.is_file():
        return shipped
    raise ConfigError(f"No config {str(source)!r}.", did_you_mean(str(source), shipped_configs()))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Mend that line.") from error


def _split_override(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {text!r} is not KEY=VALUE.", "Write it like --set gan.steps=8000.")
    try:
        found = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        found = None
    word = found is None or isinstance(found, date | time)  # no setting is a date; a folder may be called so
    return path.strip(), value.strip() if word else found


def _insert(tree: dict[str, Any], path: str, value: Any) -> None:
    *sections, name = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{path!r}: {section!r} is a value, not a section.")
    tree[name] = value


def _build(cls: Any, tree: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if name not in known:
            raise ConfigError(f"Unknown setting {path!r}.", did_you_mean(path, [f"{prefix}{n}" for n in known]))
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{path!r} is a section, not a value.", f"Write [{path}] or {path}.KEY=VALUE.")
            values[name] = _build(hints[name], value, f"{path}.")
        else:
            values[name] = _convert(value, hints[name], path)
    check_values(known, values, prefix)
    return cls(**values)


def _convert(value: Any, hint: Any, path: str) -> Any:
    """`value` as the field's type: an int is taken where a float is wanted, nothing else is guessed."""
    allowed = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    kinds = tuple(typing.get_origin(kind) or kind for kind in allowed)
    if value in ("none", "None") and type(None) in kinds:
        return None
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < _HUGE else math.inf
    if tuple in kinds and isinstance(value, list):
        return tuple(value)
    if str in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
        wanted = " or ".join(str(_WRITTEN.get(kind, getattr(kind, "__name__", kind))) for kind in kinds)
        raise ConfigError(f"{path} = {value!r} is a {type(value).__name__}.", f"It must be {wanted}.")
    return value
