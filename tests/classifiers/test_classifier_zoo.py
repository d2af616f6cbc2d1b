"""The earlier projects' networks to the parameter, and torchvision's adapted, from scratch or with weights."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars, quick
from torch import nn
from torchvision import models

from classifiers import ClassifierError, create_model, load_classifier, train
from classifiers.parts import unfreeze


@pytest.mark.parametrize(("name", "expected"), [("cnn", 9_496_454), ("cnn-sgd", 9_477_734)])
def test_the_fer6_networks_have_their_exact_size(name: str, expected: int) -> None:
    assert sum(p.numel() for p in create_model(name, 6, 1, 48).parameters()) == expected


def test_the_binary_network_is_a_sigmoid() -> None:
    model = create_model("cnn-binary", 2, 1, 32).eval()
    images = torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8)
    logits = model(images)
    assert torch.equal(logits[:, 0], torch.zeros(3))
    assert torch.allclose(logits.softmax(1)[:, 1], logits[:, 1].sigmoid())
    with pytest.raises(ClassifierError, match="2 classes apart, not 7"):
        create_model("cnn-binary", 7)


def test_batch_norm_can_be_left_out_of_the_eight_class_network_and_the_file_remembers(tmp_path: Path) -> None:
    config = quick(epochs=1, model="cnn-8class", batch_norm=False, dropout=0.1)
    train(config, bars(12), bars(6), NAMES, tmp_path, device="cpu")
    model = load_classifier(tmp_path, "cpu").model
    assert not any(isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d) for m in model.modules())
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.1}


@pytest.mark.parametrize("options", [{"batch_norm": False}, {"pretrained": "imagenet"}])
def test_an_option_the_model_doesnt_have_is_refused(options: dict) -> None:
    with pytest.raises(ClassifierError, match="model 'compact' has no such option"):
        create_model("compact", 3, **options)


def planes(name: str, size: int) -> int:
    """Pixels a side of the last planes before they are averaged."""
    model, seen = create_model(name, 7, 1, size).eval(), []
    handles = [
        m.register_forward_hook(lambda m, i, o: seen.append(o.shape[-1]))
        for m in model.modules()
        if isinstance(m, nn.Conv2d)
    ]
    with torch.no_grad():
        model(torch.zeros(1, 1, size, size))
    for handle in handles:
        handle.remove()
    return [side for side in seen if side > 1][-1]


@pytest.mark.parametrize(("name", "size"), [("resnet18", 48), ("mobilenet_v3_large", 48), ("resnet18", 224)])
def test_the_strides_leave_something_to_see(name: str, size: int) -> None:
    assert 5 <= planes(name, size) <= 7


def test_vgg_loses_its_120_million_dense_weights_on_small_faces() -> None:
    assert sum(p.numel() for p in create_model("vgg16", 7).parameters()) == 14_717_127


def test_any_other_torchvision_network_by_name() -> None:
    assert create_model("shufflenet_v2_x0_5", 4, 3, 48)(torch.zeros(2, 3, 48, 48)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "did you mean 'resnet1"),
        ("squeezenet1_1", "no linear head"),
        ("maxvit_t", "maxvit_t can't take 48-pixel images"),
    ],
)
def test_what_cannot_be_had_is_said(name: str, message: str) -> None:
    with pytest.raises(ClassifierError, match=message) as caught:
        create_model(name, 7)
    assert "\n" not in caught.value.message


def test_timm_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ClassifierError, match="pip install timm"):
        create_model("timm:resnet18", 7)


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit"])
def test_a_timm_network_trains_and_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="needs the timm extra")
    data = bars(48, size=32)
    result = train(
        quick(model=name, epochs=6, lr=0.003), data, bars(24, seed=1, size=32), NAMES, tmp_path, device="cpu"
    )
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    first, second = (load_classifier(tmp_path, "cpu") for _ in range(2))
    assert first.card["architecture"] == name
    assert np.array_equal(first.probabilities(data.images), second.probabilities(data.images))
    model = create_model(name, 3, 3, 32)
    model(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_an_unknown_timm_network_suggests_the_nearest() -> None:
    pytest.importorskip("timm", reason="needs the timm extra")
    with pytest.raises(ClassifierError, match="no model 'resnet10x' in timm; did you mean 'resnet10"):
        create_model("timm:resnet10x", 7)


def test_timm_weights_that_cannot_be_fetched_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm", reason="needs the timm extra")

    def offline(*_: object, **__: object) -> None:
        raise OSError("cannot reach the hub\nplease check the connection")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ClassifierError, match="cannot reach the hub please check") as caught:
        create_model("timm:resnet10t", 7, pretrained="imagenet")
    assert "\n" not in caught.value.message


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(models.resnet18(weights=None).state_dict(), path)
    return path


def test_pretrained_weights_from_a_file_see_grey_as_three_equal_channels(weights: Path) -> None:
    grey = create_model("resnet18", 7, 1, 224, pretrained=str(weights)).eval()
    original = models.resnet18(weights=None)
    original.load_state_dict(torch.load(weights, weights_only=True))
    original.fc = nn.Identity()
    image = torch.rand(2, 1, 224, 224)
    same = (image - 0.449) / 0.226
    with torch.no_grad():
        # Deviation of the channels' mean rather than their own: the buffers hold (0.449, 0.226).
        assert torch.allclose(grey.mean, torch.tensor([0.449]), atol=1e-3)
        assert torch.allclose(grey.std, torch.tensor([0.226]), atol=1e-3)
        grey.mean.fill_(0.449)
        grey.std.fill_(0.226)
        assert torch.allclose(grey.features(image), original.eval()(same.expand(-1, 3, -1, -1)), atol=1e-4)


def test_training_keeps_the_pretrained_normalisation(weights: Path, tmp_path: Path) -> None:
    config = quick(epochs=1, model="resnet18", pretrained=str(weights), freeze=0.5, body_lr=0.1)
    result = train(config, bars(8), bars(6), NAMES, tmp_path, device="cpu")
    assert result.card["normalisation"]["mean"] == [pytest.approx(0.449, abs=1e-3)]
    assert load_classifier(tmp_path, "cpu").probabilities(bars(2).images).shape == (2, 3)


def test_other_weights_missing_files_and_no_network_are_said(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClassifierError, match="the weights aren't resnet34's"):
        create_model("resnet34", 7, pretrained=str(weights))
    with pytest.raises(ClassifierError, match="must be 'none', 'imagenet' or an existing file"):
        create_model("resnet18", 7, pretrained="imagnet")
    (tmp_path / "bad.pth").write_bytes(b"junk")
    with pytest.raises(ClassifierError, match="can't be read as weights"):
        create_model("resnet18", 7, pretrained=str(tmp_path / "bad.pth"))

    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ClassifierError, match=r"can't be fetched .*: put https://.*resnet18.*pth into") as caught:
        create_model("resnet18", 7, pretrained="imagenet")
    assert "\n" not in caught.value.message


def test_unfreezing_goes_from_the_head_backwards() -> None:
    model = create_model("resnet18", 7)
    unfreeze(model, 0.0)
    assert not any(p.requires_grad for p in model.body.parameters())
    assert all(p.requires_grad for p in model.head.parameters())
    unfreeze(model, 0.24)
    learning = [name for name, p in model.body.named_parameters() if p.requires_grad]
    assert learning
    assert all(name.startswith("layer4") for name in learning)
    unfreeze(model, 1.0)
    assert all(p.requires_grad for p in model.parameters())


def test_frozen_layers_keep_their_weights(tmp_path: Path) -> None:
    config = quick(epochs=4, model="cnn", freeze=1.0, ema=0.0, batch_size=6)
    torch.manual_seed(0)
    result = train(config, bars(12), bars(6), NAMES, tmp_path, device="cpu")
    trained = result.load("cpu").model
    torch.manual_seed(0)
    fresh = create_model("cnn", 3, 1, 16)
    # The first convolution is the last to thaw, which over the whole training means never.
    assert torch.equal(trained.body[1].weight, fresh.body[1].weight)  # type: ignore[index]
    assert not torch.equal(trained.body[9].weight, fresh.body[9].weight)  # type: ignore[index]
