"""Tensors as the Open Inference Protocol writes them, in JSON or in binary (little-endian, row-major)."""

import dataclasses
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganfer.serve.errors import Refused, shown
from ganfer.serve.pixels import numbers
from ganfer.serve.service import floats as plain_floats

_DTYPES = {
    "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """An output. data: as JSON writes it, flat. binary: as the binary extension writes it."""

    datatype: str
    shape: tuple[int, ...]
    data: list[Any]
    binary: bytes

    def described(self, *, binary: bool) -> dict[str, Any]:
        """Its entry in the answer: with the data, or with the number of bytes that follow the JSON."""
        entry: dict[str, Any] = {"shape": list(self.shape), "datatype": self.datatype}
        if binary:
            return {**entry, "parameters": {"binary_data_size": len(self.binary)}}
        return {**entry, "data": self.data}


def floats(array: np.ndarray) -> Tensor:
    """A float32 array as an output."""
    data = plain_floats(array.reshape(-1))
    return Tensor("FP32", array.shape, data, np.ascontiguousarray(array, "<f4").tobytes())


def strings(texts: Sequence[str]) -> Tensor:
    """Texts as a BYTES output: in binary, each behind its length (uint32)."""
    encoded = [text.encode() for text in texts]
    return Tensor("BYTES", (len(texts),), list(texts), b"".join(struct.pack("<I", len(t)) + t for t in encoded))


def classified(probabilities: np.ndarray, names: Sequence[str], count: int) -> Tensor:
    """Each row's `count` most probable classes, as Triton's classification extension has them: score:index:name."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    texts = [f"{row[i]:.6f}:{i}:{names[i]}" for row, best in zip(probabilities, order, strict=True) for i in best]
    return dataclasses.replace(strings(texts), shape=order.shape)


def read(given: dict[str, Any], blob: bytes) -> np.ndarray | list[Any]:
    """An input: an array, or for BYTES a list of str (JSON) or of bytes (binary). Refused (400) when wrong."""
    shape, datatype = given.get("shape"), given.get("datatype")
    if (
        not isinstance(shape, list)
        or not shape
        or len(shape) > 8
        or not all(isinstance(side, int) and not isinstance(side, bool) and 0 < side < 2**31 for side in shape)
    ):
        raise Refused(400, "The input's 'shape' must be one to eight whole numbers above 0.")
    parameters = given.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if datatype == "BYTES":
        items = _binary_strings(blob, size) if size is not None else _flat(given.get("data"))
        if len(items) != math.prod(shape):
            raise Refused(400, f"{len(items)} elements; the shape {shape[:6]} has {math.prod(shape)}.")
        return items
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        raise Refused(400, f"datatype {shown(datatype)}: known are {', '.join(_DTYPES)}, BYTES.")
    array = _binary_array(blob, size, _DTYPES[datatype]) if size is not None else _json_array(given.get("data"))
    if array.size != math.prod(shape):
        raise Refused(400, f"{array.size} values; the shape {shape[:6]} has {math.prod(shape)}.")
    return array.reshape(shape)


def _json_array(data: Any) -> np.ndarray:
    """The values of 'data', flat or nested, as one row. They stay what they are: 300 does not become a small uint8."""
    return numbers(data, "'data'").reshape(-1)


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise Refused(400, "'data' must be a list.")
    if not all(isinstance(item, str) for item in data):
        raise Refused(400, "'data' of datatype BYTES must be a flat list of base64 strings.")
    return data


def _binary_array(blob: bytes, size: Any, dtype: str) -> np.ndarray:
    part = _part(blob, size)
    if len(part) % np.dtype(dtype).itemsize:
        raise Refused(400, f"{len(part)} bytes are no whole number of values.")
    return np.frombuffer(part, dtype)


def _binary_strings(blob: bytes, size: Any) -> list[bytes]:
    part, items, at = _part(blob, size), [], 0
    while at < len(part):
        if at + 4 > len(part):
            raise Refused(400, "The binary data ends within a length.")
        (length,) = struct.unpack_from("<I", part, at)
        at += 4
        if at + length > len(part):
            raise Refused(400, "The binary data ends within an element.")
        items.append(part[at : at + length])
        at += length
    return items


def _part(blob: bytes, size: Any) -> bytes:
    if not isinstance(size, int) or isinstance(size, bool) or size != len(blob):
        given = str(size) if type(size) is int and abs(size) < 2**63 else shown(size)
        raise Refused(400, f"binary_data_size {given}: {len(blob)} bytes follow the JSON.")
    return blob
