"""Thresholds follow validation data, and every rejection has its reason."""

import numpy as np
import pytest

from ganfer.screen import classwise_thresholds, relative_entropy_to_uniform, screen, with_equal_priors


def test_the_threshold_cuts_where_precision_is_lost() -> None:
    confidence = np.array([0.95, 0.9, 0.85, 0.8, 0.6, 0.55, 0.52])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    assert classwise_thresholds(probabilities, labels)[0] == pytest.approx(0.8)


def test_a_perfect_class_takes_all_its_images() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    assert classwise_thresholds(probabilities, np.array([0, 0, 1])) == pytest.approx([0.6, 0.8])


def test_a_larger_beta_lets_more_through() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 400)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = (rng.random(400) > confidence).astype(np.int64)
    strict, loose = (classwise_thresholds(probabilities, labels, beta)[0] for beta in (0.1, 4.0))
    assert strict > loose


def test_a_class_validation_says_nothing_about_gets_the_strictest_threshold() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.3, 0.7, 0.0]])
    assert classwise_thresholds(probabilities, np.array([0, 1])) == pytest.approx([0.9, 0.7, 0.9])


def test_each_image_gets_the_first_reason_that_applies() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (5, 1, 8, 8), dtype=np.uint8)
    images[0] = 7
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.2, 0.8]])
    asked = np.array([0, 0, 0, 0, -1])
    reasons = screen(images, probabilities, asked, np.array([0.6, 0.6]))
    assert reasons.tolist() == ["blank", "kept", "low confidence", "mismatch", "kept"]
    assert screen(images, probabilities, asked, np.array([0.6, 0.6]), require_match=False)[3] == "kept"


def test_entropy() -> None:
    assert relative_entropy_to_uniform([5, 5, 5]) == pytest.approx(1.0)
    assert str(relative_entropy_to_uniform([9, 0, 0])) == "0.0"
    assert relative_entropy_to_uniform([0, 0]) == 0.0
    # the table of the project ganfer goes back to: 290 happy, 209 neutral, 1 angry of seven classes
    assert relative_entropy_to_uniform([290, 209, 1, 0, 0, 0, 0]) == pytest.approx(0.356, abs=1e-3)


def test_equal_priors_undo_what_the_training_shares_brought() -> None:
    likelihood = np.array([0.2, 0.6])  # of one image under a common and a rare class
    priors = np.array([0.95, 0.05])
    learned = likelihood * priors / (likelihood * priors).sum()
    assert learned.argmax() == 0
    shifted = with_equal_priors(learned[None], priors)[0]
    assert shifted == pytest.approx(likelihood / likelihood.sum(), rel=1e-5)
    unseen = with_equal_priors(np.array([[0.9, 0.1, 0.0]]), np.array([0.9, 0.1, 0.0]))[0]
    assert unseen == pytest.approx([0.5, 0.5, 0.0])


def test_balanced_thresholds_do_not_depend_on_how_common_a_class_is_in_validation() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    p = np.clip(0.5 + (labels - 0.5) * 0.5 + rng.normal(0, 0.25, 300), 0.01, 0.99)
    probabilities = np.stack([1 - p, p], axis=1)
    many = np.concatenate([np.arange(300), np.tile(np.flatnonzero(labels == 0), 20)])  # class 0 much more common now
    once, often = (classwise_thresholds(probabilities[i], labels[i], balanced=True) for i in (np.arange(300), many))
    assert often == pytest.approx(once)
    assert classwise_thresholds(probabilities[many], labels[many])[1] > once[1]
