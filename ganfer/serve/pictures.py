"""An uploaded picture to pixels, within a bound of memory and never on disk.

Box coordinates are given in the pixels of the upright picture as it was sent, whatever it was reduced to.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganfer.errors import DataError
from ganfer.live.pictures import KEPT_PIXELS, MAX_PIXELS, read_picture
from ganfer.serve.errors import Refused
from ganfer.serve.weighing import check_scans

WHOLE_PIXELS = 50_000_000  # of what is decoded whole: 150 MB
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_SAID = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 lie on their side


@dataclass(frozen=True, eq=False)
class Picture:
    """pixels: (h, w, 3) uint8 RGB. width, height: of the upright original. zoom: original pixels per pixel."""

    pixels: np.ndarray
    width: int
    height: int
    zoom: float


@dataclass(frozen=True)
class Size:
    """Of an upload, by its header. width, height: upright. working: pixels that are in memory while it is decoded."""

    width: int
    height: int
    working: int


def open_upload(data: bytes, size: Size) -> Picture:
    """Decode an upload of that size. Refused: 400 for what is damaged, 413 for more than there is memory for."""
    width, height = size.width, size.height
    try:
        pixels = read_picture(data)
    except DataError as error:
        raise Refused(400, str(error)) from error
    except MemoryError:
        raise Refused(413, f"{width} x {height} pixels are more than this server's memory holds.") from None
    return Picture(pixels, width, height, width / pixels.shape[1])


def measure(data: bytes) -> Size:
    """The size from the header. A baseline JPEG is reduced while it is decoded, others not.

    Refused: 400 for what is no image, 413 for too many pixels.
    """
    if not data:
        raise Refused(400, f"The picture is empty. Send an image file: {_SAID}.")
    check_scans(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes and odd metadata
            Image.init()
            with Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
                width, height = image.size
                reduces = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
                lies = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except UnidentifiedImageError as error:
        raise Refused(400, f"That is no image. Send {_SAID}.") from error
    except Image.DecompressionBombError as error:
        raise Refused(413, f"The picture has more than {MAX_PIXELS // 1_000_000} megapixels.") from error
    except Exception as error:  # a damaged header fails in its reader's own way
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise Refused(400, f"The picture cannot be read ({reason}).") from error
    limit = MAX_PIXELS if reduces else WHOLE_PIXELS
    if width * height > limit:
        raise Refused(413, f"{width} x {height} pixels; the limit is {limit // 1_000_000} megapixels.")
    working = min(width * height, 4 * KEPT_PIXELS) if reduces else width * height
    return Size(height, width, working) if lies else Size(width, height, working)
