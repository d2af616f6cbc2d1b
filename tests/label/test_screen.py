"""Thresholds follow validation data, and every rejection has its reason."""

import numpy as np
import pytest

from ganfer.label.criteria import (
    classwise_thresholds,
    is_blank,
    moderately_hard,
    near_duplicates,
    realism_limits,
    screen,
)
from ganfer.metrics.diversity import relative_entropy_to_uniform


def test_the_threshold_cuts_where_precision_is_lost() -> None:
    confidence = np.array([0.95, 0.9, 0.85, 0.8, 0.6, 0.55, 0.52])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    assert classwise_thresholds(probabilities, labels)[0] == pytest.approx(0.8)


def test_images_of_one_confidence_pass_or_fail_together() -> None:
    confidence = np.array([0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])  # of those at 0.8 the right ones come first
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    assert classwise_thresholds(probabilities, labels, 0.5)[0] == pytest.approx(0.9)


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
    reasons = screen(is_blank(images), probabilities, asked, np.array([0.6, 0.6]))
    assert reasons.tolist() == ["blank", "kept", "low confidence", "mismatch", "kept"]
    assert screen(is_blank(images), probabilities, asked, np.array([0.6, 0.6]), require_match=False)[3] == "kept"


def test_entropy() -> None:
    assert relative_entropy_to_uniform([5, 5, 5]) == pytest.approx(1.0)
    assert str(relative_entropy_to_uniform([9, 0, 0])) == "0.0"
    assert relative_entropy_to_uniform([0, 0]) == 0.0
    # the table of the project ganfer goes back to: 290 happy, 209 neutral, 1 angry of seven classes
    assert relative_entropy_to_uniform([290, 209, 1, 0, 0, 0, 0]) == pytest.approx(0.356, abs=1e-3)


def test_balanced_thresholds_do_not_depend_on_how_common_a_class_is_in_validation() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    p = np.clip(0.5 + (labels - 0.5) * 0.5 + rng.normal(0, 0.25, 300), 0.01, 0.99)
    probabilities = np.stack([1 - p, p], axis=1)
    many = np.concatenate([np.arange(300), np.tile(np.flatnonzero(labels == 0), 20)])  # class 0 much more common now
    once, often = (classwise_thresholds(probabilities[i], labels[i], balanced=True) for i in (np.arange(300), many))
    assert often == pytest.approx(once)
    assert classwise_thresholds(probabilities[many], labels[many])[1] > once[1]


def test_the_manifold_and_copies_come_after_the_label() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    reasons = screen(
        np.zeros(4, bool),
        probabilities,
        np.zeros(4, np.int64),
        np.array([0.5, 0.5]),
        off_manifold=np.array([True, False, True, True]),
        copy=np.array([False, True, True, True]),
    )
    assert reasons.tolist() == ["off the manifold", "copy", "off the manifold", "mismatch"]


def test_the_limit_of_realism_leaves_the_chosen_share_of_real_images_out() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [400, 200, 5])
    realism = rng.uniform(1, 2, 605) + labels
    limits = realism_limits(realism, labels, 4, 0.05)
    for k in (0, 1):
        assert (realism[labels == k] < limits[k]).mean() == pytest.approx(0.05, abs=0.01)
    assert (realism < limits[2]).mean() == pytest.approx(0.05, abs=0.01)  # five are too few: that of all together
    assert limits[3] == limits[2]
    assert realism_limits(realism, labels, 4, 0.0).tolist() == [0, 0, 0, 0]
    assert realism_limits(np.full(3, np.nan), labels[:3], 2, 0.05).tolist() == [0, 0]


def test_of_near_duplicates_the_preferred_one_stays() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(6, 256))
    repeated = np.concatenate([base, base[:2] + rng.normal(0, 0.1, (2, 256)), base[:1] + 0.1])
    thumbnails = repeated / np.linalg.norm(repeated, axis=1, keepdims=True)
    asked: list[tuple[int, int]] = []

    def same(i: int, j: int) -> float:
        asked.append((i, j))
        return 0.99 if {i, j} <= {0, 6, 8} else 0.5  # 1 and 7 are alike in small, not in full

    found = near_duplicates(thumbnails, np.arange(9), same)
    assert np.flatnonzero(found).tolist() == [6, 8]
    assert (7, 1) in asked
    assert all(i > j for i, j in asked)
    backwards = near_duplicates(thumbnails, np.arange(9)[::-1], same)
    assert np.flatnonzero(backwards).tolist() == [0, 6]
    assert not near_duplicates(thumbnails[:0], np.arange(0), same).any()


def test_a_collapsed_class_leaves_one_image_also_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganfer.label.criteria._BLOCK", 4)
    thumbnails = np.tile(np.eye(8)[0], (30, 1))
    assert near_duplicates(thumbnails, np.arange(30), lambda i, j: 1.0).sum() == 29


def test_moderately_hard_images_are_preferred_over_the_easiest() -> None:
    rng = np.random.default_rng(0)
    real = rng.uniform(0.4, 1.0, 200)
    easy = np.concatenate([np.linspace(0.97, 0.999, 300), np.linspace(0.4, 0.9, 100)])
    chosen = moderately_hard(easy, real, 100)
    assert len(np.unique(chosen)) == 100
    assert np.median(easy[chosen]) == pytest.approx(np.median(real), abs=0.05)
    assert np.median(easy) > 0.97
    assert moderately_hard(easy, real, 1000).tolist() == list(range(400))  # nothing to choose
    assert len(moderately_hard(easy[:0], real, 5)) == 0
    # without real images to go by, by the candidates' own quarters
    assert np.median(easy[moderately_hard(easy, real[:3], 100)]) < 0.985


@pytest.mark.parametrize(
    ("alike", "expected"),
    [
        ({(1, 0), (2, 1)}, [False, True, False]),  # 2 repeats only 1, which is gone
        ({(2, 0)}, [False, False, True]),  # one of the two kept is enough
        ({(2, 1)}, [False, False, True]),
        (set(), [False, False, False]),
    ],
)
def test_a_repetition_is_of_an_image_that_is_kept(alike: set[tuple[int, int]], expected: list[bool]) -> None:
    thumbnails = np.tile(np.eye(8)[0], (3, 1))
    found = near_duplicates(thumbnails, np.arange(3), lambda i, j: 0.9 if (i, j) in alike else 0.5)
    assert found.tolist() == expected
