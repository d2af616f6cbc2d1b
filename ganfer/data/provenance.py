"""A synthetic image says so: PNG text chunks that name the generator, the seed and the class, and how to read them."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ganfer.errors import DataError
from ganfer.version import __version__

MARK = "ganfer:synthetic"
_PREFIX = "ganfer:"


def write_png(path: Path, image: np.ndarray, facts: Mapping[str, str | int | float]) -> None:
    """Write one (C, H, W) uint8 image as a PNG that carries `ganfer:synthetic` and the given facts.

    Facts that ganfer's own generators give: generator (digest), seed, class, and what else drawing it again needs.
    The write is atomic per file without a flush to disk: thousands of small files are made, and each is drawn again
    on resume if it is not whole.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(encode_png(image, facts))
    temporary.replace(path)


def encode_png(image: np.ndarray, facts: Mapping[str, str | int | float]) -> bytes:
    """One (C, H, W) uint8 image as a PNG that carries `ganfer:synthetic` and the given facts."""
    text = PngImagePlugin.PngInfo()
    text.add_text(MARK, "true")
    text.add_text(_PREFIX + "version", __version__)
    for name, value in facts.items():
        text.add_text(_PREFIX + name, str(value))
    buffer = io.BytesIO()
    as_pillow(image).save(buffer, format="PNG", pnginfo=text, compress_level=1)
    return buffer.getvalue()


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


def png_base64(image: np.ndarray) -> str:
    """A (C, H, W) uint8 image as the base64 text of a PNG, for pages that carry their pictures inside."""
    buffer = io.BytesIO()
    as_pillow(image).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()
