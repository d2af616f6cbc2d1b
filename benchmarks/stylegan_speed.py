"""How fast is the bridge beside NVIDIA's generate.py? Same weights, seeds and PNG files, in one run, on the CPU.

    python benchmarks/stylegan_speed.py --reference DIR [--resolution 256] [--images 6] [--rounds 5] [--threads 2]

Both start from loaded networks; generate.py is run as it is, with its device set to the CPU. Rounds alternate between
the two, so that other load on the machine falls on both. The ratio is given per round and as the median, with a 95%
bootstrap interval over rounds; figures go to results/stylegan_speed_cpu_*.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from stylegan_reference import import_reference, machine, random_reference, write_result, write_snapshot

from stylegan_bridge import load_generator, save_pngs, stream


class OnCpu:
    """torch, as generate.py sees it: the device it asks for is the CPU."""

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: torch.device("cpu")) if name == "device" else getattr(torch, name)


def prepare_generate(network: Any) -> Any:
    """NVIDIA's generate.py with its network already loaded."""
    import generate  # type: ignore[import-not-found]

    generate.torch = OnCpu()
    generate.legacy.load_network_pkl = lambda _: {"G_ema": network}
    generate.dnnlib.util.open_url = lambda _: contextlib.nullcontext()
    original = Image.fromarray
    # Pillow 13 infers the mode that generate.py passes
    generate.PIL.Image.fromarray = lambda array, *_: original(array)
    return generate.generate_images


def run_reference(command: Any, seeds: range, folder: Path) -> float:
    """Seconds for generate.py to draw and write the seeds."""
    arguments = ["--network=loaded", f"--seeds={seeds[0]}-{seeds[-1]}", "--trunc=0.7", f"--outdir={folder}"]
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        command.main(args=arguments, standalone_mode=False)
    return time.perf_counter() - started


def run_ours(generator: Any, seeds: range, folder: Path) -> float:
    """Seconds for the bridge to do the same."""
    started = time.perf_counter()
    save_pngs(stream(generator, seeds, truncation_psi=0.7, batch_size=4), folder)
    return time.perf_counter() - started


def largest_difference(theirs: Path, ours: Path, seeds: range) -> int:
    """In grey levels, over all images."""
    pairs = ((theirs / f"seed{s:04d}.png", ours / f"seed{s:010d}.png") for s in seeds)
    return max(int(np.abs(np.asarray(Image.open(a), int) - np.asarray(Image.open(b), int)).max()) for a, b in pairs)


def main() -> int:
    """Measure, compare the files, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="a checkout of NVlabs/stylegan2-ada-pytorch")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--channel-base", type=int, default=32768)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    import_reference(arguments.reference)
    seeds = range(arguments.images)
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = random_reference(arguments.resolution, channel_base=arguments.channel_base)
        write_snapshot(network, folder / "network.pkl")
        generator, command = load_generator(folder / "network.pkl"), prepare_generate(network)
        run_reference(command, range(1), folder / "warm"), run_ours(generator, range(1), folder / "warm")
        for number in range(arguments.rounds):
            theirs.append(run_reference(command, seeds, folder / f"theirs{number}"))
            ours.append(run_ours(generator, seeds, folder / f"ours{number}"))
            print(f"round {number}: generate.py {theirs[-1]:.2f} s, ours {ours[-1]:.2f} s", flush=True)
        levels = largest_difference(folder / "theirs0", folder / "ours0", seeds)
    ratios = np.array(theirs) / np.array(ours)
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    result = {
        "machine": machine(),
        "resolution": arguments.resolution,
        "channel_base": arguments.channel_base,
        "images_per_round": arguments.images,
        "reference_seconds_per_image": [round(t / arguments.images, 4) for t in theirs],
        "our_seconds_per_image": [round(t / arguments.images, 4) for t in ours],
        "ratios": [round(float(r), 3) for r in ratios],
        "median_ratio": round(statistics.median(ratios.tolist()), 3),
        "median_ratio_95": [round(float(low), 3), round(float(high), 3)],
        "max_uint8_levels": levels,
    }
    print(
        f"ours is {result['median_ratio']} times as fast (95% {low:.2f}-{high:.2f}), largest difference {levels} levels"
    )
    suffix = "" if arguments.channel_base == 32768 else f"_base{arguments.channel_base}"
    print(f"wrote {write_result(f'stylegan_speed_cpu_{arguments.resolution}{suffix}', result)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
