"""What the GAN benchmarks share: the machine in words, statistics of repeated measurements, where results go."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganfer.data.imageset import ImageSet, save_set
from ganfer.runtime.device import describe, resolve_device
from ganfer.workspace import Run, Workspace

RESULTS = Path(__file__).parent / "results"


def environment(device: str = "cpu") -> dict[str, Any]:
    """Hardware and versions."""
    packages = ("torch", "numpy", "pillow", "lightning-fabric")
    return {
        "device": describe(resolve_device(device)),
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "threads": torch.get_num_threads(),
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and range of repeated measurements."""
    return {
        "median": round(statistics.median(values), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
        "rounds": len(values),
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Write and print one result."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def workspace_of(folder: Path, images: Any, labels: Any, names: Sequence[str]) -> tuple[Workspace, Run]:
    """A workspace in `folder` with these training images (N, C, H, W) uint8 as its data."""
    n = len(images)
    image_set = ImageSet(
        images=images, labels=np.asarray(labels, np.int64), class_names=tuple(names), split=np.full(n, "train"),
        group=np.full(n, ""), source=np.full(n, "real"), ids=np.array([f"{i}.png" for i in range(n)]),
    )  # fmt: skip
    workspace = Workspace(folder)
    data = workspace.run("data", "images", {})
    with data.work("data add"):
        data.finish(digest=save_set(data.path, image_set), figures={})
    return workspace, data
