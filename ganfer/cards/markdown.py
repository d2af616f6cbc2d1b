"""Front matter and Markdown in which text from elsewhere (names of classes, runs, files) is text and nothing more."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from ganfer.runtime.text import one_line

_ACTS = re.compile(r"([\\`*_\[\]|~$@]|:(?=//)|(?<=www)\.)")
_BEGINS = re.compile(r"^(\s*)(?=[#+\-=]+(?:\s|$))|^(\s*\d+)(?=[.)]\s)")
_PATH = re.compile(
    r"(?:file:/{2,3}|(?<![\w./<])/)(?:[^\s/'\"<>]+/)+([^\s/'\"<>]*)"
    r"|\b[A-Za-z]:\\(?:[^\s\\'\"<>]+\\)+([^\s\\'\"<>]*)"
)


def front_matter(values: Mapping[str, Any]) -> str:
    """YAML between two lines of dashes; scalars are JSON, which YAML reads. Empty entries are left out."""
    lines = [
        line for name, value in values.items() if value not in (None, [], {}, "") for line in _yaml(name, value, 0)
    ]
    return "\n".join(["---", *lines, "---", ""])


def plain(text: object) -> str:
    """Text as Markdown shows it: no mark-up, no link, no HTML."""
    shown = one_line(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BEGINS.sub(r"\g<0>\\", _ACTS.sub(r"\\\1", shown))


def code(text: object) -> str:
    """Text as a piece of code, in one line."""
    shown = one_line(str(text))
    fence = "`" * (max(map(len, re.findall(r"`+", shown)), default=0) + 1)
    return f"{fence}{shown}{fence}" if fence == "`" else f"{fence} {shown} {fence}"


def public(text: object) -> str:
    """Text without the folders of this machine: of an absolute path the last part stays."""
    shown = one_line(str(text))
    for folder in (Path.cwd(), Path.home()):  # whatever characters they have in them
        shown = shown.replace(f"{folder}/", "") if len(folder.parts) > 1 else shown
    return _PATH.sub(lambda match: match[1] or match[2] or "...", shown)


def public_tree(value: Any) -> Any:
    """Nested settings without the folders of this machine."""
    if isinstance(value, Mapping):
        return {public(name): public_tree(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [public_tree(inner) for inner in value]
    return public(value) if isinstance(value, str | PurePath) else value


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a table; the cells are text."""
    cells = [[plain(cell) for cell in row] for row in rows]
    return [
        f"| {' | '.join(header)} |",
        f"|{'|'.join('---' for _ in header)}|",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]


def _yaml(name: str, value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        return [
            f"{pad}{_key(name)}:",
            *(line for key, inner in value.items() for line in _yaml(str(key), inner, depth + 1)),
        ]
    if isinstance(value, list | tuple):
        return [f"{pad}{_key(name)}:", *(line for item in value for line in _item(item, depth))]
    return [f"{pad}{_key(name)}: {_scalar(value)}"]


def _item(item: Any, depth: int) -> list[str]:
    if not isinstance(item, Mapping):
        return [f"{'  ' * depth}- {_scalar(item)}"]
    inner = [line for key, value in item.items() for line in _yaml(str(key), value, depth + 1)]
    return [f"{'  ' * depth}- {inner[0].lstrip()}", *inner[1:]] if inner else []


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII) else _scalar(name)


def _scalar(value: Any) -> str:
    return json.dumps(one_line(value) if isinstance(value, str) else value, ensure_ascii=False)
