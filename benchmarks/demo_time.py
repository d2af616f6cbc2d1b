"""How long `ganfer demo` takes from an empty folder to the report, as a whole process, and what it answers.

    python benchmarks/demo_time.py [--seeds 0]

Writes benchmarks/results/demo_time.json: wall seconds, seconds per stage, the verdict, the machine and its load.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gan_common import environment, save

from ganfer.workspace import KINDS, Run


def main() -> None:
    """Run the demo once per seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    runs = []
    before = environment()
    for seed in parser.parse_args().seeds:
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


def stage_seconds(root: Path) -> dict[str, float]:
    """Seconds of every run in a workspace, by folder."""
    folders = [path for kind in KINDS for path in sorted((root / kind).glob("*-*")) if path.is_dir()]
    return {f"{path.parent.name}/{path.name}": Run(path).record.get("seconds", 0.0) for path in folders}


if __name__ == "__main__":
    main()
