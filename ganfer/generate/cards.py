"""The card and the Croissant metadata of a batch: what was drawn, by what, trained on what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.cards.dataset import write_cards
from ganfer.cards.facts import DatasetFacts
from ganfer.data import parquet
from ganfer.generate import shards
from ganfer.generate.batch import METADATA, read_rows
from ganfer.workspace import Run

_COLUMNS = {
    "file_name": "the image",
    "asked": "the class that was asked for",
    "seed": "the seed that the image is drawn from",
    "generator": "SHA-256 of the generator's weights",
    "device": "the kind of processor that drew it, on which it is drawn again bit for bit",
    "source_image": "the training image that it was made from",
    "origin": "its name in the folder it came from",
}
_PARQUET = {"image": "the image", "label": "the class that was asked for", "synthetic": "always true"}
_PATTERNS = {"png": "images/*.png", "webdataset": f"{shards.FOLDER}/*.tar", "parquet": f"{parquet.FOLDER}/*.parquet"}


def write_batch_cards(
    run: Run, size: int, channels: int, form: str, facts: Mapping[str, Any], *, data: str, generator: str,
    notes: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write README.md and croissant.json of a batch whose metadata.csv is there.

    facts: what every image says of its making. data: the data set that the generator learned from, "" where that is
    unknown. generator: its name. notes: further limits.
    """
    counts = Counter(row["asked"] for row in read_rows(run.path / METADATA))
    told = {"file_name", "asked", "seed", *facts}
    columns = {name: meaning for name, meaning in _COLUMNS.items() if name in told}
    if form == "parquet":
        columns = {**_PARQUET, **{name: columns[name] for name in columns if name not in ("file_name", "asked")}}
    made = (
        ("drawn by", generator),
        ("trained on", data or "unknown"),
        *((name, value) for name, value in facts.items() if name not in ("class", "seed", "origin")),
    )
    cards = DatasetFacts(
        name=run.name,
        title=f"Synthetic faces {run.name}",
        counts={"train": dict(counts)},
        size=size,
        channels=channels,
        form=form,
        files={"train": _PATTERNS[form]},
        synthetic=counts.total(),
        made=made,
        columns=columns,
        notes=notes,
    )
    write_cards(run.path, cards)
