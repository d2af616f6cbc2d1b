"""One Parquet file of a stranger, read a few rows at a time within limits on footer, rows and what it unpacks to.

Needs pyarrow (extra `parquet`). Memory follows the largest page of a file; those of a row group at most.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganfer.data.sources.parquet_probe import survives
from ganfer.data.sources.trees import MAX_FILE_BYTES, MAX_RATIO, RATIO_FROM_BYTES
from ganfer.data.text import printable
from ganfer.errors import DataError
from ganfer.runtime.extras import require

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_FOOTER_BYTES = 64 * 2**20  # a million row groups of ten columns stay below it
MAX_FIELDS = 1000
_LEAST_ROW_BYTES = 8  # a row with an image takes more; what has more rows than that is made to keep readers busy
_ROWS_FROM = 100_000  # files of so few rows are read whatever their size
_BATCH_BYTES = 4 * 2**20
_BATCH_ROWS = 256
_SHARED_BYTES = 32 * 2**20  # that a batch may come to where rows share values of a dictionary
_MAGIC = b"PAR1"
_REMEDY = "Download or write it again."


@dataclass(frozen=True)
class Field:
    """A column. kind: "image" (struct with bytes), "bytes", "text", "whole" (number), "other" (scalar), "list".

    names: the classes of a ClassLabel, in the order of its numbers. image: whether the file calls it an image.
    """

    name: str
    kind: str
    names: tuple[str, ...] = ()
    image: bool = False


class ParquetFile:
    """An open file: its fields, its number of rows, its rows. DataError for what is damaged or out of bounds."""

    def __init__(self, path: Path, what: str) -> None:
        require(what, "parquet", "pyarrow")
        self.path, self.what = path, what
        self._size = path.stat().st_size
        self._check_footer()
        self._file = self._open()
        self.rows = self._check_sizes()
        self.fields = self._fields()

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, columns: Sequence[str], images: str = "") -> Iterator[tuple[int, dict[str, Any]]]:
        """(row number from 1, its values) of the wanted columns, row group by row group. images: the one whose
        bytes count towards the limit on what a file may unpack to.
        """

        count, given = 0, 0
        limit = max(RATIO_FROM_BYTES, MAX_RATIO * self._size)
        try:
            for group in range(self._file.num_row_groups):
                rows = self._batch_rows(group)
                batches = self._file.iter_batches(
                    batch_size=rows, row_groups=[group], columns=list(columns), use_threads=False
                )
                for batch in batches:
                    for row in range(batch.num_rows):
                        count += 1
                        if count > self.rows:
                            raise self._damaged(f"it holds more rows than the {self.rows:,} it says")
                        values = {name: _plain(batch.column(name)[row]) for name in columns}
                        given += _bytes_in(values.get(images))
                        if given > limit:
                            raise DataError(
                                f"{self.what} unpacks to more than {limit:,} bytes (limit {MAX_RATIO}:1): a "
                                "decompression bomb.",
                                "Get the file from its publisher again.",
                            )
                        yield count, values
        except _damage() as error:
            raise self._damaged(error) from error
        if count < self.rows:
            raise self._damaged(f"it holds {count:,} rows and says {self.rows:,}")

    def _batch_rows(self, group: int) -> int:
        """Rows to decode at a time. One value of a dictionary may stand for every row, so those count in full."""
        about = self._file.metadata.row_group(group)
        each = about.total_byte_size // max(1, about.num_rows)
        chunks = [about.column(i) for i in range(about.num_columns)]
        shared = max((chunk.total_uncompressed_size for chunk in chunks if chunk.has_dictionary_page), default=0)
        return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, each), _SHARED_BYTES // max(1, shared)))

    def _check_footer(self) -> None:
        """What `pyarrow` would believe of the footer's length, compared with the file before it is read."""
        with self.path.open("rb") as file:
            if self._size < 12 or file.read(4) != _MAGIC:
                raise self._damaged("it does not begin like one")
            file.seek(-8, 2)
            (length,), magic = struct.unpack("<I", file.read(4)), file.read(4)
        if magic != _MAGIC:
            raise self._damaged("its end is missing")
        if length > min(self._size - 12, MAX_FOOTER_BYTES):
            raise self._damaged(f"a footer of {length:,} bytes")

    def _open(self) -> "pq.ParquetFile":
        import pyarrow.parquet as pq

        limits: dict[str, Any] = {
            "pre_buffer": False,  # a row group is read page by page
            "buffer_size": 2**20,
            "thrift_string_size_limit": MAX_FOOTER_BYTES,
            "thrift_container_size_limit": 10_000_000,
        }
        if not survives(self.path, limits):
            raise self._damaged("its footer ends the process that reads it")
        try:
            file = pq.ParquetFile(self.path, **limits)
        except _damage() as error:
            raise self._damaged(error) from error
        if len(file.schema) > MAX_FIELDS:
            file.close()
            raise DataError(f"{self.what} has {len(file.schema):,} columns, limit {MAX_FIELDS:,}.", _REMEDY)
        return file

    def _check_sizes(self) -> int:
        """The number of rows. DataError where the file claims more than it can hold."""
        about = self._file.metadata
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        rows, unpacked = sum(group.num_rows for group in groups), sum(group.total_byte_size for group in groups)
        if rows != about.num_rows or min([0, rows, unpacked, *(group.num_rows for group in groups)]) < 0:
            raise self._damaged("its row groups and its number of rows do not agree")
        if rows > max(_ROWS_FROM, self._size // _LEAST_ROW_BYTES):
            raise self._damaged(f"{rows:,} rows in {self._size:,} bytes")
        limit = max(RATIO_FROM_BYTES, MAX_RATIO * self._size)
        chunks = (group.column(i) for group in groups for i in range(group.num_columns))
        largest = max((chunk.total_uncompressed_size for chunk in chunks), default=0)
        if unpacked > limit or largest > limit:
            raise DataError(
                f"{self.what} would unpack to {max(unpacked, largest):,} bytes (limit {limit:,}): a decompression "
                "bomb.",
                "Get the file from its publisher again.",
            )
        return rows

    def _fields(self) -> dict[str, Field]:
        try:
            schema = self._file.schema_arrow
            told = _features(schema.metadata)
            found = {field.name: _field(field, told.get(field.name)) for field in schema}
        except _damage() as error:
            raise self._damaged(error) from error
        if len(found) != len(schema):
            raise DataError(f"{self.what} has two columns of one name.", "Rename one of them.")
        return found

    def _damaged(self, error: object) -> DataError:
        return DataError(
            f"{self.what} is damaged or no Parquet file ({printable(str(error))[:200] or type(error).__name__}).",
            _REMEDY,
        )


def image_bytes(value: object) -> bytes | None:
    """The encoded image in a cell: bytes, or a struct with them; None where the cell holds none."""
    if isinstance(value, Mapping):
        value = value.get("bytes")
    return value if isinstance(value, bytes) and value else None


def image_path(value: object) -> str:
    """The path that a cell gives its image, "" where it gives none."""
    path = value.get("path") if isinstance(value, Mapping) else None
    return path if isinstance(path, str) else ""


def _damage() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError, RecursionError)


