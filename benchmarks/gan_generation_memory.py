"""Memory while many images are generated, as files and as tar shards: does it stay flat?

    python benchmarks/gan_generation_memory.py [--n 100000] [--width 16] [--device auto]

An untrained conditional DCGAN (48 px grey) is drawn from; memory depends on neither weights nor width. The process's
resident memory is read every half second; reported is its highest value in each tenth of the run, by the number of
images written by then. Each format runs in a process of its own. Writes results/gan_generation_memory.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gan_common import environment, save
from gan_generation_speed import NAMES, make_runs

from ganfer.config import load_config
from ganfer.generate.draw import Quota, generate
from ganfer.workspace import Workspace

FORMATS = ("png", "webdataset")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mib() -> float:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def measured(n: int, width: int, device: str, form: str) -> dict[str, object]:
    """One format's run in this process."""
    readings: list[tuple[float, float]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            readings.append((time.perf_counter(), resident_mib()))

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        data, gan = make_runs(workspace, width)
        share, rest = divmod(n, len(NAMES))
        quota = Quota({name: share + (i < rest) for i, name in enumerate(NAMES)}, {})
        config = load_config(None, {"device": device, "generate.format": form})
        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.perf_counter()
        generate(workspace, config, gan, data, quota)
        seconds = time.perf_counter() - began
        done.set()
        watcher.join()
    tenth = [[mib for when, mib in readings if i <= 10 * (when - began) / seconds < i + 1] for i in range(10)]
    return {
        "images": n,
        "seconds": round(seconds, 1),
        "images_per_second": round(n / seconds, 1),
        "highest_mib_in_each_tenth_of_the_run": [round(max(part), 1) for part in tenth if part],
    }


def main() -> None:
    """Every format in a fresh process, so that neither starts with what the other left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=16, help="channels of the highest-resolution layer")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--format", choices=FORMATS, help="measure this one only, and print it")
    options = parser.parse_args()
    if options.format:
        print(json.dumps(measured(options.n, options.width, options.device, options.format)))
        return
    found = {}
    for form in FORMATS:
        command = [sys.executable, __file__, "--n", str(options.n), "--width", str(options.width)]
        command += ["--device", options.device, "--format", form]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found[form] = json.loads(answer.splitlines()[-1])
    what = f"conditional DCGAN, 48 px grey, width {options.width}"
    save("gan_generation_memory", {"what": what, **found, **environment(options.device)})


if __name__ == "__main__":
    main()
