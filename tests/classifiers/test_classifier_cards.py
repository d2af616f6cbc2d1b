"""A classifier from a stranger: its card builds a network and does nothing else, whatever it says."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from classifiers import ClassifierError, create_model, load_classifier
from classifiers.files import read_foreign, save_weights, seal, unseal


class Touch:
    """Pickles as a command that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


GOOD = {"architecture": "compact-small", "class_names": ["a", "b"], "channels": 1, "size": 16, "temperature": 1.0}


def classifier(folder: Path, card: Any) -> Path:
    save_weights(folder / "model.safetensors", create_model("compact-small", 2, 1, 16).state_dict(), card)
    return folder


@pytest.mark.parametrize("architecture", ["timm:resnet18", "resnet18", "compact-small"])
@pytest.mark.parametrize("option", ["pretrained", "checkpoint_path", "pretrained_cfg", "weights"])
def test_a_card_opens_no_file(architecture: str, option: str, tmp_path: Path) -> None:
    mark, weights = tmp_path / "it_ran", tmp_path / "weights.pth"
    weights.write_bytes(pickle.dumps({"x": Touch(mark)}))
    for value in (str(weights), "imagenet", {"file": str(weights)}, True):
        card = GOOD | {"architecture": architecture, "model_options": {option: value}}
        with pytest.raises(ClassifierError, match="a card may not") as error:
            load_classifier(classifier(tmp_path, card))
        assert "\n" not in str(error.value)
    assert not mark.exists()


CARDS: dict[str, Any] = {
    "a list": [],
    "nothing": None,
    "text as size": GOOD | {"size": "16"},
    "size of a terabyte": GOOD | {"architecture": "fnn", "size": 1024, "channels": 3},
    "another network": GOOD | {"architecture": "fnn"},
    "a folder": GOOD | {"architecture": "timm:../../x"},
    "a page of the hub": GOOD | {"architecture": "timm:hf-hub:someone/something"},
    "a list as architecture": GOOD | {"architecture": ["compact"]},
    "no classes": GOOD | {"class_names": []},
    "numbers as classes": GOOD | {"class_names": [1, 2]},
    "one class twice": GOOD | {"class_names": ["a", "a"]},
    "text as classes": GOOD | {"class_names": "ab"},
    "a million classes": GOOD | {"class_names": [str(i) for i in range(20_000)]},
    "no temperature": {key: value for key, value in GOOD.items() if key != "temperature"},
    "temperature of 0": GOOD | {"temperature": 0},
    "temperature that is no number": GOOD | {"temperature": float("nan")},
    "huge temperature": GOOD | {"temperature": 10**400},
    "true as channels": GOOD | {"channels": True},
    "options as a list": GOOD | {"model_options": ["dropout"]},
    "dropout as text": GOOD | {"model_options": {"dropout": "0.5"}},
    "an option the model has not": GOOD | {"model_options": {"batch_norm": True}},
    "history as text": GOOD | {"history": "long"},
    "config as a list": GOOD | {"config": []},
}


@pytest.mark.parametrize("name", CARDS)
def test_cards_of_another_kind(name: str, tmp_path: Path) -> None:
    with pytest.raises(ClassifierError) as error:
        load_classifier(classifier(tmp_path, CARDS[name]))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600 + len(str(tmp_path))


@pytest.mark.parametrize("card", ["[" * 100_000, "{", "9" * 5000, ""])
def test_cards_that_are_no_json(card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "dumps", lambda value: card)
    classifier(tmp_path, GOOD)
    monkeypatch.undo()
    with pytest.raises(ClassifierError, match="not a JSON object"):
        load_classifier(tmp_path)


def test_a_card_with_known_options_is_read(tmp_path: Path) -> None:
    loaded = load_classifier(classifier(tmp_path, GOOD | {"model_options": {"dropout": 0.3}}))
    assert loaded.class_names == ["a", "b"]


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    state = create_model("compact-small", 2, 1, 16).state_dict()
    state["head.1.bias"][0] = float("nan")
    save_weights(tmp_path / "model.safetensors", state, GOOD)
    with pytest.raises(ClassifierError, match="head.1.bias"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("model", ["resnet18", "timm:resnet18"])
def test_initial_weights_are_read_as_tensors(model: str, tmp_path: Path) -> None:
    """A file of weights that the user names is opened without running what is in it, timm's included."""
    mark, path = tmp_path / "it_ran", tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "x": Touch(mark)}, path)
    with pytest.raises(ClassifierError, match="can't be read as weights"):
        create_model(model, 2, 1, 48, pretrained=str(path))
    path.write_bytes(pickle.dumps({"x": Touch(mark)}))
    with pytest.raises(ClassifierError, match="can't be read as weights"):
        create_model(model, 2, 1, 48, pretrained=str(path))
    assert not mark.exists()
    with pytest.raises(ClassifierError, match="existing file"):
        create_model(model, 2, 1, 48, pretrained=str(tmp_path / "gone.pth"))


def test_weights_packed_as_a_bomb_are_not_unpacked(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"x": torch.zeros(1_000_000)}, plain)
    assert read_foreign(plain)["x"].shape == (1_000_000,)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert packed.stat().st_size < 20_000
    with pytest.raises(ClassifierError, match="compressed"):
        read_foreign(packed)


def test_a_flipped_bit_breaks_the_seal() -> None:
    data = bytes(range(256)) * 10
    sealed = seal(data)
    assert unseal(sealed) == data
    assert unseal(b"PK" + data) == b"PK" + data  # written before there were seals
    for position in range(16, len(sealed), 101):
        damaged = bytearray(sealed)
        damaged[position] ^= 4
        with pytest.raises(ValueError, match="checksum"):
            unseal(bytes(damaged))
    with pytest.raises(ValueError, match="checksum"):
        unseal(sealed[:-1])


def test_a_network_that_began_with_weights_is_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("resnet10t", pretrained=False).state_dict(), tmp_path / "weights.pth")
    model = create_model("timm:resnet10t", 2, 1, 48, pretrained=str(tmp_path / "weights.pth")).eval()
    save_weights(
        tmp_path / "model.safetensors", model.state_dict(), GOOD | {"architecture": "timm:resnet10t", "size": 48}
    )
    images = torch.randint(0, 256, (2, 1, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(load_classifier(tmp_path, "cpu").model(images), model(images))
