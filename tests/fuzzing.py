"""What a stranger can send to every reader, damaged at random and built on purpose: none runs, connects or hangs.

`benchmarks/fuzz.py` gives each reader more of the same and writes how long and how large the worst took.
"""

import codecs
import io
import json
import pickle
import random
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from classifiers import ClassifierError, create_model, load_classifier
from classifiers.files import read_foreign, save_weights
from ganfer.data.decode import Target, Task, decode_chunk
from ganfer.data.sources import open_source
from ganfer.data.sources.items import Item, Note, Refused
from ganfer.errors import GanferError
from ganfer.generate.shards import write_shard
from ganfer.runtime.tables import read_rows
from ganfer.serve.errors import Refused as Unfit
from ganfer.serve.pictures import measure, open_upload
from ganfer.workspace import Run
from stylegan_bridge import BridgeError, convert, inspect, read_tensors

sys.path.insert(0, str(Path(__file__).parent / "stylegan_bridge"))
from bridge_checkpoints import tiny_generator, write_nvidia_tf, write_nvidia_torch, write_rosinality

for _codec in ("cp437", "ascii", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "idna", "unicode_escape"):
    codecs.lookup(_codec)  # Python loads codecs when they are first needed

P2 = b"\x80\x02"
_watching = False
#: What reading a file never does. Importing and compiling are seen as `exec`, `import` and `compile`.
_NEVER = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "socket.getaddrinfo"),
    *("urllib.Request", "exec", "compile", "import", "pickle.find_class", "ctypes.dlopen", "shutil.rmtree"),
)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in _NEVER:
        raise AssertionError(f"reading a file did {event}{arguments!r:.200}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[None]:
    """Whatever runs, connects or imports in the block is an AssertionError."""
    global _watching
    _watching = True
    try:
        yield
    finally:
        _watching = False


@dataclass(frozen=True)
class Reader:
    """seeds: good files to damage. read: takes content and a folder. refuses: what it may raise, in one line."""

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes, Path], object]
    refuses: tuple[type[Exception], ...]
    imports: bool = False  # libraries that are loaded when they are first needed

    def one(self, content: bytes, folder: Path) -> str:
        """`read` or `refused`; AssertionError for anything else."""
        try:
            if self.imports:
                self.read(content, folder)
            else:
                with watched():
                    self.read(content, folder)
        except self.refuses as error:
            said = str(error)
        else:
            return "read"
        assert "\n" not in said, said[:500]
        assert len(said) < 2000
        return "refused"


def damaged(seeds: Sequence[bytes], number: int) -> bytes:
    """The number-th damage: flipped, cut, doubled, moved, overwritten with what means something in some format."""
    rng = random.Random(number)
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        size = len(content) or 1
        at, length = rng.randrange(size), rng.choice((1, 2, 4, 8, rng.randrange(1, size + 1)))
        match rng.randrange(7):
            case 0:
                content[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                content[at : at + length] = b""
            case 2:
                content[at:at] = content[at : at + min(length, 4096)]
            case 3:
                content[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, size)))
            case 4:
                content[at : at + 1] = bytes([content[at] ^ (1 << rng.randrange(8))]) if at < len(content) else b""
            case 5:
                content[at:at] = rng.choice(TOKENS)
            case 6:
                del content[at:]
    return bytes(content)


TOKENS = (
    b"cos\nsystem\n(S'true'\ntR.", b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", b"2\x86" * 40,
    b")" + b"\x85" * 300,
    b"[" * 3000, b"{" * 3000, b'"' * 50, b"null", b"1e999", b"9" * 400, b"-1", b"\x00" * 16, b"\xff" * 16, b"=1+1,",
    b"\n\n", b"\x1b]0;x\x07", b"PK\x03\x04", b"PK\x05\x06", b"\xff\xda", b"\x82\x01", b"\x97", b"0" * 30, b".",
)  # fmt: skip

