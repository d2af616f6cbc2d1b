"""Generated images per second, writing included: `ganfer.generate.draw` into PNG files with provenance.

    python benchmarks/gan_generation_speed.py [--n 4000] [--rounds 3] [--width 64] [--device auto]

Speed depends on the network's shape, not on its weights, so an untrained conditional DCGAN (48 px grey) is drawn from.
Measured twice: the whole command on a fresh batch, and `sample` alone. Also the memory the process takes after the
first and after the last round. Writes benchmarks/results/gan_generation_speed.json.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from gan_common import environment, save, summary

from ganfer.config import load_config
from ganfer.data.imageset import ImageSet, save_set
from ganfer.data.names import EXPRESSIONS
from ganfer.gan.networks import NetworkSpec, build_generator
from ganfer.gan.sampling import open_gan, save_generator
from ganfer.generate.draw import Quota, generate
from ganfer.workspace import Run, Workspace

NAMES = EXPRESSIONS[:7]


def make_runs(workspace: Workspace, width: int) -> tuple[Run, Run]:
    """A data set of one image per class and a GAN with fresh weights, as finished runs."""
    n = len(NAMES)
    data = workspace.run("data", "bench", {})
    faces = ImageSet(
        np.zeros((n, 1, 48, 48), np.uint8), np.arange(n), NAMES, np.full(n, "train"), np.full(n, ""),
        np.full(n, "real"), np.arange(n).astype(str),
    )  # fmt: skip
    with data.work("data add"):
        data.finish(digest=save_set(data.path, faces), figures={})
    torch.manual_seed(0)
    spec = NetworkSpec("dcgan", 48, 1, n, 100, width)
    gan = workspace.run("gans", "bench", {})
    with gan.work("train gan"):
        gan.finish(digest=save_generator(gan.path, build_generator(spec).state_dict(), spec, NAMES, {}), figures={})
    return data, gan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=64, help="channels of the highest-resolution layer")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    machine = environment(options.device)
    written, drawn, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        data, gan = make_runs(workspace, options.width)
        share, rest = divmod(options.n, len(NAMES))
        quota = Quota({name: share + (i < rest) for i, name in enumerate(NAMES)}, {})
        for seed in range(options.rounds):
            config = load_config(None, {"seed": seed, "device": options.device})
            began = time.perf_counter()
            generate(workspace, config, gan, data, quota)
            written.append(options.n / (time.perf_counter() - began))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            generator = open_gan(gan.path, options.device)
            seeds, labels = np.arange(options.n), np.arange(options.n) % len(NAMES)
            began = time.perf_counter()
            generator.sample(seeds, labels)
            drawn.append(options.n / (time.perf_counter() - began))
    save(
        "gan_generation_speed",
        {
            "what": f"conditional DCGAN, 48 px grey, width {options.width}, images per second",
            "images_per_round": options.n,
            "with_png_writing": summary(written),
            "sampling_alone": summary(drawn),
            "peak_memory_mib": {"after_first_round": round(memory[0], 1), "after_last_round": round(memory[-1], 1)},
            "seeds": list(range(options.rounds)),
            **machine,
        },
    )


if __name__ == "__main__":
    main()
