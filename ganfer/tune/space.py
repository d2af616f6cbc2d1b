"""What is searched: settings of the classifier, each a list of choices or a range, from TOML or the command line."""

import dataclasses
import itertools
import math
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifiers.config import TrainConfig
from classifiers.errors import ClassifierError
from classifiers.models import require_model
from ganfer.errors import ConfigError, did_you_mean

_FORM = "Write KEY=A,B,C for choices, or KEY=LOW..HIGH, LOW..HIGH:STEP or LOW..HIGH:log for a range."
_LARGEST_GRID = 1_000_000  # combinations; more than --trials may be
_INCIDENTAL = ("tensorboard", "checkpoint_seconds", "compile")
Value = bool | int | float | str | None


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Span:
    """A number from low to high, both included: by its logarithm, in steps, or any. whole: integers only."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def values(self) -> tuple[Value, ...] | None:
        """Its values when they can be counted, for a grid."""
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            return None
        number = math.floor(min((self.high - self.low) / step, _LARGEST_GRID) + 1e-9) + 1
        found = [self.low + i * step for i in range(number)]
        return tuple(int(value) for value in found) if self.whole else tuple(found)


Spec = Choice | Span


@dataclass(frozen=True)
class Space:
    """specs: classifier setting -> what it may be. fixed: settings that the search gives everything else from."""

    name: str
    specs: Mapping[str, Spec]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sampler: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for records and digests."""
        specs = {name: dataclasses.asdict(spec) for name, spec in self.specs.items()}
        return {"name": self.name, "search": specs, "fixed": dict(self.fixed), "sampler": self.sampler}

    def grid(self) -> list[dict[str, Value]]:
        """Every combination. ConfigError for a range without steps."""
        columns = []
        for name, spec in self.specs.items():
            values = spec.values if isinstance(spec, Choice) else spec.values()
            if values is None:
                raise ConfigError(
                    f"A grid cannot hold the range of {name!r}.", f"Give it a step or choices: --search {name}=A,B,C."
                )
            columns.append(values)
        number = math.prod(map(len, columns))
        if number > _LARGEST_GRID:
            raise ConfigError(f"The grid has {number:,} combinations.", "Take larger steps, or --sampler tpe.")
        return [dict(zip(self.specs, row, strict=True)) for row in itertools.product(*columns)]

    def base(self, config: TrainConfig) -> TrainConfig:
        """The settings around the searched ones: the space's own, where `config` has not been changed from default."""
        changed = {f.name for f in dataclasses.fields(config) if getattr(config, f.name) != f.default}
        fixed = {name: value for name, value in self.fixed.items() if name not in changed}
        return dataclasses.replace(config, **fixed, tensorboard=False)


