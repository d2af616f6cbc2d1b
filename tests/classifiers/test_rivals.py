"""Images pushed into a rare class, and a head fitted on drawn features."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars, quick

from classifiers import ClassifierError, Samples, TrainResult, create_model, load_classifier, train
from classifiers.major_to_minor import chosen_sources, largest_move, pushed, usual_confidence
from classifiers.models import ImageClassifier
from classifiers.prediction import Classifier
from classifiers.tail_features import fit_head, head_key, rare_features, refit_on_features


def long_tail() -> Samples:
    samples = bars(60)
    keep = np.concatenate([np.flatnonzero(samples.labels == k)[:n] for k, n in enumerate((20, 12, 3))])
    return Samples(samples.images[keep], samples.labels[keep])


class Templates(ImageClassifier):
    """Sees how much of each class's faint pattern an image has."""

    def __init__(self) -> None:
        super().__init__(3, 1, 16)
        self.body, self.head = torch.nn.Flatten(), torch.nn.Linear(256, 3)
        pattern = np.sign(np.random.default_rng(0).standard_normal((3, 256))).astype(np.float32)
        self.pattern = 5 * pattern.reshape(3, 1, 16, 16)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(pattern))
            self.head.bias.zero_()

    def images(self, labels: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(1).normal(0, 8, (len(labels), 1, 16, 16))
        return np.clip(128 + self.pattern[labels] + noise, 0, 255).astype(np.uint8)


def test_pushed_images_become_the_class_and_stay_near_where_they_began() -> None:
    model = Templates()
    guide, labels = Classifier(model, NAMES), np.repeat([0, 1, 2], [20, 12, 3])
    images = model.images(labels)
    assert (guide.probabilities(images).argmax(axis=1) == labels).mean() > 0.9
    found = pushed(guide, guide, images, labels, 2, 24, seed=3)
    start = images[found.source]
    assert not (labels[found.source] == 2).any()
    assert guide.probabilities(start)[:, 2].max() < 0.1
    assert guide.probabilities(found.images)[:, 2].min() > 0.9
    assert np.allclose(found.confidence, guide.probabilities(found.images)[:, 2], atol=1e-5)
    moved = (found.images.astype(float) - start.astype(float)).reshape(24, -1)
    limit, rounding = 255 * largest_move(images.shape[1:]), 0.5 * 16
    assert 0 < np.linalg.norm(moved, axis=1).max() <= limit + rounding
    assert np.abs(moved).mean() < 255 * 0.03  # a few grey levels
    assert np.array_equal(pushed(guide, guide, images, labels, 2, 24, seed=3).images, found.images)
    assert not np.array_equal(pushed(guide, guide, images, labels, 2, 24, seed=4).images, found.images)


def test_what_a_guide_is_usually_sure_of() -> None:
    said = np.array([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.3, 0.7, 0.0], [0.8, 0.1, 0.1], [0.5, 0.4, 0.1]], np.float32)
    guide = SimpleNamespace(probabilities=lambda images: said)
    found = usual_confidence(guide, np.empty(0), np.array([0, 0, 1, 2, 2]))  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([0.75, 0.7, (0.9 + 0.6 + 0.7) / 3])  # none of the last class is right
    assert usual_confidence(guide, np.empty(0), np.full(5, 2)).tolist() == [1, 1, 1]  # type: ignore[arg-type]


def test_images_come_from_larger_classes_by_how_much_larger() -> None:
    labels = np.repeat([0, 1, 2, 3], [500, 40, 20, 20])
    rows = chosen_sources(labels, np.bincount(labels), 2, 4000, 0.999, 0)
    share = np.bincount(labels[rows], minlength=4) / 4000
    odds = np.array([1 - 0.999**480, 1 - 0.999**20, 0, 0])
    assert share.tolist() == pytest.approx((odds / odds.sum()).tolist(), abs=0.02)


