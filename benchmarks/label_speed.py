"""The copy check of labelling, milliseconds a face: the search for candidates as it was and as it is, turn by turn.

    python benchmarks/label_speed.py WORKSPACE [--faces 1024] [--rounds 3]

The workspace has data (FER2013, say). Its training images are what faces are compared with; its validation images
stand for the faces, since copies of real images are the hardest to tell. Features are a random projection, 512 of them,
as many as `compact` has. Before: distances in float32, all of them, three times (features, thumbnails, mirrored
thumbnails). After: candidates in bfloat16 where the processor has it, the near ones measured in float64. Likeness must
be the same to the last bit; another index is one of an equally like image. Times are the processor's, on one thread.
Writes benchmarks/results/label_speed.json.
"""

import argparse
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from gan_common import environment, save, summary

from classifiers.device import has_bf16
from ganfer.data.imageset import read_set
from ganfer.metrics.copies import Nearest, TrainingIndex
from ganfer.metrics.neighbours import nearest
from ganfer.metrics.search import Search
from ganfer.workspace import Workspace


def whole(self: Search, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The search as it was."""
    return nearest(queries, self._references, k, dtype=torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--faces", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Workspace(options.workspace).active_data
    if data is None:
        raise SystemExit(f"{options.workspace} has no data: ganfer data add PATH -w {options.workspace}")
    images = read_set(data.path)
    rows = np.flatnonzero(images.split == "train")
    faces = np.asarray(images.images[np.flatnonzero(images.split == "val")[: options.faces]])
    pixels = faces[0].size
    projection = np.random.default_rng(0).normal(size=(pixels, 512)).astype(np.float32) / pixels**0.5

    def features(pictures: np.ndarray) -> np.ndarray:
        return np.maximum((pictures.reshape(len(pictures), -1) / 255 - 0.5).astype(np.float32) @ projection, 0)

    index = TrainingIndex.of(images.images, features(np.asarray(images.images[rows])), rows)
    mine = features(faces)
    index.look(faces[:8], mine[:8])  # prepared once, in a labelling too
    seconds: dict[str, list[float]] = {"before": [], "after": []}
    found: dict[str, Nearest] = {}
    for _ in range(options.rounds):
        for name, search in (("before", whole), ("after", Search.nearest)):
            with mock.patch.object(Search, "nearest", search):
                began = time.process_time()
                found[name] = index.look(faces, mine)
                seconds[name].append(1000 * (time.process_time() - began) / len(faces))
    before, after = found["before"], found["after"]
    assert np.array_equal(before.likeness, after.likeness), "another likeness"
    save("label_speed", {
        "milliseconds a face": {name: summary(values) for name, values in seconds.items()},
        "ratio": round(float(np.median(seconds["before"]) / np.median(seconds["after"])), 2),
        "faces": len(faces), "training images": len(rows), "bfloat16 in hardware": has_bf16(torch.device("cpu")),
        "of another, equally like image": int((before.index != after.index).sum()),
        "largest change of isolation": float(np.abs(before.isolation - after.isolation).max()),
        **environment(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
