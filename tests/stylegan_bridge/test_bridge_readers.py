"""Every format gives back the generator that was written, and everything else is refused in one line."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bridge_checkpoints import (
    foreign_modules,
    tf_variables,
    tiny_config,
    tiny_generator,
    write_nvidia_tf,
    write_nvidia_torch,
    write_rosinality,
)
from safetensors.numpy import save_file

import stylegan_bridge
from stylegan_bridge import BridgeError, convert, inspect, load_generator
from stylegan_bridge.loading import check_memory

SKIP = {"conv_clamp": 256.0, "num_fp16_res": 2}
FORMATS: dict[str, tuple[Callable[..., Path], dict[str, Any], dict[str, Any]]] = {
    "nvidia-pytorch": (write_nvidia_torch, {**SKIP, "c_dim": 4}, {}),
    "nvidia-pytorch resnet": (write_nvidia_torch, {"architecture": "resnet", "activation": "relu"}, {"protocol": 2}),
    "nvidia-pytorch orig": (write_nvidia_torch, {"architecture": "orig", "use_noise": True}, {"protocol": 5}),
    "nvidia-pytorch bare network": (write_nvidia_torch, {"img_channels": 1}, {"key": None}),
    "nvidia-tensorflow": (write_nvidia_tf, {"conv_clamp": 256.0}, {}),
    "nvidia-tensorflow conditional": (write_nvidia_tf, {"c_dim": 3, "architecture": "resnet"}, {}),
    "rosinality": (write_rosinality, {}, {}),
    "rosinality legacy": (write_rosinality, {}, {"legacy": True}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_generator(name: str, tmp_path: Path) -> None:
    write, layout, options = FORMATS[name]
    original = tiny_generator(tiny_config(16, **layout))
    path = write(original, tmp_path / "a file of any name", **options)
    loaded = load_generator(path)
    assert loaded.config == original.config
    # rosinality's weight scale and TensorFlow's resting styles cost a rounding; NVIDIA's PyTorch weights are exact
    tolerance = 0 if write is write_nvidia_torch else 1e-6
    for key, tensor in original.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], tensor, atol=tolerance, rtol=tolerance)
    classes = 1 if loaded.num_classes else None
    ours = loaded.sample([5], classes, 0.7).int() - original.sample([5], classes, 0.7).int()
    assert ours.abs().max() <= (1 if tolerance else 0)
    info = inspect(path)
    assert info.format == name.split()[0]
    assert info.num_parameters == sum(t.numel() for t in original.state_dict().values())


@pytest.mark.parametrize("name", FORMATS)
def test_conversion_keeps_every_bit_and_says_where_it_came_from(name: str, tmp_path: Path) -> None:
    write, layout, options = FORMATS[name]
    path = write(tiny_generator(tiny_config(16, **layout)), tmp_path / "source.bin", **options)
    out = convert(path, tmp_path / "new" / "net.safetensors")
    before, after = load_generator(path), load_generator(out)
    assert after.config == before.config
    assert all(torch.equal(t, after.state_dict()[n]) for n, t in before.state_dict().items())
    card = json.loads((tmp_path / "new" / "net.json").read_text())
    assert card["provenance"] == {
        "converted_from": "source.bin",
        "format": name.split()[0],
        "sha256": inspect(path).sha256,
    }
    again = convert(out, tmp_path / "again.safetensors")
    assert inspect(again).provenance == card["provenance"]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["net.json", "net.safetensors"]


def test_rosinality_without_an_average_says_so_and_can_truncate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylegan_bridge.generator.W_AVG_SEEDS", 50)
    path = write_rosinality(tiny_generator(), tmp_path / "g.pt", average=False)
    assert not inspect(path).has_w_avg
    assert "latent_avg" in str(inspect(path))
    generator = load_generator(path)
    assert not torch.equal(generator.sample([0], truncation_psi=0.5), generator.sample([0]))


def test_a_converted_file_without_an_average_stays_without(tmp_path: Path) -> None:
    path = write_rosinality(tiny_generator(), tmp_path / "g.pt", average=False)
    out = convert(path, tmp_path / "g.safetensors")
    assert not load_generator(out).has_w_avg


def test_snapshot_without_moving_average_takes_the_raw_generator(tmp_path: Path) -> None:
    path = write_nvidia_torch(tiny_generator(), tmp_path / "g.pkl", key="G")
    assert "G_ema" in inspect(path).notes[0]


def test_the_moving_average_goes_before_the_raw_generator(tmp_path: Path) -> None:
    average, raw = tiny_generator(seed=1), tiny_generator(seed=2)
    loaded = load_generator(write_nvidia_torch(average, tmp_path / "g.pkl", raw=raw))
    assert torch.equal(loaded.sample([0]), average.sample([0]))
    assert inspect(tmp_path / "g.pkl").notes == ()


def test_info_reads_like_a_description(tmp_path: Path) -> None:
    path = write_nvidia_torch(tiny_generator(tiny_config(16, c_dim=4, num_fp16_res=2)), tmp_path / "g.pkl")
    text = str(inspect(path))
    for part in ("StyleGAN2 generator (nvidia-pytorch", "3 x 16 x 16, conditional, 4 classes", "w 6 x 10", "12/12/12"):
        assert part in text.replace("\n", " "), text
    json.dumps(inspect(path).as_dict())


def test_inspecting_loads_no_torch(tmp_path: Path) -> None:
    paths = [
        write_nvidia_torch(tiny_generator(), tmp_path / "a.pkl"),
        write_nvidia_tf(tiny_generator(), tmp_path / "b.pkl"),
        write_rosinality(tiny_generator(), tmp_path / "c.pt"),
    ]
    paths.append(convert(paths[0], tmp_path / "d.safetensors"))
    code = (
        "import sys, stylegan_bridge as s\n"
        f"print([s.inspect(p).format for p in {[str(p) for p in paths]!r}], 'torch' in sys.modules)"
    )
    root = Path(stylegan_bridge.__file__).parents[1]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert out.stdout.strip() == "['nvidia-pytorch', 'nvidia-tensorflow', 'rosinality', 'ganfer-stylegan2'] False"


# What is refused.


def one_line(error: pytest.ExceptionInfo[BridgeError], path: Path) -> str:
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert error.value.exit_code == 1
    return text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b"PK\x03\x04" + bytes(100), "zip archive that is cut short"),
        (bytes(100), "unknown format"),
        (b"\x80\x09N.", "unknown format"),
        (pickle.dumps({"weights": [1, 2]}), "a dict with weights"),
        (pickle.dumps(5), "nothing of a network"),
    ],
)
def test_files_of_another_kind(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    with pytest.raises(BridgeError, match=message) as error:
        load_generator(path)
    one_line(error, path)


def test_absent_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match="No such file"):
        inspect(tmp_path / "nothing.pkl")
    with pytest.raises(BridgeError, match="is a folder"):
        inspect(tmp_path)
    os.mkfifo(tmp_path / "pipe.pkl")
    for read in (inspect, load_generator):
        with pytest.raises(BridgeError, match="is no ordinary file"):
            read(tmp_path / "pipe.pkl")


@pytest.mark.parametrize("name", [*FORMATS, "ganfer-stylegan2"])
def test_a_truncated_file_is_refused_wherever_it_is_cut(name: str, tmp_path: Path) -> None:
    write, layout, options = FORMATS.get(name, FORMATS["nvidia-pytorch"])
    whole = write(tiny_generator(tiny_config(16, **layout)), tmp_path / "whole", **options)
    if name not in FORMATS:
        whole = convert(whole, tmp_path / "whole.safetensors")
    content = whole.read_bytes()
    path = tmp_path / "cut"
    for cut in [1, 9, 20, 100, *(len(content) * np.arange(1, 20) // 20), len(content) - 1]:
        path.write_bytes(content[: int(cut)])
        with pytest.raises(BridgeError) as error:
            load_generator(path)
        one_line(error, path)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_give_an_error_or_a_finite_generator_never_a_crash(name: str, tmp_path: Path) -> None:
    write, layout, options = FORMATS[name]
    content = bytearray(write(tiny_generator(tiny_config(8, **layout)), tmp_path / "whole", **options).read_bytes())
    rng = np.random.default_rng(0)
    path, refused = tmp_path / "damaged", 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 12):
            damaged[place] = int(rng.integers(0, 256))
        path.write_bytes(damaged)
        message = ""
        try:
            inspect(path)
        except BridgeError as error:
            message = str(error)
        assert "\n" not in message
        refused += message != ""
    assert refused > 10


def test_weights_so_large_that_reading_them_overflows(tmp_path: Path) -> None:
    generator = tiny_generator()
    generator.synthesis.blocks[1].conv1.weight.data[0, 0, 0, 0] = 3e38
    path = write_rosinality(generator, tmp_path / "g.pt")
    with pytest.raises(BridgeError, match="b8.conv1.weight holds NaN or infinite"):
        inspect(path)


def test_a_discriminator_alone(tmp_path: Path) -> None:
    path = tmp_path / "d.pkl"
    write_nvidia_torch(tiny_generator(), path, key="something_else")
    with pytest.raises(BridgeError, match="discriminator and no generator") as error:
        load_generator(path)
    one_line(error, path)
    torch.save({"d": {"convs.0.0.weight": torch.ones(2)}}, path)
    with pytest.raises(BridgeError, match="discriminator and no generator"):
        load_generator(path)
    with foreign_modules() as foreign:
        network = foreign["Network"]()
        network.__dict__ |= {
            "version": 4,
            "build_func_name": "D_stylegan2",
            "variables": [("Output/bias", np.zeros(1, np.float32))],
            "components": {},
        }
        path.write_bytes(pickle.dumps(network))
    with pytest.raises(BridgeError, match="'D_stylegan2' and no generator"):
        load_generator(path)


@pytest.mark.parametrize(("kernel", "letter"), [(3, "T"), (1, "R")])
def test_stylegan3_is_named_and_refused(kernel: int, letter: str, tmp_path: Path) -> None:
    from bridge_checkpoints import Persistent

    path = tmp_path / "sg3.pkl"
    empty: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    with foreign_modules() as foreign:
        make = foreign["reconstruct"]
        affine = Persistent("FullyConnectedLayer", dict(empty), make)
        layer = Persistent("SynthesisLayer", {**empty, "_modules": {"affine": affine}, "conv_kernel": kernel}, make)
        colours = Persistent("SynthesisLayer", {**empty, "conv_kernel": 1}, make)
        modules = {"input": Persistent("SynthesisInput", dict(empty), make), "L0_36_512": layer, "L1_36_3": colours}
        synthesis = Persistent("SynthesisNetwork", {**empty, "_modules": modules, "img_resolution": 256}, make)
        parts = {"synthesis": synthesis, "mapping": Persistent("MappingNetwork", dict(empty), make)}
        path.write_bytes(pickle.dumps({"G_ema": Persistent("Generator", {**empty, "_modules": parts}, make)}))
    with pytest.raises(BridgeError, match=rf"StyleGAN3-{letter} generator \(256 px\)") as error:
        inspect(path)
    one_line(error, path)


@pytest.mark.parametrize("version", [2, 3])
def test_older_tensorflow_networks(version: int, tmp_path: Path) -> None:
    path = write_nvidia_tf(tiny_generator(), tmp_path / "g.pkl", version=version)
    with pytest.raises(BridgeError, match=f"version {version}, before StyleGAN2"):
        inspect(path)


def test_tensorflow_settings_that_are_not_understood(tmp_path: Path) -> None:
    path = write_nvidia_tf(tiny_generator(), tmp_path / "g.pkl", fancy_attention=True)
    with pytest.raises(BridgeError, match="'fancy_attention'"):
        inspect(path)
    variables = tf_variables(tiny_generator())
    variables["synthesis/8x8/Attention/weight"] = np.zeros((3, 3), np.float32)
    path = write_nvidia_tf(tiny_generator(), tmp_path / "g.pkl", variables=variables)
    with pytest.raises(BridgeError, match="8x8/Attention"):
        inspect(path)


def spoiled(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A generator with one tensor replaced."""
    generator = tiny_generator()
    *path, leaf = name.split(".")
    owner = generator.get_submodule(".".join(path))
    changed = change(getattr(owner, leaf).data)
    (owner._buffers if leaf in owner._buffers else owner._parameters)[leaf] = (
        changed if leaf in owner._buffers else torch.nn.Parameter(changed, requires_grad=False)
    )
    return generator


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("synthesis.b8.conv1.weight", lambda t: t * float("nan"), "b8.conv1.weight holds NaN"),
        ("mapping.fc0.bias", lambda t: t + float("inf"), "fc0.bias holds NaN or infinite"),
        ("synthesis.b16.conv0.bias", lambda t: t[:-1], "b16.conv0.bias has shape"),
        ("synthesis.b16.conv1.noise_const", lambda t: t[:8], "noise_const has shape"),
        ("synthesis.b8.torgb.weight", lambda t: t[:, :5], "b8.torgb.weight has shape"),
        ("synthesis.b8.conv0.affine.weight", lambda t: t.to(torch.int32), "int32 values"),
    ],
)
def test_mismatched_and_broken_weights(name: str, change: Any, message: str, tmp_path: Path) -> None:
    path = write_nvidia_torch(spoiled(name, change), tmp_path / "g.pkl")
    with pytest.raises(BridgeError, match=message) as error:
        load_generator(path)
    one_line(error, path)


