"""What a picture would take, from its header alone: asked before anything is decoded, and summed over a request."""

import io
import warnings
from collections.abc import Sequence

from PIL import Image, UnidentifiedImageError

from ganfer.serve.errors import Refused

#: Whose size Pillow knows from the header; an icon, say, it decodes to look how large it is.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

REQUEST_PIXELS = 50_000_000  # of all crops in a request together: 150 MB of RGB, 200 MB where 16 bits are widened
WORKING_PIXELS = 100_000_000  # decoded at the same time over all requests; the others wait their turn
MAX_SCANS = 64  # of a progressive JPEG: encoders write about ten, each goes over the whole picture again


def weigh(blobs: Sequence[bytes]) -> int:
    """Pixels of the encoded images together; what has a damaged header counts nothing, and fails when decoded.

    Refused: 413 beyond `REQUEST_PIXELS`, 400 for another format, which would not be weighed.
    """
    total = 0
    for index, blob in enumerate(blobs):
        total += _pixels(blob, f"image {index}")
        if total > REQUEST_PIXELS:
            raise Refused(
                413,
                f"The images have more than {REQUEST_PIXELS // 1_000_000} megapixels together. "
                "Send face crops of fewer pixels, or fewer of them.",
            )
    return total


def check_scans(blob: bytes) -> None:
    """Refused (400) for a JPEG that goes over its picture hundreds of times: few bytes, minutes of decoding."""
    if blob.startswith(b"\xff\xd8") and blob.count(b"\xff\xda") > MAX_SCANS:
        raise Refused(400, f"The JPEG has more than {MAX_SCANS} scans. Save it anew.")


def open_header(blob: bytes) -> Image.Image:
    """An image of which nothing is decoded yet. What Pillow raises for one that is none of `FORMATS`, or damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes and odd metadata
        Image.init()
        return Image.open(io.BytesIO(blob), formats=[name for name in FORMATS if name in Image.OPEN])


def _pixels(blob: bytes, what: str) -> int:
    check_scans(blob)
    try:
        with open_header(blob) as image:
            return image.width * image.height
    except UnidentifiedImageError as error:
        raise Refused(400, f"{what}: unreadable. Send a JPEG or PNG image of a face.") from error
    except Image.DecompressionBombError:
        return REQUEST_PIXELS + 1
    except Exception:  # a damaged header fails in its reader's own way; decoding tells the client
        return 0
