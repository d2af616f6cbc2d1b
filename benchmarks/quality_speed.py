"""How long the metrics of `ganfer quality` take at 5,000 images a side and 512 features, and how much memory.

    python benchmarks/quality_speed.py [--images 5000] [--features 512] [--device auto] [--repeats 3]

Writes benchmarks/results/quality_speed.json: median and range of the seconds of each metric, with machine and load.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ganfer.metrics.density_coverage import density_coverage
from ganfer.metrics.fid import fid
from ganfer.metrics.kid import mmd2_with_error
from ganfer.metrics.neighbours import nearest
from ganfer.metrics.precision_recall import precision_recall
from ganfer.runtime.device import describe, resolve_device
from ganfer.runtime.files import write_json

RESULTS = Path(__file__).parent / "results" / "quality_speed.json"


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Of each run; one before them warms up."""
    work()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device = resolve_device(options.device)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(options.images, options.features)).astype(np.float32) for _ in range(2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    metrics: dict[str, Callable[[], object]] = {
        "fid": lambda: fid(x, y, device=device),
        "kid_with_error": lambda: mmd2_with_error(x, y),
        "precision_recall": lambda: precision_recall(x, y, device=device),
        "density_coverage": lambda: density_coverage(x, y, device=device),
        "nearest_17_float32": lambda: nearest(x, y, 17, device=device, dtype=torch.float32),
    }
    load = os.getloadavg()[0]
    timed = {name: seconds(work, options.repeats) for name, work in metrics.items()}
    results = {
        "images": options.images,
        "features": options.features,
        "device": describe(device),
        "load_before": load,
        "cores": os.cpu_count(),
        "seed": 0,
        "seconds": {n: {"median": float(np.median(s)), "low": s[0], "high": s[-1]} for n, s in timed.items()},
        "extra_memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }
    write_json(RESULTS, results)
    for name, each in results["seconds"].items():
        print(f"{name:20} {each['median']:6.2f} s  [{each['low']:.2f}, {each['high']:.2f}]")
    print(f"{results['device']}, load {load:.1f} on {results['cores']} cores, +{results['extra_memory_mb']:.0f} MB")


if __name__ == "__main__":
    main()
