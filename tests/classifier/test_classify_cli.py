"""The commands around a classifier as a user types them, and as the document writes them."""

import json
import re
import sys
from pathlib import Path

import pytest
from evaluation_tiny import small_config

from ganfer.cli import main as main_module
from ganfer.pipeline import Project
from ganfer.workspace import Workspace


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ganfer", *arguments])
        with pytest.raises(SystemExit) as done:
            main_module.main()
        out, err = capsys.readouterr()
        return int(done.value.code or 0), out, err

    return call


def test_the_documents_search_space_is_one(run, tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "classifiers.md"
    (text,) = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "mine.toml").write_text(text)
    code, out, err = run("tune", "--space", "mine.toml", "--dry-run")
    assert code == 0, err
    assert "lr, epochs, augment" in out


def test_evaluate_prints_the_report_or_json(run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganfer.classifier.files._plots", lambda *_: None)
    code, out, err = run("evaluate", "-w", str(work), "--beta", "0.5", "--resamples", "200")
    assert code == 0, err
    assert "Balanced accuracy" in out
    assert "macro avg" in out
    assert out.rstrip().endswith("index.html")
    code, out, _ = run("evaluate", "-w", str(work), "--beta", "0.5", "--resamples", "200", "--json")
    figures = json.loads(out)
    assert code == 0
    assert figures["command"] == "ganfer evaluate"
    assert set(figures["per_class"]) == {"angry", "happy", "sad"}
    (line,) = (line for line in run("status", "-w", str(work))[1].splitlines() if line.startswith("evaluations"))
    assert "balanced accuracy" in line


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["evaluate", "--split", "train"], 2, "'train' is not one of"),
        (["evaluate", "--tta", "five-crop"], 2, "'five-crop' is not one of"),
        (["evaluate", "--classifier", "mine"], 1, "No 'mine' in"),
        (["evaluate", "nowhere"], 1, "nowhere is not a folder"),
        (["crossval", "--folds", "1"], 1, "crossval.folds = 1"),
        (["crossval", "--folds", "60", "--by", "random"], 1, "folds = 60"),
        (["explain"], 2, "Missing argument"),
        (["explain", "nowhere.png"], 1, "nowhere.png is not a file"),
        (["export", "model.pt"], 1, "ends in .onnx"),
        (["tune", "--search", "lrr=1,2"], 1, "Did you mean 'lr'"),
        (["tune", "--space", "eigth-class"], 1, "Did you mean 'eight-class'"),
    ],
)
def test_bad_input_is_one_line(run, work: Path, arguments: list[str], code: int, words: str) -> None:
    found, out, err = run(*arguments, "-w", str(work))
    assert (found, out) == (code, "")
    assert words in err
    assert "Traceback" not in err


def test_what_is_missing_is_made_on_the_way(tmp_path: Path) -> None:
    plan = str(Project(tmp_path / "w", small_config()).evaluate(dry_run=True))
    for words in ("draw", "train the classifier", "measure the classifier on the test split"):
        assert words in plan
    assert not Workspace(tmp_path / "w").root.exists()
