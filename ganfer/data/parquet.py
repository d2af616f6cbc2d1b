"""Images as Parquet, as Hugging Face `datasets` reads it: a row per image, `image` a struct of bytes and path, `label`
a ClassLabel, and what else is known in columns of its own. Needs pyarrow (extra `parquet`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ganfer.runtime.extras import require
from ganfer.runtime.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "data"
SUFFIX = ".parquet"
_GROUP_ROWS = 100  # images of a row group, as `datasets` has it: what is read for one of them
_DTYPES = {str: "string", bool: "bool", int: "int64", float: "float64"}
_reading = Lock()


def need_pyarrow(what: str) -> None:
    """GanferError with the line to type where pyarrow is not installed."""
    require(what, "parquet", "pyarrow")


def file_name(split: str, number: int, total: int) -> str:
    """A file of a split, relative to the data set, as the Hub names it: `data/train-00000-of-00003.parquet`."""
    return f"{FOLDER}/{split}-{number:05d}-of-{total:05d}{SUFFIX}"


def write_parquet(
    path: Path,
    rows: Iterable[tuple[str, bytes, str, Mapping[str, Any]]],
    class_names: Sequence[str] | None,
    columns: Mapping[str, type],
) -> None:
    """Write (name, encoded image, class, facts) rows, whole or not at all, a row group in memory at a time.

    class_names: None where images have no class; a class of "" is a row without one. columns: the facts' names and
    types (str, bool, int, float); a row may lack some. Equal rows give equal bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(class_names, columns)
    index = {name: place for place, name in enumerate(class_names or ())}
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as out,  # opened here: pyarrow takes no path that is not UTF-8
        pq.ParquetWriter(out, schema, compression="snappy") as writer,
    ):
        stream = iter(rows)
        while part := list(islice(stream, _GROUP_ROWS)):
            values: dict[str, list[Any]] = {"image": [{"bytes": data, "path": name} for name, data, _, _ in part]}
            if class_names is not None:
                values["label"] = [index.get(label) for _, _, label, _ in part]
            values |= {name: [_as(kind, facts.get(name)) for *_, facts in part] for name, kind in columns.items()}
            writer.write_table(pa.table(values, schema=schema), row_group_size=_GROUP_ROWS)


def read_image(path: Path, name: str) -> bytes:
    """The encoded image of that name. KeyError where the file has none; OSError or ValueError where it is damaged."""
    stamp = path.stat().st_mtime_ns
    with _reading:  # several threads would each read the same row group
        group, row = _index(path, stamp)[name]
        return _row_group(path, stamp, group)[row]


@lru_cache(maxsize=64)
def _index(path: Path, modified: int) -> dict[str, tuple[int, int]]:
    """Row group and row of each image, by name."""
    del modified  # part of the key: a file that was written again is read again
    return dict(_places(path))


def _places(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            column = file.read_row_group(group, columns=["image.path"], use_threads=False).column("image")
            for row, cell in enumerate(column.to_pylist()):
                yield str(cell["path"]), (group, row)


@lru_cache(maxsize=8)
def _row_group(path: Path, modified: int, group: int) -> list[bytes]:
    import pyarrow.parquet as pq

    del modified
    with pq.ParquetFile(path) as file:
        column = file.read_row_group(group, columns=["image.bytes"], use_threads=False).column("image")
        return [cell["bytes"] for cell in column.to_pylist()]


def _as(kind: type, value: Any) -> Any:
    return str(value) if kind is str and value is not None else value


def _schema(class_names: Sequence[str] | None, columns: Mapping[str, type]) -> "pa.Schema":
    import pyarrow as pa

    fields = [pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if class_names is not None:
        fields.append(pa.field("label", pa.int64()))
        features["label"] = {"names": list(class_names), "_type": "ClassLabel"}
    for name, kind in columns.items():
        dtype = _DTYPES[kind]
        fields.append(pa.field(name, pa.type_for_alias(dtype)))
        features[name] = {"dtype": dtype, "_type": "Value"}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
