"""`evaluate`: the figures are those of the predictions, a second call does nothing, and bad input is one line."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluation_tiny import small_config
from pages import checked_text
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, classification_report, f1_score, fbeta_score
from tiny import NAMES, add_set, striped, tiny_set, tree

from classifiers import ClassifierError, load_classifier
from ganfer.classifier.subject import source_notes
from ganfer.data.imageset import read_set
from ganfer.data.provenance import as_pillow, write_png
from ganfer.errors import ConfigError, DataError, GanferError
from ganfer.pipeline import Project
from ganfer.workspace import Workspace


@pytest.fixture
def with_plots() -> None:
    """For the test that looks at the plots; they take longer than all else."""


@pytest.fixture(autouse=True)
def _plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "with_plots" not in request.fixturenames:
        monkeypatch.setattr("ganfer.classifier.files._plots", lambda *_: None)


def project(work: Path, **settings: object) -> Project:
    return Project(work, small_config(**settings))


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_figures_are_those_of_the_predictions(work: Path) -> None:
    result = project(work, evaluate__beta=0.5).evaluate()
    rows = predictions(result.path)
    true, called = [row["true"] for row in rows], [row["predicted"] for row in rows]
    figures = {name: each["mean"] for name, each in result.figures["figures"].items()}
    options = {"labels": list(NAMES), "average": "macro", "zero_division": 0.0}
    assert len(rows) == 45
    assert figures["accuracy"] == pytest.approx(np.mean(np.array(true) == np.array(called)))
    assert figures["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, called))
    assert figures["macro_f1"] == pytest.approx(f1_score(true, called, **options))
    assert figures["f_beta"] == pytest.approx(fbeta_score(true, called, beta=0.5, **options))
    assert figures["accuracy"] > 0.45, "the striped images are easy"
    assert (result.path / "report.txt").read_text() == classification_report(
        true, called, labels=list(NAMES), digits=3, zero_division=0.0
    )
    for each in result.figures["figures"].values():
        assert each["low"] < each["mean"] <= each["high"] <= 1
    known = {row["id"] for row in rows}
    images = read_set(next((work / "data").glob("tiny-*")))
    assert known == set(images.ids[images.split == "test"])
    confidences = [max(float(row[f"p_{name}"]) for name in NAMES) for row in rows]
    assert [float(row["confidence"]) for row in rows] == pytest.approx(confidences)


@pytest.mark.usefixtures("with_plots")
def test_it_leaves_a_page_plots_and_tables(work: Path) -> None:
    result = project(work).evaluate()
    names = {"confusion.png", "reliability.png", "curves.png", "predictions.png", "per_class.csv", "results.json"}
    assert names <= {path.name for path in result.path.iterdir()}
    for path in result.path.glob("*.png"):
        with Image.open(path) as image:
            assert image.width > 300
    html = (result.path / "index.html").read_text(encoding="utf-8")
    text = checked_text(html)
    for words in ("Balanced accuracy", "Figures per class", "Confusion matrix", "Calibration", "How it was trained"):
        assert words in text
    assert "macro avg" in text
    assert html.count("data:image/png;base64,") >= 10
    assert f"{100 * result.figures['figures']['accuracy']['mean']:.1f}" in text


def test_the_same_command_again_finds_the_work_done(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = project(work).evaluate()
    before = tree(first.path)
    second = project(work).evaluate()
    assert second.figures == first.figures
    assert tree(first.path) == before
    assert "was already done" in capsys.readouterr().err
    assert project(work, evaluate__beta=3.0).evaluate().path != first.path


def test_several_classifiers_are_measured_as_one(work: Path) -> None:
    names = sorted(run.name for run in Workspace(work).runs("classifiers"))
    assert len(names) == 2
    result = project(work, evaluate__tta="flip").evaluate(classifiers=names)
    images = read_set(next((work / "data").glob("tiny-*")))
    test = images.of("test")
    single = [
        load_classifier(work / "classifiers" / name, "cpu").probabilities(test.images, tta="flip") for name in names
    ]
    called = [test.class_names[k] for k in np.mean(single, axis=0).argmax(axis=1)]
    assert [row["predicted"] for row in predictions(result.path)] == called
    results = json.loads((result.path / "results.json").read_text())
    assert results["settings"]["temperature"] != 1.0
    assert any("fitted anew" in note for note in results["notes"])


def test_a_classifier_can_be_named_by_its_folder_or_file(work: Path, tmp_path: Path) -> None:
    run = Workspace(work).runs("classifiers")[0]
    shutil.copytree(run.path, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "record.json").unlink()
    by_folder = project(work).evaluate(classifiers=[str(tmp_path / "elsewhere")])
    by_file = project(work).evaluate(classifiers=[str(tmp_path / "elsewhere" / "model.safetensors")])
    by_name = project(work).evaluate(classifiers=[run.name])
    assert by_folder.figures["figures"] == by_file.figures["figures"] == by_name.figures["figures"]
    assert any("unknown data" in note for note in by_folder.figures["notes"])


def test_a_classifier_of_other_data_is_measured_and_said(work: Path) -> None:
    add_set(Workspace(work), tiny_set((20, 20, 20), test=9), "other")
    run = Workspace(work).runs("classifiers")[-1]
    result = project(work).evaluate(classifiers=[run.name])
    assert any("on other data" in note for note in result.figures["notes"])
    assert sum(map(sum, result.figures["confusion"])) == 27


def test_classes_are_matched_by_name_whatever_their_order(work: Path) -> None:
    workspace = Workspace(work)
    run = workspace.runs("classifiers")[0]
    straight = project(work, evaluate__tta="flip", evaluate__stress=True, evaluate__thresholds="auto:0.5")
    first = straight.evaluate(classifiers=[run.name])
    images = read_set(workspace.active_data.path)
    turned = np.array([2, 0, 1])[images.labels]  # angry, happy, sad at 0, 1, 2 are now at 2, 0, 1
    add_set(workspace, dataclasses.replace(images, labels=turned, class_names=("happy", "sad", "angry")), "turned")
    second = straight.evaluate(classifiers=[run.name])
    assert second.path != first.path
    for name in NAMES:
        assert second.figures["per_class"][name]["recall"]["mean"] == first.figures["per_class"][name]["recall"]["mean"]
        thresholds = [result.figures["selective"]["per_class"][name]["threshold"] for result in (first, second)]
        assert thresholds[0] == pytest.approx(thresholds[1])
    assert second.figures["stress"] == first.figures["stress"]
    assert second.figures["nll"] == pytest.approx(first.figures["nll"])


def test_validation_figures_say_that_they_are_too_good(work: Path) -> None:
    result = project(work, evaluate__split="val").evaluate()
    assert any("chosen on this split" in note for note in result.figures["notes"])
    assert sum(map(sum, result.figures["confusion"])) == 30


def test_stress_says_what_each_condition_costs(work: Path) -> None:
    result = project(work, evaluate__stress=True).evaluate()
    rows = result.figures["stress"]
    assert rows[0]["condition"] == "none"
    assert rows[0]["accuracy"] == pytest.approx(result.figures["figures"]["accuracy"]["mean"])
    assert {row["condition"] for row in rows[1:]} == {"shift", "zoom", "rotation", "blur", "noise", "brightness"}
    turned = next(row for row in rows if (row["condition"], row["strength"]) == ("rotation", 30))
    assert turned["accuracy_lost"] == pytest.approx(rows[0]["accuracy"] - turned["accuracy"])
    assert turned["accuracy_lost"] > 0.05, "a grating's class is its direction"
    assert "Robustness" in checked_text((result.path / "index.html").read_text(encoding="utf-8"))


def test_given_thresholds_leave_the_unsure_to_a_person(work: Path) -> None:
    result = project(work, evaluate__thresholds="happy=0.9,sad=0.5").evaluate()
    rows = predictions(result.path)
    needed = {"angry": 0.0, "happy": 0.9, "sad": 0.5}
    sure = [row for row in rows if float(row["confidence"]) >= needed[row["predicted"]]]
    assert [row for row in rows if row["accepted"] == "1"] == sure
    found = result.figures["selective"]
    assert found["coverage"]["mean"] == pytest.approx(len(sure) / len(rows))
    assert found["accuracy"]["mean"] == pytest.approx(np.mean([row["true"] == row["predicted"] for row in sure]))
    assert found["accuracy"]["low"] < found["accuracy"]["mean"]
    assert found["per_class"]["happy"]["threshold"] == pytest.approx(0.9)


def test_automatic_thresholds_come_from_validation(work: Path) -> None:
    low = project(work, evaluate__thresholds="auto:0.5").evaluate().figures["selective"]
    high = project(work, evaluate__thresholds="auto:0.95").evaluate().figures["selective"]
    assert high["coverage"]["mean"] < low["coverage"]["mean"]
    for name in NAMES:
        assert high["per_class"][name]["threshold"] >= low["per_class"][name]["threshold"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auto:2", "Write 'auto'"),
        ("auto:1", "between 0 and 1"),
        ("happi=0.5", "Did you mean 'happy'"),
        ("happy=high", "Write 'auto'"),
        ("0.9", "Write 'auto'"),
    ],
)
def test_bad_thresholds_are_refused_before_any_work(work: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        project(work, evaluate__thresholds=text).evaluate()
    assert not (work / "evaluations").exists()


def faces_folder(folder: Path) -> Path:
    labels = np.repeat(np.arange(3), 4)
    for i, (image, label) in enumerate(zip(striped(labels, seed=5, size=24), labels, strict=True)):
        path = folder / "test" / {0: "Anger", 1: "happy", 2: "sad"}[int(label)] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        as_pillow(image).save(path)
    return folder


def test_a_folder_from_elsewhere_is_measured_by_its_subfolders(work: Path, tmp_path: Path) -> None:
    folder = faces_folder(tmp_path / "faces")
    (folder / "happy").mkdir()
    (folder / "happy" / "broken.png").write_bytes(b"no image")
    write_png(
        folder / "happy" / "drawn.png", striped(np.array([1]), 1)[0], {"generator": "g", "seed": 0, "class": "happy"}
    )
    (folder / "loose.png").write_bytes((folder / "test" / "sad" / "8.png").read_bytes())
    result = project(work).evaluate(folder)
    assert [sum(row) for row in result.figures["confusion"]] == [4, 4, 4]
    assert {row["id"] for row in predictions(result.path)} == {
        str(path.relative_to(folder)) for path in (folder / "test").rglob("*.png")
    }
    assert any("3 of 15 files were left out" in note for note in result.figures["notes"])
    assert Workspace(work).active_data.name.startswith("tiny-"), "the folder is not added to the workspace"


def test_a_folder_needs_no_data_in_the_workspace(work: Path, tmp_path: Path) -> None:
    run = Workspace(work).runs("classifiers")[0]
    empty = project(tmp_path / "empty")
    result = empty.evaluate(faces_folder(tmp_path / "faces"), classifiers=[str(run.path)])
    assert sum(map(sum, result.figures["confusion"])) == 12
    with pytest.raises(DataError, match="Automatic thresholds need validation images"):
        project(tmp_path / "empty", evaluate__thresholds="auto").evaluate(
            tmp_path / "faces", classifiers=[str(run.path)]
        )


def test_a_classifier_of_other_classes_or_size_is_refused(work: Path) -> None:
    workspace = Workspace(work)
    run = workspace.runs("classifiers")[0]
    images = tiny_set()
    add_set(workspace, dataclasses.replace(images, class_names=("angry", "fear", "sad")), "classes")
    with pytest.raises(ClassifierError, match=r"knows angry, happy, sad; the data has angry, fear, sad"):
        project(work).evaluate(classifiers=[run.name])
    large = dataclasses.replace(images, images=np.repeat(np.repeat(images.images, 2, 2), 2, 3))
    add_set(workspace, large, "large")
    with pytest.raises(DataError, match=r"takes 16x16 grey images, the data's are 32x32 grey"):
        project(work).evaluate(classifiers=[run.name])
    assert not (work / "evaluations").exists()


@pytest.mark.parametrize(
    ("folder", "classifiers", "words"),
    [
        ("nowhere", [], "nowhere is not a folder"),
        (None, ["compakt"], "No 'compakt'"),
        ("", [], "holds no images"),
    ],
)
def test_what_is_not_there_is_said(
    work: Path, tmp_path: Path, folder: str | None, classifiers: list[str], words: str
) -> None:
    if folder == "":
        folder = str(tmp_path / "bare")
        Path(folder).mkdir()
    with pytest.raises(GanferError, match=words):
        project(work).evaluate(folder, classifiers=classifiers)


def test_a_damaged_classifier_is_one_line(work: Path) -> None:
    weights = Workspace(work).runs("classifiers")[-1].path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ClassifierError, match="damaged") as caught:
        project(work).evaluate()
    assert "\n" not in caught.value.message


def test_of_a_folder_with_splits_the_test_part_is_measured(work: Path, tmp_path: Path) -> None:
    folder = faces_folder(tmp_path / "faces")
    shutil.copytree(folder / "test", folder / "train_data")
    (folder / "train_data" / "notes.pdf").write_bytes(b"x")
    result = project(work).evaluate(folder)
    assert [sum(row) for row in result.figures["confusion"]] == [4, 4, 4]
    assert all(row["id"].startswith("test/") for row in predictions(result.path))
    notes = "\n".join(result.figures["notes"])
    assert "Only the folder's test part was taken, 12 of 24 images." in notes
    assert "no readable images were left out (not an image: 1)" in notes
    (folder / "test").rename(folder / "training")
    assert "this is no test" in "\n".join(project(work).evaluate(folder).figures["notes"])


def test_a_folder_that_the_active_set_came_from_is_said(work: Path, tmp_path: Path) -> None:
    folder = faces_folder(tmp_path / "faces")
    run = Workspace(work).active_data
    assert run is not None
    for source, told in ((folder, True), (tmp_path, True), (folder / "test", True), (tmp_path / "other", False)):
        record = json.loads((run.path / "record.json").read_text()) | {"source": str(source.resolve())}
        (run.path / "record.json").write_text(json.dumps(record))
        assert bool(source_notes(folder, run)) == told
    assert source_notes(folder, None) == []
