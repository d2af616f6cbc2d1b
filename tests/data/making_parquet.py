"""Small Parquet files as Hugging Face `datasets` writes them, and WebDataset shards, made on the spot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from making_sources import png

CLASSES = ("angry", "happy")


def features(columns: Mapping[str, Any]) -> dict[str, str]:
    """The schema's metadata that names the classes."""
    return {"huggingface": json.dumps({"info": {"features": columns}})}


HUB = features({"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}})


def parquet(
    path: Path,
    count: int = 20,
    start: int = 0,
    *,
    metadata: Mapping[str, str] | None = HUB,
    rows: int = 5,
    **columns: Any,
) -> Path:
    """`count` images with classes in turn; further columns, or others in place of `image` and `label`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": png(start + i), "path": f"{start + i}.png"} for i in range(count)]
    values = {"image": images, "label": [i % 2 for i in range(count)], **columns}
    table = pa.table({name: value for name, value in values.items() if value is not None})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=rows)
    return path


def samples(names: Sequence[str], start: int = 0, **facts: Any) -> dict[str, bytes]:
    """WebDataset's files of an image per name: KEY.png, KEY.cls and, with facts, KEY.json."""
    files: dict[str, bytes] = {}
    for i, name in enumerate(names):
        key = f"{start + i:06d}"
        files |= {f"{key}.png": png(start + i), f"{key}.cls": name.encode()}
        if facts:
            files[f"{key}.json"] = json.dumps(
                {k: v[i] if isinstance(v, list) else v for k, v in facts.items()}
            ).encode()
    return files
