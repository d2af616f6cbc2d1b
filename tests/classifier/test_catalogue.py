"""Which models a workspace has to serve."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from serving import write_model

from ganfer.classifier import starter
from ganfer.classifier.catalogue import listed
from ganfer.cli.main import cli
from ganfer.errors import GanferError
from ganfer.runtime.files import write_json
from ganfer.workspace import Run, Workspace


@pytest.fixture(autouse=True)
def _no_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace's own only; tests/classifier/test_starter.py has the one that comes with ganfer."""
    monkeypatch.setattr(starter, "FILE", Path("absent"))


def add_run(workspace: Workspace, kind: str, name: str, data: str = "d") -> Run:
    key = {"config": {"name": name}, "inputs": {"data": data}, "seed": 0}
    run = workspace.run(kind, name, key)
    with run.work("test"):
        if kind == "classifiers":
            write_model(run.path)
        run.finish(digest=name, figures={"validation": {"balanced_accuracy": 0.5}})
    return run


def add_report(workspace: Workspace, *arms: str) -> Run:
    """A report of an early ganfer, whose arms' folders are called as the arms."""
    run = add_run(workspace, "reports", "retrain")
    for arm in arms:
        write_model(run.path / "trainings" / arm)
    names = dict.fromkeys(arm.rpartition("-")[0] for arm in arms)
    write_json(run.path / "results.json", {"arms": [{"name": name} for name in names]})
    return run


def test_the_newest_classifier_and_both_sides_of_the_newest_report(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    assert listed(workspace) == []
    add_run(workspace, "classifiers", "old")
    newest = add_run(workspace, "classifiers", "new")
    (only,) = listed(workspace)
    assert (only.name, only.file) == ("expression", newest.path / "model.safetensors")
    assert only.note == f"{newest.name}, balanced accuracy 50.0% on validation"
    report = add_report(workspace, "original-0", "original-3", "synthetic-3", "logit-adjusted-1")
    found = {source.name: source for source in listed(workspace)}
    assert list(found) == ["expression", "before", "after"]
    assert found["before"].file == report.path / "trainings" / "original-0" / "model.safetensors"
    assert found["after"].file == report.path / "trainings" / "synthetic-3" / "model.safetensors"


def test_a_later_run_is_a_later_version(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    add_run(workspace, "classifiers", "old")
    (before,) = listed(workspace)
    record = before.file.parent / "record.json"
    add_run(workspace, "classifiers", "new")
    (after,) = listed(workspace)
    assert after.version >= before.version
    assert after != before
    os.utime(after.file, ns=(1, 1))
    assert listed(workspace) != [after]  # written anew
    record.write_text("{")
    with pytest.raises(GanferError, match="damaged"):
        listed(workspace)


def test_wanted_by_name_beginning_path_and_under_another_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    run = add_run(workspace, "classifiers", "small")
    add_report(workspace, "original-0", "synthetic+best-0")
    file = write_model(tmp_path / "elsewhere")
    wanted = ["small", "mine=small", f"other={file}", str(file.parent), "before", "neu=after", "x=expression"]
    assert [source.name for source in listed(workspace, wanted)] == [
        run.name, "mine", "other", "elsewhere", "before", "neu", "x",
    ]  # fmt: skip


def test_a_file_is_called_so_that_a_request_can_ask_for_it(tmp_path: Path) -> None:
    """`/analyze?models=` takes names parted by commas."""
    file = write_model(tmp_path).rename(tmp_path / " small, lr=1.safetensors")
    (found,) = listed(Workspace(tmp_path / "work"), [str(file)])
    assert (found.name, found.file) == ("small- lr-1", file)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (["none"], "There are no finished classifiers yet"),
        (["before"], "no finished report"),
        (["expression"], "holds no classifier"),
        (["{file}", "{file}"], "Two classifiers are called 'model'"),
        (["{text}"], "no .safetensors file"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, wanted: list[str], words: str) -> None:
    file = write_model(tmp_path)
    text = tmp_path / "model.pt"
    text.write_text("x")
    given = [name.format(file=file, text=text) for name in wanted]
    with pytest.raises(GanferError, match=words):
        listed(Workspace(tmp_path / "work"), given)


def test_the_plan_names_models_and_address(tmp_path: Path) -> None:
    file = write_model(tmp_path)
    arguments = ["serve", "--dry-run", "--classifier", str(file), "--port", "8123", "-w", str(tmp_path / "work")]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert f"serve model: {file}" in result.output
    assert "listen on 127.0.0.1, port 8123" in result.output
    empty = CliRunner().invoke(cli, ["serve", "--dry-run", "-w", str(tmp_path / "work")], catch_exceptions=False)
    assert "train the classifier" in empty.output
    assert not (tmp_path / "work").exists()
