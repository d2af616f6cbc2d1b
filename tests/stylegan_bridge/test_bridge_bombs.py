"""Small files that would take all memory or time, or end in a traceback: each is refused in one line, within bounds."""

import argparse
import io
import json
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bridge_checkpoints import foreign_modules, tiny_config, tiny_generator, write_nvidia_tf, write_rosinality
from safetensors.torch import save_file

from stylegan_bridge import BridgeError, convert, inspect
from stylegan_bridge.readers import safe_pickle
from stylegan_bridge.readers.safe_pickle import load_pickle
from stylegan_bridge.readers.torch_format import load_legacy_torch

P2 = b"\x80\x02"
#: A tuple of two equal tuples, forty times over: 2**40 items for whoever walks through it.
DOUBLING = b")" + b"\x85" + b"2\x86" * 40
DEEP = b")" + b"\x85" * 100_000


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def state_of(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in pairs) + b"u"


def network(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"cdnnlib.tflib.network\nNetwork\n)\x81" + state_of(*pairs) + b"b"


def persistent(name: bytes, state: bytes) -> bytes:
    meta = state_of((text("class_name"), name), (text("state"), state))
    return b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + meta + b"\x85R"


EMPTY = b"}"
VARIABLES = (text("variables"), b"]")
PARTS = {
    "class name": persistent(DOUBLING, state_of((text("_modules"), EMPTY))),
    "deep class name": persistent(DEEP, state_of((text("_modules"), EMPTY))),
    "version": network((text("version"), DOUBLING)),
    "deep version": network((text("version"), DEEP)),
    "name of the build function": network((text("version"), b"K\x04"), (text("build_func_name"), DOUBLING), VARIABLES),
    "key": state_of((DOUBLING, b"N")),
    "number as key": state_of((b"\x8a\x10" + b"\x7f" * 16, b"N")),
    "not a number as key": state_of((b"G" + struct.pack(">d", float("nan")), b"N")),
    "state with numbered parts": persistent(text("G"), state_of((b"K\x01", b"N"))),
    "codec": b"c_codecs\nencode\n" + text("a") + DOUBLING + b"\x86R",
    "order of an array": b"cnumpy.core.numeric\n_frombuffer\n(C\x00cnumpy\ndtype\n" + text("f4") + b"\x85RK\x00\x85"
    + DOUBLING + b"tR",
    "set of a text": b"cbuiltins\nset\n" + text("abc") + b"\x85R",
    "pop after stop": b"",
    "sets": b"(" + b"\x8f" * 100_000 + b"t",
    "sets in a list": b"]" + b"\x8fa" * 50_000,
    "dicts": b"(" + b"}" * 100_000 + b"t",
    "numbers": b"(" + b"M\xff\xff" * 100_000 + b"t",
    "wide text": text("a" * 3_000_000 + "\U0001f600") + b"0" + text("a" * 3_000_000 + "\U0001f600"),
    "kernel of doublings": network(
        (text("version"), b"K\x04"),
        VARIABLES,
        (text("components"), EMPTY),
        (text("static_kwargs"), state_of((text("resample_kernel"), DOUBLING))),
    ),
}  # fmt: skip


def refusal(path: Path, peak: float = 90e6) -> str:
    """What is said about the file, in one line, within bounds of memory and time."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(BridgeError) as error:
            inspect(path)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 20
    assert taken < peak
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    return str(error.value)


@pytest.mark.parametrize("name", PARTS)
def test_small_pickles_stay_small(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_pickle, "OBJECT_BYTES", 2**22)  # a twelfth, for quick tests
    path = tmp_path / "net.pkl"
    path.write_bytes(P2 + PARTS[name] + b".")
    refusal(path, 30e6)
    path.write_bytes(P2 + state_of((text("G_ema"), PARTS[name] or b"N")) + b".")
    refusal(path, 30e6)


def test_budgets_hold_for_the_streams_inside() -> None:
    """Each inner stream is small; together they would make a hundred times the file."""
    stream = io.BytesIO()
    torch.save([{} for _ in range(2000)], stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue()
    head = P2 + b"ctorch.storage\n_load_from_bytes\nq\x01" + b"B" + struct.pack("<I", len(data)) + data + b"q\x00"
    padding = b"B" + struct.pack("<I", 3_000_000) + bytes(3_000_000) + b"0"
    program = head + padding + b"(" + b"h\x01h\x00\x85R" * 500 + b"t."
    with pytest.raises(BridgeError, match="far more than its own size"):
        load_pickle(memoryview(program), load_legacy_torch)


def test_an_array_filled_twice_takes_no_quadratic_time() -> None:
    made = b"cnumpy.core.multiarray\n_reconstruct\n)R"
    filled = b"(K\x01K\x00\x85cnumpy\ndtype\n" + text("f4") + b"\x85R\x89C\x00tb"
    program = P2 + made + b"\x94" * 60_000 + b"2" * 60_000 + (filled + b"0") * 2_000 + b"."
    started = time.process_time()
    load_pickle(memoryview(program))
    assert time.process_time() - started < 5


ARRAYS = {
    "float8": "f1",
    "long double": "f16",
    "5,000 digits": "f" + "1" * 5000,
    "other digits": "f٤",
    "objects": "O8",
    "text": "U4",
    "dates": "M8",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_other_types(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    array = b"cnumpy.core.numeric\n_frombuffer\n(C\x00cnumpy\ndtype\n" + text(ARRAYS[name]) + b"\x85RK\x00\x85X\x01\x00"
    path.write_bytes(P2 + array + b"\x00\x00CtR.")
    assert "only plain numbers are read" in refusal(path)


def _zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


NAMES: dict[str, dict[str, Any]] = {
    "layer of 11 digits": {"noises.noise_99999999999": _zeros(1, 1, 4, 4)},
    "layer of 5,000 digits": {f"style.{'9' * 5000}.weight": _zeros(4, 4)},
    "layer of six digits": {"noises.noise_999999": _zeros(1, 1, 4, 4)},
    "block of six digits": {"to_rgbs.999999.bias": _zeros(1, 3, 1, 1)},
    "no numbers": {"convs.0.conv.weight": _zeros(1, 0, 3, 3)},
    "a scalar": {"input.input": _zeros()},
    "convolution without planes": {"conv1.conv.weight": _zeros(1), "style.1.weight": _zeros(4, 4)},
    "escape in a name": {"\x1b]0;owned\x07\u202e": _zeros(1)},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_of_tensors(name: str, tmp_path: Path) -> None:
    path = write_rosinality(tiny_generator(), tmp_path / "g.pt")
    content = torch.load(path, weights_only=True)
    content["g_ema"] |= NAMES[name]
    torch.save(content, path)
    said = refusal(path)
    assert said.isprintable()


@pytest.mark.parametrize("index", ["99999999999", "999999", "9" * 5000])
def test_noise_of_a_forged_resolution(index: str, tmp_path: Path) -> None:
    path = write_nvidia_tf(tiny_generator(), tmp_path / "net.pkl")
    content = path.read_bytes()
    name = f"noise{index}".encode()
    old = b"\x8c\x06noise0"
    assert old in content
    frame = content[:2] + content[11:]  # without its frame, whose length would no longer fit
    path.write_bytes(frame.replace(old, b"X" + struct.pack("<I", len(name)) + name))
    assert "does not know" in refusal(path) or len(index) > 100  # then the variable is no variable


def test_few_numbers_do_not_stand_for_many_tensors(tmp_path: Path) -> None:
    path = write_rosinality(tiny_generator(), tmp_path / "g.pt")
    content = torch.load(path, weights_only=True)
    shared = torch.zeros(1, 100, 100, 3, 3)
    content["g_ema"] |= {f"convs.{index}.conv.weight": shared for index in range(20)}
    torch.save(content, path)
    assert "share their numbers" in refusal(path)


def test_one_widening_of_a_shared_storage() -> None:
    flat = torch.zeros(2_000_000, dtype=torch.bfloat16)
    stream = io.BytesIO()
    torch.save([flat[i : i + 1] for i in range(50)], stream, _use_new_zipfile_serialization=False)
    tensors = load_legacy_torch(memoryview(stream.getvalue()))
    tracemalloc.start()
    arrays = [tensor.array() for tensor in tensors]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(arrays) == 50
    assert peak < 20e6  # 8 MB and a temporary, not 50 times


def test_records_that_refer_to_themselves(tmp_path: Path) -> None:
    """A network that is its own component: a thousand names of it, to any depth."""
    path = tmp_path / "net.pkl"
    names = b"".join(text(f"c{i}") + b"h\x00" for i in range(1000))
    body = b"cdnnlib.tflib.network\nNetwork\n)\x81q\x00}(" + text("version") + b"K\x04"
    body += text("variables") + b"]" + text("components") + b"}(" + names + b"uub"
    path.write_bytes(P2 + body + b".")
    assert "more parts" in refusal(path)
    modules = b"}(" + names + b"u"
    tables = text("_modules") + modules + text("_parameters") + b"}" + text("_buffers") + b"}"
    own = b"ctorch.nn.modules.module\nModule\n)\x81q\x00}(" + tables + b"ub"
    path.write_bytes(P2 + own + b".")
    refusal(path)


def test_foreign_values_where_plain_ones_belong(tmp_path: Path) -> None:
    """Arrays in the places of numbers and networks: neither truth values nor hashes of them are asked for."""
    array, path = np.zeros((2, 2), "<f4"), tmp_path / "net.pkl"
    for content in (
        {"G_ema": array, "G": array},
        {"g_ema": array},
        {"g_ema": {"input.input": array}, "latent_avg": [array]},
        {"input.input": {"a": array}},
        (array, array),
        array,
    ):
        path.write_bytes(pickle.dumps(content, 4))
        refusal(path)
    with foreign_modules() as foreign:
        made = foreign["Network"]()
        made.__dict__.update(version=5, variables=[], components={}, static_kwargs={"num_fp16_res": 0.5})
        path.write_bytes(pickle.dumps(made, 4))
    refusal(path)


@pytest.mark.parametrize(
    "switch",
    [{"num_fp16_res": 0.5}, {"conv_clamp": (1, 2)}, {"mapping_lrmul": (1,)}, {"num_fp16_res": 2**200},
     {"resample_kernel": [[1, 3], [3, 1], [1]]}, {"resample_kernel": ["a"]}, {"conv_clamp": 2**200}],
    ids=str,
)  # fmt: skip
def test_switches_of_another_type(switch: dict[str, Any], tmp_path: Path) -> None:
    path = write_nvidia_tf(tiny_generator(), tmp_path / "net.pkl")
    with foreign_modules():
        networks = pickle.loads(path.read_bytes())  # written by this test a moment ago
        for one in networks:
            one.__dict__["static_kwargs"] |= switch
        path.write_bytes(pickle.dumps(networks, 4))
    refusal(path)


def test_the_settings_of_a_trainer_are_an_inert_record(tmp_path: Path) -> None:
    """stylegan2-pytorch's own trainer saves its argparse.Namespace beside the networks."""
    path = write_rosinality(tiny_generator(), tmp_path / "010000.pt")
    content = torch.load(path, weights_only=True)
    adam = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.0, 0.99), "params": [0]}]}
    more = {"d": {}, "args": argparse.Namespace(size=16, lr=0.002), "ada_aug_p": 0.0, "g_optim": adam}
    torch.save({"g": content["g_ema"], **content, **more}, path)
    assert inspect(path).config == tiny_config(use_noise=True)


