"""Options that commands share, and options that take default and help from a config field."""

import functools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ganfer.config import field_of, load_config, shipped_configs
from ganfer.results import Result

F = TypeVar("F", bound=Callable[..., Any])


def setting_option(path: str, *names: str, **extra: Any) -> Callable[[F], F]:
    """An option for the config field `path` ("gan.steps"): its help and default are the field's own.

    Its value, when given, becomes an override of the config; the command function does not see it.
    """
    field = field_of(path)
    choices = field.metadata.get("choices") or ()
    kind: Any = extra.pop("type", None)
    if kind is None and choices and all(isinstance(choice, str) for choice in choices):
        kind = click.Choice(list(choices))
    elif kind is None and not isinstance(field.default, bool):
        kind = type(field.default) if isinstance(field.default, int | float | str) else str
    text = f"{extra.pop('help', field.metadata.get('help', ''))}  [default: {field.default}]"
    return click.option(
        *names, f"set:{path}".replace(".", "__").replace(":", "__"), type=kind, default=None, help=text, **extra
    )


def common(function: F) -> F:
    """Adds -w, --config, --set, --device, --seed, --json and --dry-run.

    The command function gets `project` (its config holds all overrides) and `dry_run` first, returns a Result,
    and this prints it: text, or JSON with --json.
    """

    @setting_option("seed", "--seed")
    @setting_option("device", "--device")
    @click.option("-w", "--workspace", metavar="DIR", help="Workspace  [default: $GANFER_WORKSPACE or ganfer-work]")
    @click.option(
        "--config", metavar="FILE|NAME", help=f"TOML settings: a file, or one of {', '.join(shipped_configs())}"
    )
    @click.option("--set", "sets", metavar="KEY=VALUE", multiple=True, help="Override one setting, e.g. gan.steps=8000")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout")
    @click.option("--dry-run", is_flag=True, help="Print the plan and stop")
    @functools.wraps(function)
    def command(
        workspace: str | None, config: str | None, sets: tuple[str, ...], as_json: bool, dry_run: bool, **rest: Any
    ) -> None:
        overrides = [*sets]
        for name in [name for name in rest if name.startswith("set__")]:
            value = rest.pop(name)
            if value is not None:
                overrides.append(f"{name.removeprefix('set__').replace('__', '.')}={_toml(value)}")
        settings = load_config(config, overrides)
        from ganfer.pipeline import Project

        result: Result = function(project=Project(workspace, settings), dry_run=dry_run, **rest)
        click.echo(json.dumps(result.to_json(), indent=1) if as_json else str(result))

    return command  # type: ignore[return-value]


def _toml(value: Any) -> str:
    return json.dumps(value)  # a JSON scalar is a TOML scalar


def parse_counts(pairs: tuple[str, ...], option: str) -> dict[str, int]:
    """`("fear=100", "disgust=50")` as a dict; a usage error for anything else."""
    counts: dict[str, int] = {}
    for pair in pairs:
        name, equals, number = pair.partition("=")
        if not equals or not name.strip() or not number.strip().isdigit():
            raise click.UsageError(f"{option} {pair!r} is not CLASS=COUNT. Write it like {option} fear=100.")
        counts[name.strip().lower()] = int(number)
    return counts
