"""Still and animated pictures of any kind as RGB, upright, on white, in bounded memory."""

import errno
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from ganfer.data.provenance import picture_of
from ganfer.errors import DataError

MAX_FILE_BYTES = 512 * 2**20
MAX_PIXELS = 178_000_000  # decoded: 0.5 GB of RGB; Pillow's own limit
KEPT_PIXELS = 16_000_000  # larger pictures are reduced to this before anything else is done with them
_EXECUTED = frozenset(("EPS", "WMF"))  # opening these runs other programs
_ANIMATED = frozenset(("GIF", "WEBP", "PNG", "AVIF", "FLI"))
_PAGED = frozenset(("TIFF",))
_DEFAULT_SECONDS = 0.1  # how long browsers show a frame of an animation that does not say
_TURNS = {  # EXIF's orientations, as they are undone
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SUBSAMPLED = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes whose pixels may be averaged


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture: (H, W, 3) uint8 RGB, and how many pixels of the upright original one of its pixels is wide and
    high (1, 1 where nothing was reduced)."""

    image: np.ndarray
    scale: tuple[float, float] = (1.0, 1.0)


def read_picture(source: Path | bytes) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB of at most 16 million pixels; DataError when it is none.

    It is turned as its EXIF says, transparency lies over white, 16 bits become 8, an animation shows its first frame.
    """
    return read_scaled(source).image


def read_scaled(source: Path | bytes) -> Picture:
    """What `read_picture` gives, with the scale of its pixels."""
    with _opened(source) as image:
        return _pixels(image, _name(source))


def frames_in(path: Path) -> tuple[bool, int, bool]:
    """Whether the file is an animation (GIF, WebP, APNG, AVIF, FLI), its number of pages, whether ganfer made it to be
    looked at (a plot, a sheet, an annotated copy).

    Pages of a TIFF and the previews, depth and gain maps beside a camera's photo (MPO) are no frames. DataError when
    it is no picture.
    """
    with _opened(path) as image:
        try:
            count = int(getattr(image, "n_frames", 1))
        except (OSError, SyntaxError, ValueError, EOFError):
            count = 1  # reading it will say what is wrong
        moving, pages = image.format in _ANIMATED and count > 1, count if image.format in _PAGED else 1
        return moving, pages, bool(picture_of(image))


def is_animation(path: Path) -> bool:
    """Whether the file is a picture of several frames. DataError when it is no picture."""
    return frames_in(path)[0]


def animation_frames(path: Path) -> Iterator[tuple[float, Picture]]:
    """The frames of an animation with their start in seconds, as `read_scaled` gives them. DataError when damaged."""
    seconds = 0.0
    with _opened(path) as image:
        try:
            for frame in ImageSequence.Iterator(image):
                yield seconds, _pixels(frame, str(path))
                seconds += float(frame.info.get("duration") or 1000 * _DEFAULT_SECONDS) / 1000
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path} is damaged ({_short(error)}).", "Save it again.") from error


def _opened(source: Path | bytes) -> Image.Image:
    name = _name(source)
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError as error:
        raise unreadable(name, error) from error
    if not size:
        raise DataError(f"{name} is empty (0 bytes).", "Give a picture or a video.")
    if size > MAX_FILE_BYTES:
        raise DataError(
            f"{name} has {size:,} bytes; the limit for a picture is {MAX_FILE_BYTES:,}.", "Save it smaller."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of more than 89 million pixels, which we can take
            Image.init()
            formats = sorted(set(Image.ID) - _EXECUTED)
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats)
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is no picture in a format that can be read.", "Save it as JPEG or PNG.") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise unreadable(name, error) from error
        raise DataError(f"{name} is damaged ({_short(error)}).", "Save it again.") from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, f"{image.width} x {image.height} pixels")
    return image


def _pixels(image: Image.Image, name: str) -> Picture:
    """One decoded frame, reduced first so that no step holds a second picture of full size."""
    shrink = math.ceil(math.sqrt(image.width * image.height / KEPT_PIXELS))
    drafted: tuple[int, int] | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if shrink > 1 and image.format in ("JPEG", "MPO"):
                drafted = image.size
                image.draft(None, (image.width // shrink, image.height // shrink))  # libjpeg decodes it smaller
                shrink = math.ceil(math.sqrt(image.width * image.height / KEPT_PIXELS))
            image.load()
            orientation = image.getexif().get(0x0112, 1)  # read after loading, which turns a TIFF and drops its tag
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except Exception as error:  # readers of two dozen formats fail in as many ways on damaged files; it is reported
        raise DataError(f"{name} is damaged ({_short(error)}).", "Save it again.") from error
    width, height = drafted or image.size
    if shrink > 1:
        if image.mode in _SUBSAMPLED:
            image = image.reduce(shrink)
        else:
            image = image.resize((image.width // shrink, image.height // shrink), Image.Resampling.NEAREST)
    image = _as_rgb(image)
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
        width, height = (height, width) if orientation >= 5 else (width, height)
    pixels = np.ascontiguousarray(np.asarray(image, dtype=np.uint8))
    return Picture(pixels, (width / image.width, height / image.height))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image).astype(np.float32))
        top = float(values.max(initial=0.0))
        factor = 1 / 257 if top > 255 else 255.0 if 0 < top <= 1 and image.mode == "F" else 1.0
        image = Image.fromarray(np.rint(values * factor).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")


def as_rgb(frame: np.ndarray) -> np.ndarray:
    """What OpenCV read ((H, W), (H, W, 1), BGR or BGRA; 8 or 16 bits) as (H, W, 3) uint8 RGB."""
    if frame.dtype == np.uint16:
        frame = (frame // 257).astype(np.uint8)
    elif frame.dtype != np.uint8:
        frame = np.clip(np.nan_to_num(frame), 0, 255).astype(np.uint8)
    if frame.ndim == 2 or frame.shape[2] == 1:
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB)
    if frame.shape[2] == 4:
        return cv2.cvtColor(frame, cv2.COLOR_BGRA2RGB)
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def unreadable(name: str, error: OSError) -> DataError:
    """A file that the system does not give: no right to read it, a name that is too long, a broken disk."""
    reason = error.strerror or str(error)
    remedy = "Change its rights: chmod u+r FILE." if error.errno in (errno.EACCES, errno.EPERM) else "Look at the path."
    return DataError(f"{name} cannot be read ({reason}).", remedy)


def _too_large(name: str, what: str) -> DataError:
    return DataError(f"{name} is too large ({what}; limit {MAX_PIXELS // 1_000_000} megapixels).", "Scale it down.")


def _name(source: Path | bytes) -> str:
    return "The upload" if isinstance(source, bytes) else str(source)


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]