@pytest.mark.parametrize("img_channels", [2, 4])
def test_networks_of_other_channels_are_refused_when_opened(img_channels: int, tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match=f"images of {img_channels} channels"):
        tiny_config(img_channels=img_channels)
    path = write_rosinality(tiny_generator(), tmp_path / "g.pt")
    content = torch.load(path, weights_only=True)
    for name, tensor in content["g_ema"].items():
        if name.startswith("to_rgb") and name.endswith("conv.weight"):
            content["g_ema"][name] = tensor[:, :1].repeat(1, img_channels, 1, 1, 1)
    torch.save(content, path)
    assert f"images of {img_channels} channels" in refusal(path)


def test_cards_of_another_type(tmp_path: Path) -> None:
    good = convert(write_rosinality(tiny_generator(), tmp_path / "g.pt"), tmp_path / "g.safetensors")
    card = json.loads(good.with_suffix(".json").read_text())
    tensors = {"mapping.fc0.weight": torch.zeros(2, 2)}
    changes: list[tuple[str, Any]] = [
        ("version", [[1]]),
        ("version", True),
        ("format", []),
        ("config", []),
        ("config", card["config"] | {"resolution": "16"}),
        ("config", card["config"] | {"architecture": ["skip"]}),
        ("config", card["config"] | {"architecture": "x" * 10_000}),
        ("config", card["config"] | {"mapping_lr_multiplier": 10**400}),
        ("config", card["config"] | {"conv_clamp": 10**400}),
        ("config", card["config"] | {"channels": [1] * 100_000}),
        ("config", card["config"] | {"num_fp16_res": 10**30}),
        ("config", card["config"] | {"x" * 10_000: 1}),
    ]
    for key, value in changes:
        text = json.dumps(card | {key: value})
        save_file(tensors, tmp_path / "bad.safetensors", metadata={"stylegan_bridge": text})
        refusal(tmp_path / "bad.safetensors")
    for text in ("[" * 100_000, "null", "[]", "3", '{"format": 1e999}', "9" * 5000):
        save_file(tensors, tmp_path / "bad.safetensors", metadata={"stylegan_bridge": text})
        refusal(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.int64, torch.bool])
