"""Options that commands share, and options that take default and help from a config field."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ganfer.config import field_of, load_config, shipped_configs
from ganfer.results import Result
from ganfer.runtime import ranks
from ganfer.runtime.text import safe_lines

F = TypeVar("F", bound=Callable[..., Any])
_SETTING = "set__"
_MOST_DIGITS = 8  # of a count of images


class PathParam(click.Path):
    """A path. An empty one, as of a variable of the shell that is not set, is not the folder one happens to be in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("The path is empty. Give one, or leave the option out.", param, ctx)
        return super().convert(value, param, ctx)


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
    text = extra.pop("help", field.metadata.get("help", ""))
    text += f"  [default: {field.default}]" if field.default != "" else ""
    return click.option(*names, _SETTING + path.replace(".", "__"), type=kind, default=None, help=text, **extra)


def common_with(
    default_config: str | None = None,
    default_workspace: str | None = None,
    *,
    shared: bool = False,
    daily: bool = False,
) -> Callable[[F], F]:
    """Adds -w, --config, --set, --device, --seed, --json and --dry-run.

    The command function gets `project` (its config holds all overrides) and `dry_run`, returns a Result, and this
    prints it: text, or JSON with --json. shared: under torchrun all processes work at the command, else the first.
    daily: of the three commands that work in an empty folder, where they take the settings of the demo.
    """
    where = default_workspace or "$GANFER_WORKSPACE or ganfer-work"
    known = f"TOML settings: a file, or one of {len(shipped_configs())} that come with ganfer (a wrong name lists them)"
    known += f"  [default: {default_config}]" if default_config else ""

    def decorate(function: F) -> F:
        @setting_option("seed", "--seed")
        @setting_option("device", "--device")
        @click.option("-w", "--workspace", metavar="DIR", type=PathParam(), help=f"Workspace  [default: {where}]")
        @click.option("--config", metavar="FILE|NAME", type=PathParam(), help=known)
        @click.option("--set", "sets", metavar="KEY=VALUE", multiple=True, help="Override a setting: gan.steps=8000")
        @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout")
        @click.option("--dry-run", is_flag=True, help="Print the plan and stop")
        @functools.wraps(function)
        def command(
            workspace: str | None, config: str | None, sets: tuple[str, ...], as_json: bool, dry_run: bool, **rest: Any
        ) -> None:
            overrides: list[str | tuple[str, Any]] = [*sets, *_taken_settings(rest)]
            named = config or default_config or (_without_data(workspace or default_workspace) if daily else None)
            settings = load_config(named, overrides)
            if not (ranks.leads() or shared):
                return
            from ganfer.pipeline import Project

            project = Project(workspace or default_workspace, settings)
            try:
                result: Result = function(project=project, dry_run=dry_run, **rest)
            finally:
                ranks.stop()
            if ranks.leads():
                click.echo(json.dumps(result.to_json(), indent=1) if as_json else safe_lines(str(result)))

        return command  # type: ignore[return-value]

    return decorate


def classifier_option(
    *, several: str = "", starter: bool = True, default: str = "the newest, or a new one"
) -> Callable[[F], F]:
    """`--classifier`, with one grammar everywhere (`ganfer.classifier.catalogue`). several: what more than one are."""
    text = "A run, a folder or .safetensors file; before, after or best of the newest report; SHOWN=... renames it"
    if starter:
        text = text.replace("; before", "; starter, which comes with ganfer; before")
    if several:
        text += f"; {several}  [default: {default}]"
        return click.option("--classifier", "classifiers", metavar="NAME", multiple=True, help=text)
    return click.option("--classifier", metavar="NAME", help=f"{text}  [default: {default}]")


common = common_with()
common_shared = common_with(shared=True)
daily = common_with(daily=True)
daily_shared = common_with(shared=True, daily=True)
_DRAWN = "demo"  # the config of the drawn faces


def _without_data(root: str | None) -> str | None:
    """The config for a workspace without images of its own: nothing in it yet, or the faces that this config draws."""
    from ganfer.workspace import Workspace

    data, drawn = Workspace(root).active_data, load_config(_DRAWN)
    if data is not None:
        made = data.record.get("key", {}).get("options", {})
        if data.figures.get("kind") != "drawn" or (made.get("total"), made.get("size")) != (
            drawn.drawn.total,
            drawn.data.size,
        ):
            return None
    return _DRAWN


_WITH_VALUE = ("-w", "--workspace", "--config", "--set", "--device", "--seed")
_FLAGS = ("--json", "--dry-run")


def common_last(group: click.Group, ctx: click.Context, args: Sequence[str]) -> list[str]:
    """`-w DIR status` and `data -w DIR add` as `status -w DIR` and `data add -w DIR`: the command knows its options."""
    rest, names, moved = list(args), list[str](), list[str]()
    while rest:
        word = rest[0]
        name, equals, _ = word.partition("=")
        if name in _WITH_VALUE and not equals:
            moved += rest[:2]
            rest = rest[2:]
        elif name in (*_WITH_VALUE, *_FLAGS) or (word.startswith("-w") and len(word) > 2):
            moved.append(rest.pop(0))
        elif word in ("-h", "--help", "--version"):
            return [*names, *rest]  # of the group that was named
        elif word.startswith("-"):
            return list(args)
        else:
            command = group.get_command(ctx, word)
            names.append(rest.pop(0))
            if not isinstance(command, click.Group):
                break
            group = command
    return [*names, *moved, *rest] if names else list(args)


def _taken_settings(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Removes the values of `setting_option`s and returns those that were given as overrides of the config."""
    names = [name for name in values if name.startswith(_SETTING)]
    given = [(name.removeprefix(_SETTING).replace("__", "."), values.pop(name)) for name in names]
    return [(path, value) for path, value in given if value is not None]


def parse_counts(pairs: tuple[str, ...], option: str) -> dict[str, int]:
    """`("fear=100", "disgust=50")` as a dict; a usage error for anything else."""
    from ganfer.data.text import folded

    counts: dict[str, int] = {}
    for pair in pairs:
        name, equals, number = pair.partition("=")
        if not equals or not name.strip() or not number.strip().isdecimal():
            raise click.UsageError(f"{option} {pair!r} is not CLASS=COUNT. Write it like {option} fear=100.")
        if len(number.strip().lstrip("0")) > _MOST_DIGITS:
            raise click.UsageError(f"{option} {pair!r} is out of range. At most {10**_MOST_DIGITS - 1:,}.")
        name = folded(name)
        if name in counts:
            raise click.UsageError(f"{option} gives {name} twice. Give it once.")
        counts[name] = int(number)
    return counts
