"""torch.save's two containers, each a pickle and raw numbers: the zip archive, and the stream before torch 1.6."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from typing import IO, Any

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.safe_pickle import Budget, Machine
from stylegan_bridge.readers.values import STORAGE_DTYPES, Storage, Symbol, counts

#: The old format's first word, and the version that follows it.
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: A zip archive's directory takes about 100 bytes per tensor; in memory it takes ten times that.
MAX_DIRECTORY, MAX_KEY = 2**22, 200
LEGACY_HEADER = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little") + b"."


def load_torch_object(buffer: memoryview, find: Callable[[str, int], memoryview]) -> Any:
    """The value of a torch archive's data.pkl; `find(key, num_bytes)` gives a storage's bytes."""
    storages: dict[str, Storage] = {}

    def persistent_load(reference: Any) -> Storage:
        key, storage = _storage(reference, storages)
        if storage.data is None:
            storage.data = find(key, storage.num_bytes)
        return storage

    return Machine(buffer, persistent_load=persistent_load).load()[0]


def load_legacy_torch(buffer: memoryview, budget: Budget | None = None) -> Any:
    """The value of torch.save's format before 1.6: five pickles, then the storages' bytes in a stated order.

    `budget`: of the file that the stream lies in, where it is not a file itself.
    """
    budget = budget or Budget(len(buffer))
    storages: dict[str, Storage] = {}

    def persistent_load(reference: Any) -> Storage:
        return _storage(reference, storages)[1]

    position, values = 0, []
    for _ in range(5):
        value, position = Machine(buffer, position, persistent_load=persistent_load, budget=budget).load()
        values.append(value)
    magic, protocol, system, content, keys = values
    if not (type(magic) is type(protocol) is int) or (magic, protocol) != (LEGACY_MAGIC, LEGACY_PROTOCOL):
        raise BridgeError("the old torch format's first words are wrong; the file is damaged")
    if type(keys) is not list:
        raise BridgeError("the old torch format's first words are wrong; the file is damaged")
    if type(system) is not dict or system.get("little_endian") is not True:
        raise BridgeError("the file was written on a big-endian machine, which is not supported")
    for key in keys:
        storage = storages.get(key) if type(key) is str else None
        header = buffer[position : position + 8]
        if storage is None or len(header) < 8 or int.from_bytes(header, "little", signed=True) != storage.count:
            raise BridgeError("the tensors' data do not match their description; the file is damaged or cut short")
        position += 8
        storage.data = buffer[position : position + storage.num_bytes]
        if len(storage.data) != storage.num_bytes:
            raise BridgeError("the file ends inside a tensor's data; it is cut short")
        position += storage.num_bytes
    return content


def _storage(reference: Any, known: dict[str, Storage]) -> tuple[str, Storage]:
    """The storage that a persistent id names: ('storage', type, key, device, count, ...)."""
    if type(reference) is not tuple or len(reference) not in (5, 6) or not _is_text(reference[0], "storage"):
        raise BridgeError("the file refers to outside data that are no tensors; refused")
    kind, key, count = reference[1], reference[2], reference[4]
    if not isinstance(kind, Symbol) or kind.name not in STORAGE_DTYPES or type(key) is not str:
        raise TypeError(type(kind))
    if len(reference) == 6 and reference[5] is not None:
        raise BridgeError(
            "the file shares storages in a way that torch gave up in 2017; save it again with a newer torch"
        )
    if len(key) > MAX_KEY:
        raise ValueError(len(key))
    (size,) = counts((count,))
    storage = known.setdefault(key, Storage(STORAGE_DTYPES[kind.name], size))
    if (storage.dtype, storage.count) != (STORAGE_DTYPES[kind.name], size):
        raise ValueError(key)
    return key, storage


def _check_directory(buffer: memoryview) -> None:
    """BridgeError for a directory that is larger than any network's, before it is read."""
    tail = bytes(buffer[-65_557:])  # the end record is 22 bytes and a comment of 65,535 at most
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile
    (size,) = struct.unpack_from("<L", tail, at + 12)
    if size == 0xFFFFFFFF:  # a zip64 archive: the true size is in a record of its own before this one
        far = tail.rfind(b"PK\x06\x06", 0, at)
        if far < 0 or len(tail) < far + 48:
            raise zipfile.BadZipFile
        (size,) = struct.unpack_from("<Q", tail, far + 40)
    if size > MAX_DIRECTORY:
        raise BridgeError("the archive's directory is larger than any network file's; refused")


def _is_text(value: Any, text: str) -> bool:
    return type(value) is str and value == text


def load_torch_zip(buffer: memoryview, stream: IO[bytes]) -> Any:
    """The value of a torch.save archive; `stream` is the same file, for the zip's directory.

    torch stores its entries uncompressed, one after another, so that each is a plain slice of the file. A compressed
    entry (a zip bomb), one that overlaps another or one named twice is refused.
    """
    try:
        _check_directory(buffer)
        entries = zipfile.ZipFile(stream).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error) as error:
        raise BridgeError("the archive's directory cannot be read; the file is damaged or cut short") from error
    slices: dict[str, memoryview] = {}
    end = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.filename in slices:
            raise BridgeError(
                f"the archive's entry {entry.filename[:80]!r} is compressed, encrypted or doubled; refused"
            )
        header = buffer[entry.header_offset : entry.header_offset + 30]
        if len(header) < 30 or entry.header_offset < end:
            raise BridgeError("the archive's entries overlap or lie outside it; the file is damaged")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        start = entry.header_offset + 30 + name_length + extra_length
        end = start + entry.file_size
        if end > len(buffer):
            raise BridgeError(f"the file ends inside {entry.filename[:80]!r}; it is cut short")
        slices[entry.filename] = buffer[start:end]
    roots = [name[: -len("data.pkl")] for name in slices if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(roots) != 1:
        raise BridgeError("the zip archive holds no torch data (no data.pkl)")
    order = slices.get(f"{roots[0]}byteorder")
    if order is not None and bytes(order).strip() != b"little":
        raise BridgeError("the file was written on a big-endian machine, which is not supported")

    def find(key: str, num_bytes: int) -> memoryview:
        data = slices.get(f"{roots[0]}data/{key}")
        if data is None or len(data) < num_bytes:
            raise BridgeError(
                f"the archive lacks {num_bytes} bytes of tensor data under {key[:40]!r}; the file is damaged"
            )
        return data[:num_bytes]

    return load_torch_object(slices[f"{roots[0]}data.pkl"], find)
