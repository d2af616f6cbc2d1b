"""bfloat16 against float32 in a GAN's training on a CPU: quality on held-back images and processor time, paired seeds.

    python benchmarks/gan_precision.py WORKSPACE [--network resgan] [--steps 1500] [--seeds 5]

The workspace has data (FER2013, say; the drawn faces as well). Each seed is trained twice, in `bf16` and in `fp32`, one
after the other on one thread; what was trained before is found, what was interrupted resumes. Quality is the KID of the
last snapshot, overall and as the mean over classes, in the training's own random-convolution features, against images
that it never saw; the test split is not read. Time is the processor's, which other work on the machine hardly changes.
Only on processors that compute in bfloat16 is it worth running. Results: benchmarks/results/gan_precision.json.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_common import RESULTS, environment
from scipy import stats

from ganfer.config import load_config
from ganfer.gan.guide import FOLDER
from ganfer.gan.train import run_key, train_gan
from ganfer.workspace import Workspace

PRECISIONS = ("fp32", "bf16")


def main() -> None:
    """Train what is missing, then write down the paired differences with their 95% intervals (Student's t)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--network", default="resgan")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--guide-epochs", type=int, default=3)
    parser.add_argument("--name", default="gan_precision")
    options = parser.parse_args()
    torch.set_num_threads(1)
    workspace = Workspace(options.workspace)
    data = workspace.active_data
    if data is None:
        raise SystemExit(f"{options.workspace} has no data: ganfer data add PATH -w {options.workspace}")
    found: dict[str, list[dict[str, Any]]] = {precision: [] for precision in PRECISIONS}
    for seed in range(options.seeds):
        guide: Path | None = None
        for precision in PRECISIONS:
            given = {"network": options.network, "precision": precision, "steps": options.steps, "batch_size": 64,
                     "snapshot_every": options.steps, "guide_epochs": options.guide_epochs}  # fmt: skip
            settings = {"device": "cpu", "seed": seed, **{f"gan.{name}": value for name, value in given.items()}}
            config = load_config(None, settings)
            run = workspace.run("gans", options.network, run_key(config, data))
            if guide is not None and guide.is_dir() and not (run.path / FOLDER).is_dir():
                shutil.copytree(guide, run.path / FOLDER)  # the same one: only the GAN's own arithmetic differs
            note = run.path / "processor_seconds.json"
            before, began = json.loads(note.read_text()) if note.is_file() else 0.0, time.process_time()
            try:
                done = train_gan(workspace, config, data)
            finally:
                if run.path.is_dir():
                    note.write_text(json.dumps(before + time.process_time() - began))
            guide = done.path / FOLDER if done.path is not None else None
            found[precision].append(
                {"kid": done.figures["kid"], "kid over classes": done.figures["score"],
                 "processor seconds": json.loads(note.read_text())}
            )  # fmt: skip
            print(f"seed {seed}, {precision}: {found[precision][-1]}", flush=True)
    summary = {name: paired(*([row[name] for row in found[precision]] for precision in PRECISIONS))
               for name in ("kid", "kid over classes")}  # fmt: skip
    record = {
        "network": options.network, "steps": options.steps, "seeds": options.seeds, "data": data.name,
        "bf16 minus fp32": summary, "trainings": found,
        "note": "the first precision's seconds hold the guide's training", **environment(),
    }  # fmt: skip
    (RESULTS / f"{options.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


def paired(plain: list[float], other: list[float], level: float = 0.95) -> dict[str, float]:
    """Mean and interval of the paired differences, beside the mean and the deviation over seeds of the first."""
    change = np.array(other) - np.array(plain)
    half = float(stats.t.ppf((1 + level) / 2, len(change) - 1) * change.std(ddof=1) / len(change) ** 0.5)
    mean, base = float(change.mean()), np.array(plain)
    figures = {"mean": mean, "low": mean - half, "high": mean + half, "fp32": float(base.mean()),
               "fp32 over seeds": float(base.std(ddof=1))}  # fmt: skip
    return {name: round(value, 6) for name, value in figures.items()}


if __name__ == "__main__":
    main()
