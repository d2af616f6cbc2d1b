"""Stress, explanations and export, on a trained classifier or on one whose answer is known."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars
from torch import Tensor, nn

from classifiers import Classifier, ClassifierError, TrainResult, create_model, explain, export_onnx, stress
from classifiers.models import ImageClassifier
from classifiers.robustness import CONDITIONS, disturb


def spot(top: int, left: int, size: int = 48) -> np.ndarray:
    image = np.zeros((1, size, size), np.uint8)
    image[:, top : top + 6, left : left + 6] = 255
    return image


@pytest.mark.parametrize(("condition", "strength"), [(c, s) for c, values in CONDITIONS.items() for s in values])
def test_each_disturbance_changes_images_and_repeats(condition: str, strength: float) -> None:
    images = bars(8, size=24).images
    out = disturb(images, condition, strength)
    assert out.dtype == np.uint8
    assert out.shape == images.shape
    assert np.abs(out.astype(int) - images).mean() > 0.5
    assert np.array_equal(out, disturb(images, condition, strength))


def test_disturbances_by_hand() -> None:
    many = np.repeat(spot(21, 21)[None], 200, 0)
    shifted = disturb(many, "shift", 0.1)[:, 0].astype(float)
    rows = (shifted.sum(2) * np.arange(48)).sum(1) / shifted.sum((1, 2)) - 23.5
    columns = (shifted.sum(1) * np.arange(48)).sum(1) / shifted.sum((1, 2)) - 23.5
    assert np.allclose(np.hypot(rows, columns), 4.8, atol=0.05), "a tenth of 48 pixels, whatever the direction"
    grey = np.full((50, 1, 48, 48), 128, np.uint8)
    assert disturb(grey, "noise", 16).std() == pytest.approx(16, rel=0.05)
    assert np.unique(disturb(grey, "brightness", -40)).tolist() == [88]
    assert np.unique(disturb(grey, "blur", 1.5)).tolist() == [128]
    blurred = disturb(many[:1], "blur", 1.5)[0, 0].astype(float)
    spread = ((blurred.sum(0) * (np.arange(48) - 23.5) ** 2).sum() / blurred.sum()) - 35 / 12
    assert spread == pytest.approx(1.5**2, rel=0.1), "variances add"
    assert (disturb(many[:1], "zoom", 1.4) > 127).sum() == pytest.approx(36 * 1.4**2, rel=0.15)


def test_stress_measures_the_loss_against_the_images_as_they_are(trained: TrainResult) -> None:
    data = bars(60, seed=7)
    rows = stress(trained.load("cpu"), data.images, data.labels, conditions={"brightness": [0.0], "noise": [150]})
    assert [row.condition for row in rows] == ["none", "brightness", "noise"]
    assert rows[1].accuracy == rows[0].accuracy
    assert rows[1].accuracy_lost == 0
    assert rows[2].accuracy_lost > 0.1
    assert rows[2].accuracy_lost == pytest.approx(rows[0].accuracy - rows[2].accuracy)
    json.dumps([row.to_json() for row in rows])


class LeftOrRight(ImageClassifier):
    """Class 0 looks at the left half, class 1 at the right, by construction."""

    def __init__(self) -> None:
        super().__init__(2, 1, 48)
        self.mean.zero_()
        self.std.fill_(1)
        self.body = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU(), Halves())
        nn.init.constant_(self.body[0].weight, 1 / 9)
        self.head = nn.Identity()


class Halves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        # Each side's brightness; a mask makes the gradient differ by place, as Grad-CAM's average then undoes.
        return torch.stack([x[..., :24].sum((1, 2, 3)), x[..., 24:].sum((1, 2, 3))], 1)


def test_grad_cam_finds_the_spot_that_decides() -> None:
    classifier = Classifier(LeftOrRight(), ["left", "right"])
    result = explain(classifier, spot(10, 6))
    assert (result.predicted, result.target, result.method) == ("left", "left", "Grad-CAM")
    assert result.heat.shape == (48, 48)
    assert result.heat.max() == 1
    row, column = np.unravel_index(result.heat.argmax(), result.heat.shape)
    assert 10 <= row < 16
    assert 6 <= column < 12
    assert result.heat[:, 24:].max() == 0
    assert result.feature_maps.shape == (1, 48, 48)
    assert np.allclose(result.filters, 1 / 9)


def test_explaining_a_trained_classifier_agrees_with_its_predictions(trained: TrainResult) -> None:
    classifier, data = trained.load("cpu"), bars(3, seed=8)
    for image in data.images:
        result = explain(classifier, image, "steep")
        expected = classifier.probabilities(image[None])[0]
        assert result.target == "steep"
        assert list(result.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-4)
        assert result.predicted == NAMES[int(expected.argmax())]
        assert 0 <= result.heat.min() <= result.heat.max() <= 1
    assert all(p.grad is None for p in classifier.model.parameters())


def test_a_network_without_planes_shows_its_gradient_and_says_so() -> None:
    result = explain(Classifier(create_model("fnn", 3, size=16), NAMES), bars(1).images[0])
    assert result.method == "gradient"
    assert "no convolutional planes" in result.notes[0]
    assert result.heat.max() == 1
    assert result.feature_maps.size == 0


def test_explain_refuses_unknown_classes_and_other_images(trained: TrainResult) -> None:
    with pytest.raises(ClassifierError, match="the classifier knows flat, steep, rising"):
        explain(trained.load("cpu"), bars(1).images[0], "angry")
    with pytest.raises(ClassifierError, match="expected"):
        explain(trained.load("cpu"), spot(0, 0))


def test_onnx_answers_as_torch_does_for_any_batch(trained: TrainResult, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the export extra")
    pytest.importorskip("onnxscript", reason="needs the export extra")
    classifier = trained.load("cpu")
    result = export_onnx(classifier, tmp_path / "model.onnx")
    assert result.largest_difference < 1e-4
    assert result.num_bytes == (tmp_path / "model.onnx").stat().st_size
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for n in (1, 7):
        images = bars(n, seed=9).images
        (answer,) = session.run(["probabilities"], {"images": images})
        assert np.allclose(answer, classifier.probabilities(images), atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == NAMES
    assert metadata["classifier_sha256"] == classifier.digest


def test_export_without_its_packages_says_what_to_install(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ClassifierError, match="pip install onnx"):
        export_onnx(trained.load("cpu"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