def tail(rng: np.random.Generator, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Three Gaussian classes in eight dimensions with one covariance, whose means lie two units apart."""
    labels = np.repeat(np.arange(3), counts)
    root = np.diag([1.0, 1.0, 1.0, 2.0, 0.5, 0.5, 0.5, 0.5])
    return (3 * np.eye(3, 8)[labels] + rng.standard_normal((len(labels), 8)) @ root).astype(np.float32), labels


def test_drawn_features_raise_the_recall_of_the_rare_class() -> None:
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        features, labels = tail(rng, (400, 300, 6))
        test, truth = tail(rng, (0, 0, 400))
        recall = []
        for wanted in (np.zeros(3), np.array([0, 100, 394])):
            more, classes = rare_features(features, labels, wanted, seed=seed)
            assert np.bincount(classes, minlength=3).tolist() == wanted.tolist()
            weight, bias = fit_head(np.concatenate([features, more]), np.concatenate([labels, classes]), 3)
            recall.append(float(np.mean((test @ weight.T + bias).argmax(axis=1) == truth)))
        gains.append(recall[1] - recall[0])
    assert min(gains) > 0.05


def test_a_rare_class_borrows_its_covariance_and_keeps_its_mean() -> None:
    rng = np.random.default_rng(0)
    features, labels = tail(rng, (4000, 3000, 3))
    more, _ = rare_features(features, labels, np.array([0, 0, 4000]), borrowed=1e6)
    own = features[labels == 2].mean(axis=0)
    theirs = (features[labels == 0].mean(axis=0) + features[labels == 1].mean(axis=0)) / 2
    assert np.allclose(more.mean(axis=0), (3 * own + theirs) / 4, atol=0.15)
    assert np.allclose(more.std(axis=0), [1, 1, 1, 2, 0.5, 0.5, 0.5, 0.5], atol=0.1)
    positive, _ = rare_features(np.abs(features), labels, np.array([0, 0, 50]))
    assert positive.min() >= 0
    single, classes = rare_features(features[:1], np.array([1]), np.array([0, 3, 3]))  # no neighbour, no spread
    assert classes.tolist() == [1, 1, 1]
    assert np.allclose(single, features[0], atol=1e-5)


def test_a_head_of_two_classes_and_one_that_is_missing() -> None:
    rng = np.random.default_rng(1)
    features, labels = tail(rng, (80, 80, 0))
    weight, bias = fit_head(features, labels, 3)
    named = (features @ weight.T + bias).argmax(axis=1)
    assert np.mean(named == labels) > 0.95
    assert not (named == 2).any()


def test_the_refitted_classifier_loads_everywhere(trained: TrainResult, tmp_path: Path) -> None:
    samples, val = long_tail(), bars(30, seed=2)
    wanted = np.array([0, 8, 17])
    card = refit_on_features(trained.folder, tmp_path / "a", samples, val, wanted, device="cpu")
    found, before = load_classifier(tmp_path / "a", "cpu"), load_classifier(trained.folder, "cpu")
    assert np.mean(found.probabilities(val.images).argmax(axis=1) == val.labels) > 0.8
    assert found.temperature == card["temperature"]
    assert np.array_equal(found.features(val.images), before.features(val.images))
    refit_on_features(trained.folder, tmp_path / "b", samples, val, wanted, device="cpu")
    assert np.array_equal(load_classifier(tmp_path / "b", "cpu").logits(val.images), found.logits(val.images))


def test_a_network_with_one_output_for_two_classes(tmp_path: Path) -> None:
    samples, val = bars(40, size=32, classes=2), bars(20, seed=1, size=32, classes=2)
    names, config = NAMES[:2], quick(model="cnn-binary", epochs=2)
    train(config, samples, val, names, tmp_path / "a", device="cpu")
    refit_on_features(tmp_path / "a", tmp_path / "b", samples, val, np.array([5, 0]), device="cpu")
    found = load_classifier(tmp_path / "b", "cpu")
    assert found.logits(val.images)[:, 0].tolist() == [0.0] * 20
    assert np.mean(found.probabilities(val.images).argmax(axis=1) == val.labels) > 0.9


def test_a_model_without_such_a_head_is_named() -> None:
    model = create_model("compact-small", 3, 1, 16)
    model.head = torch.nn.Identity()
    with pytest.raises(ClassifierError, match="'headless' has no linear head of 3 outputs"):
        head_key(Classifier(model, NAMES, card={"architecture": "headless"}))
