"""Hostile pickles: nothing in them runs, nothing large is allocated, and each is refused in one line."""

import builtins
import codecs
import collections
import io
import os
import pickle
import struct
import subprocess
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bridge_checkpoints import foreign_modules, tiny_generator, write_rosinality

from stylegan_bridge import BridgeError, inspect
from stylegan_bridge.readers import safe_pickle
from stylegan_bridge.readers.safe_pickle import load_pickle
from stylegan_bridge.readers.torch_format import LEGACY_HEADER, load_legacy_torch
from stylegan_bridge.readers.values import Record, Tensor, as_array


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


class Touch:
    """Pickles as the shell command that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "os.system": Touch,
    "inside the network": lambda mark: {"G_ema": {"weights": [Touch(mark)]}},
    "subprocess": lambda mark: Calls(subprocess.Popen, ["touch", str(mark)]),
    "eval": lambda mark: Calls(builtins.eval, f"open({str(mark)!r}, 'w')"),
    "exec": lambda mark: Calls(builtins.exec, f"open({str(mark)!r}, 'w')"),
    "open": lambda mark: Calls(builtins.open, str(mark), "w"),
    "getattr": lambda mark: Calls(builtins.getattr, "text", "join"),
    "import": lambda mark: Calls(__import__, "antigravity"),
    "nested reduce": lambda mark: Calls(collections.OrderedDict, [("a", Calls(dict, [("b", Touch(mark))]))]),
    "state of an allowed class": lambda mark: Calls(collections.OrderedDict, state={"x": Touch(mark)}),
    "a pickle in a pickle": lambda mark: Calls(pickle.loads, pickle.dumps(Touch(mark))),
    "torch.load": lambda mark: Calls(torch.load, str(mark)),
    "numpy loader": lambda mark: Calls(np.load, str(mark), None, True),
    "codecs to another codec": lambda mark: Calls(codecs.encode, "shell", "rot13"),
    "codecs lookup": lambda mark: Calls(codecs.lookup, "latin1"),
    "codecs decode": lambda mark: Calls(codecs.decode, b"xx", "zlib"),
    "a class of its own": lambda mark: Touch.__mro__[0],
    "a numpy function": lambda mark: Calls(np.fromfile, str(mark)),
    "a torch function": lambda mark: Calls(torch.zeros, 10**9),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_runs(name: str, protocol: int, tmp_path: Path) -> None:
    mark, path = tmp_path / "it_ran", tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(HOSTILE[name](mark), protocol))
    with pytest.raises(BridgeError) as error:
        inspect(path)
    assert "\n" not in str(error.value)
    assert not mark.exists()


def test_the_refusal_names_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(Touch(tmp_path / "x"), 2))
    with pytest.raises(BridgeError, match=r"posix\.system|nt\.system"):
        inspect(path)


@pytest.mark.parametrize("legacy", [True, False])
def test_nothing_runs_in_torch_files(legacy: bool, tmp_path: Path) -> None:
    mark, path = tmp_path / "it_ran", tmp_path / "net.pt"
    torch.save({"g_ema": {"x": Touch(mark)}}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BridgeError, match="system"):
        inspect(path)
    assert not mark.exists()


def test_nothing_runs_in_a_stream_inside_a_tensor(tmp_path: Path) -> None:
    """NVIDIA's tensors are torch streams inside the pickle; the same rules hold there, and none may lie deeper."""
    mark = tmp_path / "it_ran"
    stream = io.BytesIO()
    torch.save(Touch(mark), stream, _use_new_zipfile_serialization=False)
    outer = pickle.dumps({"G": Calls(torch.storage._load_from_bytes, stream.getvalue())})
    with pytest.raises(BridgeError, match="system"):
        load_pickle(memoryview(outer), load_legacy_torch)
    assert not mark.exists()
    deeper = io.BytesIO()
    torch.save(Calls(torch.storage._load_from_bytes, b"x"), deeper, _use_new_zipfile_serialization=False)
    with pytest.raises(BridgeError, match="not understood"):
        load_pickle(
            memoryview(pickle.dumps(Calls(torch.storage._load_from_bytes, deeper.getvalue()))), load_legacy_torch
        )


