"""What class shares a classifier's probabilities assume, by how it was trained."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ganfer.classifier.train import training_prior
from ganfer.data.imageset import ImageSet

COUNTS = np.array([81.0, 16.0, 1.0])


def images() -> ImageSet:
    labels = np.repeat([0, 1, 2], COUNTS.astype(int))
    n = len(labels)
    text = np.full(n, "", "<U8")
    return ImageSet(
        np.zeros((n, 1, 2, 2), np.uint8), labels, ("happy", "sad", "fear"), np.full(n, "train"), text,
        np.full(n, "real"), np.array([str(i) for i in range(n)]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({}, COUNTS),
        ({"config": {"sampler": "balanced"}}, COUNTS**0),
        ({"config": {"sampler": "balanced", "defer": 0.8}}, COUNTS**0),
        ({"config": {"sampler": "root"}}, COUNTS**0.5),
        ({"config": {"loss": "class-weighted", "defer": 0.8}}, COUNTS**0),
        ({"config": {"loss": "logit-adjusted"}}, COUNTS**0),
        ({"config": {"loss": "logit-adjusted", "logit_tau": 0.5}}, COUNTS**0.5),
        ({"config": {"loss": "logit-adjusted", "logit_tau": 1.5}}, COUNTS**-0.5),
        ({"config": {"loss": "ldam", "defer": 0.8}}, COUNTS**0),
        ({"config": {"loss": "ldam"}}, COUNTS),
        ({"config": {"refit": 0.2}}, COUNTS**0),
        ({"config": {"loss": "cross-entropy"}, "prior": "balanced"}, COUNTS**0),  # biases fitted, as `best` has them
    ],
)
def test_the_prior_follows_from_the_training(card: dict[str, Any], expected: np.ndarray) -> None:
    classifier: Any = SimpleNamespace(card=card, class_names=("happy", "sad", "fear"))
    assert training_prior(classifier, images()) == pytest.approx(expected / expected.sum())


def test_a_class_without_training_images_has_no_share() -> None:
    classifier: Any = SimpleNamespace(card={}, class_names=("happy", "sad", "fear", "none"))
    assert training_prior(classifier, images()).tolist() == pytest.approx([*(COUNTS / 98), 0.0])
