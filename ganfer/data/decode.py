"""Encoded images of any kind to (C, S, S) uint8: the one way in which pixels enter ganfer."""

import io
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganfer.data.provenance import MARK, picture_of
from ganfer.data.sources.items import Pixels

MAX_FILE_BYTES = 512 * 2**20
MAX_PIXELS = 80_000_000  # more than cameras give, and below the 89 million at which Pillow itself calls it a bomb
BLANK_RANGE = 3  # grey levels between the darkest and the lightest pixel of an image that shows nothing
_EXECUTED = frozenset(("EPS", "WMF"))  # opening these runs other programs
_FREQUENT = ("JPEG", "PNG")
_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_REDUCING_GAP = 3.0  # shrink cheaply to three times the target, then filter well


Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


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
    box: Box | None = None


@dataclass(frozen=True)
class Decoded:
    """A chunk's result. pixels: (k, C, S, S) uint8, of the tasks whose reason is "".

    reasons: per task, why it cannot be used, or "". synthetic: per task, whether ganfer drew it.
    """

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
            array, reason, drawn = _decode_one(task, target)
            if array is not None:
                pixels.append(array)
            reasons.append(reason)
            synthetic.append(drawn)
    shape = (0, target.channels, target.size, target.size)
    return Decoded(np.stack(pixels) if pixels else np.empty(shape, np.uint8), reasons, synthetic)


def decode(data: bytes | Path, target: Target, box: Box | None = None) -> np.ndarray | None:
    """One image as (C, S, S) uint8, or None when it cannot be used."""
    result = decode_chunk([Task(data, box)], target)
    return result.pixels[0] if len(result.pixels) else None


def _decode_one(task: Task, target: Target) -> tuple[np.ndarray | None, str, bool]:
    try:
        data = _read(task.data) if isinstance(task.data, Path) else task.data
        if isinstance(data, Pixels):
            image, orientation = _parse(data), 1
        else:
            image, orientation = _load(data, target, whole=task.box is None)
        own = picture_of(image)
        if own:
            return None, f"a picture made by ganfer ({own})", False
        array, reason = _fit(_upright(_as_mode(image, target.channels), orientation), task.box, target)
    except Exception as error:  # readers of two dozen formats fail in as many ways on damaged files; it is reported
        return None, f"unreadable ({_short(error)})", False
    return array, reason, isinstance(data, bytes) and _marked(data)


@cache
def readable_formats() -> tuple[str, ...]:
    """Formats by name, the frequent ones first: Pillow tries one after the other."""
    Image.init()
    if find_spec("pillow_heif"):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return tuple(sorted(set(Image.ID) - _EXECUTED, key=lambda name: (name not in _FREQUENT, name)))


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{size:,} bytes, limit {MAX_FILE_BYTES:,}")
    return path.read_bytes()


def _load(data: bytes, target: Target, *, whole: bool) -> tuple[Image.Image, int]:
    """The image, its pixels read, and its EXIF orientation (1 to 8). whole: no box will be cut from it."""
    if not data:
        raise ValueError("empty file")
    image = Image.open(io.BytesIO(data), formats=readable_formats())
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, limit {MAX_PIXELS:,}")
    if whole:
        _draft(image, target)
    image.load()
    return image, _orientation(image)


def _orientation(image: Image.Image) -> int:
    """1 to 8, as EXIF has it; 1, as it lies, where the block is absent, damaged or says something else."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, OSError, SyntaxError, struct.error):
        return 1
    return found if isinstance(found, int) and found in (1, *_TURNS) else 1


def _parse(pixels: Pixels) -> Image.Image:
    """A square grey image from text. ValueError when it is none."""
    values = np.array(pixels.text.split(), dtype=np.int64)
    side = int(len(values) ** 0.5)
    if side < 1 or side * side != len(values):
        raise ValueError(f"{len(values)} pixels are no square")
    if values.min() < 0 or values.max() > 255:
        raise ValueError(f"a pixel of {values.max() if values.max() > 255 else values.min()}, not 0 to 255")
    return Image.fromarray(values.astype(np.uint8).reshape(side, side))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as a viewer shows it; boxes, too, are given in those pixels. The EXIF block itself is not touched."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _fit(image: Image.Image, box: Box | None, target: Target) -> tuple[np.ndarray | None, str]:
    """The square cut and scaled, (C, S, S) uint8, or the reason why not; pixels of the right size stay as they are."""
    cut = _square(image.size, box)
    if cut is None:
        return None, "face box outside the image"
    side = cut[2] - cut[0]
    if side < target.min_side:
        return None, f"tiny ({image.width} x {image.height})" if box is None else f"tiny (face of {side} pixels)"
    size = (target.size, target.size)
    if image.size != size or cut != (0, 0, *size):
        gap = _REDUCING_GAP if side > _REDUCING_GAP * target.size else None
        image = image.resize(size, Image.Resampling.LANCZOS, box=cut, reducing_gap=gap)
    array = np.asarray(image, dtype=np.uint8)
    array = array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
    return (None, "blank") if int(array.max()) - int(array.min()) <= BLANK_RANGE else (array, "")


def _draft(image: Image.Image, target: Target) -> None:
    """Let libjpeg shrink by 2, 4 or 8 while it decodes, as long as the result stays three times the target's."""
    side = int(_REDUCING_GAP * max(target.size, target.min_side))
    if image.format in ("JPEG", "MPO") and min(image.size) >= 2 * side:
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
    """16 bits to 8; floats in 0..1 to 0..255; a little beyond is clipped. ValueError for another range."""
    values = np.nan_to_num(values.astype(np.float64))
    low, high = values.min(initial=0), values.max(initial=0)
    if high > 65535 or low < -high / 10:
        raise ValueError(f"values from {low:g} to {high:g}, not from 0 to 1, 255 or 65535")
    if high > 255:
        values = values / 257
    elif high <= 1:
        values = values * 255
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _square(size: tuple[int, int], box: Box | None) -> Box | None:
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
