"""Two reports side by side: what differs, how far, and how surely; from runs and from folders."""

import copy
import json
from pathlib import Path

import pytest
from examples import results

from ganfer.errors import WorkspaceError
from ganfer.pipeline import Project
from ganfer.report import ReportError, write_report
from ganfer.report.compare import compare_reports


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """B has another seed, no oversampling, and a balanced accuracy of `original` that is 10 points higher."""
    first, second = results(3, 4), results(2, 4)
    level = copy.deepcopy(first["arms"][0]["metrics"]["balanced_accuracy"])
    second["arms"][0] = copy.deepcopy(first["arms"][0])
    second["arms"][0]["metrics"]["balanced_accuracy"] = {
        **level, **{end: level[end] + 0.1 for end in ("mean", "low", "high")},
    }  # fmt: skip
    second["settings"]["seeds"] = [7]
    write_report(tmp_path / "a", first)
    write_report(tmp_path / "b", second)
    return tmp_path / "a", tmp_path / "b"


def test_differences_with_intervals_and_what_was_made_otherwise(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    figures = compare_reports(*pair, page).figures
    found = {(d["arm"], d["figure"]): d for d in figures["differences"]}
    change = found["Original", "Balanced accuracy"]
    half = 0.012 * 2**0.5
    assert change["change"] == pytest.approx(0.1)
    assert (change["low"], change["high"]) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-4)
    assert change["word"] == "B higher"
    assert found["Original", "Accuracy"]["word"] == "no clear difference"
    assert found["Original", "Recall of fear"]["change"] == 0
    assert figures["differs_in"]["seeds"] == {"a": "0, 1, 2, 3, 4", "b": "7"}
    assert not {"title", "steps", "classes", "torch"} & set(figures["differs_in"])
    assert any("Only A has: Oversampling" in note for note in figures["notes"])
    text = page.read_text()
    assert "+10.0" in text
    assert "<script" not in text


def test_an_interval_that_ends_at_zero_is_no_narrower_for_it(tmp_path: Path) -> None:
    first, second = results(2, 3), results(2, 3)
    first["arms"][0]["per_class"]["disgust"]["recall"] = {"mean": 0.0, "low": 0.0, "high": 0.04}
    second["arms"][0]["per_class"]["disgust"]["recall"] = {"mean": 0.05, "low": 0.01, "high": 0.09}
    write_report(tmp_path / "a", first)
    write_report(tmp_path / "b", second)
    figures = compare_reports(tmp_path / "a", tmp_path / "b", tmp_path / "page.html").figures
    found = next(d for d in figures["differences"] if (d["arm"], d["figure"]) == ("Original", "Recall of disgust"))
    assert found["change"] - found["low"] == pytest.approx(0.04 * 2**0.5)
    assert found["word"] == "no clear difference"


def test_from_the_workspace_and_from_folders(pair: tuple[Path, Path], tmp_path: Path) -> None:
    project = Project(tmp_path / "work")
    result = project.report(str(pair[0]), str(pair[1]))
    assert Path(result.figures["page"]) == tmp_path / "work" / "reports" / "a-and-b.html"
    assert "B higher" in str(result)
    before = json.loads((pair[0] / "results.json").read_text())
    assert project.report(str(pair[0])).path == pair[0]
    assert json.loads((pair[0] / "results.json").read_text()) == before
    with pytest.raises(WorkspaceError, match="No 'nothing'"):
        project.report(str(pair[0]), "nothing")


def test_reports_of_other_classes_and_other_test_images(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = results(2, 3, ["angry", "bored", "fear"])
    write_report(tmp_path / "other", other)
    figures = compare_reports(pair[0], tmp_path / "other", tmp_path / "page.html").figures
    assert {d["figure"] for d in figures["differences"]} >= {"Recall of angry", "Recall of fear"}
    assert not any("bored" in d["figure"] for d in figures["differences"])
    assert [note.split(":")[0] for note in figures["notes"]][:2] == ["The test splits differ", "The classes differ"]


def test_damaged_results_are_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (pair[1] / "results.json").write_text("{")
    with pytest.raises(ReportError, match="results.json is damaged"):
        compare_reports(*pair, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