P2 = b"\x80\x02"
#: Raw programs that no pickler writes.
PROGRAMS: dict[str, bytes] = {
    "extension registry": P2 + b"\x82\x01.",
    "getattr chain": P2 + b"cbuiltins\ngetattr\ncbuiltins\n__import__\nU\x02os\x85RU\x06system\x86RU\x04true\x85R.",
    "getattr by an allowed class": P2 + b"ccollections\nOrderedDict.__init__.__globals__\n.",
    "protocol-0 text global": b"cos\nsystem\n(S'true'\ntR.",
    "inst": b"(S'true'\nios\nsystem\n.",
    "obj": P2 + b"(cos\nsystem\nX\x04\x00\x00\x00trueo.",
    "stack global of computed names": P2 + b"]X\x06\x00\x00\x00system\x93.",
    "call of a string": P2 + b"X\x02\x00\x00\x00os)R.",
    "call of a result": P2 + b"ccollections\nOrderedDict\n)R)R.",
    "memo index that is not there": P2 + b"h\x07.",
    "huge memo index": P2 + b"Nr\xff\xff\xff\xffj\xff\xff\xff\x7f.",
    "bytes of 8 exabytes": P2 + b"\x8e" + struct.pack("<Q", 2**63) + b"x.",
    "text of 4 gigabytes": P2 + b"X" + struct.pack("<I", 2**32 - 1) + b"x.",
    "bytearray of 1 terabyte": P2 + b"\x96" + struct.pack("<Q", 2**40) + b".",
    "integer of 2 gigabytes": P2 + b"\x8b" + struct.pack("<I", 2**31 - 1) + b"\x01.",
    "negative length": P2 + b"\x8b\xff\xff\xff\xff.",
    "endless name": P2 + b"c" + b"a" * 5000,
    "out-of-band buffer": P2 + b"\x97.",
    "persistent id": P2 + b"X\x01\x00\x00\x00aQ.",
    "pop of nothing": P2 + b"0.",
    "mark of nothing": P2 + b"t.",
    "unhashable key": P2 + b"}]Ns.",
    "nested tuple as key": P2 + b"})" + b"\x85" * 50_000 + b"Ns.",
    "set items on a list": P2 + b"](NNu.",
    "build on a number": P2 + b"K\x01}b.",
    "no stop": P2 + b"N",
    "invalid text": P2 + b"X\x02\x00\x00\x00\xff\xff.",
    "future protocol": b"\x80\x07N.",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_no_pickler_writes(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BridgeError) as error:
            content = load_pickle(memoryview(PROGRAMS[name]))
            # a harmless value may come out; then it is no network
            raise BridgeError(f"not a network: {type(content)}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert peak < 20e6


@pytest.mark.parametrize("name", ["bytes of 8 exabytes", "text of 4 gigabytes", "bytearray of 1 terabyte"])
def test_a_length_past_the_end_is_refused_as_such(name: str) -> None:
    with pytest.raises(BridgeError, match="ends inside a value"):
        load_pickle(memoryview(PROGRAMS[name]))


def bomb_of_encodes(count: int) -> bytes:
    """One text of 200 kB, turned into bytes `count` times over."""
    text = b"X" + struct.pack("<I", 200_000) + b"a" * 200_000 + b"q\x00"
    names = b"c_codecs\nencode\nq\x01X\x06\x00\x00\x00latin1q\x02"
    return P2 + text + names + b"(" + b"h\x01h\x00h\x02\x86R" * count + b"t."


def bomb_of_containers(count: int) -> bytes:
    """One list of 30,000 items, turned into a set `count` times over."""
    items = b"](" + b"".join(b"M" + struct.pack("<H", i % 60000) for i in range(30_000)) + b"eq\x00"
    return P2 + items + b"cbuiltins\nset\nq\x01(" + b"h\x01h\x00\x85R" * count + b"t."


def bomb_of_streams(count: int) -> bytes:
    """One torch stream of 20 kB, read `count` times over."""
    stream = io.BytesIO()
    torch.save([0] * 5_000, stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue()
    head = P2 + b"ctorch.storage\n_load_from_bytes\nq\x01" + b"B" + struct.pack("<I", len(data)) + data + b"q\x00"
    return head + b"(" + b"h\x01h\x00\x85R" * count + b"t."


@pytest.mark.parametrize("bomb", [bomb_of_encodes, bomb_of_containers, bomb_of_streams])
def test_memo_bombs_do_not_unpack(bomb: Callable[[int], bytes]) -> None:
    program = bomb(5000)
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(BridgeError, match="far more than its own size"):
            load_pickle(memoryview(program), load_legacy_torch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_OPCODES", 1000), ("MAX_STACK", 1000), ("MAX_MEMO", 1000)], ids=lambda v: str(v)
)
def test_programs_are_bounded(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_pickle, name, value)
    programs = {
        "MAX_OPCODES": P2 + b"N0" * 2000 + b"N.",
        "MAX_STACK": P2 + b"N" * 2000 + b".",
        "MAX_MEMO": P2 + b"N" + b"\x94" * 2000 + b".",
    }
    with pytest.raises(BridgeError, match="than any network file|more objects"):
        load_pickle(memoryview(programs[name]))


def test_the_source_code_in_nvidias_pickles_is_dropped_unread() -> None:
    with foreign_modules() as foreign:
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": "X", "state": {"a": 1}}
        content = load_pickle(memoryview(pickle.dumps(Calls(foreign["reconstruct"], meta))))
    assert isinstance(content, Record)
    assert (content.class_name, content.state) == ("X", {"a": 1})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -5, 2**40, -(2**70), 1.5, True, None, "é", b"\xff\x00"], "b": (1, (2, ()), {3})},
        collections.OrderedDict(a=1, b={"c": [[]]}),
        {1, 2, "x"},
        "x" * 1000,
        b"y" * 1000,
    ],
)
def test_plain_data_come_out_as_they_went_in(value: Any, protocol: int) -> None:
    found = load_pickle(memoryview(pickle.dumps(value, protocol)))
    assert bytes(found) == value if isinstance(value, bytes) else found == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", "|u1", "|b1"])
