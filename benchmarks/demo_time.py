"""How long `ganfer demo` takes from an empty folder to the report, as a whole process, and what it answers.

    python benchmarks/demo_time.py [--seeds 0]
    python benchmarks/demo_time.py --daily [--folder DIR]

Writes benchmarks/results/demo_time.json: wall seconds, seconds per stage, the verdict, the machine and its load.
--daily times the three commands of the README's daily use in an empty folder in its place, each by itself, and writes
benchmarks/results/daily_time.json. --folder: where they run, and what they made is left.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gan_common import environment, save

from ganfer.workspace import KINDS, Run


def main() -> None:
    """Run the demo once per seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--daily", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    runs = []
    before = environment()
    if options.daily:
        with tempfile.TemporaryDirectory() as folder:
            save("daily_time", {"environment": before, **daily(options.folder or Path(folder))})
        return
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            command = [sys.executable, "-m", "ganfer", "demo", "--seed", str(seed), "--json"]
            done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
            seconds = time.monotonic() - started
            results = json.loads(done.stdout)
            runs.append(
                {
                    "seed": seed,
                    "seconds": round(seconds, 1),
                    "stages": stage_seconds(Path(folder) / "ganfer-demo"),
                    "verdict": results["verdict"],
                    "kept": sum(results["screen"]["kept"].values()),
                    "asked": sum(results["screen"]["asked"].values()),
                    "metrics": {arm["name"]: arm["metrics"] for arm in results["arms"]},
                }
            )
    save("demo_time", {"environment": before, "runs": runs})


def daily(folder: Path) -> dict[str, Any]:
    """Wall seconds of `generate --n 500`, `label` and `retrain`, and the answer."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds, said = {}, {}
    for command in (["generate", "--n", "500"], ["label"], ["retrain"]):
        started = time.monotonic()
        asked = [sys.executable, "-m", "ganfer", *command, "--json"]
        done = subprocess.run(asked, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
        seconds[" ".join(command)] = round(time.monotonic() - started, 1)
        said = json.loads(done.stdout)
    return {"seconds": seconds, "together": round(sum(seconds.values()), 1), "verdict": said["verdict"]}


def stage_seconds(root: Path) -> dict[str, float]:
    """Seconds of every run in a workspace, by folder."""
    folders = [path for kind in KINDS for path in sorted((root / kind).glob("*-*")) if path.is_dir()]
    return {f"{path.parent.name}/{path.name}": Run(path).record.get("seconds", 0.0) for path in folders}


if __name__ == "__main__":
    main()
