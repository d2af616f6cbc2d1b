"""A training that starts from a classifier that was trained before, on other classes."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import NAMES, striped

from classifiers import ClassifierError, Samples, TrainConfig, TrainResult, create_model, train
from classifiers.biases import save_with_biases
from classifiers.files import read_weights, save_weights
from classifiers.start import check_start, own_file, placed, start_name, take_over
from ganfer.classifier.starter import FILE

CONFIG = TrainConfig(model="compact-small", epochs=2, batch_size=16, augment="none", tensorboard=False)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return trained(tmp_path_factory.mktemp("parent"), CONFIG)


def trained(folder: Path, config: TrainConfig, names: tuple[str, ...] = NAMES, seed: int = 0) -> TrainResult:
    labels = np.arange(48) % len(names)
    data, val = (Samples(striped(labels, at), labels) for at in (seed + 1, seed + 2))
    return train(config, data, val, names, folder, seed=seed, device="cpu")


def test_what_fits_is_taken_over_and_classes_go_by_their_name(parent: TrainResult) -> None:
    model = create_model("compact-small", 4, 1, 16)
    fresh = model.head[-1].weight.detach().clone()
    said = take_over(model, parent.folder / "model.safetensors", ("sad", "disgust", "angry", "fear"))
    assert said.endswith("new to it: disgust, fear")
    weights, _ = read_weights(parent.folder / "model.safetensors")
    for name, value in model.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(value, weights[name]), name
    head, theirs = model.head[-1].weight.detach(), weights["head.1.weight"]
    assert torch.equal(head, torch.stack([theirs[2], fresh[1], theirs[0], fresh[3]]))


def test_a_training_says_what_it_starts_from_and_resumes(parent: TrainResult, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, pretrained=str(parent.folder), lr=1e-7, ema=0.0, optimizer="sgd")
    child = trained(tmp_path / "child", config, ("sad", "angry"))
    start = parent.folder / "model.safetensors"
    assert child.notes == [f"it starts from {start}, trained on 48 images of angry, happy, sad"]
    weights, _ = read_weights(parent.folder / "model.safetensors")
    own, card = read_weights(child.folder / "model.safetensors")
    assert torch.allclose(own["head.1.weight"], weights["head.1.weight"][[2, 0]], atol=1e-4)
    assert card["normalisation"]["mean"] == pytest.approx(weights["mean"].tolist())
    assert trained(tmp_path / "child", config, ("sad", "angry")).already_done


def test_other_weights_below_the_same_path_are_another_training(parent: TrainResult, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(parent.folder, start)
    config = dataclasses.replace(CONFIG, pretrained=str(start))
    first = trained(tmp_path / "child", config)
    moved = tmp_path / "elsewhere"
    start.rename(moved)
    again = trained(tmp_path / "child", dataclasses.replace(config, pretrained=str(moved)))
    assert again.already_done
    trained(start, dataclasses.replace(CONFIG, epochs=1))
    assert trained(tmp_path / "child", config).card["identity"] != first.card["identity"]


def test_the_classifier_in_the_package_can_be_gone_on_from(tmp_path: Path) -> None:
    """Half-precision weights become single ones."""
    model = create_model("compact", 2, 1, 32)
    take_over(model, FILE, ("happy", "sad"))
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("changes", "shape", "said"),
    [
        ({"model": "compact"}, (1, 16), "weights of compact-small, and model is compact"),
        ({}, (3, 16), "trained on grey images, and these are colour"),
    ],
)
def test_what_cannot_start_there_is_one_line(
    parent: TrainResult, changes: dict[str, str], shape: tuple[int, int], said: str
) -> None:
    source = own_file(str(parent.folder))
    assert source is not None
    with pytest.raises(ClassifierError, match=said):
        check_start(source, dataclasses.replace(CONFIG, **changes), shape)


def test_a_network_of_dense_layers_wants_the_size_it_was_trained_on(tmp_path: Path) -> None:
    folder = trained(tmp_path, dataclasses.replace(CONFIG, model="cnn", epochs=1)).folder
    source = own_file(str(folder))
    assert source is not None
    check_start(source, dataclasses.replace(CONFIG, model="cnn"), (1, 16))
    with pytest.raises(ClassifierError, match=r"tensors don't fit, .* 1 channel\(s\) of 16 pixels"):
        check_start(source, dataclasses.replace(CONFIG, model="cnn"), (1, 32))


def test_one_output_for_two_classes_is_taken_over_for_the_same_two_alone(tmp_path: Path) -> None:
    folder = trained(tmp_path, dataclasses.replace(CONFIG, model="cnn-binary", epochs=1), ("angry", "happy")).folder
    source = own_file(str(folder))
    assert source is not None
    model = create_model("cnn-binary", 2, 1, 16)
    assert "new to it" not in take_over(model, source, ("angry", "happy"))
    assert take_over(model, source, ("happy", "angry")).endswith("new to it: happy, angry")


def test_a_folder_without_a_classifier_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match=r"there is no model\.safetensors in this folder"):
        own_file(str(tmp_path))
    assert own_file("none") is None
    assert own_file("imagenet") is None


def test_a_folder_named_like_a_word_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("none", "imagenet"):
        Path(word).mkdir()
        assert own_file(word) is None
        assert start_name(word) == word


def test_weights_from_elsewhere_have_their_content_for_a_name(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    torch.save({"weight": torch.zeros(2)}, first)
    shutil.copy(first, again)
    torch.save({"weight": torch.ones(2)}, other)
    assert start_name(str(first)) == start_name(str(again)) != start_name(str(other))


def test_biases_that_were_fitted_afterwards_are_taken_away_again(parent: TrainResult, tmp_path: Path) -> None:
    save_with_biases(parent.folder, tmp_path / "best", slope=2.0, shifts=np.array([3.0, -1.0, 0.0]))
    weights, _ = read_weights(parent.folder / "model.safetensors")
    shifted, _ = read_weights(tmp_path / "best" / "model.safetensors")
    assert not torch.allclose(shifted["head.1.bias"], weights["head.1.bias"], atol=0.1)
    model = create_model("compact-small", 2, 1, 16)
    take_over(model, tmp_path / "best" / "model.safetensors", ("sad", "angry"))
    assert torch.allclose(model.head[-1].bias.detach(), weights["head.1.bias"][[2, 0]], atol=1e-5)


def test_an_option_that_makes_another_network_is_said_before_the_training(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, model="cnn-8class", epochs=1)
    source = own_file(str(trained(tmp_path, config).folder))
    assert source is not None
    check_start(source, dataclasses.replace(config, batch_norm=True), (1, 16))
    with pytest.raises(ClassifierError, match="tensors don't fit"):
        check_start(source, dataclasses.replace(config, batch_norm=False), (1, 16))


def test_a_card_of_other_kinds_and_numbers_that_are_none_are_one_line(parent: TrainResult, tmp_path: Path) -> None:
    weights, card = read_weights(parent.folder / "model.safetensors")
    model = create_model("compact-small", 3, 1, 16)
    odd = {
        "class_names": ({**card, "class_names": 3}, weights),
        "fitted_biases are not numbers": ({**card, "fitted_biases": ["a"]}, weights),
        "holds NaN": (card, {**weights, "head.1.bias": torch.full((3,), torch.nan)}),
    }
    for place, (said, (facts, tensors)) in enumerate(odd.items()):
        file = tmp_path / f"{place}.safetensors"
        save_weights(file, tensors, facts)
        with pytest.raises(ClassifierError, match=said):
            take_over(model, file, NAMES)


def test_a_worker_in_another_folder_finds_the_weights(
    parent: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster's workers were not started where the command was; those that see no such file say so."""
    monkeypatch.chdir(parent.folder.parent)
    config = dataclasses.replace(CONFIG, pretrained=parent.folder.name)
    elsewhere = placed(config)
    monkeypatch.chdir(tmp_path)
    assert trained(tmp_path / "child", elsewhere).notes
    with pytest.raises(ClassifierError, match="workers of a cluster must see it"):
        trained(tmp_path / "other", config)
