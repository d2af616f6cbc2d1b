"""From what a request carries to a model's input: nested lists, arrays or encoded images to (C, S, S) uint8."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ganfer.data.decode import Target, decode_chunk
from ganfer.data.decode import Task as Encoded
from ganfer.serve.errors import Refused

_WRAPPING = str.maketrans("", "", " \t\r\n")
_DEEPEST = 8  # lists in lists
Shape = tuple[int, int, int]
"""(C, S, S) of a model's input."""


def from_lists(value: Any, shape: Shape, what: str) -> np.ndarray:
    """Images as nested lists of numbers 0..255 to (N, C, S, S) uint8. Refused (400) with the reason.

    An image is (S, S) where the model is grey, (S, S, C) as TensorFlow writes it, or (C, S, S).
    """
    return from_array(numbers(value, what), shape, what)


def numbers(value: Any, what: str) -> np.ndarray:
    """Nested lists of numbers as an array. Refused (400) for anything else, before NumPy makes texts of it all, each
    as long as the longest."""
    no_numbers = Refused(400, f"{what}: pixels must be numbers from 0 to 255.")
    if not isinstance(value, list) or not _only_numbers(value, _DEEPEST):
        raise no_numbers
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise Refused(400, f"{what}: the lists are not rectangular.") from error
    if array.dtype.kind not in "iuf":  # of more than 64 bits
        raise no_numbers
    return array


def _only_numbers(value: list[Any], deepest: int) -> bool:
    kinds = set(map(type, value))
    if not kinds <= {int, float, list}:
        return False
    return list not in kinds or (
        deepest > 0 and all(_only_numbers(item, deepest - 1) for item in value if type(item) is list)
    )


def from_array(array: np.ndarray, shape: Shape, what: str) -> np.ndarray:
    """A numeric array of N images to (N, C, S, S) uint8; see `from_lists`."""
    channels, size, _ = shape
    if array.ndim == 3 and channels == 1 and array.shape[1:] == (size, size):
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1:] == (size, size, channels):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1:] != shape:
        raise Refused(
            400,
            f"{what}: images of shape {tuple(array.shape[1:])}; this model takes {_shapes(shape)}. "
            "An encoded image (JPEG, PNG) of any size can be sent instead.",
        )
    if array.dtype != np.uint8:
        _check_range(array, what)
        array = np.rint(array).astype(np.uint8)
    return np.ascontiguousarray(array)


def from_base64(texts: Sequence[Any], what: str) -> list[bytes]:
    """The bytes of encoded images given as base64 text, in one line or wrapped as in MIME. Refused (400)."""
    blobs = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refused(400, f"{what} {index}: base64 must be a string.")
        try:
            blobs.append(base64.b64decode(text.translate(_WRAPPING), validate=True))
        except (binascii.Error, ValueError) as error:
            raise Refused(400, f"{what} {index}: not base64.") from error
    return blobs


def from_encoded(
    blobs: Sequence[bytes], shape: Shape, what: str, gone: Callable[[], bool] = lambda: False
) -> np.ndarray:
    """Encoded images of faces to (N, C, S, S) uint8, as training images enter: upright, the middle square, scaled.

    gone: whether nobody waits for the result any more; the next image is then not decoded.
    """
    target = Target(size=shape[1], channels=shape[0])
    parts = [np.empty((0, *shape), np.uint8)]
    for index, blob in enumerate(blobs):
        if gone():
            raise Refused(400, "The client went away.")
        decoded = decode_chunk([Encoded(blob)], target)
        if decoded.reasons[0]:
            raise Refused(400, f"{what} {index}: {decoded.reasons[0]}. Send a JPEG or PNG image of a face.")
        parts.append(decoded.pixels)
    return np.concatenate(parts)


def _check_range(array: np.ndarray, what: str) -> None:
    """Pixels are 0..255; fractions below 1 throughout mean that they were normalised, which the model does itself."""
    if not array.size:
        return
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # also false for NaN
        raise Refused(400, f"{what}: pixels from {low:g} to {high:g}; they must lie in 0 to 255 (uint8).")
    if array.dtype.kind == "f" and 0 < high <= 1 and bool((array != np.rint(array)).any()):
        raise Refused(400, f"{what}: pixels from {low:g} to {high:g}; send 0 to 255, the model normalises itself.")


def _shapes(shape: Shape) -> str:
    channels, size, _ = shape
    grey = f"({size}, {size}), " if channels == 1 else ""
    return f"{grey}({size}, {size}, {channels}) or ({channels}, {size}, {size})"
