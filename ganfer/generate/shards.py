"""Images in WebDataset tar shards or Parquet files instead of a file each, for batches of millions.

A shard holds `KEY.png`, `KEY.cls` (the class asked for) and `KEY.json` (the PNG's own facts) of each image, as `tar`
and the `webdataset` package read them. In a batch's table such an image is named `shards/faces-000000.tar::KEY.png`, in
Parquet (`ganfer.data.parquet`) `data/train-00000-of-00003.parquet::KEY.png`.
"""

import json
import tarfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from ganfer.data import parquet
from ganfer.errors import DataError
from ganfer.runtime.files import atomic_path

SEPARATOR = "::"
FOLDER = "shards"


def shard_name(shard: int, total: int, form: str) -> str:
    """The file of a shard, of `total`, relative to its batch. form: webdataset or parquet."""
    if form == "parquet":
        return parquet.file_name("train", shard, total)
    return f"{FOLDER}/faces-{shard:06d}.tar"


def folder_of(form: str) -> str:
    """Where a batch's images lie, relative to it."""
    return {"png": "images", "webdataset": FOLDER, "parquet": parquet.FOLDER}[form]


def write_shard(path: Path, samples: Iterable[tuple[str, bytes, Mapping[str, Any]]]) -> None:
    """Write (key, PNG, facts) samples, whole or not at all; equal samples give equal bytes."""
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, png, facts in samples:
            parts = {"png": png, "cls": str(facts.get("class", "")).encode(), "json": json.dumps(dict(facts)).encode()}
            for kind, content in parts.items():
                member = tarfile.TarInfo(f"{key}.{kind}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))


def file_of(folder: Path, name: str) -> Path:
    """The file on disk that holds an image named `name` in a batch's table."""
    return folder / name.partition(SEPARATOR)[0]


def read_image_bytes(folder: Path, name: str) -> bytes:
    """The encoded image named `name` in a batch's table. DataError when it is not there."""
    path = file_of(folder, name)
    _, separator, member = name.partition(SEPARATOR)
    try:
        if not separator:
            return path.read_bytes()
        if path.suffix == parquet.SUFFIX:
            parquet.need_pyarrow(str(path))
            return parquet.read_image(path, member)
        offset, size = _index(path, path.stat().st_mtime_ns)[member]
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except KeyError:
        raise DataError(f"{path} holds no {member}.", "Remove the batch and generate it again.") from None
    except (OSError, tarfile.TarError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}).", "Remove the batch and generate it again.") from error


@lru_cache(maxsize=64)
def _index(path: Path, modified: int) -> dict[str, tuple[int, int]]:
    """Where each member of a tar begins and how long it is."""
    del modified  # part of the key: a shard that was written again is read again
    with tarfile.open(path, "r:") as tar:
        return {member.name: (member.offset_data, member.size) for member in tar}
