"""The contract every network of the zoo keeps; a new one arrives tested."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from classifiers import Classifier, ClassifierError, create_model, export_onnx, list_models
from classifiers.files import read_weights, save_weights

# Each has a smaller sibling that goes the same way through the code; these are only sized, on the meta device.
SIBLINGS = {
    "efficientnet_v2_s": 1280, "resnet34": 512, "resnet50": 2048, "resnet152": 2048, "vgg16": 512, "vgg19": 512,
    "vgg19_bn": 512,
}  # fmt: skip
ALL = [name for name in list_models() if name not in SIBLINGS]
CASES = [(name, 1) for name in ALL] + [(name, 3) for name in ALL if name not in ("vgg16_bn", "resnet18")]


@pytest.mark.parametrize("name", SIBLINGS)
def test_large_siblings_have_the_right_shapes(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, 7)
        images = torch.zeros(2, 1, 48, 48)
        assert model.features(images).shape == (2, SIBLINGS[name])
        assert model(images).shape == (2, 7)


@pytest.mark.parametrize(("name", "channels"), CASES)
def test_contract(name: str, channels: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    classes = 2 if name == "cnn-binary" else 5
    model = create_model(name, classes, channels, 32)
    images = torch.randint(0, 256, (4, channels, 32, 32), dtype=torch.uint8)
    logits = model(images)
    assert logits.shape == (4, classes)
    logits.square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{parameter_name} has no gradient"
        assert torch.isfinite(parameter.grad).all(), parameter_name

    model.eval()
    with torch.no_grad():
        plain = model(images)
        assert torch.allclose(plain, model(images.float() / 255), atol=1e-5), "uint8 and 0..1 float images differ"
        assert torch.allclose(plain, model.head(model.features(images)), atol=1e-6)
        save_weights(tmp_path / "m.safetensors", model.state_dict(), {})
        loaded = create_model(name, classes, channels, 32)
        loaded.load_state_dict(read_weights(tmp_path / "m.safetensors")[0])
        assert torch.equal(loaded.eval()(images), plain)
        last = model.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
        assert torch.allclose(last, plain, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("cnn-sgd", "compact-large", "compact-small")])
def test_exports_to_onnx(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the export extra")
    pytest.importorskip("onnxscript", reason="needs the export extra")
    torch.manual_seed(0)
    model = create_model(name, 2 if name == "cnn-binary" else 5, 1, 32)
    torch.nn.init.normal_([p for p in model.head.parameters() if p.ndim == 2][-1])  # or all scores are alike
    classifier = Classifier(model, [f"c{k}" for k in range(model.num_classes)], temperature=1.7, digest="d")
    result = export_onnx(classifier, tmp_path / "model.onnx")
    assert result.largest_difference < 1e-4
    assert result.path.stat().st_size == result.num_bytes


@pytest.mark.parametrize("size", [16, 48, 63, 64, 128])
def test_compact_takes_any_size(size: int) -> None:
    assert create_model("compact", 7, 1, size)(torch.zeros(2, 1, size, size, dtype=torch.uint8)).shape == (2, 7)


def test_every_parameter_of_compact_is_reached_after_one_step() -> None:
    """The last norm of each block starts at zero gain, so what lies before it is reached from the second step on."""
    torch.manual_seed(0)
    model = create_model("compact", 3, size=16)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.rand(8, 1, 16, 16)).square().sum().backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("compakt", 3), "no model 'compakt'; did you mean 'compact'"),
        (("compact", 1), "at least 2 classes"),
        (("compact", 3, 4), "must be 1 .grey. or 3 .colour."),
        (("compact", 3, 1, 8), "size = 8: must lie between 16 and 1024"),
    ],
)
def test_refuses(call: tuple, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        create_model(*call)
