"""The README's commands are commands: each parses, and each daily one plans, in an empty folder."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from ganfer.cli import main as main_module

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("ganfer ")]


def test_there_are_commands_to_check() -> None:
    assert len(shell_commands()) >= 12


@pytest.mark.parametrize("line", shell_commands())
def test_every_command_parses_and_plans(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = shlex.split(line)[1:]
    monkeypatch.setattr(sys, "argv", ["ganfer", *arguments, "--dry-run"])
    with pytest.raises(SystemExit) as done:
        main_module.main()
    _, err = capsys.readouterr()
    names_files = arguments[:2] == ["data", "use"] or any(re.fullmatch(r"[\w+]+(\.\w+)+", a) for a in arguments)
    # the files it names are not there: one line, no usage error
    assert done.value.code == (1 if names_files else 0), err
    assert list(tmp_path.iterdir()) == []


def test_files_the_readme_links_to_are_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
