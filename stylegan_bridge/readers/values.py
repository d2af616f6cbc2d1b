"""What reading a foreign file gives besides plain containers: inert records, none of which can run anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stylegan_bridge.errors import BridgeError

STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_ITEM_SIZES = {name: 2 if name == "bfloat16" else np.dtype(name).itemsize for name in STORAGE_DTYPES.values()}


@dataclass(frozen=True)
class Symbol:
    """A name from the allow-list, standing for what it would import."""

    module: str
    name: str


@dataclass(eq=False)
class Record:
    """An object of a class that is not rebuilt: its class name and its state."""

    class_name: str
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Storage:
    """A flat run of numbers; `data` is filled in once the bytes are found."""

    dtype: str
    count: int
    data: memoryview | None = None

    @property
    def num_bytes(self) -> int:
        """Length of the data."""
        return self.count * _ITEM_SIZES[self.dtype]


@dataclass(eq=False)
class Tensor:
    """A strided view of a storage, checked to lie inside it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """As a numpy array; bfloat16 widens to float32."""
        storage = self.storage
        if storage.data is None:
            raise BridgeError("a tensor's data are missing from the file; it is damaged or cut short")
        if storage.dtype == "bfloat16":
            flat = (np.frombuffer(storage.data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            flat = np.frombuffer(storage.data, storage.dtype)
        strides = tuple(stride * flat.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides, writeable=False)


def as_array(value: Any) -> np.ndarray | None:
    """A numpy array or a `Tensor` as a numpy array, which may be read-only; None for anything else."""
    if isinstance(value, Tensor):
        return value.array()
    return value if isinstance(value, np.ndarray) else None
