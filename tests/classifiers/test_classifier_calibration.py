"""Temperature scaling finds the true temperature, and the calibration error is what a hand gets."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import ClassifierError, class_thresholds, ece, fit_temperature
from classifiers.calibration import nll, softmax


def drawn(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large for the labels drawn from them."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (n, 4))
    p = softmax(logits).astype(np.float64)
    labels = (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=3)
    return logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_finds_the_temperature_the_labels_were_drawn_with(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_lowers_the_likelihood_loss_and_the_calibration_error_and_keeps_the_ranking() -> None:
    logits, labels = drawn(3.0)
    t = fit_temperature(logits, labels)
    assert nll(logits, labels, t) < nll(logits, labels)
    assert ece(softmax(logits, t), labels) < 0.02 < 0.1 < ece(softmax(logits), labels)
    assert np.array_equal(softmax(logits, t).argmax(1), logits.argmax(1))


def test_a_few_images_all_right_dont_make_it_certain_many_make_it_surer() -> None:
    logits = np.eye(3) * 4
    few, many = (
        fit_temperature(logits, np.arange(3)),
        fit_temperature(np.tile(logits, (100, 1)), np.tile(np.arange(3), 100)),
    )
    # Three images: a target of (3 + 1) / (3 + 3) for the right class, so exp(4 / T) = 4.
    assert few == pytest.approx(4 / np.log(4), rel=1e-3)
    assert many == pytest.approx(4 / np.log(301), rel=1e-3)


def test_all_wrong_stays_in_range() -> None:
    assert 19 < fit_temperature(np.eye(3) * 4, (np.arange(3) + 1) % 3) <= 20


def test_ece_by_hand() -> None:
    # Two images at confidence 0.9 of which one is right, two at 0.6 both right: (|0.5 - 0.9| + |1 - 0.6|) / 2.
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]])
    assert ece(p, np.array([0, 0, 0, 1])) == pytest.approx(0.4)


def test_ece_extremes() -> None:
    sure = np.eye(2)[[0, 1, 0]]
    assert ece(sure, np.array([0, 1, 0])) == 0
    assert ece(sure, np.array([1, 0, 1])) == 1


def test_softmax_survives_huge_logits_and_sums_to_one() -> None:
    p = softmax(np.array([[1e4, 0.0, -1e4], [1.0, 1.0, 1.0]]))
    assert p.dtype == np.float32
    assert np.allclose(p, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "held-out"),
        (np.zeros((2, 3)), np.zeros(3, int), "N labels"),
        (np.full((2, 3), np.nan), np.zeros(2, int), "NaN"),
    ],
)
def test_refuses(logits: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        fit_temperature(logits, labels)


def test_thresholds_reach_the_precision_on_images_like_those_they_were_fitted_on() -> None:
    logits, labels = drawn(1.0, 6000)
    p = softmax(logits)
    thresholds = class_thresholds(p[:3000], labels[:3000], 0.8)
    predicted, kept = p[3000:].argmax(1), p[3000:].max(1) >= thresholds[p[3000:].argmax(1)]
    right = (predicted == labels[3000:])[kept].mean()
    assert right == pytest.approx(0.8, abs=0.04)
    assert 0.2 < kept.mean() < 0.9


def test_thresholds_by_hand() -> None:
    # Class 0 is called with 0.9, 0.8, 0.7 (right, right, wrong): with one pseudo-error the first two make 2 / 3.
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    assert class_thresholds(p, np.array([0, 0, 1, 1]), 0.66) == pytest.approx([0.8, 1.0])
    equal = np.repeat([[0.8, 0.2]], 6, axis=0)  # whatever their order, half of those that are as sure are wrong
    assert class_thresholds(equal, np.array([0, 0, 0, 1, 1, 1]), 0.66) == pytest.approx([1.0, 1.0])
    with pytest.raises(ClassifierError, match="between 0 and 1"):
        class_thresholds(p, np.array([0, 0, 1, 1]), 1.0)
