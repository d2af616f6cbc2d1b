"""The statistics, by hand and by scikit-learn; coverage and false alarms are in test_verdict_truth.py."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from ganfer.statistics.verdict import (
    Estimate,
    bootstrap_weights,
    changes,
    estimates,
    measure,
    points,
    scores,
    word,
)

NAMES = ("angry", "happy", "sad")


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    table = scores(labels, predictions, NAMES, np.ones((1, 200), np.float32))
    assert table["accuracy"][0] == pytest.approx((labels == predictions).mean())
    assert table["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(labels, predictions))
    assert table["macro_f1"][0] == pytest.approx(f1_score(labels, predictions, average="macro"))
    for figure, reference in (("recall", recall_score), ("precision", precision_score), ("f1", f1_score)):
        expected = reference(labels, predictions, average=None)
        assert [table[f"{figure}:{name}"][0] for name in NAMES] == pytest.approx(list(expected))


def test_weights_are_repetitions() -> None:
    labels, predictions = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    repeats = np.array([2, 1, 3, 1])
    weighted = scores(labels, predictions, NAMES, repeats[None].astype(np.float32))
    repeated = scores(np.repeat(labels, repeats), np.repeat(predictions, repeats), NAMES, np.ones((1, 7), np.float32))
    for name, value in repeated.items():
        assert weighted[name] == pytest.approx(value)


def test_a_class_without_test_images_is_left_out_and_a_class_never_predicted_has_precision_zero() -> None:
    table = scores(np.array([0, 0, 1]), np.array([0, 0, 0]), NAMES, np.ones((1, 3), np.float32))
    assert "recall:sad" not in table
    assert table["balanced_accuracy"][0] == pytest.approx(0.5)
    assert table["precision:happy"][0] == 0.0


def test_resamples_keep_every_class_at_its_size() -> None:
    labels = np.array([0] * 5 + [1] * 2 + [2])
    weights = bootstrap_weights(labels, 50, seed=1)
    assert np.array_equal(weights[:, :5].sum(axis=1), np.full(50, 5))
    assert np.array_equal(weights[:, 7], np.ones(50))
    assert np.array_equal(weights, bootstrap_weights(labels, 50, seed=1))


def test_many_test_images_are_resampled_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    rows = np.where(rng.random((2, 300)) < 0.7, labels, (labels + 1) % 3)
    whole = measure(labels, rows, NAMES, resamples=500).resampled["accuracy"]
    monkeypatch.setattr("ganfer.statistics.verdict._MOST_WEIGHTS", 300 * 120)
    parts = measure(labels, rows, NAMES, resamples=500).resampled["accuracy"]
    assert parts.shape == whole.shape == (2, 500)
    assert len(np.unique(parts[0, :120] - parts[0, 120:240])) > 5  # each piece draws anew
    assert parts.std() == pytest.approx(whole.std(), rel=0.1)


def test_three_lucky_seeds_are_not_certainty() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 2000)  # so many test images that only the seeds are uncertain
    accuracies = (0.60, 0.62, 0.67)
    rows = np.stack([np.where(rng.random(6000) < p, labels, (labels + 1) % 3) for p in accuracies])
    estimate = estimates(measure(labels, rows, NAMES, resamples=100))["accuracy"]
    assert estimate.high - estimate.low > 0.12  # Student's t with two degrees of freedom, not ±1.96 standard errors


def test_all_right_on_five_images_is_no_proof() -> None:
    labels = np.array([0] * 5 + [1] * 500 + [2] * 500)
    perfect = estimates(measure(labels, np.stack([labels, labels]), NAMES, resamples=100))["recall:angry"]
    assert perfect.mean == 1.0
    assert perfect.low < 0.75
    assert perfect.high == 1.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.05, "helps"),
        (-0.05, -0.001, "hurts"),
        (-0.004, 0.009, "no difference"),
        (-0.034, 0.001, "does not help"),
        (-0.034, 0.0101, "cannot tell"),
        (-0.02, 0.03, "cannot tell"),
    ],
)
def test_words(low: float, high: float, expected: str) -> None:
    assert word(Estimate((low + high) / 2, low, high), margin=0.01) == expected


def test_one_seed_has_no_word() -> None:
    for low, high in ((0.01, 0.02), (-0.02, -0.01), (-0.001, 0.001)):
        assert word(Estimate((low + high) / 2, low, high, per_seed=(0.0,)), margin=0.01) == "cannot tell"


def test_an_interval_of_another_level_and_its_p_value_agree() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 60)
    rows = [np.where(rng.random((3, 180)) < p, labels, (labels + 1) % 3) for p in (0.6, 0.68)]
    base, arm = (measure(labels, one, NAMES, resamples=300) for one in rows)
    for name, change in changes(arm, base).items():
        assert change.at(0.95).low == pytest.approx(change.low), name
        edge = change.at(1 - change.p)
        assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-6), name
        assert change.at(0.99).high >= change.high


def test_images_of_one_person_are_drawn_together() -> None:
    labels, groups = np.array([0, 0, 1, 1, 2, 2]), np.array([7, 7, 7, 3, -1, -1])
    weights = bootstrap_weights(labels, 400, seed=0, groups=groups)
    assert np.array_equal(weights[:, 0], weights[:, 2])  # one person's, of two classes
    assert not np.array_equal(weights[:, 4], weights[:, 5])  # unknown people are not one
    assert weights.mean() == pytest.approx(1, abs=0.1)
    found = estimates(measure(labels, np.stack([labels, labels[::-1]]), NAMES, resamples=200, groups=groups))
    assert np.isfinite(found["balanced_accuracy"].error)  # also where some resamples lack a class


def test_people_who_succeed_or_fail_as_a_whole_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    labels, groups = np.tile([0, 1, 2], 100), np.repeat(np.arange(30), 10)
    seen = rng.random(30) < 0.6
    rows = np.stack([np.where(seen[groups], labels, (labels + 1) % 3)] * 2)
    alone, whole = (
        estimates(measure(labels, rows, NAMES, resamples=500, groups=which))["accuracy"] for which in (None, groups)
    )
    assert whole.high - whole.low > 2 * (alone.high - alone.low)


def test_points_are_written_with_a_true_minus() -> None:
    assert points(Estimate(0.012, -0.003, 0.027)) == "+1.2 [−0.3, +2.7]"
    assert points(Estimate(-0.0003, -0.01, 0.0004)) == "0.0 [−1.0, 0.0]"  # as everywhere else
