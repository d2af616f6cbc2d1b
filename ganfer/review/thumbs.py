"""Small pictures of many images: made once, kept beside the batch, read from there, sent as sheets.

A block of 1,024 thumbnails is a file of its own, so an interrupted making goes on. A sheet is one JPEG of the very
images that a page shows, in the page's order: whatever the order, one request brings a screenful.
"""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ganfer.runtime.console import progress
from ganfer.runtime.files import write_npy

SIDE = 48  # pixels of a thumbnail, at most; larger images are shrunk
BLOCK = 1024
_QUALITY = 88

Read = Callable[[np.ndarray], np.ndarray]  # indices (n,) -> (n, C, H, W) uint8


class Thumbs:
    """The thumbnails of `count` images, (C, s, s) uint8 each. read: gives the images themselves."""

    def __init__(self, folder: Path, count: int, read: Read) -> None:
        self._folder, self._count, self._read = folder, count, read
        self._blocks: list[np.ndarray] = []

    def make(self) -> None:
        """Make the blocks that are missing, and open them all."""
        blocks = range(-(-self._count // BLOCK))
        missing = [block for block in blocks if not self._file(block).is_file()]
        if missing:
            with progress("thumbnails", len(missing) * BLOCK) as advance:
                for block in missing:
                    index = np.arange(block * BLOCK, min(self._count, (block + 1) * BLOCK))
                    write_npy(self._file(block), small(self._read(index)))
                    advance(BLOCK)
        self._blocks = [np.load(self._file(block), mmap_mode="r") for block in blocks]

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """(n, C, s, s) uint8 of the images at these indices."""
        return np.stack([self._blocks[i // BLOCK][i % BLOCK] for i in index.tolist()])

    def _file(self, block: int) -> Path:
        return self._folder / f"{block:05d}.npy"


def small(images: np.ndarray) -> np.ndarray:
    """(n, C, H, W) uint8 with no side longer than SIDE, antialiased."""
    side = max(images.shape[2:])
    if side <= SIDE:
        return images
    size = tuple(max(1, round(n * SIDE / side)) for n in (images.shape[3], images.shape[2]))
    shrunk = [
        cv2.resize(image.transpose(1, 2, 0), size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        for image in images
    ]
    return np.stack(shrunk).transpose(0, 3, 1, 2)


def sheet(images: np.ndarray, columns: int) -> bytes:
    """A JPEG of (n, C, s, s) images row by row, `columns` to a row, without gaps."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    canvas = np.zeros((rows * columns, channels, height, width), np.uint8)
    canvas[:n] = images
    tiles = canvas.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    out = io.BytesIO()
    _picture(tiles.reshape(rows * height, columns * width, channels)).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def png(image: np.ndarray, least: int = 0) -> bytes:
    """A PNG of one (C, H, W) image and nothing else: what the file says of itself does not leave it.

    least: pixels that the picture has at least; a small one is enlarged smoothly, as people read expressions best.
    """
    picture = _picture(image.transpose(1, 2, 0))
    scale = max(1, -(-least // max(picture.size)))
    out = io.BytesIO()
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def _picture(pixels: np.ndarray) -> Image.Image:
    """(H, W, C) uint8, C = 1 or 3."""
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