#: Names that published tools have got past other readers' lists.
NAMES = tuple(
    """
    os system, posix system, nt system, builtins eval, builtins exec, builtins compile, builtins open,
    builtins getattr, builtins __import__, builtins __build_class__, builtins breakpoint, builtins input,
    operator attrgetter, operator methodcaller, functools partial, functools reduce, types CodeType,
    types FunctionType, importlib import_module, runpy run_path, runpy _run_code, timeit timeit, pty spawn,
    subprocess Popen, subprocess.Popen __init__, pip main, pip._internal main, ensurepip bootstrap,
    code InteractiveInterpreter, cProfile runctx, profile run, bdb Bdb.run, pdb run, trace Trace.run,
    webbrowser open, urllib.request urlopen, socket create_connection, http.client HTTPSConnection, ctypes CDLL,
    shutil rmtree, pathlib Path.unlink, _io FileIO, io open, tempfile mktemp, linecache getline, pickle loads,
    copyreg _reconstructor, copyreg __newobj__, collections OrderedDict.update, collections defaultdict,
    torch load, torch.hub load, torch.serialization load, torch.jit load, torch _C, torch.package importer,
    torch._dynamo.guards GuardBuilder.get, torch.utils.data datapipes, torch.storage _load_from_bytes.__globals__,
    numpy load, numpy fromfile, numpy.testing._private.utils runstring, numpy.f2py.crackfortran getlincoef,
    joblib load, dill loads, cloudpickle loads, logging config.listen, asyncio create_subprocess_shell,
    torch.nn.modules.container __builtins__.eval, torch.nn.modules.module Module.__init__, argparse _os.system,
    __main__ run, sys modules, sys exit, signal raise_signal, atexit register, gc get_objects, inspect stack
    """.replace("\n", " ")
    .strip()
    .split(", ")
)


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def constructed() -> dict[str, bytes]:
    """Pickles and archives built to get past a reader."""
    found: dict[str, bytes] = {}
    for name in map(str.strip, NAMES):
        module, attribute = name.rsplit(" ", 1)
        call = b"(" + _text("true") + b"tR."
        found[f"global {name}"] = P2 + f"c{module}\n{attribute}\n".encode() + call
        found[f"stack global {name}"] = b"\x80\x04" + _text(module) + _text(attribute) + b"\x93" + call
        found[f"from the memo {name}"] = (
            b"\x80\x04" + _text(module) + b"\x940" + _text(attribute) + b"\x940h\x00h\x01\x93" + call
        )
        found[f"inst {name}"] = b"(" + _text("true") + f"i{module}\n{attribute}\n.".encode()
        found[f"obj {name}"] = P2 + b"(" + f"c{module}\n{attribute}\n".encode() + _text("true") + b"o."
        found[f"newobj_ex {name}"] = b"\x80\x04" + f"c{module}\n{attribute}\n".encode() + b")}\x92."
        found[f"state {name}"] = (
            P2
            + b"ccollections\nOrderedDict\n)R"
            + f"c{module}\n{attribute}\n".encode()
            + b"("
            + _text("true")
            + b"tRb."
        )
    setstate = _text("__setstate__") + b"cos\nsystem\n"
    found["build with __setstate__"] = P2 + b"cargparse\nNamespace\n)\x81}" + setstate + b"sb" + _text("true") + b"b."
    found["two stops"] = P2 + b"N.cos\nsystem\n" + _text("true") + b"\x85R."
    found["nested reduce"] = (
        P2 + b"ccollections\nOrderedDict\n" + b"ccollections\nOrderedDict\n" * 50 + b")R" * 50 + b"."
    )
    for code in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"):
        found[f"extension {code!r}"] = P2 + code + b"."
    found["text persistent id"] = b"Pmodule\n."
    found["binary persistent id"] = P2 + b"]Q."
    for protocol in range(6):
        found[f"protocol {protocol}"] = pickle.dumps({"a": np.array([{}, []], dtype=object)}, protocol)
    found["a pickle behind an image"] = b"\xff\xd8\xff" + P2 + b"cos\nsystem\n" + _text("true") + b"\x85R."
    found["7z"] = b"7z\xbc\xaf\x27\x1c" + P2 + b"cos\nsystem\n" + _text("true") + b"\x85R."
    hostile = found["global os system"]
    for kind, mode in (("tar", "w"), ("tar.gz", "w:gz")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
            for name in ("sys_info", "pickle", "storages", "tensors"):  # torch's format of 2016
                entry = tarfile.TarInfo(name)
                entry.size = len(hostile)
                archive.addfile(entry, io.BytesIO(hostile))
        found[kind] = out.getvalue()
    for name, method in (("stored", zipfile.ZIP_STORED), ("packed", zipfile.ZIP_DEFLATED)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("archive/data.pkl", hostile)
            archive.writestr("archive/version", "3")
        found[f"zip {name}"] = out.getvalue()
        broken = bytearray(out.getvalue())
        broken[14:18] = b"\0\0\0\0"  # a wrong checksum in front; other readers stop there and say that all is well
        found[f"zip {name}, wrong checksum"] = bytes(broken)
        broken = bytearray(out.getvalue())
        broken[6:8] = b"\x01\x00"
        found[f"zip {name}, marked as encrypted"] = bytes(broken)
        found[f"zip {name} behind other bytes"] = b"x" * 40 + out.getvalue()
    return found


# --- the readers ------------------------------------------------------------------------------------------------------


def _written(write: Callable[[Path], object], suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"seed{suffix}")
        write(path)
        return path.read_bytes()


def _in_file(read: Callable[[Path], object], name: str) -> Callable[[bytes, Path], object]:
    def read_content(content: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(content)
        return read(path)

    return read_content


def _networks() -> list[bytes]:
    generator = tiny_generator()
    seeds = [
        _written(lambda path: write_nvidia_tf(generator, path), ".pkl"),
        _written(lambda path: write_nvidia_torch(generator, path), ".pkl"),
        _written(lambda path: write_rosinality(generator, path), ".pt"),
        _written(lambda path: write_rosinality(generator, path, legacy=True), ".pt"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        source = write_rosinality(generator, Path(folder, "g.pt"))
        seeds.append(convert(source, Path(folder, "g.safetensors")).read_bytes())
    return seeds


_CARD = {"architecture": "compact-small", "class_names": ["a", "b"], "channels": 1, "size": 16, "temperature": 1.0,
         "model_options": {"dropout": 0.1}}  # fmt: skip


def _classifier(path: Path) -> None:
    save_weights(path, create_model("compact-small", 2, 1, 16).state_dict(), _CARD)


def _load_card(content: bytes, folder: Path) -> object:
    """A classifier whose card is this text; the weights are whole."""
    from classifiers.cards import read_card
    from classifiers.files import _parse_card

    path = folder / "model.safetensors"
    return read_card(_parse_card(content.decode("utf-8", "replace"), path), path)


def _images() -> list[bytes]:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8))
    seeds = []
    for kind in ("PNG", "JPEG", "progressive", "GIF", "WEBP", "BMP", "TIFF"):
        out = io.BytesIO()
        image.save(out, "JPEG" if kind == "progressive" else kind, progressive=kind == "progressive")
        seeds.append(out.getvalue())
    deep = io.BytesIO()
    Image.fromarray(rng.integers(0, 65536, (40, 30)).astype(np.uint16)).save(deep, "PNG")
    return [*seeds, deep.getvalue()]


def _decode(content: bytes, folder: Path) -> object:
    del folder
    found = decode_chunk([Task(content)], Target(16, 1))
    assert len(found.pixels) == (not found.reasons[0])
    return found


def _upload(content: bytes, folder: Path) -> object:
    del folder
    measure(content)
    return open_upload(content)


def _record(content: bytes, folder: Path) -> object:
    (folder / "record.json").write_bytes(content)
    run = Run(folder)
    return run.record, run.complete, run.figures, run.digest


def _table(content: bytes, folder: Path) -> object:
    del folder
    return list(read_rows(io.StringIO(content.decode("utf-8", "surrogateescape"))))


# --- what `data add` reads: archives, and tables with images beside them -------------------------------------------


def _face(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20), np.uint8)).save(out, "PNG")
    return out.getvalue()


_FACES = {f"{name}/{i}.png": _face(10 * k + i) for k, name in enumerate(("happy", "sad")) for i in range(2)}


def _zip(files: dict[str, bytes], method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def _tar(files: dict[str, bytes], packing: str, form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packing}", format=form) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _zips() -> list[bytes]:
    inside = {"fer2013.csv": b"emotion,pixels,Usage\n3,1 2 3 4,Training\n4,4 3 2 1,PublicTest\n"}
    turned = {name.replace("/", "\\"): data for name, data in _FACES.items()}
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return [*(_zip(_FACES, method) for method in methods), _zip(turned, zipfile.ZIP_STORED), _zip(inside, 8)]


def _tars() -> list[bytes]:
    long = {f"train/{'d' * 120}/{name}": data for name, data in _FACES.items()}
    packings = [_tar(_FACES, packing, tarfile.PAX_FORMAT) for packing in ("", "gz", "bz2", "xz")]
    return [*packings, _tar(long, "", tarfile.GNU_FORMAT), _tar(long, "", tarfile.PAX_FORMAT)]


_IMAGES = ("a.png", "b.png", "c.png")
#: name of the reader -> the table's file, and its seeds; the images above lie beside it.
_TABLES: dict[str, tuple[str, list[bytes]]] = {
    "FER2013's table": (
        "fer2013.csv",
        [
            b"emotion,pixels,Usage\n" + b"3,%b,Training\n" % b" ".join([b"7"] * 16) * 3,
            "emotion;pixels\n3;1 2 3 4\n".encode("utf-16"),
        ],
    ),
    "metadata.csv": (
        "metadata.csv",
        [b"file_name,label,split,subject\na.png,happy,train,1\nb.png,'=sad,test,2\n", b"file_name;label\n./c.png;x\n"],
    ),
    "metadata.jsonl": (
        "metadata.jsonl",
        [b'{"file_name": "a.png", "label": "happy"}\n{"file_name": "b.png", "label": ["sad"], "age": 3}\n'],
    ),
    "StyleGAN's dataset.json": (
        "dataset.json",
        [
            b'{"labels": [["a.png", 0], ["b.png", [0, 1]], ["c.png", "sad"]], "class_names": ["x", "y"]}',
            b'{"labels": {"a.png": 1, "b.png": 0}}',
        ],
    ),
    "ExpW's label.lst": ("label.lst", [b"a.png 0 1 1 19 19 80.5 3\na.png 1 2 2 9 9 2e1 0\nb.png 0 0 0 9 9 9 6\n"]),
    "Roboflow's _classes.csv": ("_classes.csv", [b"filename, Happy, Sad\na.png, 1, 0\nb.png, 0, 1\nc.png, 1, 1\n"]),
    "FERPlus's label.csv": (
        "FER2013Train/label.csv",
        [b'a.png,"(0, 0, 20, 20)",8,0,0,0,1,0,0,0,1,0\nb.png,0,9,0,0,0,0,0,1,0,0\n'],
    ),
}


def _imported(path: Path) -> object:
    """Everything that `data add` does with a source before it writes."""
    source = open_source(path)
    lines = source.lines()
    found = list(source.items())
    items = [entry for entry in found if isinstance(entry, Item)]
    assert all(isinstance(entry, Item | Refused | Note) for entry in found)
    return (
        lines,
        decode_chunk([Task(item.data, item.box) for item in items[:4]], Target(16, 1)),
        list(source.labels() or ()),
    )


def _archive(name: str) -> Callable[[bytes, Path], object]:
    def read(content: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(content)
        before = sorted(folder.rglob("*"))
        try:
            return _imported(path)
        finally:
            assert sorted(folder.rglob("*")) == before, "reading wrote a file"

    return read


def _parquet_seeds() -> list[bytes]:
    """Small Parquet files; none where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return []
    from ganfer.data.parquet import write_parquet

    rows = [(f"{i}.png", _images()[0], "happy", {"seed": i}) for i in range(3)]
    return [_written(lambda path: write_parquet(path, rows, ["happy", "sad"], {"seed": int}), ".parquet")]


def _source(name: str) -> Callable[[bytes, Path], object]:
    """Reads a file as `ganfer data add` does, without decoding its images."""

    def read(content: bytes, folder: Path) -> object:
        (folder / name).write_bytes(content)
        source = open_source(folder / name)
        return source.lines(), list(source.items())

    return read


def _beside_images(name: str) -> Callable[[bytes, Path], object]:
    def read(content: bytes, folder: Path) -> object:
        table = folder / "source" / name
        if not table.parent.is_dir():
            table.parent.mkdir(parents=True)
            for seed, image in enumerate(_IMAGES):
                (table.parent / image).write_bytes(_face(seed))
        table.write_bytes(content)
        return _imported(folder / "source")

    return read


def importers() -> list[Reader]:
    """The readers of `data add`."""
    found = [
        Reader("zip archives", _zips(), _archive("faces.zip"), (GanferError,)),
        Reader("tar archives", _tars(), _archive("faces.tar"), (GanferError,)),
    ]
    return found + [
        Reader(reader, seeds, _beside_images(name), (GanferError,)) for reader, (name, seeds) in _TABLES.items()
    ]


def _shard(path: Path) -> None:
    write_shard(path, ((f"{i}", _images()[0], {"class": "happy"}) for i in range(3)))


def readers() -> list[Reader]:
    """All of them, with seeds. Made once: the seeds take a second."""
    import csv

    networks = _networks()
    state = {"a": torch.zeros(5), "b.c": torch.ones(2, 3).half()}
    weights = [
        _written(lambda p: torch.save(state, p), ".pt"),
        _written(lambda p: torch.save(state, p, _use_new_zipfile_serialization=False), ".pt"),
    ]
    plain = _written(lambda path: save_file({"a": torch.zeros(3)}, path), ".safetensors")
    whole = {"status": "complete", "key": {"inputs": {}}, "figures": {"a": 1}, "seconds": 1.5, "digest": "d"}
    record = json.dumps({**whole, "finished": "2026-01-01T00:00:00+00:00"}).encode()
    table = b"file_name,asked,seed\na.png,happy,1\n./=b.png,'=sad,2\n"
    return [
        Reader("StyleGAN2 networks", networks, _in_file(inspect, "net"), (BridgeError,)),
        Reader("tensors, the bridge's reader", weights, _in_file(read_tensors, "net"), (BridgeError,)),
        Reader("tensors, torch's reader", weights, _in_file(read_foreign, "w.pth"), (ClassifierError,), imports=True),
        Reader(
            "classifiers", [_written(_classifier, ".safetensors"), plain], _in_file(load_classifier, "m.safetensors"),
            (ClassifierError,), imports=True,
        ),
        Reader("classifiers' cards", [json.dumps(_CARD).encode()], _load_card, (ClassifierError,)),
        Reader("records", [record], _record, (GanferError,)),
        Reader("tables", [table], _table, (ValueError, csv.Error)),
        Reader("images, as crops", _images(), _decode, (), imports=True),
        *importers(),
        Reader("WebDataset shards", [_written(_shard, ".tar")], _source("faces.tar"), (GanferError,), imports=True),
        *(
            [Reader("Parquet", seeds, _source("faces.parquet"), (GanferError,), imports=True)]
            if (seeds := _parquet_seeds())
            else []
        ),
        Reader("images, as uploads", _images(), _upload, (Unfit,), imports=True),
    ]  # fmt: skip
