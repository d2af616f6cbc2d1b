"""A classifier's file explains and checks itself; predictions don't depend on the batch size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars
from safetensors.torch import save_file

from classifiers import ClassifierError, Ensemble, TrainResult, load_classifier, load_ensemble
from classifiers.files import read_weights, save_weights


def test_the_calibrated_probabilities_are_those_the_card_was_written_for(trained: TrainResult) -> None:
    classifier, val = trained.load("cpu"), bars(48, seed=1)
    p = classifier.probabilities(val.images)
    assert p.dtype == np.float32
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    likelihood = -np.log(p[np.arange(48), val.labels]).mean()
    assert likelihood == pytest.approx(trained.validation["nll"], rel=1e-4)
    assert classifier.class_names == NAMES
    assert classifier.temperature == trained.card["temperature"] != 1.0


def test_batches_and_memory_maps_change_nothing(trained: TrainResult, tmp_path: Path) -> None:
    classifier, images = trained.load("cpu"), bars(37, seed=2).images
    np.save(tmp_path / "images.npy", images)
    whole = classifier.logits(images)
    assert np.allclose(classifier.logits(images, batch_size=5), whole, atol=1e-4)
    assert np.array_equal(classifier.logits(np.load(tmp_path / "images.npy", mmap_mode="r")), whole)
    assert classifier.features(images).shape == (37, 512)
    assert classifier.logits(images[:0]).shape == (0, 3)


def test_flip_averages_the_two_sides(trained: TrainResult) -> None:
    classifier, images = trained.load("cpu"), bars(8, seed=3).images
    mirrored = np.ascontiguousarray(images[..., ::-1])
    both = classifier.logits(images, tta="flip")
    assert np.allclose(both, (classifier.logits(images) + classifier.logits(mirrored)) / 2, atol=1e-4)
    assert not np.allclose(both, classifier.logits(images), atol=1e-4)
    with pytest.raises(ClassifierError, match="tta"):
        classifier.logits(images, tta="fivefold")  # type: ignore[arg-type]


def test_out_of_memory_halves_the_batch_and_loses_nothing(
    trained: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, images = trained.load("cpu"), bars(21, seed=4).images
    whole, forward, sizes = classifier.logits(images), classifier.model.forward, []

    def small_only(x: torch.Tensor) -> torch.Tensor:
        if len(x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(x))
        return forward(x)

    monkeypatch.setattr(classifier.model, "forward", small_only)
    assert np.allclose(classifier.logits(images, batch_size=16), whole, atol=1e-4)
    assert sizes == [2] * 10 + [1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (bars(2, size=20).images, "are 20x20 pixels where 16x16 are expected; resize them to 16"),
        (bars(2, channels=3).images, r"have 3 channel\(s\) where 1 are expected"),
        (bars(2).images.astype(np.float32), "must be uint8"),
        (bars(2).images[0], r"must have the shape \(N, C, H, W\)"),
        ([1, 2], "must be a numpy array, not list"),
    ],
)
def test_refuses_other_images(trained: TrainResult, images: np.ndarray, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        trained.load("cpu").probabilities(images)


def test_one_file_is_enough_and_every_flipped_byte_is_noticed(trained: TrainResult, tmp_path: Path) -> None:
    data = (trained.folder / "model.safetensors").read_bytes()
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(data)
    assert load_classifier(alone, "cpu").digest == trained.load("cpu").digest
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data) // 2, len(data), 5):
        alone.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        with pytest.raises(ClassifierError, match="checksum"):
            load_classifier(alone, "cpu")


@pytest.mark.parametrize("length", [0, 5, 300, 100_000])
def test_a_cut_off_file_is_refused(trained: TrainResult, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "model.safetensors"
    cut.write_bytes((trained.folder / "model.safetensors").read_bytes()[:length])
    with pytest.raises(ClassifierError, match="damaged or not a safetensors file") as caught:
        load_classifier(tmp_path, "cpu")
    assert "\n" not in caught.value.message


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="no such classifier"):
        load_classifier(tmp_path, "cpu")
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ClassifierError, match="not a classifier of this package"):
        load_classifier(tmp_path / "foreign.safetensors", "cpu")


@pytest.mark.parametrize(
    "change",
    [{"class_names": ["x", "y"]}, {"channels": 3}, {"architecture": None}, {"temperature": "hot"}, {"size": None}],
)
def test_weights_that_dont_fit_their_card_are_refused(trained: TrainResult, tmp_path: Path, change: dict) -> None:
    tensors, card = read_weights(trained.folder / "model.safetensors")
    save_weights(tmp_path / "m.safetensors", tensors, card | change)
    with pytest.raises(ClassifierError) as caught:
        load_classifier(tmp_path / "m.safetensors", "cpu")
    assert "\n" not in caught.value.message


def test_a_disk_that_is_full_leaves_the_old_file(trained: TrainResult, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import os

    tensors, card = read_weights(trained.folder / "model.safetensors")
    save_weights(tmp_path / "m.safetensors", tensors, card)
    before = (tmp_path / "m.safetensors").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ClassifierError, match="No space left on device"):
        save_weights(tmp_path / "m.safetensors", tensors, card | {"seed": 9})
    assert (tmp_path / "m.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    assert json.loads(json.dumps(card)) == card


def test_ten_crop_averages_ten_views(trained: TrainResult) -> None:
    classifier, images = trained.load("cpu"), bars(6, seed=5).images
    flat = np.full_like(images, 90)  # every crop and mirror image of a flat image is that image
    assert np.allclose(classifier.logits(flat, tta="ten-crop"), classifier.logits(flat), atol=1e-4)
    views = classifier.logits(images, tta="ten-crop")
    mirrored = np.ascontiguousarray(images[..., ::-1])
    assert np.allclose(classifier.logits(mirrored, tta="ten-crop"), views, atol=1e-3)
    assert not np.allclose(views, classifier.logits(images, tta="flip"), atol=1e-3)


def test_an_ensemble_averages_probabilities_and_can_be_calibrated(trained: TrainResult) -> None:
    one = trained.load("cpu")
    two = trained.load("cpu")
    two.temperature = one.temperature * 3
    both, val = Ensemble([one, two]), bars(48, seed=1)
    expected = (one.probabilities(val.images) + two.probabilities(val.images)) / 2
    assert np.allclose(both.probabilities(val.images), expected, atol=1e-5)
    fitted = both.calibrated(val.images, val.labels)
    assert fitted.temperature < 1, "the softened ensemble is under-confident"
    assert both.temperature == 1
    alone = load_ensemble([trained.folder], "cpu")
    assert np.allclose(alone.probabilities(val.images), one.probabilities(val.images), atol=1e-5)


def test_an_ensemble_of_strangers_is_refused(trained: TrainResult) -> None:
    one, two = trained.load("cpu"), trained.load("cpu")
    two.class_names = ["x", "y", "z"]
    with pytest.raises(ClassifierError, match="must agree on class_names"):
        Ensemble([one, two])
    with pytest.raises(ClassifierError, match="at least one"):
        load_ensemble([], "cpu")


def test_classes_are_matched_by_name_not_by_place(trained: TrainResult) -> None:
    classifier = trained.load("cpu")
    assert classifier.columns(["rising", "flat", "steep"]).tolist() == [2, 0, 1]
    with pytest.raises(ClassifierError, match="knows flat, steep, rising; the data has flat, steep"):
        classifier.columns(["flat", "steep"])
