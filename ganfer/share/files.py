"""The files of an export: Parquet, tar shards or class folders, each whole or not at all."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ganfer.data import parquet
from ganfer.errors import GanferError
from ganfer.generate import shards
from ganfer.runtime.files import atomic_path
from ganfer.share.rows import HUB_SPLITS, Content, Exported

FORMATS = ("parquet", "webdataset", "png")
COLUMNS = {
    "image": "the image",
    "label": "the class",
    "source": "real or synthetic",
    "group": "the subject, where one is known",
    "seed": "of a synthetic image, the seed that it is drawn from",
}
_NO_FOLDER = re.compile(r"""[<>:"/\\|?*]|^[. ]|[. ]$|^$""")  # in a name
_LONGEST = 200  # bytes of a folder's name
_KINDS: dict[str, type] = {"source": str, "group": str, "seed": int}


def patterns(content: Content, form: str) -> dict[str, str]:
    """The Hub's split -> the pattern of its files."""
    return patterns_of(form, [name for split, name in HUB_SPLITS.items() if content.size(split)])


def patterns_of(form: str, splits: Iterable[str]) -> dict[str, str]:
    """As `patterns`, of these splits."""
    how = {"parquet": "data/{}-*.parquet", "webdataset": "shards/{}-*.tar", "png": "{}/*/*.png"}[form]
    return {name: how.format(name) for name in splits}


def write(folder: Path, content: Content, form: str, size: int) -> Iterator[int]:
    """Write what is not there yet; yields images done. size: of a shard."""
    for split, name in HUB_SPLITS.items():
        total = -(-content.size(split) // size)
        for number in range(total):
            start, stop = number * size, min((number + 1) * size, content.size(split))
            rows = content.rows(split, start, stop)
            if form == "png":
                for row in rows:
                    _write_image(folder / name, row)
                    yield 1
                continue
            path = folder / (
                parquet.file_name(name, number, total) if form == "parquet" else f"shards/{name}-{number:06d}.tar"
            )
            if not path.is_file():
                _write_shard(path, rows, content, form)
            yield stop - start


def _write_shard(path: Path, rows: Iterator[Exported], content: Content, form: str) -> None:
    if form == "parquet":
        told = ((row.name, row.png, row.label, row.facts) for row in rows)
        parquet.write_parquet(path, told, content.images.class_names, _KINDS)
        return
    samples = ((row.name.removesuffix(".png"), row.png, {"class": row.label, **row.facts}) for row in rows)
    shards.write_shard(path, samples)


def check_folders(class_names: Sequence[str]) -> None:
    """GanferError for a class that no folder can be named after, on whatever system the export is unpacked."""
    for name in class_names:
        if _NO_FOLDER.search(name) or len(name.encode()) > _LONGEST:
            raise GanferError(
                f"No folder can be called {name[:40]!r}, a class.",
                "Choose --format parquet, or name the class otherwise: ganfer data add --rename OLD=NEW.",
            )


def _write_image(folder: Path, row: Exported) -> None:
    path = folder / row.label / row.name
    if not path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_bytes(row.png)
