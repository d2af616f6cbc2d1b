"""DCGAN training, images per second: ganfer's loop against pytorch/examples' `dcgan`, turn by turn in one run.

    git clone --depth 1 https://github.com/pytorch/examples /tmp/examples
    python benchmarks/gan_training_speed.py --reference /tmp/examples/dcgan [--rounds 3] [--steps 20] [--width 64]

Same networks (the classic DCGAN at 64 px in colour; the number of parameters is compared), batch size, image files and
threads. Both are run as their users run them: the example's own main.py on an image folder, with its data-loading
workers and its printing; ganfer's `train_gan` with the classic settings, logging included. Start-up, the first steps
and snapshots are left out on both sides. Writes benchmarks/results/gan_training_speed.json.
"""

import argparse
import csv
import dataclasses
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gan_common import environment, save, summary
from PIL import Image

from ganfer.config import load_config
from ganfer.data.imageset import ImageSet, save_set
from ganfer.gan import loop
from ganfer.gan import train as training
from ganfer.gan.networks import NetworkSpec, build_discriminator, build_generator
from ganfer.workspace import Workspace

SIZE, IMAGES, SEED = 64, 2048, 0
LEFT_OUT = 5  # steps at the start that are not measured


def make_images(folder: Path) -> np.ndarray:
    """Smooth random textures (N, 3, 64, 64) uint8, also as PNG files in a class folder."""
    coarse = np.random.default_rng(SEED).integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8)
    (folder / "faces").mkdir(parents=True)
    images = []
    for i, texture in enumerate(coarse):
        image = Image.fromarray(texture).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        image.save(folder / "faces" / f"{i:05d}.png")
        images.append(np.asarray(image).transpose(2, 0, 1))
    return np.stack(images)


def reference_speed(main: Path, folder: Path, steps: int, batch: int, width: int) -> tuple[float, int]:
    """Images per second of the example's main.py, and its number of parameters, read from what it prints."""
    with tempfile.TemporaryDirectory() as out:
        process = subprocess.Popen(
            [sys.executable, "-u", str(main), "--dataset", "folder", "--dataroot", str(folder), "--niter", "1000",
             "--imageSize", str(SIZE), "--batchSize", str(batch), "--ngf", str(width), "--ndf", str(width),
             "--outf", out, "--manualSeed", str(SEED)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        parameters, stamps = 0, []
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"Conv\w*2d\((\d+), (\d+), kernel_size=\((\d+), (\d+)\)", line):
                parameters += int(np.prod([int(number) for number in found.groups()]))
            elif found := re.search(r"BatchNorm2d\((\d+)", line):
                parameters += 2 * int(found.group(1))
            elif "Loss_D" in line:
                stamps.append(time.perf_counter())
                if len(stamps) > steps:
                    break
        process.kill()
        process.wait()
    seconds = stamps[-1] - stamps[LEFT_OUT - 1]
    return (len(stamps) - LEFT_OUT) * batch / seconds, parameters


def own_speed(images: np.ndarray, steps: int, batch: int, width: int) -> tuple[float, int]:
    """Images per second of `train_gan` between its logged rows, and its networks' number of parameters."""
    loop.LOG_EVERY = LEFT_OUT
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        run = workspace.run("data", "textures", {})
        n = len(images)
        faces = ImageSet(
            images, np.zeros(n, np.int64), ("faces",), np.full(n, "train"), np.full(n, ""), np.full(n, "real"),
            np.arange(n).astype(str),
        )  # fmt: skip
        with run.work("data add"):
            run.finish(digest=save_set(run.path, faces), figures={})
        total = steps // LEFT_OUT * LEFT_OUT
        settings = {
            "gan.classic": True,
            "gan.steps": total,
            "gan.batch_size": batch,
            "gan.base_channels": width,
            "device": "cpu",
            "seed": SEED,
        }
        config = load_config(
            None, settings | {"gan.classic": True, "gan.snapshot_every": total, "gan.checkpoint_seconds": 1e6}
        )
        gan = config.gan
        result = training.train_gan(workspace, dataclasses.replace(config, gan=gan), run)
        assert result.path is not None
        with (result.path / "history.csv").open(newline="") as file:
            rows = [(int(row["images"]), float(row["seconds"])) for row in csv.DictReader(file)]
    spec = NetworkSpec("dcgan", SIZE, 3, 0, gan.latent_dim, width)
    networks = (build_generator(spec), build_discriminator(spec, "none"))
    parameters = sum(p.numel() for network in networks for p in network.parameters())
    return (rows[-1][0] - rows[0][0]) / (rows[-1][1] - rows[0][1]), parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="folder of pytorch/examples' dcgan")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64, help="ngf and ndf")
    options = parser.parse_args()
    machine = environment()
    speeds: dict[str, list[float]] = {"reference": [], "ganfer": []}
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(Path(folder) / "images")
        for _ in range(options.rounds):
            common = (options.steps, options.batch, options.width)
            theirs, number = reference_speed(options.reference / "main.py", Path(folder) / "images", *common)
            ours, own_number = own_speed(images, *common)
            assert number == own_number, f"different networks: {number:,} against {own_number:,} parameters"
            speeds["reference"].append(theirs)
            speeds["ganfer"].append(ours)
            print(f"reference {theirs:.1f}, ganfer {ours:.1f} images/s", file=sys.stderr, flush=True)
    ratios = [ours / theirs for ours, theirs in zip(speeds["ganfer"], speeds["reference"], strict=True)]
    save(
        "gan_training_speed",
        {
            "what": f"classic DCGAN, {SIZE} px colour, width {options.width}, batch {options.batch}, images per second",
            "parameters": number,
            **{name: summary(values) for name, values in speeds.items()},
            "ratio": summary(ratios),
            "steps_measured": options.steps - LEFT_OUT,
            "seed": SEED,
            **machine,
        },
    )


if __name__ == "__main__":
    main()
