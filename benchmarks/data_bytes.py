"""How fast images go in and out as Parquet and as tar shards, and that memory does not grow with their number.

    python benchmarks/data_bytes.py [--images 20000] [--size 48] [--out benchmarks/results/data_bytes.json]

Per form: write a source of so many noisy PNGs, as `ganfer data export` and `ganfer generate --format` write it, then
import it with `ganfer data add`; both also with a tenth of the images, to see what grows. Each runs in a process of its
own, and their peak memory (that of its decoding workers aside) is measured. Then an import of Parquet is killed in the
middle and given again. The load of the machine before and after stands beside the figures.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FORMS = ("parquet", "webdataset")
SHARD = 2000  # images a file

WRITE = """
import io, json, resource, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from ganfer.data import parquet
from ganfer.generate import shards
form, count, size, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
rng, encoded, names = np.random.default_rng(0), [], ["angry", "happy", "sad"]
for _ in range(200):  # encoding is not what is measured
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size), dtype=np.uint8)).save(out, "PNG", compress_level=1)
    encoded.append(out.getvalue())
began = time.perf_counter()
total = -(-count // int(sys.argv[5]))
for shard in range(total):
    places = range(shard * int(sys.argv[5]), min(count, (shard + 1) * int(sys.argv[5])))
    if form == "parquet":
        rows = ((f"{i:07d}.png", encoded[i % 200], names[i % 3], {"seed": i}) for i in places)
        parquet.write_parquet(folder / parquet.file_name("train", shard, total), rows, names, {"seed": int})
    else:
        samples = ((f"{i:07d}", encoded[i % 200], {"class": names[i % 3], "seed": i}) for i in places)
        shards.write_shard(folder / f"train-{shard:06d}.tar", samples)
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
READ = """
import json, resource, sys, time
from ganfer.config import load_config
from ganfer.data import checkpoint
from ganfer.data.ingest import add
from ganfer.workspace import Workspace
checkpoint.SECONDS = float(sys.argv[4])
config = load_config(overrides={"data.size": int(sys.argv[3])})
began = time.perf_counter()
result = add(Workspace(sys.argv[1]), config, sys.argv[2])
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"images": result.figures["images"], "seconds": seconds, "peak_mb": peak, "digest": result.path.name}))
"""


def measured(code: str, *arguments: object) -> dict[str, Any]:
    """What a script prints that runs in a process of its own."""
    found: dict[str, Any] = json.loads(finished(start(code, *arguments)))
    return found


def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(err)
    return out


def rate(row: dict[str, Any], count: int) -> dict[str, Any]:
    """Seconds and memory as they are reported, with images a second."""
    return {
        "images_per_second": round(count / row["seconds"], 1),
        "seconds": round(row["seconds"], 2),
        "peak_mb": round(row["peak_mb"], 1),
    }


def in_and_out(form: str, count: int, size: int, folder: Path) -> dict[str, Any]:
    """One form with so many images: written, then imported."""
    source = folder / f"{form}-{count}"
    source.mkdir()
    out = measured(WRITE, form, count, size, source, SHARD)
    held = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    into = measured(READ, folder / f"work-{form}-{count}", source, size, 20.0)
    assert into["images"] == count
    row = {
        "form": form,
        "images": count,
        "mb": round(held / 2**20, 1),
        "out": rate(out, count),
        "in": rate(into, count),
    }
    print(json.dumps(row))
    return row


def taken(work: Path) -> int:
    """How many images the checkpoint of the import in a workspace holds."""
    files = list(work.glob("data/*/.unfinished/checkpoint.json"))
    return int(json.loads(files[0].read_text())["taken"]) if files else 0


def killed(count: int, size: int, folder: Path) -> dict[str, Any]:
    """An import of Parquet, killed when it has a checkpoint and given again: how long each part took."""
    source, work = folder / f"parquet-{count}", folder / "work-killed"
    began = time.perf_counter()
    process = start(READ, work, source, size, 1.0)
    while process.poll() is None and taken(work) < count / 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = time.perf_counter() - began
    kept = taken(work)
    again = measured(READ, work, source, size, 1.0)
    row = {
        "images": count,
        "killed_after_seconds": round(before, 2),
        "kept_images": kept,
        **rate(again, count - kept),
    }
    print(json.dumps({"killed": row}))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "data_bytes.json")
    options = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            in_and_out(form, count, options.size, folder)
            for form in FORMS
            for count in (options.images // 10, options.images)
        ]
        again = killed(options.images, options.size, folder)
    machine = {
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_before": [round(value, 2) for value in load],
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figures = {**machine, "pixels": options.size, "shard_images": SHARD, "rows": rows, "killed_and_resumed": again}
    options.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{machine}; written to {options.out}")


if __name__ == "__main__":
    main()