def test_missing_blocks_and_contradicting_layers(tmp_path: Path) -> None:
    generator = tiny_generator()
    del generator.synthesis._modules["b8"]
    with pytest.raises(BridgeError, match=r"gaps: blocks of \[4, 16\] px"):
        inspect(write_nvidia_torch(generator, tmp_path / "g.pkl"))
    overrides = {"synthesis.b8.conv1": {"conv_clamp": 1.0}}
    with pytest.raises(BridgeError, match="differ in conv_clamp"):
        inspect(write_nvidia_torch(tiny_generator(), tmp_path / "g.pkl", overrides=overrides))


def test_foreign_safetensors_and_broken_cards(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(BridgeError, match="no generator's card"):
        inspect(path)
    good = json.loads(json.dumps({"format": "ganfer-stylegan2", "version": 1, "config": tiny_config().to_dict()}))
    for change, message in [
        ("{not json", "not JSON"),
        ("[]", "not one of a StyleGAN2"),
        ({**good, "version": 2}, "version 2"),
        ({**good, "config": {**good["config"], "colour": 1}}, "unknown entry 'colour'"),
        ({**good, "config": {"channels": [1]}}, "lacks 'resolution'"),
        ({**good, "config": {**good["config"], "resolution": "16"}}, "resolution has an unusable value"),
        ({**good, "config": {**good["config"], "channels": [1, None]}}, "channels has an unusable value"),
        (good, "lacks mapping"),
    ]:
        text = change if isinstance(change, str) else json.dumps(change)
        save_file({"a": np.zeros(3, np.float32)}, path, metadata={"stylegan_bridge": text})
        with pytest.raises(BridgeError, match=message) as error:
            inspect(path)
        one_line(error, path)


def test_too_large_for_memory_is_said_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_nvidia_torch(tiny_generator(), tmp_path / "g.pkl")
    monkeypatch.setattr("stylegan_bridge.loading.available_memory", lambda: 1000)
    with pytest.raises(BridgeError, match="GiB of memory"):
        load_generator(path)
    monkeypatch.setattr("stylegan_bridge.loading.available_memory", lambda: None)
    check_memory(tiny_config(), path)


def test_an_impossible_device_is_one_line(tmp_path: Path) -> None:
    path = write_nvidia_torch(tiny_generator(), tmp_path / "g.pkl")
    for device in ("cuda:77", "toaster"):
        with pytest.raises(BridgeError, match=f"'{device}'") as error:
            load_generator(path, device)
        one_line_text = str(error.value)
        assert "\n" not in one_line_text


def test_convert_refuses_another_ending_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = write_nvidia_torch(tiny_generator(), tmp_path / "g.pkl")
    with pytest.raises(BridgeError, match="must end in .safetensors"):
        convert(path, tmp_path / "out.pkl")
    out = convert(path, tmp_path / "out.safetensors")
    before = out.read_bytes()
    (tmp_path / "bad.pkl").write_bytes(b"")
    with pytest.raises(BridgeError, match="is empty"):
        convert(tmp_path / "bad.pkl", out)
    assert out.read_bytes() == before
