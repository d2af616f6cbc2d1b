"""bfloat16 against float32 on a CPU: the accuracy on validation and the seconds, over paired seeds.

    python benchmarks/cpu_precision.py WORKSPACE [--model compact-small] [--epochs 6] [--seeds 5]

The workspace has data (FER2013, say). Each seed is trained twice, in `bf16-mixed` and in `32-true`, one after the other
on one thread; what was trained before is found. The test split is not read. Only on processors that compute in bfloat16
is it worth running. Results: benchmarks/results/cpu_precision.json.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from gan_common import RESULTS, environment
from scipy import stats

from classifiers import TrainConfig, train
from ganfer.classifier.train import real_only, samples
from ganfer.data.imageset import read_set
from ganfer.workspace import Workspace

PRECISIONS = ("32-true", "bf16-mixed")
FIGURES = ("val_accuracy", "val_balanced_accuracy", "val_macro_f1")


def main() -> None:
    """Train what is missing, then write down the paired differences with their 95% intervals (Student's t)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--model", default="compact-small")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trainings", type=Path, default=Path("cpu-precision-work"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Workspace(options.workspace).active_data
    if data is None:
        raise SystemExit(f"{options.workspace} has no data: ganfer data add PATH -w {options.workspace}")
    images = read_set(data.path)
    real, val = samples(real_only(images, "train")), samples(real_only(images, "val"))
    plain = TrainConfig(model=options.model, epochs=options.epochs, tensorboard=False)
    found: dict[str, list[dict[str, float]]] = {precision: [] for precision in PRECISIONS}
    for seed in range(options.seeds):
        for precision in PRECISIONS:
            config = dataclasses.replace(plain, precision=precision)
            folder = options.trainings / f"{options.model}-{options.epochs}-{precision}-{seed}"
            result = train(config, real, val, images.class_names, folder, seed=seed, device="cpu")
            best = max(result.history, key=lambda row: row["val_balanced_accuracy"])
            found[precision].append({name: best[name] for name in FIGURES} | {"seconds": result.seconds})
            print(f"seed {seed}, {precision}: {found[precision][-1]}", flush=True)
    summary = {name: paired([row[name] for row in found["32-true"]], [row[name] for row in found["bf16-mixed"]])
               for name in FIGURES}  # fmt: skip
    seconds = [float(np.sum([row["seconds"] for row in found[precision]])) for precision in PRECISIONS]
    record = {
        "model": options.model, "epochs": options.epochs, "seeds": options.seeds, "images": len(real.images),
        "validation": len(val.images), "bf16 minus fp32, points": summary,
        "seconds": dict(zip(PRECISIONS, seconds, strict=True)),
        "trainings": found, **environment(),
    }  # fmt: skip
    (RESULTS / "cpu_precision.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


def paired(plain: list[float], other: list[float], level: float = 0.95) -> dict[str, float]:
    """Mean and interval of the paired differences, in points."""
    change = 100 * (np.array(other) - np.array(plain))
    half = float(stats.t.ppf((1 + level) / 2, len(change) - 1) * change.std(ddof=1) / len(change) ** 0.5)
    mean = float(change.mean())
    return {"mean": round(mean, 2), "low": round(mean - half, 2), "high": round(mean + half, 2)}


if __name__ == "__main__":
    main()