def test_numpy_arrays_come_out_as_they_went_in(dtype: str, protocol: int) -> None:
    array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    shared = {"c": array, "f": np.asfortranarray(array), "again": array, "scalar": array[0, 1, 1], "empty": array[:0]}
    found = load_pickle(memoryview(pickle.dumps(shared, protocol)))
    np.testing.assert_array_equal(found["c"], array)
    np.testing.assert_array_equal(found["f"], array)
    np.testing.assert_array_equal(found["empty"], array[:0])
    assert found["again"] is found["c"]
    assert found["scalar"] == array[0, 1, 1]


def test_arrays_of_objects_and_wrong_sizes() -> None:
    with pytest.raises(BridgeError):
        load_pickle(memoryview(pickle.dumps(np.array([{}, []], dtype=object))))
    content = pickle.dumps(np.arange(6, dtype="<f4").reshape(2, 3), 4).replace(b"K\x02K\x03\x86", b"K\x02K\x07\x86")
    with pytest.raises(BridgeError, match=r"shape \(2, 7\)"):
        load_pickle(memoryview(content))


TENSORS = {
    "plain": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "strided": torch.arange(24, dtype=torch.float32).reshape(4, 6)[1:, ::2].t(),
    "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "half": torch.randn(5).half(),
    "bfloat16": torch.randn(5).bfloat16(),
    "integers": torch.arange(5),
    "scalar": torch.tensor(3.5),
    "empty": torch.empty(0, 4),
}


@pytest.mark.parametrize("kind", ["pickle", "legacy", "zip"])
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_come_out_as_they_went_in(name: str, kind: str, tmp_path: Path) -> None:
    from stylegan_bridge.readers.torch_format import load_torch_zip

    tensor, path = TENSORS[name], tmp_path / "t"
    if kind == "pickle":
        found = load_pickle(memoryview(pickle.dumps(tensor)), load_legacy_torch)
    else:
        torch.save(tensor, path, _use_new_zipfile_serialization=kind == "zip")
        content = path.read_bytes()
        assert content.startswith(LEGACY_HEADER) == (kind == "legacy")
        buffer = memoryview(content)
        found = load_legacy_torch(buffer) if kind == "legacy" else load_torch_zip(buffer, io.BytesIO(content))
    assert isinstance(found, Tensor)
    np.testing.assert_array_equal(as_array(found), tensor.float().numpy())


@pytest.mark.parametrize(
    "geometry",
    [
        (0, (100,), (1,)),
        (11, (2,), (1,)),
        (0, (2, 2), (1, 100)),
        (0, (10**9, 10**9), (0, 0)),
        (-1, (1,), (1,)),
        (0, (2,), (-1,)),
    ],
)
def test_a_tensor_that_reaches_outside_its_storage(geometry: tuple[Any, ...], tmp_path: Path) -> None:
    storage = torch.arange(12, dtype=torch.float32).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    offset, shape, strides = geometry
    hostile = Calls(torch._utils._rebuild_tensor_v2, typed, offset, shape, strides, False, collections.OrderedDict())
    with pytest.raises(BridgeError, match="reaches past|malformed"):
        load_pickle(memoryview(pickle.dumps(hostile)), load_legacy_torch)


def rezipped(path: Path, out: Path, change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            change(new, entry, old.read(entry))
    return out


def test_torch_archives_that_torch_does_not_write(tmp_path: Path) -> None:
    path = write_rosinality(tiny_generator(), tmp_path / "g.pt")

    def compressed(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(entry.filename, data, zipfile.ZIP_DEFLATED)

    def big_endian(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(entry.filename, b"big" if entry.filename.endswith("byteorder") else data)

    def without_data(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        if not entry.filename.endswith("data/3"):
            new.writestr(entry.filename, data)

    def without_pickle(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        if not entry.filename.endswith("data.pkl"):
            new.writestr(entry.filename, data)

    for change, message in [
        (compressed, "compressed"),
        (big_endian, "big-endian"),
        (without_data, "lacks"),
        (without_pickle, "no data.pkl"),
    ]:
        with pytest.raises(BridgeError, match=message):
            inspect(rezipped(path, tmp_path / "changed.pt", change))
