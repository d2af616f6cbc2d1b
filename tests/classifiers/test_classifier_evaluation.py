"""Figures worked out by hand, and what happens to classes without images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from classifiers import ClassifierError, evaluate
from classifiers.parts import quick_figures

NAMES = ["a", "b", "c"]


def sure(predicted: list[int], p: float = 0.8) -> np.ndarray:
    return np.where(np.eye(3)[predicted] == 1, p, (1 - p) / 2)


def test_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    result = evaluate(sure([0, 0, 0, 1, 1, 1, 2, 0]), labels, NAMES)
    assert result.confusion == [[3, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert result.accuracy == 6 / 8
    assert result.balanced_accuracy == pytest.approx((3 / 4 + 1 + 1 / 2) / 3)
    a = result.per_class["a"]
    assert (a["precision"], a["recall"], a["support"]) == (3 / 4, 3 / 4, 4)
    b = result.per_class["b"]
    assert b["precision"] == pytest.approx(2 / 3)
    assert b["f1"] == pytest.approx(0.8)
    assert b["f_beta"] == pytest.approx(5 * (2 / 3) / (4 * 2 / 3 + 1))
    assert result.macro_f1 == pytest.approx((0.75 + 0.8 + 2 / 3) / 3)
    assert result.nll == pytest.approx(-(6 * np.log(0.8) + 2 * np.log(0.1)) / 8)
    assert result.ece == pytest.approx(abs(0.75 - 0.8))
    assert json.loads(json.dumps(result.to_json()))["confusion"] == result.confusion


def test_a_class_without_images_has_no_recall_and_is_left_out_of_the_averages() -> None:
    result = evaluate(sure([0, 0, 1, 2]), np.array([0, 0, 1, 1]), NAMES)
    assert result.per_class["c"] == {"precision": None, "recall": None, "f1": None, "f_beta": None, "support": 0}
    assert result.balanced_accuracy == pytest.approx((1 + 0.5) / 2)
    assert result.notes == ["no test images of c: left out of the averages"]
    rows = {
        line.rsplit(maxsplit=4)[0].strip(): line.split()[-4:] for line in result.report().splitlines() if "." in line
    }
    assert rows["macro avg"] == ["1.000", "0.750", "0.833", "4"]  # precision 1 and 1, recall 1 and 1/2, F1 1 and 2/3
    assert float(rows["macro avg"][2]) == pytest.approx(result.macro_f1, abs=5e-4)
    assert float(rows["macro avg"][1]) == pytest.approx(result.balanced_accuracy, abs=5e-4)
    assert result.report().splitlines()[4].split() == ["c", "–", "–", "–", "0"]


def test_a_class_never_predicted_has_no_precision() -> None:
    result = evaluate(sure([0, 0, 1]), np.array([0, 2, 1]), NAMES)
    assert result.per_class["c"]["precision"] is None
    assert result.per_class["c"]["recall"] == 0


def test_the_quick_figures_of_validation_are_the_same() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 3)).astype(np.float32), rng.integers(0, 2, 200)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    full, quick = evaluate(p, labels, NAMES), quick_figures(logits, labels)
    assert quick["val_accuracy"] == pytest.approx(full.accuracy)
    assert quick["val_balanced_accuracy"] == pytest.approx(full.balanced_accuracy)
    assert quick["val_macro_f1"] == pytest.approx(full.macro_f1)
    assert quick["val_loss"] == pytest.approx(full.nll, rel=1e-5)


@pytest.mark.parametrize(
    ("p", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "no labelled images"),
        (np.ones((2, 2)) / 2, np.zeros(2, int), r"need \(2, 3\)"),
        (np.full((1, 3), np.nan), np.zeros(1, int), "NaN"),
        (np.ones((2, 3)) / 3, np.array([0, 3]), "labels run from 0 to 3; 3 classes allow 0 to 2"),
    ],
)
def test_refuses(p: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        evaluate(p, labels, NAMES)
