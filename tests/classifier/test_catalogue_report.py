"""`before`, `after` and `best` of a report that `retrain` itself wrote: no name in here is made by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny import add_batch, add_set, fast_config, tiny_set

from ganfer.classifier.catalogue import find, find_run, listed
from ganfer.cli.main import cli
from ganfer.errors import GanferError
from ganfer.pipeline import Project
from ganfer.workspace import Run, Workspace

WAYS = {
    "default": {"retrain.arms": "original,oversample,logit-adjusted,synthetic,synthetic+best"},
    "quick": {"retrain.arms": "original,synthetic"},
    "ratios": {"retrain.arms": "original,oversample,synthetic", "retrain.ratios": "0.1,0.3"},
    "weights": {"retrain.arms": "original,oversample,synthetic+best", "retrain.weights": "0.5,1"},
}


def reported(root: Path, **settings: object) -> Project:
    workspace = Workspace(root)
    add_batch(workspace, add_set(workspace, tiny_set((40, 60, 6))), np.repeat([2, 0], [40, 10]))
    fast = {"classifier__epochs": 1, "retrain__seeds": 1, "retrain__resamples": 100}
    project = Project(workspace, fast_config(**fast, **settings))
    project.retrain()
    return project


@pytest.fixture(scope="module", params=sorted(WAYS))
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return reported(tmp_path_factory.mktemp(request.param) / "work", **WAYS[request.param])


def report_of(project: Project) -> Run:
    (report,) = project.workspace.runs("reports")
    return report


def test_both_sides_of_a_report_are_found_where_it_keeps_them(project: Project) -> None:
    report = report_of(project)
    folders = {arm["name"]: arm["folder"] for arm in json.loads((report.path / "results.json").read_text())["arms"]}
    after = folders.get("synthetic") or folders["synthetic+best"]
    found = {source.name: source for source in listed(project.workspace)}
    assert list(found) == ["expression", "before", "after"]
    assert found["before"].file == report.path / "trainings" / "original-0" / "model.safetensors"
    assert found["after"].file == report.path / "trainings" / f"{after}-0" / "model.safetensors"
    assert {source.data_digest for source in found.values()} == {project.workspace.active_data.digest}  # type: ignore[union-attr]


def test_a_finished_report_is_not_denied(tmp_path: Path) -> None:
    project = reported(tmp_path / "work", **WAYS["quick"])
    workspace, report = project.workspace, report_of(project)
    written = json.loads((report.path / "results.json").read_text())
    results = {name: value for name, value in written.items() if name not in ("best", "classifiers")}
    (report.path / "results.json").write_text(json.dumps(results))  # as an earlier ganfer left it
    with pytest.raises(GanferError, match="names no classifier to recommend"):
        find(workspace, "best")
    kept = next(arm["folder"] for arm in results["arms"] if arm["name"] == "synthetic")
    (report.path / "results.json").write_text(
        json.dumps({**results, "best": {"folder": f"trainings/{kept}-0", "arm": "synthetic", "seed": 0}})
    )
    assert find(workspace, "mine=best").file == find(workspace, "after").file
    assert find(workspace, "best").note == f"{report.name}, arm synthetic, seed 0: recommended"
    told = {"classifiers": {"best": f"trainings/{kept}-0"}, "recommendation": {"arm": "synthetic"}}
    (report.path / "results.json").write_text(json.dumps({**results, **told}))
    assert find(workspace, "best").file == find(workspace, "after").file
    assert find(workspace, "best").note == f"{report.name}, arm synthetic: recommended"
    data = workspace.active_data
    add_set(workspace, tiny_set((41, 60, 6)), "other")
    with pytest.raises(GanferError, match="no finished report on the active data, other-"):
        find(workspace, "after")
    assert data is not None
    workspace.activate_data(data)
    for file in (report.path / "trainings").glob("*/model.safetensors"):
        file.unlink()
    for name in ("before", "after", "best"):
        with pytest.raises(GanferError, match=f"{report.name}.* gone"):
            find(workspace, name)
    (report.path / "results.json").write_text(json.dumps({**results, "arms": results["arms"][:1]}))
    with pytest.raises(GanferError, match="has no arm synthetic or synthetic\\+best, only original"):
        find(workspace, "after")


def test_a_report_over_folds_has_no_models_and_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its folds have theirs. The words mean the newest report that has some; with none, they say what to do."""
    project = reported(tmp_path / "work", **WAYS["quick"])
    workspace, report = project.workspace, report_of(project)
    data = workspace.active_data
    assert data is not None
    folds = workspace.run("reports", "folds", {"config": {}, "inputs": {"data": data.digest}, "seed": 0})
    with folds.work("retrain in folds"):
        (folds.path / "results.json").write_text(json.dumps({"folds": [], "arms": []}))
        folds.finish(digest="x", figures={})
    for name in ("before", "after", "best"):
        assert report.path in find(workspace, name).file.parents
    assert f"before, after and best are of {report.name}" in capsys.readouterr().err
    shutil.rmtree(report.path)
    with pytest.raises(GanferError, match=r"was made in folds.* Make a report without --folds"):
        find(workspace, "best")


def test_every_command_takes_the_same_names(tmp_path: Path) -> None:
    project = reported(tmp_path / "work", **WAYS["quick"])
    after = find(project.workspace, "after").file
    run = project.workspace.runs("classifiers")[-1]
    for name in (
        "after",
        str(after),
        str(after.parent),
        "x=after",
        f"y={after}",
        run.name,
        f"z={run.name}",
        run.name[:9],
    ):
        figures = json.loads((Path(str(project.evaluate(classifiers=[name]).path)) / "results.json").read_text())
        assert figures["classifiers"][0]["digest"] == find_run(project.workspace, name).digest
        assert not any("unknown data" in note for note in figures.get("notes", []))
    assert "x" in {labels["labelling"]["classifier"] for labels in [project.label(classifier="x=after").figures]}
    assert (after.parent / "features").exists() is False
    assert {path.suffix for path in after.parent.iterdir()} == {".json", ".csv", ".safetensors", ".npz"}
    Image.new("L", (32, 32), 90).save("a.png")
    arguments = ["-w", str(project.workspace.root), "--dry-run"]
    for command in (
        ["explain", "a.png"],
        ["export"],
        ["evaluate"],
        ["predict", "0"],
        ["serve"],
        ["label"],
        ["quality"],
    ):
        for wrong, words in (("x=", "names no classifier"), ("/=after", "no name to show"), ("nobody", "nobody")):
            with pytest.raises(GanferError, match=words):
                CliRunner().invoke(cli, [*command, "--classifier", wrong, *arguments], catch_exceptions=False)


def test_a_path_may_hold_an_equals_sign(tmp_path: Path) -> None:
    project = reported(tmp_path / "work", **WAYS["quick"])
    folder = tmp_path / "lr=0.1"
    shutil.copytree(find(project.workspace, "after").file.parent, folder)
    assert find(project.workspace, str(folder)).name == "lr-0.1"
    assert find(project.workspace, f"x={folder}").name == "x"
