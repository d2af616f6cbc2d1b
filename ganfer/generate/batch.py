"""A synthetic batch on disk: `images/*.png`, `metadata.csv` (one row per image), and the labels given to it later.

`generate` writes the batch, `label` adds a folder `labels/<classifier>-<key>/` and refreshes `metadata.csv`, so that
Hugging Face `datasets` ("imagefolder") and people read images and labels side by side.
"""

import csv
import io
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganfer.data.imageset import read_set
from ganfer.errors import DataError
from ganfer.generate.shards import read_image_bytes
from ganfer.runtime import tables
from ganfer.workspace import Run

METADATA = "metadata.csv"
_WORTH_A_POOL = 16  # images from which eight threads are quicker than one


@dataclass(frozen=True)
class Batch:
    """The images of a batch in the order of `metadata.csv`.

    file_names: relative to the batch's folder, in tar shards as `ganfer.generate.shards` names them. asked: class asked
    for, "" where none was. seeds: "" for images from elsewhere.
    """

    folder: Path
    file_names: tuple[str, ...]
    asked: tuple[str, ...]
    seeds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.file_names)

    def images(self, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The pixels (N, C, H, W) uint8, all or those at the indices. DataError when a file is unreadable."""
        chosen = range(len(self)) if indices is None else indices
        if len(chosen) <= _WORTH_A_POOL:
            pixels = [_read_image(self.folder, self.file_names[i]) for i in chosen]
        else:
            with ThreadPoolExecutor(8) as pool:
                pixels = list(pool.map(lambda i: _read_image(self.folder, self.file_names[i]), chosen))
        if not pixels:
            return np.zeros((0, 1, 1, 1), np.uint8)
        if len({image.shape for image in pixels}) > 1:
            raise DataError(f"{self.folder} holds images of several sizes or channels.", "Generate the batch again.")
        return np.stack(pixels)


class PoolBatch(Batch):
    """The images of a pool, to be looked at as a batch is: nothing was asked of them, and they lie in one array."""

    def images(self, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """The pixels (N, C, H, W) uint8, all or those at the indices."""
        try:
            pixels = np.load(self.folder / "images.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder} is damaged ({error}).", "Remove it and add the pool again.") from error
        return np.asarray(pixels if indices is None else pixels[np.asarray(list(indices), dtype=np.int64)])


def is_pool(run: Run) -> bool:
    """Whether a run holds real images without labels (`ganfer data add --pool`)."""
    return run.kind == "pools"


def read_batch(run: Run) -> Batch:
    """The batch in a run's folder, or the pool. DataError when `metadata.csv` is missing or damaged."""
    if is_pool(run):
        names = tuple(read_set(run.path).ids.tolist())
        return PoolBatch(run.path, names, ("",) * len(names), ("",) * len(names))
    rows = read_rows(run.path / METADATA)
    if rows and not {"file_name", "asked"} <= rows[0].keys():
        raise DataError(f"{run.path / METADATA} lacks the columns file_name and asked.", "Generate the batch again.")
    return Batch(
        run.path,
        tuple(row["file_name"] for row in rows),
        tuple(row["asked"] for row in rows),
        tuple(row.get("seed", "") for row in rows),
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, also as a spreadsheet saved it again. DataError when it is missing or damaged."""
    try:
        with path.open("rb") as raw:
            encoding = tables.encoding_of(raw.read(4))
        with path.open(newline="", encoding=encoding) as file:
            heading = next(file, "")
            return list(tables.read_rows(itertools.chain([heading], file), tables.delimiter_of(heading)))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}).", "Run the command that made it again.") from error


def _read_image(folder: Path, name: str) -> np.ndarray:
    content = read_image_bytes(folder, name)
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{folder / name} cannot be read ({error}).", "Remove the batch and generate it again."
        ) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def filled_by(batch_run: Run) -> str:
    """The digest of the labeller that a batch was filled by (`label --fill`); "" where it was not filled."""
    key = batch_run.record.get("key", {}) if "fill" in batch_run.figures else {}
    return str(key.get("inputs", {}).get("classifier", ""))