def test_safetensors_of_other_numbers(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"mapping.fc0.weight": torch.zeros(2, 2).to(dtype)}, path, metadata={"stylegan_bridge": "{}"})
    assert "of type" in refusal(path)


def _rezip(change: Callable[[bytearray], None], path: Path) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(bytes(content))


def test_tricks_with_zip_archives(tmp_path: Path) -> None:
    path = write_rosinality(tiny_generator(), tmp_path / "g.pt")
    whole = path.read_bytes()
    directory = whole.rindex(b"PK\x05\x06")
    first = whole.index(b"PK\x01\x02")
    changes = {  # offset in the directory or its end, and what is written there
        "encrypted": (first + 8, b"\x01\x00"),
        "compressed": (first + 10, b"\x08\x00"),
        "far away": (first + 42, b"\xff\xff\xff\x7f"),
        "huge": (first + 24, b"\xff\xff\xff\x7f"),
        "no entries": (directory + 8, b"\x00\x00\x00\x00"),
        "directory outside": (directory + 16, b"\xff\xff\xff\x7f"),
        "large directory": (directory + 12, b"\xff\xff\xff\x7f"),
        "several disks": (directory - 4, b"\x07\x00\x00\x00"),
        "zip64 without its record": (directory + 12, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    }
    for offset, data in changes.values():
        changed = bytearray(whole)
        changed[offset : offset + len(data)] = data
        path.write_bytes(bytes(changed))
        with suppress(BridgeError):  # some changes do not matter; nothing else may be raised
            inspect(path)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(60_000):
            archive.writestr(f"archive/data/{index:040}{'x' * 40}", b"")
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    assert "directory is larger" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", b"\x80\x02}.")
    assert "doubled" in refusal(path)