def _plain(value: "pa.Scalar") -> Any:
    return value.as_py()


def _bytes_in(value: object) -> int:
    found = image_bytes(value)
    if found is not None and len(found) > MAX_FILE_BYTES:
        raise ValueError(f"an image of {len(found):,} bytes, limit {MAX_FILE_BYTES:,}")
    return 0 if found is None else len(found)


def _features(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """What Hugging Face `datasets` says of the columns: name -> its description. Nothing where it is damaged."""
    text = (metadata or {}).get(b"huggingface", b"")
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _field(field: "pa.Field", told: object) -> Field:
    import pyarrow as pa

    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    described = told if isinstance(told, dict) else {}
    names = described.get("names") if described.get("_type") == "ClassLabel" else None
    classes = tuple(map(str, names)) if isinstance(names, list) and all(map(_is_name, names)) else ()
    return Field(field.name, _kind(kind), classes, described.get("_type") == "Image")


def _is_name(value: object) -> bool:
    return isinstance(value, str | int) and bool(str(value).strip())


def _kind(kind: "pa.DataType") -> str:
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        inner = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        held = inner.get("bytes")
        held = held.value_type if held is not None and types.is_dictionary(held) else held
        return "image" if held is not None and _is_bytes(held) else "list"
    if _is_bytes(kind):
        return "bytes"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_integer(kind):
        return "whole"
    return "list" if types.is_nested(kind) or types.is_fixed_size_binary(kind) else "other"


def _is_bytes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return any(each(kind) for each in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))
