"""Posteriors under equal class shares, fitted on held-back images."""

import numpy as np
import pytest

from classifiers.prior_shift import EqualShares, shares_of, under_shares

SHARES = np.array([0.8, 0.195, 0.005])


def seen(per_class: tuple[int, ...], smoothing: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a classifier that learned with SHARES says of images of known likelihood: (said, balanced truth, labels)."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), per_class)
    centres = 2 * np.eye(3)
    images = centres[labels] + rng.normal(0, 1, (len(labels), 3))
    likelihood = np.exp(-((images[:, None] - centres) ** 2).sum(axis=2) / 2)
    said = likelihood * SHARES
    said /= said.sum(axis=1, keepdims=True)
    return (1 - smoothing) * said + smoothing / 3, likelihood / likelihood.sum(axis=1, keepdims=True), labels


def recall(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    return [float((probabilities[labels == k].argmax(axis=1) == k).mean()) for k in range(3)]


def test_without_held_back_images_the_training_shares_are_divided_out() -> None:
    said, truth, _ = seen((5, 5, 5))
    none = EqualShares.fit(np.zeros((0, 3)), np.zeros(0, np.int64), SHARES)
    assert none(said) == pytest.approx(truth, rel=1e-4)
    unseen = EqualShares.fit(np.zeros((0, 3)), np.zeros(0, np.int64), np.array([0.9, 0.1, 0.0]))
    assert unseen(np.array([[0.9, 0.1, 0.0]]))[0] == pytest.approx([0.5, 0.5, 0.0])


def test_right_probabilities_are_divided_by_their_shares() -> None:
    said, _, labels = seen((900, 300, 40))
    fitted = EqualShares.fit(said, labels, SHARES)
    assert recall(said, labels)[2] < 0.4
    assert fitted.slope == pytest.approx(1.0, abs=0.25)
    assert fitted.shifts - fitted.shifts[0] == pytest.approx(np.log(SHARES[0] / SHARES), abs=0.8)
    assert min(recall(fitted(said), labels)) > 0.7
    assert fitted(said).sum(axis=1) == pytest.approx(np.ones(len(said)), abs=1e-5)


def test_a_smoothed_classifier_does_not_call_everything_the_rarest_class() -> None:
    said, _, labels = seen((900, 300, 40), smoothing=0.1)
    divided = EqualShares(1.0, -np.log(SHARES))(said)
    assert recall(divided, labels)[0] < 0.1  # 3% of smoothing over a share of 0.5% beats every other class
    fitted = EqualShares.fit(said, labels, SHARES)
    assert min(recall(fitted(said), labels)) > 0.6


def test_the_fit_does_not_depend_on_how_common_a_class_is_in_validation() -> None:
    said, _, labels = seen((100, 100, 100))
    common = np.concatenate([np.arange(300), np.tile(np.flatnonzero(labels == 0), 20)])
    once, often = (EqualShares.fit(said[i], labels[i], SHARES)(said) for i in (np.arange(300), common))
    assert once == pytest.approx(often, abs=0.05)


def test_a_class_without_held_back_images_keeps_to_its_share() -> None:
    said, _, labels = seen((200, 200, 0))
    fitted = EqualShares.fit(said, labels, SHARES)
    assert np.isfinite(fitted.shifts).all()
    assert fitted.shifts[2] - fitted.shifts[0] > np.log(SHARES[0] / SHARES[2]) - 3


def test_the_shares_of_a_batch_are_found_whatever_the_training_had() -> None:
    _, equal, labels = seen((3000, 1000, 400))
    found = shares_of(equal)
    assert found == pytest.approx(np.bincount(labels) / len(labels), abs=0.03)
    assert found.sum() == pytest.approx(1.0)
    assert np.abs(equal.mean(axis=0) - found).max() > 0.1  # counting what the posteriors say would be far off
    right = (under_shares(equal, found).argmax(axis=1) == labels).mean()
    assert right > (equal.argmax(axis=1) == labels).mean()
    assert shares_of(np.zeros((0, 3))) == pytest.approx(np.full(3, 1 / 3))
