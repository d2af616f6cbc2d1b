"""An image of small weight is a small part of an image, for the classes' weights and priors too."""

from pathlib import Path

import numpy as np
import pytest

from classifiers import Samples, TrainConfig
from classifiers.device import make_fabric
from classifiers.samples import class_mass
from classifiers.state import Run


def prepared(loss: str, weights: np.ndarray | None, folder: Path) -> Run:
    """Four images of class 0, one of class 1 and three more of class 1 that may weigh less."""
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 16, 16), dtype=np.uint8)
    samples = Samples(images, np.array([0, 0, 0, 0, 1, 1, 1, 1]), weights)
    config = TrainConfig(model="compact-small", epochs=1, loss=loss, precision="32-true")
    return Run(config, samples, samples, ["a", "b"], folder, 0, make_fabric("cpu", "32-true"), "")


LIGHT = np.array([1, 1, 1, 1, 1, 0.0, 0.0, 0.0], np.float32)
QUARTER = np.array([1, 1, 1, 1, 1, 0.25, 0.25, 0.5], np.float32)


def test_mass_is_the_sum_of_the_weights() -> None:
    samples = Samples(np.zeros((8, 1, 16, 16), np.uint8), np.array([0, 0, 0, 0, 1, 1, 1, 1]), QUARTER)
    assert class_mass(samples, 3).tolist() == [4.0, 2.0, 0.0]


def test_class_weights_balance_what_the_images_weigh(tmp_path: Path) -> None:
    run = prepared("class-weighted", QUARTER, tmp_path)
    _, targets = run.data.take(np.arange(8))
    by_class = targets.sum(0).tolist()
    assert by_class[0] == pytest.approx(by_class[1])
    assert run.counts.tolist() == [4, 4]  # the card still counts images


def test_images_of_no_weight_do_not_change_the_prior(tmp_path: Path) -> None:
    import torch

    logits, targets = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])
    loss = float(prepared("logit-adjusted", LIGHT, tmp_path).loss(logits, targets)[0])
    assert loss == pytest.approx(-np.log(1 / 5), rel=1e-5)  # the prior of one image in five
    assert float(prepared("logit-adjusted", None, tmp_path).loss(logits, targets)[0]) == pytest.approx(np.log(2))
