"""What an export holds: the images of the active set, then the synthetic faces that the screen kept, split by split."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganfer.data.imageset import SPLITS, ImageSet
from ganfer.data.provenance import as_pillow, encode_png
from ganfer.generate.batch import Batch
from ganfer.generate.shards import read_image_bytes

HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Exported:
    """One image: its name, the PNG, its class and what else is known."""

    name: str
    png: bytes
    label: str
    facts: Mapping[str, Any]


def left_behind(images: ImageSet, form: str) -> list[str]:
    """What of a set an export has no place for, in words."""
    lines = []
    if rest := int(((images.labels < 0) | ~np.isin(images.split, SPLITS)).sum()):
        lines.append(f"{rest:,} images without a class or split are not exported.")
    more = [*images.attributes, *(["votes"] if images.soft_labels is not None else [])]
    if form == "png" and (images.group != "").any():
        more.insert(0, "subjects (Parquet and shards have them)")
    return [*lines, *([f"Not exported: {', '.join(more)}."] if more else [])]


@dataclass(frozen=True)
class Content:
    """Everything that goes out. faces: (place in the batch, class) of the synthetic ones, which are for training."""

    images: ImageSet
    batch: Batch | None
    faces: Sequence[tuple[int, str]]

    def places(self, split: str) -> np.ndarray:
        """The labelled images of the set's split, by their place."""
        return np.flatnonzero((self.images.split == split) & (self.images.labels >= 0))

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by the Hub's split and class; splits without any are left out."""
        found: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            names = [self.images.class_names[k] for k in self.images.labels[self.places(split)]]
            names += [name for _, name in self.faces] if split == "train" else []
            if names:
                found[HUB_SPLITS[split]] = {name: names.count(name) for name in self.images.class_names}
        return found

    def size(self, split: str) -> int:
        """How many images a split has."""
        return len(self.places(split)) + (len(self.faces) if split == "train" else 0)

    @property
    def synthetic(self) -> int:
        """How many of all images are synthetic."""
        known = (self.images.source == "synthetic") & (self.images.labels >= 0)
        return int(known.sum()) + len(self.faces)

    def rows(self, split: str, start: int, stop: int) -> Iterator[Exported]:
        """The images start to stop of a split, one in memory at a time."""
        places = self.places(split)
        for i in range(start, stop):
            name = f"{HUB_SPLITS[split]}-{i:07d}.png"
            yield self._real(name, int(places[i])) if i < len(places) else self._face(name, i - len(places))

    def _real(self, name: str, place: int) -> Exported:
        images = self.images
        label, pixels = images.class_names[images.labels[place]], np.asarray(images.images[place])
        synthetic = images.source[place] == "synthetic"
        facts = {"source": str(images.source[place]), "group": str(images.group[place])}
        return Exported(name, encode_png(pixels, {"class": label}) if synthetic else _png(pixels), label, facts)

    def _face(self, name: str, number: int) -> Exported:
        assert self.batch is not None
        place, label = self.faces[number]
        seed = self.batch.seeds[place]
        png = read_image_bytes(self.batch.folder, self.batch.file_names[place])
        return Exported(name, png, label, {"source": "synthetic", "group": "", "seed": int(seed) if seed else None})


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    as_pillow(pixels).save(out, format="PNG", compress_level=1)
    return out.getvalue()
