"""How long an import takes, and that its memory does not grow with the number of images.

    python benchmarks/data_import.py [--fer2013 PATH] [--out benchmarks/results/data_import.json]

1. FER2013 as class folders in a tar.xz (28,709 training and 3,589 public test images): seconds of wall time and of CPU.
2. A tar of 10,000 and one of 100,000 small images, made on the spot: peak memory of the importing process.

Each import runs in a process of its own, three times; the table gives the median and the range.
"""

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FER2013 = ROOT.parent / "shared" / "data" / "fer2013.tar.xz"
RUNS = 3

# what the measured process runs: import, then print its own peak memory (KiB on Linux) and figures
MEASURED = """
import json, resource, sys
from ganfer.config import load_config
from ganfer.data.ingest import add
from ganfer.workspace import Workspace
if __name__ == "__main__":
    result = add(Workspace(sys.argv[1]), load_config(), sys.argv[2])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"images": result.figures["images"], "peak_mb": peak / 1024}))
"""


def measure(source: Path) -> dict[str, float]:
    """One import in a fresh process and a fresh workspace: images, seconds (start of Python included), peak_mb."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "measured.py"
        script.write_text(MEASURED)
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(script), str(Path(folder) / "work"), str(source)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        wall = time.perf_counter() - started
    figures: dict[str, float] = json.loads(done.stdout)
    return figures | {"seconds": round(wall, 2)}


def make_tar(path: Path, count: int) -> Path:
    """A tar of `count` 24-pixel PNGs of noise in seven class folders."""
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(200):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(out, "PNG")
        encoded.append(out.getvalue())
    with tarfile.open(path, "w") as archive:
        for i in range(count):
            data = encoded[i % len(encoded)]
            info = tarfile.TarInfo(f"class{i % 7}/{i:07d}.png")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def summary(name: str, runs: list[dict[str, float]]) -> dict[str, object]:
    """Median and range of the runs, printed as a line each and returned."""
    row: dict[str, object] = {"what": name, "images": runs[0]["images"], "runs": len(runs)}
    for figure in ("seconds", "peak_mb"):
        values = sorted(run[figure] for run in runs)
        middle, low, high = statistics.median(values), values[0], values[-1]
        row[figure] = {"median": round(middle, 2), "min": round(low, 2), "max": round(high, 2)}
        print(f"{name:24} {figure:8} median {middle:8.2f}  range {low:.2f} to {high:.2f}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer2013", type=Path, default=FER2013, help="FER2013 as tar.xz of class folders")
    parser.add_argument("--small", type=int, default=10_000, help="images of the small tar")
    parser.add_argument("--large", type=int, default=100_000, help="images of the large tar")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "data_import.json")
    options = parser.parse_args()
    rows = []
    if options.fer2013.is_file():
        rows.append(summary("FER2013 tar.xz", [measure(options.fer2013) for _ in range(options.runs)]))
    else:
        print(f"FER2013: skipped, {options.fer2013} is not there (give it with --fer2013)")
    with tempfile.TemporaryDirectory() as folder:
        for count in (options.small, options.large):
            source = make_tar(Path(folder) / "faces.tar", count)
            rows.append(summary(f"{count:,} images", [measure(source) for _ in range(options.runs)]))
    machine = {
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n")
    print(f"{machine}; written to {options.out}")


if __name__ == "__main__":
    main()
