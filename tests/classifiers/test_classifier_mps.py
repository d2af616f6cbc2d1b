"""The daemon that lets several trainings share a GPU: private, ended with them, and done without where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers import mps

_CONTROL = """#!/bin/sh
echo "$@" $(cat) "$CUDA_MPS_PIPE_DIRECTORY" >> {log}
exit {code}
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A daemon's control program that writes down what it is told."""
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(mps, "_OPENS", "")
    return write(tmp_path, 0)


def write(folder: Path, code: int) -> Path:
    program = folder / mps.CONTROL
    program.write_text(_CONTROL.format(log=folder / "said", code=code))
    program.chmod(0o755)
    return folder / "said"


def test_the_daemon_is_private_and_ends_with_the_trainings(control: Path) -> None:
    with pytest.raises(KeyboardInterrupt), mps.overlapping(3) as environment:
        assert Path(environment["CUDA_MPS_PIPE_DIRECTORY"]).is_dir()
        assert control.read_text().split() == ["-d", environment["CUDA_MPS_PIPE_DIRECTORY"]]
        raise KeyboardInterrupt
    assert control.read_text().splitlines()[1].startswith("quit -t 5")
    assert not Path(environment["CUDA_MPS_PIPE_DIRECTORY"]).exists()


def test_a_gpu_that_cannot_be_opened_through_it_is_used_without(control: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mps, "_OPENS", "raise SystemExit(3)")
    with mps.overlapping(3) as environment:
        assert environment == {}
    assert "quit" in control.read_text()


def test_a_daemon_that_does_not_start_is_not_ended(tmp_path: Path, control: Path) -> None:
    write(tmp_path, 1)
    with mps.overlapping(3) as environment:
        assert environment == {}
    assert "quit" not in control.read_text()


@pytest.mark.parametrize("case", ["alone", "given", "off", "absent"])
def test_it_is_left_alone_where_it_is_not_needed(case: str, control: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case == "given":
        monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/tmp/another")
    if case == "off":
        monkeypatch.setenv(mps.SWITCH, "off")
    if case == "absent":
        monkeypatch.setenv("PATH", "/nowhere")
    with mps.overlapping(1 if case == "alone" else 4) as environment:
        assert environment == {}
    assert not control.exists()
