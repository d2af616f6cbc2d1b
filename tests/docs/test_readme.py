"""What the README promises of itself: two screens, the marked commands, and daily commands for an empty folder."""

import shlex
import sys
from pathlib import Path

import pytest
from documented import ROOT, blocks

from ganfer.cli import main as main_module

README = ROOT / "README.md"


def test_it_fits_on_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 110


def test_its_demo_and_test_commands_are_marked_for_those_who_run_them() -> None:
    marked = {block.mark: block.commands for block in blocks(README) if block.mark}
    assert set(marked) == {"demo", "test"}
    assert all(len(commands) == 1 for commands in marked.values())
    assert marked["demo"][0].endswith("ganfer demo")
    assert marked["test"][0].endswith("pytest")


@pytest.mark.parametrize(
    "line", ["ganfer generate --n 500", "ganfer label", "ganfer retrain", "ganfer generate --balance"]
)
def test_a_daily_command_plans_in_an_empty_folder(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in [command for block in blocks(README) for command in block.commands]
    monkeypatch.setattr(sys, "argv", ["ganfer", *shlex.split(line)[1:], "--dry-run"])
    with pytest.raises(SystemExit) as done:
        main_module.main()
    out, err = capsys.readouterr()
    assert done.value.code == 0, err
    assert "draw" in out
    assert list(tmp_path.iterdir()) == []
