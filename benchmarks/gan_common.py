"""What the GAN benchmarks share: the machine in words, statistics of repeated measurements, where results go."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ganfer.runtime.device import describe, resolve_device

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