def shipped_spaces() -> list[str]:
    """Names that --space takes besides paths."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_space(name: str, search: Sequence[str], config: TrainConfig) -> Space:
    """The space of a shipped name or a TOML file, with `--search` added; `--search` alone replaces the default space.

    Every end and choice is tried on `config`, so a setting or value that does not exist is a ConfigError now.
    """
    given: dict[str, Spec] = {}
    for key, parsed in map(_parsed, search):
        if key in given:
            raise ConfigError(f"--search gives {key!r} twice.", "Give it once.")
        given[key] = parsed
    if given and name == "default":
        space = Space("search", given)
    else:
        space = _read(name)
        space = dataclasses.replace(space, specs={**space.specs, **given})
    if not space.specs:
        raise ConfigError(f"The search space {space.name!r} is empty.", "Give it a [search] section, or --search.")
    specs = {key: _checked(key, spec) for key, spec in space.specs.items()}
    space = dataclasses.replace(space, specs=specs)
    try:
        base = space.base(config)
    except ClassifierError as error:
        raise ConfigError(f"Search space {space.name!r}: {error.message}.") from error
    for key, spec in specs.items():
        for value in spec.values if isinstance(spec, Choice) else (spec.low, spec.high):
            if key == "model" and isinstance(value, str):
                _require_model(value)
            _try(base, key, int(value) if isinstance(spec, Span) and spec.whole and value is not None else value)
    _require_model(base.model)
    return space


def _require_model(name: str) -> None:
    try:
        require_model(name)
    except ClassifierError as error:
        raise ConfigError(f"Search space: {error.message}.") from error


def _folder() -> Path:
    return Path(__file__).parent / "spaces"


def _read(name: str) -> Space:
    path = Path(name) if Path(name).is_file() else _folder() / f"{name}.toml"
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"No search space {name!r}.", did_you_mean(name, shipped_spaces())) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Mend that line.") from error
    known = ("sampler", "classifier", "search")
    for key in tree:
        if key not in known:
            raise ConfigError(f"{path}: unknown section {key!r}.", did_you_mean(key, known))
    fixed, sampler = tree.get("classifier", {}), tree.get("sampler", "")
    if sampler not in ("", "tpe", "random", "grid"):
        raise ConfigError(f"{path}: sampler = {sampler!r}.", "Known: tpe, random, grid.")
    _known_keys(fixed)
    return Space(path.stem, {key: _spec(key, value) for key, value in tree.get("search", {}).items()}, fixed, sampler)


def _spec(key: str, value: Any) -> Spec:
    """A list of choices or {low, high, log, step} from TOML."""
    if isinstance(value, list):
        return Choice(tuple(value))
    if isinstance(value, dict) and {"low", "high"} <= set(value) <= {"low", "high", "log", "step"}:
        return Span(value["low"], value["high"], bool(value.get("log", False)), value.get("step"))
    raise ConfigError(f"Search space: {key} = {value!r}.", "Give a list of choices, or { low = .., high = .. }.")


def _parsed(text: str) -> tuple[str, Spec]:
    """`lr=1e-4..1e-2:log`, `epochs=10..50:10` or `augment=light,strong`."""
    key, equals, value = text.partition("=")
    key = key.strip().removeprefix("classifier.")
    if not equals or not key or not value.strip():
        raise ConfigError(f"--search {text!r} is not KEY=SPEC.", _FORM)
    if ".." not in value:
        return key, Choice(tuple(_scalar(part) for part in value.split(",")))
    ends, _, rest = value.partition(":")
    low, _, high = ends.partition("..")
    numbers = [_scalar(part) for part in (low, high, *([rest] if rest and rest != "log" else []))]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise ConfigError(f"--search {text!r} is no range.", _FORM)
    first, last, *step = (number for number in numbers if isinstance(number, int | float))
    return key, Span(first, last, rest == "log", step[0] if step else None)


def _scalar(text: str) -> Value:
    text = text.strip()
    if text in ("none", "None"):
        return None
    try:
        value: Value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
    return value


def _known_keys(keys: Mapping[str, Any]) -> None:
    names = [f.name for f in dataclasses.fields(TrainConfig)]
    for key in keys:
        if key not in names:
            raise ConfigError(f"Unknown setting 'classifier.{key}'.", did_you_mean(key, names))


def _checked(key: str, spec: Spec) -> Spec:
    """The spec with `whole` set for settings that are integers."""
    _known_keys({key: spec})
    if key in _INCIDENTAL:
        raise ConfigError(f"classifier.{key} changes no result.", "Leave it out of the search.")
    hint = typing.get_type_hints(TrainConfig)[key]
    kinds = typing.get_args(hint) or (hint,)
    if isinstance(spec, Choice):
        if not spec.values:
            raise ConfigError(f"Search space: {key} has no choices.", "Give at least one.")
        return Choice(tuple(_as_text(value) for value in spec.values) if kinds == (str,) else spec.values)
    if float not in kinds and int not in kinds:
        raise ConfigError(
            f"classifier.{key} is not a number, so it has no range.", f"Give choices: --search {key}=A,B."
        )
    if not spec.low < spec.high:
        raise ConfigError(f"Search space: {key} runs from {spec.low} to {spec.high}.", "LOW must be below HIGH.")
    if spec.log and spec.low <= 0:
        raise ConfigError(f"Search space: {key} from {spec.low} by its logarithm.", "LOW must be above 0.")
    if spec.step is not None and spec.step <= 0:
        raise ConfigError(f"Search space: {key} in steps of {spec.step}.", "The step must be above 0.")
    whole = float not in kinds
    parts = (spec.low, spec.high, *([] if spec.step is None else [spec.step]))
    if whole and not all(float(part).is_integer() for part in parts):
        raise ConfigError(
            f"Search space: {key} takes whole numbers alone.", "Give LOW, HIGH and STEP without fractions."
        )
    return dataclasses.replace(spec, whole=whole)


def _as_text(value: Value) -> Value:
    """A choice of a setting that is text: `none`, `true` and numbers are words there."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:g}"


def _try(base: TrainConfig, key: str, value: Any) -> None:
    try:
        dataclasses.replace(base, **{key: value})
    except ClassifierError as error:
        raise ConfigError(f"Search space: {error.message}.") from error
