"""Shared by the StyleGAN2 benchmarks: NVIDIA's stylegan2-ada-pytorch beside ours, and the machine that both run on.

The reference is not part of this project (its licence allows research only); give the folder of a checkout.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import platform
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def import_reference(folder: Path) -> None:
    """Make the checkout's modules importable; they import `requests`, which nothing here uses."""
    if not (folder / "training" / "networks.py").is_file():
        sys.exit(f"{folder} is no checkout of stylegan2-ada-pytorch: training/networks.py is missing")
    sys.path.insert(0, str(folder.resolve()))
    sys.modules.setdefault("requests", ModuleType("requests"))
    warnings.filterwarnings("ignore")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


@torch.no_grad()
def random_reference(resolution: int, *, c_dim: int = 0, seed: int = 0, **synthesis: Any) -> Any:
    """The reference's generator with random weights in which every tensor matters (noise, biases, centre of w)."""
    from training.networks import Generator  # type: ignore[import-not-found]

    torch.manual_seed(seed)
    network = Generator(512, c_dim, 512, resolution, 3, synthesis_kwargs=synthesis).eval().requires_grad_(False)
    for name, tensor in network.named_parameters():
        if name.endswith("noise_strength"):
            tensor.fill_(0.1)
        elif name.endswith("bias"):
            tensor.add_(0.1 * torch.randn_like(tensor))
    network.mapping.w_avg.copy_(0.1 * torch.randn(512))
    return network


def write_snapshot(network: Any, path: Path) -> None:
    """A pickle as the reference's training loop writes it."""
    snapshot = {
        "G": network,
        "D": None,
        "G_ema": copy.deepcopy(network),
        "training_set_kwargs": {},
        "augment_pipe": None,
    }
    path.write_bytes(pickle.dumps(snapshot))


def machine() -> dict[str, Any]:
    """Hardware and versions."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def write_result(name: str, result: dict[str, Any]) -> Path:
    """benchmarks/results/NAME.json, under a temporary name first."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path
