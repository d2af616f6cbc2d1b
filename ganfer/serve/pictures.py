"""An uploaded picture to pixels, within a bound of memory and never on disk."""

from PIL import Image, UnidentifiedImageError

from ganfer.errors import DataError
from ganfer.live.pictures import KEPT_PIXELS, MAX_PIXELS, Picture, read_scaled
from ganfer.serve.errors import Refused
from ganfer.serve.weighing import check_scans, open_header

WHOLE_PIXELS = 50_000_000  # of what is decoded whole: 150 MB
_SAID = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"


def open_upload(data: bytes) -> Picture:
    """Decode an upload. Refused: 400 for what is damaged, 413 for more than there is memory for."""
    try:
        return read_scaled(data)
    except DataError as error:
        raise Refused(400, str(error)) from error
    except MemoryError:
        raise Refused(413, "The picture has more pixels than this server's memory holds.") from None


def measure(data: bytes) -> int:
    """How many pixels are in memory while an upload is decoded, from its header alone: a baseline JPEG is reduced on
    the way, others not.

    Refused: 400 for what is no image, 413 for too many pixels.
    """
    if not data:
        raise Refused(400, f"The picture is empty. Send an image file: {_SAID}.")
    check_scans(data)
    try:
        with open_header(data) as image:
            width, height = image.size
            reduces = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
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
    return min(width * height, 4 * KEPT_PIXELS) if reduces else width * height
