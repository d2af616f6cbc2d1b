"""Which trainings of `cnn-8class` end in "unspecified launch failure" on a GPU? Each way some times, each time anew.

    python benchmarks/gpu_failures.py [--repeats 3] [--steps 3000] [--ways NAME ...]

Seen on an H100 with torch 2.11, CUDA 13.0 and cuDNN 9.19: with Muon in bfloat16 six of nine trainings failed, where it
is known between step 850 and 2,750; the cause is not known. A failed kernel is fatal for its process, so every training
has one of its own. The ways change one thing at a time. Images are noise: what they show does not matter. What is
recorded in benchmarks/results/gpu_failures.json is not run again, so an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gpu_failures.json"
IMAGES, CLASSES, SIDE = 26_217, 8, 48


@dataclass(frozen=True)
class Way:
    """Settings and environment that differ from Muon, recorded, in bfloat16."""

    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


WAYS = {
    "Muon": Way(),
    "AdamW": Way({"optimizer": "adamw"}),
    "float32": Way({"precision": "32-true"}),
    "steps not recorded": Way(environment={"CLASSIFIERS_CUDA_GRAPHS": "off"}),
    "cuBLAS without workspace": Way(environment={"CUBLAS_WORKSPACE_CONFIG": ":0:0"}),
    "cuBLAS with one kind of workspace": Way(environment={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}),
    "no dropout": Way({"dropout": 0.0}),
    "no augmentation": Way({"augment": "none"}),
    "no clipping": Way({"clip_norm": 0.0}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(trained(WAYS[options.one], options.steps, options.images, options.device)))  # the last line
        return
    known: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {"ways": {}}
    for name in options.ways:
        found = known["ways"].setdefault(name, [])
        while len(found) < options.repeats:
            found.append(in_a_process(name, options))
            known["environment"] = found[-1].pop("environment", known.get("environment"))
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {found[-1]}", flush=True)


def in_a_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What came of a training in a new process."""
    command = [sys.executable, __file__, "--one", name, "--steps", str(options.steps)]
    command += ["--images", str(options.images), "--device", options.device]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | WAYS[name].environment | {"PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    return {"failed": f"ended with code {done.returncode}: {done.stderr[-300:]}"}


def trained(way: Way, steps: int, images: int, device: str) -> dict[str, Any]:
    """A training: its last loss, or how and about when it failed."""
    import numpy as np
    import torch
    from gan_common import environment

    from classifiers import ClassifierError, Samples, TrainConfig, train

    rng, done = np.random.default_rng(0), [0]
    pixels, labels = rng.integers(0, 256, (images, 1, SIDE, SIDE), np.uint8), np.arange(images) % CLASSES
    settings: dict[str, Any] = {"model": "cnn-8class", "optimizer": "muon", "augment": "strong", "tensorboard": False}
    config = TrainConfig(**(settings | {"steps": steps, "validations": 4} | way.settings))

    @contextmanager
    def watched(description: str, total: int) -> Iterator[Callable[..., None]]:
        def advance(n: int = 1, note: str = "") -> None:
            done[0] += n
            if device == "cuda" and (done[0] < 30 or done[0] % 50 == 0):
                torch.cuda.synchronize()  # a failure comes up here

        yield advance

    found: dict[str, Any] = {"environment": environment(device), "steps": steps}
    try:
        with tempfile.TemporaryDirectory() as folder:
            few = Samples(pixels[:800], labels[:800])
            names = [str(k) for k in range(CLASSES)]
            result = train(config, Samples(pixels, labels), few, names, folder, device=device, progress=watched)
        return found | {"loss": result.history[-1]["train_loss"]}
    except (RuntimeError, ClassifierError) as error:
        print(json.dumps(found | {"failed": str(error).partition("\n")[0][:160], "step": done[0]}), flush=True)
        os._exit(1)  # the interpreter's end would ask the GPU again


if __name__ == "__main__":
    main()
