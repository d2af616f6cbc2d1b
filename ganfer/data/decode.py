"""Encoded images of any kind to (C, S, S) uint8: the one way in which pixels enter ganfer."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ganfer.data.provenance import MARK
from ganfer.data.sources.items import Pixels

MAX_PIXELS = 100_000_000  # a 100-megapixel photograph; more is a decompression bomb
BLANK_RANGE = 3  # grey levels between the darkest and the lightest pixel of an image that shows nothing
_EXECUTED = frozenset(("EPS", "WMF"))  # opening these runs other programs
_REDUCING_GAP = (
    2.0  # shrink in one cheap step to twice the target, then filter well: within a grey level of filtering at once
)
_UNREADABLE = (OSError, UnidentifiedImageError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError, NotImplementedError, ZeroDivisionError, Image.DecompressionBombError, Image.DecompressionBombWarning)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What every image becomes. size: side in pixels. channels: 1 or 3. min_side: shorter sides are refused."""

    size: int
    channels: int
    min_side: int = 1


@dataclass(frozen=True, slots=True)
class Task:
    """One image to decode: its bytes, where they lie, or pixels as text; and the box to cut, or None."""

    data: bytes | Path | Pixels
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Decoded:
    """A chunk's result. pixels: (k, C, S, S) uint8, of the tasks whose reason is "". synthetic: per task, drawn by ganfer."""

    pixels: np.ndarray
    reasons: Sequence[str]
    synthetic: Sequence[bool]


def decode_chunk(tasks: Sequence[Task], target: Target) -> Decoded:
    """Decode images one after another; what cannot be used gets a reason instead of pixels."""
    pixels: list[np.ndarray] = []
    reasons, synthetic = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the pixels are what counts
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for task in tasks:
            try:
                data = task.data.read_bytes() if isinstance(task.data, Path) else task.data
                drawn = isinstance(data, bytes) and _marked(data)
                image = _parse(data) if isinstance(data, Pixels) else _open(data)
                array, reason = _fit(image, task.box, target)
            except _UNREADABLE as error:
                array, reason, drawn = None, f"unreadable ({_short(error)})", False
            if array is not None:
                pixels.append(array)
            reasons.append(reason)
            synthetic.append(drawn)
    shape = (0, target.channels, target.size, target.size)
    return Decoded(np.stack(pixels) if pixels else np.empty(shape, np.uint8), reasons, synthetic)


def decode(data: bytes | Path, target: Target, box: tuple[int, int, int, int] | None = None) -> np.ndarray | None:
    """One image as (C, S, S) uint8, or None when it cannot be used."""
    result = decode_chunk([Task(data, box)], target)
    return result.pixels[0] if len(result.pixels) else None


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in _EXECUTED)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise ValueError("empty file")
    image = Image.open(io.BytesIO(data), formats=_formats())
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, limit {MAX_PIXELS:,}")
    return image


def _parse(pixels: Pixels) -> Image.Image:
    """A square grey image from text. ValueError when it is none."""
    values = np.array(pixels.text.split(), dtype=np.int64)
    side = int(len(values) ** 0.5)
    if side < 1 or side * side != len(values):
        raise ValueError(f"{len(values)} pixels are no square")
    if values.min() < 0 or values.max() > 255:
        raise ValueError(f"a pixel of {values.max() if values.max() > 255 else values.min()}, not 0 to 255")
    return Image.fromarray(values.astype(np.uint8).reshape(side, side))


def _fit(image: Image.Image, box: tuple[int, int, int, int] | None, target: Target) -> tuple[np.ndarray | None, str]:
    if box is None:
        _draft(image, target)
    orientation = (
        image.getexif().get(0x0112, 1) if image.format in ("JPEG", "MPO", "TIFF", "PNG", "WEBP", "AVIF") else 1
    )
    image = _as_mode(image, target.channels)
    if orientation != 1:
        # a box is given in the pixels of the photograph as a viewer shows it
        image.getexif()[0x0112] = orientation
        image = ImageOps.exif_transpose(image)
    cut = _square(image.size, box)
    if cut is None:
        return None, "face box outside the image"
    side = min(cut[2] - cut[0], cut[3] - cut[1])
    if side < target.min_side:
        return None, f"tiny ({image.width} x {image.height})" if box is None else f"tiny (face of {side} pixels)"
    size = (target.size, target.size)
    if cut != (0, 0, *size) or image.size != size:
        gap = _REDUCING_GAP if side > 2 * target.size else None
        image = image.resize(size, Image.Resampling.LANCZOS, box=cut, reducing_gap=gap)
    array = np.asarray(image, dtype=np.uint8)
    array = array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
    if int(array.max()) - int(array.min()) <= BLANK_RANGE:
        return None, "blank"
    return array, ""


def _draft(image: Image.Image, target: Target) -> None:
    """Let libjpeg shrink by 2, 4 or 8 while decoding when the result stays twice the target: nine times as fast on 1000 pixels."""
    if image.format in ("JPEG", "MPO") and min(image.size) >= 4 * max(target.size, target.min_side):
        side = int(2 * max(target.size, target.min_side))
        scale = side / min(image.size)
        image.draft(None, (int(image.width * scale) + 1, int(image.height * scale) + 1))


def _as_mode(image: Image.Image, channels: int) -> Image.Image:
    """Grey or RGB with 8 bits: high bit depths scaled, transparency laid over white, palettes and CMYK converted."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, colours).convert("RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """16 bits to 8; floats in 0..1 to 0..255; anything else clipped."""
    values = np.nan_to_num(values.astype(np.float64))
    if values.max(initial=0) > 255:
        values = values / 257
    elif values.max(initial=0) <= 1:
        values = values * 255
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _square(size: tuple[int, int], box: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
    """The square to take: the middle of the image, or the box widened to a square as far as the image reaches.

    A square face keeps its proportions; padding would teach a GAN to draw borders. None when the box misses the image.
    """
    width, height = size
    if box is None:
        side = min(size)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    if left >= right or top >= bottom:
        return None
    side = min(max(right - left, bottom - top), width, height)
    x = min(max((left + right - side) // 2, 0), width - side)
    y = min(max((top + bottom - side) // 2, 0), height - side)
    return x, y, x + side, y + side


def _marked(data: bytes) -> bool:
    """Whether a PNG carries ganfer's mark; its keyword is never compressed."""
    return data.startswith(b"\x89PNG") and MARK.encode() in data


def _short(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return "not an image" if isinstance(error, UnidentifiedImageError) else text.splitlines()[0][:120]
