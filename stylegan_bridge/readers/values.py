"""What reading a foreign file gives besides plain containers: inert records, none of which can run anything."""

from __future__ import annotations

import math
from collections.abc import Iterable
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
#: Numbers as numpy writes their types: bool, whole, real.
_ARRAY_DTYPES = {"b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f2", "f4", "f8"}
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
    _numbers: np.ndarray | None = None

    @property
    def num_bytes(self) -> int:
        """Length of the data."""
        return self.count * _ITEM_SIZES[self.dtype]

    def numbers(self) -> np.ndarray:
        """The numbers, (count,); bfloat16 widens to float32, once for all tensors that share the storage."""
        if self.data is None:
            raise BridgeError("a tensor's data are missing from the file; it is damaged or cut short")
        if self._numbers is None:
            if self.dtype == "bfloat16":
                self._numbers = (np.frombuffer(self.data, "<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                self._numbers = np.frombuffer(self.data, self.dtype)
        return self._numbers


@dataclass(eq=False)
class Tensor:
    """A strided view of a storage, checked to lie inside it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """As a numpy array; bfloat16 widens to float32."""
        flat = self.storage.numbers()
        strides = tuple(stride * flat.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides, writeable=False)


@dataclass(eq=False)
class DType:
    """A numpy dtype; its BUILD state may only set the byte order."""

    code: str
    order: str = "<"

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


def counts(values: Any) -> list[int]:
    """Sizes, strides, shapes: whole numbers from 0 up."""
    if type(values) not in (tuple, list) or len(values) > 16:
        raise TypeError(type(values))
    for value in values:
        if type(value) is not int or not 0 <= value < 2**40:
            raise ValueError(value)
    return list(values)


def make_array(data: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """Numbers from bytes, if exactly as many are there as the shape says."""
    if not isinstance(dtype, DType) or not isinstance(data, bytes | memoryview):
        raise BridgeError("the file holds an array of something other than plain numbers; refused")
    if dtype.code not in _ARRAY_DTYPES:
        raise BridgeError(f"the file holds an array of type {dtype.code[:20]!r}; only plain numbers are read")
    sizes = counts(shape)
    kind = dtype.numpy()
    if math.prod(sizes) * kind.itemsize != len(data):
        raise BridgeError(f"an array of shape {tuple(sizes)} has {len(data)} bytes of data; the file is damaged")
    return np.frombuffer(data, kind).reshape(sizes, order="F" if fortran else "C")


def make_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    """A tensor whose every element lies in its storage, each at most once."""
    sizes, steps = counts(shape), counts(strides)
    (start,) = counts((offset,))
    if not isinstance(storage, Storage) or len(sizes) != len(steps):
        raise TypeError(type(storage))
    last = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    count = math.prod(sizes)
    if count > storage.count or (count and last >= storage.count):
        raise BridgeError(
            f"a tensor of shape {tuple(sizes)} reaches past its {storage.count} numbers; the file is damaged"
        )
    return Tensor(storage, start, tuple(sizes), tuple(steps))


def as_array(value: Any) -> np.ndarray | None:
    """A numpy array or a `Tensor` as a numpy array, which may be read-only; None for anything else."""
    if isinstance(value, Tensor):
        return value.array()
    return value if isinstance(value, np.ndarray) else None


def check_shared(values: Iterable[Any]) -> None:
    """BridgeError where few numbers stand in for many tensors: each conversion would copy them again."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    stored = {id(tensor.storage): tensor.storage.count for tensor in tensors}
    if sum(math.prod(tensor.shape) for tensor in tensors) > 2 * sum(stored.values()) + 2**16:
        raise BridgeError("the file's tensors share their numbers over and over, as no network's do; refused")
