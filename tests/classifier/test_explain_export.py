"""`explain` and `export`: pictures that agree with the predictions, and an ONNX file that agrees with torch."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_tiny import small_config
from pages import checked_text
from PIL import Image
from tiny import striped, tree

from classifiers import ClassifierError, explain, load_classifier
from classifiers.plots import heat_overlay, strongest_maps
from ganfer.data.provenance import as_pillow
from ganfer.errors import DataError, GanferError
from ganfer.pipeline import Project
from ganfer.workspace import Workspace


@pytest.fixture
def project(work: Path) -> Project:
    return Project(work, small_config())


def face(path: Path, label: int, size: int = 16) -> Path:
    as_pillow(striped(np.array([label]), 7, size=size)[0]).save(path)
    return path


def test_explanations_agree_with_the_predictions(project: Project, tmp_path: Path) -> None:
    files = [face(tmp_path / "a.png", 0), face(tmp_path / "b.jpg", 2, size=40)]
    result = project.explain(files)
    classifier = load_classifier(Workspace(project.workspace.root).latest("classifiers").path, "cpu")
    said = result.figures["images"][0]
    expected = classifier.probabilities(striped(np.array([0]), 7))[0]
    assert list(said["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert said["predicted"] == classifier.class_names[int(expected.argmax())] == said["target"]
    for each in result.figures["images"]:
        with Image.open(result.path / each["picture"]) as picture:
            assert picture.width > 600
    text = checked_text((result.path / "index.html").read_text(encoding="utf-8"))
    assert "Grad-CAM for" in text
    assert "b.jpg" in text
    before = tree(result.path)
    assert project.explain(files).figures == result.figures
    assert tree(result.path) == before


def test_the_evidence_for_another_class_can_be_asked_for(project: Project, tmp_path: Path) -> None:
    path = face(tmp_path / "a.png", 0)
    result = project.explain([path], target="sad")
    assert result.figures["images"][0]["target"] == "sad"
    with pytest.raises(ClassifierError, match="class 'sadd': the classifier knows angry, happy, sad"):
        project.explain([path], target="sadd")


def test_what_is_no_image_is_said_before_any_work(project: Project, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text.png cannot be explained"):
        project.explain([face(tmp_path / "a.png", 0), tmp_path / "text.png"])
    with pytest.raises(DataError, match=r"nowhere.png is not a file"):
        project.explain([tmp_path / "nowhere.png"])
    assert not (project.workspace.root / "explanations").exists()


def test_heat_and_maps_are_images_of_the_right_kind(project: Project) -> None:
    classifier = load_classifier(project.needs.classifier().path, "cpu")
    image = striped(np.array([1]), 3)[0]
    explanation = explain(classifier, image)
    laid = heat_overlay(image, explanation.heat)
    assert (laid.shape, laid.dtype) == ((3, 16, 16), np.uint8)
    assert np.array_equal(heat_overlay(image, np.zeros((16, 16), np.float32)), np.repeat(image, 3, 0))
    maps = strongest_maps(explanation, 5)
    assert len(maps) == 5
    assert maps.dtype == np.uint8
    assert all(plane.min() == 0 and plane.max() == 255 for plane in maps)


# --- export -----------------------------------------------------------------------------------------------------------


def test_the_onnx_file_answers_as_the_classifier_does(project: Project, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    result = project.export(tmp_path / "out" / "faces.onnx")
    images = striped(np.arange(9) % 3, 11)
    session = runtime.InferenceSession(str(tmp_path / "out" / "faces.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    expected = load_classifier(project.needs.classifier().path, "cpu").probabilities(images)
    assert found == pytest.approx(expected, abs=1e-4)
    card = json.loads((tmp_path / "out" / "faces.json").read_text())
    assert card["class_names"] == ["angry", "happy", "sad"]
    assert card["check"]["largest_difference"] <= card["check"]["allowed"]
    assert card["check"]["images"] == 5 + 1 + 30, "noise, one image of it alone, and the validation split"
    assert card["input"]["shape"] == ["N", 1, 16, 16]
    assert result.figures["sha256"] == card["sha256"]

    # again: found, not made anew; but nothing else of the user's is overwritten
    before = tree(tmp_path / "out")
    project.export(tmp_path / "out" / "faces.onnx")
    assert tree(tmp_path / "out") == before
    (tmp_path / "mine.onnx").write_bytes(b"mine")
    with pytest.raises(GanferError, match=r"mine.onnx exists already"):
        project.export(tmp_path / "mine.onnx")
    assert (tmp_path / "mine.onnx").read_bytes() == b"mine"
    for mine in ('{"format": "mine"}', "[]", "no JSON", "[" * 100_000):
        (tmp_path / "other.json").write_text(mine)
        with pytest.raises(GanferError, match=r"other.json, where the card belongs"):
            project.export(tmp_path / "other.onnx")
        assert (tmp_path / "other.json").read_text() == mine
    assert not (tmp_path / "other.onnx").exists()


def test_a_file_that_disagrees_is_never_written(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr("classifiers.export.TOLERANCE", -1.0)
    with pytest.raises(ClassifierError, match="not written, ONNX Runtime's probabilities differ"):
        project.export(tmp_path / "faces.onnx")
    assert not (tmp_path / "faces.onnx").exists()
    assert not list(project.workspace.root.rglob("*.onnx"))


def test_an_odd_name_is_refused_before_any_work(project: Project, tmp_path: Path) -> None:
    with pytest.raises(GanferError, match=r"ends in .onnx"):
        project.export(tmp_path / "faces.pt")
    assert not (project.workspace.root / "exports").exists()
