"""Contact sheets: many small images in one PNG, with captions, for looking at data, batches and duplicates."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganfer.data.imageset import ImageSet
from ganfer.data.provenance import as_pillow, picture_text
from ganfer.runtime.files import atomic_path
from ganfer.runtime.seeding import stream

_LEGIBLE = 72  # pixels a tile is enlarged to at least, when no scale is given
_GAP = 2
_FONT_SIZE = 12
_LINE = 15
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)


def contact_sheet(
    images: np.ndarray, *, columns: int = 0, scale: int = 0, captions: Sequence[str] | None = None
) -> Image.Image:
    """A grid of (N, C, H, W) uint8 images, row by row, each with an optional caption of one or more lines under it.

    columns: 0 makes the sheet about square. scale: whole-number enlargement without smoothing; 0 enlarges small tiles
    until they can be made out. A caption line too long for its tile ends in an ellipsis.
    """
    num, _, height, width = images.shape
    assert captions is None or len(captions) == num
    columns = columns or max(1, math.ceil(math.sqrt(num)))
    scale = scale or _auto_scale(width)
    lines = max((caption.count("\n") + 1 for caption in captions), default=0) if captions else 0
    cell_w, cell_h = width * scale + _GAP, height * scale + _GAP + lines * _LINE
    rows = math.ceil(num / columns)
    sheet = Image.new("RGB", (max(1, columns * cell_w - _GAP), max(1, rows * cell_h - _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i in range(num):
        x, y = i % columns * cell_w, i // columns * cell_h
        sheet.paste(_tile(images[i], scale), (x, y))
        if captions:
            for k, text in enumerate(captions[i].split("\n")):
                draw.text((x, y + height * scale + k * _LINE), _fit(text, cell_w - _GAP), _INK, font=_font())
    return sheet


def row_sheet(rows: Sequence[tuple[str, str, np.ndarray]], *, scale: int = 0) -> Image.Image:
    """One row of images per (title, note, (n, C, H, W) uint8): the words at the left, as many tiles as each row has."""
    shapes = [images.shape for _, _, images in rows if len(images)]
    width, height = (shapes[0][3], shapes[0][2]) if shapes else (1, 1)
    scale = scale or _auto_scale(width)
    margin = 12 + max((math.ceil(_font().getlength(t)) for title, note, _ in rows for t in (title, note)), default=0)
    cell_w, cell_h = width * scale + _GAP, max(height * scale, 2 * _LINE) + _GAP
    most = max((shape[0] for shape in shapes), default=0)
    sheet = Image.new("RGB", (margin + max(1, most * cell_w), max(1, len(rows) * cell_h)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for r, (title, note, images) in enumerate(rows):
        y = r * cell_h
        draw.text((4, y + cell_h // 2 - _LINE), title, _INK, font=_font())
        draw.text((4, y + cell_h // 2), note, _FAINT, font=_font())
        for i, image in enumerate(images):
            sheet.paste(_tile(image, scale), (margin + i * cell_w, y))
    return sheet


def class_sheet(image_set: ImageSet, *, per_class: int = 12, seed: int = 0, split: str | None = None) -> Image.Image:
    """One row per class: its name, its count, and `per_class` random images, the same for the same seed."""
    counts = image_set.counts(split)
    rows = []
    for label, name in enumerate(image_set.class_names):
        chosen = pick(image_set, label, per_class, seed=seed, split=split)
        rows.append((name, f"{counts[name]:,}", np.asarray(image_set.images[chosen])))
    return row_sheet(rows)


def pick(image_set: ImageSet, label: int, count: int, *, seed: int = 0, split: str | None = None) -> np.ndarray:
    """Indices of up to `count` random images of one class, in the set's order; the same for the same seed."""
    mask = image_set.labels == label
    if split is not None:
        mask &= image_set.split == split
    members = np.flatnonzero(mask)
    chosen = stream(seed, "sheet", label).permutation(members)[:count]
    return np.sort(chosen)


def save_sheet(path: Path, sheet: Image.Image) -> Path:
    """Write a sheet as a PNG, whole or not at all; returns the path."""
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=False, pnginfo=picture_text("contact sheet"))
    return path


def _auto_scale(width: int) -> int:
    return max(1, math.ceil(_LEGIBLE / width))


def _tile(image: np.ndarray, scale: int) -> Image.Image:
    tile = as_pillow(np.asarray(image))
    return tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.NEAREST).convert("RGB")


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)  # comes with Pillow: the same on every machine


def _fit(text: str, width: int) -> str:
    if _font().getlength(text) <= width:
        return text
    while text and _font().getlength(text + "…") > width:
        text = text[:-1]
    return text + "…" if text else ""
