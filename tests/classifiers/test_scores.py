"""The figures from counts: by hand, and as scikit-learn has them."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from classifiers.scores import scores


def test_by_hand() -> None:
    figures = scores(np.array([8, 1]), np.array([8, 2]), np.array([9, 1]))
    assert figures["recall"].tolist() == [1.0, 0.5]
    assert figures["precision"].tolist() == [8 / 9, 1.0]
    assert figures["f1"].tolist() == pytest.approx([16 / 17, 2 / 3])
    assert figures["f_beta"].tolist() == pytest.approx([40 / 41, 5 / 9])
    assert float(figures["accuracy"]) == 0.9
    assert float(figures["balanced_accuracy"]) == 0.75


@pytest.mark.parametrize("seed", range(5))
def test_as_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 4, 60), rng.integers(0, 5, 60)  # class 4 is absent and predicted
    confusion = np.bincount(labels * 5 + predicted, minlength=25).reshape(5, 5)
    figures = scores(confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0), beta=0.5)
    precision, recall, f_beta, _ = precision_recall_fscore_support(
        labels, predicted, labels=range(4), beta=0.5, zero_division=0.0
    )
    assert figures["precision"][:4] == pytest.approx(precision)
    assert figures["recall"][:4] == pytest.approx(recall)
    assert figures["f_beta"][:4] == pytest.approx(f_beta)
    assert float(figures["f_beta_mean"]) == pytest.approx(f_beta.mean())
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert float(figures["balanced_accuracy"]) == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_a_class_nobody_has_or_calls() -> None:
    figures = scores(np.array([3, 0, 0]), np.array([4, 2, 0]), np.array([6, 0, 0]))
    assert figures["precision"][1] == 0.0
    assert np.isnan([figures[name][2] for name in ("recall", "precision", "f1", "f_beta")]).all()
    assert float(figures["balanced_accuracy"]) == pytest.approx(0.375)


def test_many_at_once_are_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    support = rng.integers(1, 9, (6, 3))
    hits = rng.integers(0, support + 1)
    together = scores(hits, support, support)
    alone = [scores(*parts) for parts in zip(hits, support, support, strict=True)]
    assert together["macro_f1"].tolist() == [float(one["macro_f1"]) for one in alone]
