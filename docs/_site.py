"""What the site takes from the code when it is built: commands, settings, notebooks, and the project's own pages.

MkDocs calls `on_files` (see `hooks` in mkdocs.yml). Every function here returns Markdown.
"""

import base64
import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from ganfer.cli.main import cli
from ganfer.config import Config

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = re.compile(r"^<!-- not run: ([^\n]+?) -->\n```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of the folder."""
    made = {
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/not-run.md": not_run(),
        "index.md": project_page("README.md"),
        "contributing.md": project_page("CONTRIBUTING.md"),
        "changelog.md": project_page("CHANGELOG.md"),
    }
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        made[f"notebooks/{path.stem}.md"] = notebook(path)
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Every command with its options, as click knows them."""
    context = click.Context(cli, info_name="ganfer")
    parts = [
        "# Commands\n",
        "Every command prints its plan with `--dry-run`, can be interrupted, and goes on when given again. "
        "`ganfer COMMAND --help` shows the same text.\n\n"
        "Exit codes: 0 done, 1 an expected failure (one line says what to do), 2 wrong usage, "
        "130 interrupted by Ctrl-C, 143 ended by SIGTERM, 129 by SIGHUP.\n",
    ]
    return "\n".join([*parts, *_command(cli, context, level=2)])


def _command(group: click.Command, context: click.Context, level: int) -> Iterator[str]:
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield f"{'#' * level} {inner.command_path}\n"
        yield _plain(command.help or "") + "\n"
        if isinstance(command, click.Group):
            yield from _command(command, inner, level + 1)
            continue
        yield "```text\n" + " ".join([inner.command_path, *command.collect_usage_pieces(inner)]) + "\n```\n"
        records = [record for p in command.get_params(inner) if (record := p.get_help_record(inner)) is not None]
        yield "| option | meaning |\n|---|---|"
        yield "\n".join(f"| {_code(names)} | {_cell(text)} |" for names, text in records) + "\n"


def settings() -> str:
    """Every setting with its default and range, as the config's dataclasses hold them."""
    parts = [
        "# Settings\n",
        "Change one with `--set gan.steps=8000`, or write several into a TOML file and give it with `--config FILE`. "
        "An unknown key is an error that names the nearest key.\n",
    ]
    top = [f for f in dataclasses.fields(Config) if not dataclasses.is_dataclass(_type(Config, f.name))]
    parts += ["## All commands\n", *_rows(top, Config, "")]
    for section in dataclasses.fields(Config):
        kind = _type(Config, section.name)
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            parts += [f"## {section.name}\n", _plain(kind.__doc__ or "") + "\n"]
            parts += _rows(dataclasses.fields(kind), kind, f"{section.name}.")
    return "\n".join(parts)


def _type(cls: type, name: str) -> Any:
    return typing.get_type_hints(cls)[name]


def _rows(fields: Any, cls: type, prefix: str) -> list[str]:
    rows = ["| setting | default | meaning | range |", "|---|---|---|---|"]
    for field in fields:
        meta = field.metadata
        default = (
            "none" if field.default is None else repr(field.default) if field.default == "" else str(field.default)
        )
        rows.append(f"| `{prefix}{field.name}` | {_code(default)} | {_cell(meta.get('help', ''))} | {_range(meta)} |")
    return [*rows, ""]


def _range(meta: Any) -> str:
    if meta.get("choices"):
        return ", ".join(f"`{choice}`" for choice in meta["choices"])
    low, high = meta.get("low"), meta.get("high")
    limits = [f"{word} {value:,}" for word, value in (("from", low), ("to", high)) if value is not None]
    return " ".join(limits)


def _code(text: str) -> str:
    """Code in a table's cell, where a bar would end the cell and backticks would show an escaped one."""
    return (
        "<code>" + " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;") + "</code>"
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "&#91;")


def _plain(text: str) -> str:
    """A help text as Markdown: click's own mark for lines that stay as they are becomes a block."""
    blocks = []
    for block in text.strip().split("\n\n"):
        lines = [line.strip() for line in block.splitlines()]
        kept = lines[0].startswith("\b")
        body = [line for line in lines if line != "\b"]
        blocks.append("```text\n" + "\n".join(body) + "\n```" if kept else "\n".join(body).replace("<", "&lt;"))
    return "\n\n".join(blocks)


def not_run() -> str:
    """The fenced blocks that no test runs, with the reason that stands above each."""
    parts = [
        "# Examples that no test runs\n",
        "The tests run the commands and the Python examples of this site: commands that need hours or a download with "
        "`--dry-run` or with tiny settings. These need something that the tests do not have:\n",
    ]
    for path in sorted((ROOT / "docs").rglob("*.md")):
        for reason, language, code in NOT_RUN.findall(path.read_text(encoding="utf-8")):
            page = path.relative_to(ROOT / "docs").as_posix()
            parts.append(f"[{page}](../{page}): {reason}.\n\n```{language}\n{code}```\n")
    return "\n".join(parts)


def project_page(name: str) -> str:
    """A file of the project's root as a page: links into docs/ stay inside the site, other files are named only."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    text = text.replace("](CONTRIBUTING.md)", "](contributing.md)").replace("](CHANGELOG.md)", "](changelog.md)")
    return re.sub(r"\[([A-Z]+(?:\.\w+)?)\]\((?:[A-Z]+(?:\.\w+)?)\)", r"`\1`", text)


def notebook(path: Path) -> str:
    """A stored notebook as Markdown: text, code, and the output it was stored with."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [_output(output) for output in cell["outputs"]]
    parts.insert(1, f"The notebook itself: [{path.name}]({path.name}).")
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream" and output["name"] == "stderr":
        return ""  # plans and progress
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).strip()
        base64.b64decode(picture, validate=True)
        return f'<img alt="Output of the cell above" src="data:image/png;base64,{picture}">'
    if "text/plain" in data:
        return f"```text\n{''.join(data['text/plain'])}\n```"
    return ""
