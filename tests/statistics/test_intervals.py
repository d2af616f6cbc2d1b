"""Intervals from a confusion matrix: the plain figures are exact, the intervals those of resampled test images."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom
from tiny import fast_config, tiny_set

from classifiers import evaluate
from ganfer.classifier.figures import Measurement, evaluation_results
from ganfer.classifier.selective import selective_figures
from ganfer.classifier.subject import Subject
from ganfer.statistics.intervals import confusion_by_subject, confusion_estimates, confusion_scores
from ganfer.statistics.verdict import bootstrap_weights, estimates, measure, scores

NAMES = ("a", "b", "c")
CONFUSION = np.array([[40, 5, 5], [10, 20, 0], [1, 0, 4]])


def answers(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, called = (np.repeat(ids.ravel(), confusion.ravel()) for ids in np.indices(confusion.shape))
    return true, called


def matrix_of(labels: np.ndarray, called: np.ndarray) -> np.ndarray:
    found = np.zeros((3, 3), np.int64)
    np.add.at(found, (labels, called), 1)
    return found


def test_the_figures_are_those_of_evaluate() -> None:
    true, called = answers(CONFUSION)
    expected = evaluate(np.eye(3, dtype=np.float32)[called], true, NAMES, beta=2.0)
    found = {name: float(v[0]) for name, v in confusion_scores(CONFUSION[None], NAMES, 2.0).items()}
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "f_beta"):
        assert found[name] == pytest.approx(getattr(expected, name))
    for cls in NAMES:
        for figure in ("precision", "recall", "f1", "f_beta"):
            assert found[f"{figure}:{cls}"] == pytest.approx(expected.per_class[cls][figure])


def test_the_intervals_are_those_of_resampled_images() -> None:
    true, called = answers(CONFUSION)
    drawn = scores(true, called, NAMES, bootstrap_weights(true, 4000, 3))
    found = confusion_estimates(CONFUSION, NAMES, beta=2.0, resamples=4000, seed=1)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "recall:a", "recall:b", "precision:a"):
        assert (found[name].high - found[name].low) == pytest.approx(2 * 1.96 * drawn[name].std(), rel=0.08), name


def test_all_right_is_no_proof_of_perfection_and_more_images_say_more() -> None:
    few = confusion_estimates(np.diag([5, 5]), ("a", "b"), beta=1.0, resamples=200, seed=0)
    many = confusion_estimates(np.diag([500, 500]), ("a", "b"), beta=1.0, resamples=200, seed=0)
    assert few["recall:a"].mean == 1.0
    assert few["recall:a"].low < 0.8 < 0.99 < many["recall:a"].low < 1.0
    assert few["accuracy"].low < many["accuracy"].low < 1.0


def test_a_class_without_images_is_left_out() -> None:
    confusion = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    found = confusion_estimates(confusion, NAMES, beta=2.0, resamples=200, seed=0)
    assert "recall:c" not in found
    assert found["balanced_accuracy"].mean == pytest.approx((0.8 + 0.9) / 2)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for i in range(300):
        hits = rng.binomial(60, 0.7), rng.binomial(25, 0.4)
        confusion = np.array([[hits[0], 60 - hits[0]], [25 - hits[1], hits[1]]])
        found = confusion_estimates(confusion, ("a", "b"), beta=1.0, resamples=300, seed=i)["balanced_accuracy"]
        held += found.low <= 0.55 <= found.high
    assert 0.91 <= held / 300 <= 0.99


@pytest.mark.parametrize(("n", "p"), [(8, 0.8), (8, 0.2), (20, 0.9), (20, 0.1)])
def test_recall_of_a_few_images_holds_the_truth_as_often_as_it_says(n: int, p: float) -> None:
    held = 0.0
    for hits in range(n + 1):
        found = confusion_estimates(np.array([[hits, n - hits], [0, 9]]), ("a", "b"), beta=1.0, resamples=20, seed=0)
        recall = found["recall:a"]
        assert recall.low <= recall.mean <= recall.high
        held += float(binom.pmf(hits, n, p)) * (recall.low <= p <= recall.high)
    assert 0.92 < held < 0.98  # by the mean and its error on both sides 0.82 and 0.88


def test_people_are_drawn_whole_where_they_are_known() -> None:
    rng = np.random.default_rng(0)
    labels, names = np.tile([0, 1, 2], 100), np.repeat([f"S{i}" for i in range(30)], 10)
    seen = np.repeat(rng.random(30) < 0.6, 10)  # who is recognised, is so on every image
    called = np.where(seen, labels, (labels + 1) % 3)
    confusion = matrix_of(labels, called)
    parts = confusion_by_subject(labels, called, names, 3)
    assert parts is not None
    assert np.array_equal(parts.sum(axis=0), confusion)
    alone, whole = (
        confusion_estimates(confusion, NAMES, beta=1.0, resamples=600, seed=0, by_subject=part)
        for part in (None, parts)
    )
    assert whole["accuracy"].mean == alone["accuracy"].mean
    assert whole["accuracy"].high - whole["accuracy"].low > 2 * (alone["accuracy"].high - alone["accuracy"].low)
    rows = estimates(measure(labels, called[None], NAMES, resamples=600, groups=np.repeat(np.arange(30), 10)))
    assert whole["accuracy"].error == pytest.approx(rows["accuracy"].error, rel=0.15)  # as an experiment's
    unknown = np.where(np.arange(300) < 150, "", names)
    mixed = confusion_by_subject(labels, called, unknown, 3)
    assert mixed is not None
    assert len(mixed) == 150 + 15
    assert confusion_by_subject(labels, called, np.full(300, ""), 3) is None
    assert confusion_by_subject(labels[:2], called[:2], np.array(["a", "b"]), 3) is None


def test_an_evaluation_draws_people_whole() -> None:
    images = tiny_set((0, 0, 0), val=0, test=40).of("test")
    seen = np.arange(len(images)) % 6 < 3
    said = np.eye(3, dtype=np.float32)[np.where(seen, images.labels, (images.labels + 1) % 3)]
    who = SimpleNamespace(name="c", classifier=SimpleNamespace(card={}, digest="", device="cpu"))
    widths = []
    for group in (images.group, np.array([f"S{i % 6}" for i in range(len(images))])):
        subject = Subject("tiny", "", replace(images, group=group), None)
        asked = Measurement(subject, SimpleNamespace(temperature=1.0), (who,), said, None)  # type: ignore[arg-type]
        found = evaluation_results(SimpleNamespace(record={}), fast_config(), asked)  # type: ignore[arg-type]
        widths.append(found["figures"]["accuracy"]["high"] - found["figures"]["accuracy"]["low"])
    assert widths[1] > 1.5 * widths[0]


def test_selective_figures_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]], np.float32)
    found = selective_figures(probabilities, np.array([0, 1, 1, 0]), np.array([0.8, 0.6], np.float32), ("a", "b"), 0.95)
    assert found["coverage"]["mean"] == 0.5
    assert found["accuracy"]["mean"] == 1.0
    assert 0.2 < found["accuracy"]["low"] < 0.5, "two of two right says little"
    assert found["per_class"]["a"] == {
        "threshold": pytest.approx(0.8), "predicted": 2, "accepted": 1, "right": found["per_class"]["a"]["right"],
    }  # fmt: skip
    none = selective_figures(probabilities, np.array([0, 1, 1, 0]), np.ones(2, np.float32), ("a", "b"), 0.95)
    assert none["coverage"]["mean"] == 0.0
    assert none["accuracy"]["mean"] is None
