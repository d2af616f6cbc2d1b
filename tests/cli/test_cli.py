"""What a user meets on the command line: one line per failure, exit codes, JSON on stdout, plans that make nothing."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from tiny import FAST, add_batch, add_set, tiny_set, tree

from ganfer.cli import main as main_module
from ganfer.errors import GanferError
from ganfer.workspace import Workspace

QUICK = [part for name, value in FAST.items() for part in ("--set", f"{name}={json.dumps(value)}")]


def ganfer(
    *arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["ganfer", *arguments])
    with pytest.raises(SystemExit) as done:
        main_module.main()
    out, err = capsys.readouterr()
    return int(done.value.code or 0), out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    return lambda *arguments: ganfer(*arguments, capsys=capsys, monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["retrian"], 2, "Did you mean 'retrain'?"),
        (["status", "--sed", "1"], 2, "--seed"),
        (["status", "--set", "gan.stepz=1"], 1, "Unknown setting 'gan.stepz'. Did you mean 'gan.steps'?"),
        (["status", "--config", "nope.toml"], 1, "No config 'nope.toml'."),
        (["label", "nowhere"], 1, "nowhere is not a folder"),
        (["label", "--min-confidence", "high"], 1, "label.min_confidence = 'high'."),
        (["retrain", "--arms", "original,gan", "--dry-run"], 1, "Unknown arm 'gan'."),
        (["report"], 1, "holds no report yet. Make one: ganfer retrain."),
        (["label", "--classifier", "mine"], 1, "No 'mine' in"),
    ],
)
def test_a_failure_is_one_line(run, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    add_set(Workspace(tmp_path / "ganfer-work"), tiny_set())
    found, out, err = run(*arguments)
    assert found == code
    assert words in err
    assert out == ""
    assert "Traceback" not in err
    if code == 1:
        assert err.startswith("ganfer: ") or "\nganfer: " in err
        assert len(err.strip().splitlines()[-1]) > 10


def test_help_and_version(run) -> None:
    for arguments in (["--help"], ["-h"], ["status", "-h"], ["--version"]):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert "ganfer" in out


def test_json_is_all_there_is_on_stdout(run, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    add_batch(workspace, add_set(workspace, tiny_set()), np.repeat([0, 1, 2], 5))
    code, out, err = run("label", "-w", "w", "--json", *QUICK)
    assert code == 0
    figures = json.loads(out)
    assert figures["command"] == "ganfer label"
    assert sum(figures["labelling"]["before"]["counts"].values()) == 15
    assert "Plan: first train the classifier" in err


@pytest.mark.parametrize("command", ["generate", "label", "retrain", "demo"])
def test_a_dry_run_leaves_an_empty_folder_empty(run, tmp_path: Path, command: str) -> None:
    code, out, _ = run(command, "--dry-run")
    assert code == 0
    assert "Plan (nothing was done)" in out
    assert tree(tmp_path) == {}


def test_status_tells_the_next_step(run, tmp_path: Path) -> None:
    assert "(empty)" in run("status")[1]
    workspace = Workspace(tmp_path / "ganfer-work")
    data = add_set(workspace, tiny_set())
    assert "next: ganfer generate --n 500" in run("status")[1]
    add_batch(workspace, data, np.array([0, 1, 2]))
    assert "next: ganfer label" in run("status")[1]
    run("label", *QUICK)
    assert "next: ganfer retrain" in run("status")[1]
    run("retrain", *QUICK, "--set", "label.min_confidence=0")
    code, out, _ = run("status", "--json")
    assert code == 0
    assert json.loads(out)["active_data"].startswith("tiny-")


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (GanferError("The tub is full.", "Empty it."), 1, "ganfer: The tub is full. Empty it."),
        (OSError(errno.ENOSPC, "No space", "a/b.png"), 1, "No space left on the disk (a/b.png)."),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), 1, "Out of GPU memory. Free it"),
        (PermissionError(errno.EACCES, "denied", "w"), 1, "No permission (w)."),
        (KeyboardInterrupt(), 130, "the same command goes on from here"),
        (click.Abort(), 130, "Interrupted"),
    ],
)
def test_how_failures_reach_the_user(
    run, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, words: str
) -> None:
    def fail(**_: object) -> None:
        raise failure

    monkeypatch.setattr(main_module.cli, "main", fail)
    found, out, err = run("status")
    assert (found, out) == (code, "")
    assert words in err


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("raise torch.AcceleratorError('CUDA error: unspecified launch failure\\nSearch for it')",
         "ganfer: The GPU failed (unspecified launch failure). The same command goes on from what is finished. If it"),
        ("raise GanferError('No.', 'Do.') from torch.AcceleratorError('CUDA error: any')", "ganfer: No. Do."),
    ],
)  # fmt: skip
def test_a_gpu_that_fails_is_one_line_and_ends_the_process_at_once(failure: str, said: str) -> None:
    """What lies on such a GPU cannot be destroyed in order: the interpreter's end would abort."""
    program = (
        "import atexit, torch, ganfer.cli.main as main\n"
        "from ganfer.errors import GanferError\n"
        "atexit.register(print, 'destroyed in order')\n"
        f"def fail(**_):\n    {failure}\n"
        "main.cli.main = fail\n"
        "print('made', end='')\n"
        "main.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "made")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main_module.cli, "main", bug)
    with pytest.raises(ZeroDivisionError):
        main_module.main()


def test_a_reader_that_goes_away_is_no_crash(tmp_path: Path) -> None:
    command = f"{sys.executable} -m ganfer status | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["data", "--help"], ["train", "-h"], ["-w", "elsewhere", "stylegan", "--help"]])
def test_the_help_of_a_group_is_its_own(run, words: list[str]) -> None:
    code, out, _ = run(*words)
    group = next(word for word in words if word in ("data", "train", "stylegan"))
    assert code == 0
    assert out.startswith(f"Usage: ganfer {group} ")


@pytest.mark.parametrize(
    "words",
    [["predict", ""], ["label", ""], ["status", "-w", ""], ["predict", "a.jpg", "--out", ""], ["data", "add", ""]],
)
def test_an_empty_path_is_not_the_current_folder(run, tmp_path: Path, monkeypatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*words)
    assert code == 2
    assert "The path is empty" in err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "--beta", "nan"], "evaluate.beta = nan. It must be a finite number."),
        (["predict", "a.jpg", "--smooth", "inf"], "live.smooth = inf. It must be a finite number."),
        (["predict", "a.jpg", "--set", "live.forget=inf"], "live.forget = inf. It must be a finite number."),
        (["predict", "a.jpg", "--seconds", "nan"], "--seconds nan is no time"),
        (["generate", "--class", "fear=1000000000000"], "out of range. At most 99,999,999."),
        (["timeline", "a.csv", "--offset", "a=1", "--offset", "a.csv=2"], "--offset gives 'a.csv' twice"),
        (["tune", "--model", "nope", "--dry-run"], "no model 'nope'"),
        (["serve", "--token", "short", "--classifier", "starter", "--dry-run"], "The token is not valid"),
        (["serve", "--certificate", "nowhere", "--classifier", "starter", "--dry-run"], "--certificate"),
    ],
)
def test_what_no_number_name_or_secret_is_is_said_at_once(run, tmp_path: Path, monkeypatch, words, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*words)
    assert code in (1, 2)
    assert said in err
    assert not any(tmp_path.iterdir())


def test_a_set_that_is_gone_is_not_replaced_by_drawn_faces(run, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    data = add_set(workspace, tiny_set())
    (data.path / "record.json").unlink()
    before = tree(tmp_path)
    for words in (["evaluate"], ["retrain", "--dry-run"], ["data", "stats"]):
        code, _, err = run(*words, "-w", str(workspace.root))
        assert code == 1
        assert "is gone or damaged. Add it again" in err
    assert tree(tmp_path) == before
    assert run("status", "-w", str(workspace.root))[0] == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [("images.npy", b""), ("set.json", b'{"class_names": 7}'), ("set.json", b'{"class_names": ["a"], "images": 1}')],
)
def test_a_damaged_set_is_no_interruption_and_no_traceback(run, tmp_path: Path, name: str, content: bytes) -> None:
    workspace = Workspace(tmp_path / "w")
    data = add_set(workspace, tiny_set())
    (data.path / name).unlink()
    (data.path / name).write_bytes(content)
    code, _, err = run("evaluate", "-w", str(workspace.root))
    assert code == 1
    assert "is damaged" in err
    assert len(err.splitlines()) == 1
