"""A synthetic image says so: PNG text chunks that name the generator, the seed and the class, and how to read them."""

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ganfer.errors import DataError
from ganfer.runtime.text import one_line
from ganfer.version import __version__

MARK = "ganfer:synthetic"
PICTURE = "ganfer:picture"
_sign: Callable[[bytes], bytes] = bytes  # see `signing`
_PREFIX = "ganfer:"
_XMP = "XML:com.adobe.xmp"
# IPTC's word for an image that a trained model made, for programs that know nothing of ganfer (IPTC Photo Metadata
# Standard, Digital Source Type); wrapped as XMP says (ISO 16684-1).
MADE_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="{MADE_BY_MODEL}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def write_png(path: Path, image: np.ndarray, facts: Mapping[str, str | int | float]) -> None:
    """Write one (C, H, W) uint8 image as a PNG that carries `ganfer:synthetic` and the given facts.

    Facts that ganfer's own generators give: generator (digest), seed, class, and what else drawing it again needs.
    The write is atomic per file without a flush to disk: thousands of small files are made, and each is drawn again
    on resume if it is not whole.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(encode_png(image, facts))
    temporary.replace(path)


@contextmanager
def signing(sign: Callable[[bytes], bytes]) -> Iterator[None]:
    """Within the block every PNG that `encode_png` makes in this process goes through `sign`."""
    global _sign
    before, _sign = _sign, sign
    try:
        yield
    finally:
        _sign = before


def encode_png(image: np.ndarray, facts: Mapping[str, str | int | float]) -> bytes:
    """One (C, H, W) uint8 image as a PNG with `ganfer:synthetic`, the given facts, and XMP saying a model made it."""
    text = PngImagePlugin.PngInfo()
    text.add_text(MARK, "true")
    text.add_itxt(_XMP, _PACKET)
    text.add_text(_PREFIX + "version", __version__)
    for name, value in facts.items():
        text.add_text(_PREFIX + name, one_line(str(value)))  # a file's name need not be UTF-8
    buffer = io.BytesIO()
    as_pillow(image).save(buffer, format="PNG", pnginfo=text, compress_level=1)
    return _sign(buffer.getvalue())


def as_pillow(image: np.ndarray) -> Image.Image:
    """A (C, H, W) uint8 array, C = 1 or 3, as a Pillow image."""
    return Image.fromarray(image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def read_facts(path: Path) -> dict[str, str]:
    """The facts of a ganfer image without the prefix; empty for any other image. DataError when it cannot be read."""
    try:
        with Image.open(path) as image:
            image.load()  # text chunks may follow the pixels
            text = {str(key): str(value) for key, value in getattr(image, "text", {}).items()}
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}).", "Remove it or write it again.") from error
    return {key.removeprefix(_PREFIX): value for key, value in text.items() if key.startswith(_PREFIX)}


def is_synthetic(path: Path) -> bool:
    """Whether a file says of itself that ganfer drew it."""
    return read_facts(path).get("synthetic") == "true"


def picture_text(what: str) -> PngImagePlugin.PngInfo:
    """The mark of a picture that ganfer made to be looked at (a contact sheet, a plot), for a PNG's `pnginfo`."""
    text = PngImagePlugin.PngInfo()
    text.add_text(PICTURE, what)
    return text


def picture_comment(what: str) -> bytes:
    """The same mark for a JPEG's `comment`."""
    return f"{PICTURE}={what}".encode()


def picture_of(image: Image.Image) -> str:
    """What a loaded picture is, where it is one that ganfer made to be looked at; "" for any other image."""
    found = image.info.get(PICTURE)
    if isinstance(found, str):
        return found
    comment = image.info.get("comment", b"")
    comment = comment.encode() if isinstance(comment, str) else bytes(comment)
    prefix = f"{PICTURE}=".encode()
    return comment.removeprefix(prefix).decode("utf-8", "replace") if comment.startswith(prefix) else ""


def png_base64(image: np.ndarray) -> str:
    """A (C, H, W) uint8 image as the base64 text of a PNG, for pages that carry their pictures inside."""
    buffer = io.BytesIO()
    as_pillow(image).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()
