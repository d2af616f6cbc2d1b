"""How fast is the bridge beside NVIDIA's generate.py? Same weights, seeds and PNG files, in one run.

    python benchmarks/stylegan_speed.py --reference DIR [--resolution 256] [--images 6] [--rounds 5] [--threads 2]
    python benchmarks/stylegan_speed.py --reference DIR --device cuda --resolution 1024 --images 256 [--graphs]

Both start from loaded networks; generate.py is run as it is, with its device set. On CUDA both draw the four highest
resolutions in float16, as NVIDIA's published networks say; --graphs replays the bridge's pass as a CUDA graph. Rounds
alternate between the two, so that other load on the machine falls on both. The ratio is given per round and as the
median, with a 95% bootstrap interval over rounds, for wall time and for processor time (which other load hardly moves;
with one thread it is the machine's own wall time). Figures go to results/stylegan_speed_DEVICE_*.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
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


class OnDevice:
    """torch, as generate.py sees it: the device it asks for is the chosen one."""

    def __init__(self, device: str) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: torch.device(self._device)) if name == "device" else getattr(torch, name)


def prepare_generate(network: Any, device: str) -> Any:
    """NVIDIA's generate.py with its network already loaded."""
    import generate  # type: ignore[import-not-found]

    generate.torch = OnDevice(device)
    generate.legacy.load_network_pkl = lambda _: {"G_ema": network}
    generate.dnnlib.util.open_url = lambda _: contextlib.nullcontext()
    original = Image.fromarray
    # Pillow 13 infers the mode that generate.py passes
    generate.PIL.Image.fromarray = lambda array, *_: original(array)
    return generate.generate_images


def run_reference(command: Any, seeds: range, folder: Path) -> tuple[float, float]:
    """Wall and processor seconds for generate.py to draw and write the seeds."""
    arguments = ["--network=loaded", f"--seeds={seeds[0]}-{seeds[-1]}", "--trunc=0.7", f"--outdir={folder}"]
    started, worked = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        command.main(args=arguments, standalone_mode=False)
    return time.perf_counter() - started, time.process_time() - worked


def run_ours(generator: Any, seeds: range, folder: Path) -> tuple[float, float]:
    """Wall and processor seconds for the bridge to do the same."""
    started, worked = time.perf_counter(), time.process_time()
    batch_size = 4 if generator.device.type == "cpu" else 64
    save_pngs(stream(generator, seeds, truncation_psi=0.7, batch_size=batch_size), folder)
    return time.perf_counter() - started, time.process_time() - worked


def summary(theirs: list[float], ours: list[float], images: int) -> dict[str, Any]:
    """Seconds per image and the ratio over rounds: median and 95% bootstrap interval of the median."""
    ratios = np.array(theirs) / np.array(ours)
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return {
        "reference_seconds_per_image": [round(t / images, 4) for t in theirs],
        "our_seconds_per_image": [round(t / images, 4) for t in ours],
        "ratios": [round(float(r), 3) for r in ratios],
        "median_ratio": round(statistics.median(ratios.tolist()), 3),
        "median_ratio_95": [round(float(low), 3), round(float(high), 3)],
    }


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
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--graphs", action="store_true", help="replay the bridge's pass as a CUDA graph")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no CUDA GPU was found")
    half = {"num_fp16_res": 4, "conv_clamp": 256} if arguments.device == "cuda" else {}
    torch.set_num_threads(arguments.threads)
    import_reference(arguments.reference)
    seeds = range(arguments.images)
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = random_reference(arguments.resolution, channel_base=arguments.channel_base, **half)
        write_snapshot(network, folder / "network.pkl")
        generator = load_generator(folder / "network.pkl", arguments.device)
        generator.cuda_graphs = arguments.graphs
        command = prepare_generate(network.to(arguments.device), arguments.device)
        run_reference(command, range(1), folder / "warm"), run_ours(generator, range(1), folder / "warm")
        for number in range(arguments.rounds):
            theirs.append(run_reference(command, seeds, folder / f"theirs{number}"))
            ours.append(run_ours(generator, seeds, folder / f"ours{number}"))
            print(f"round {number}: wall, processor: generate.py {theirs[-1]}, ours {ours[-1]}", flush=True)
        levels = largest_difference(folder / "theirs0", folder / "ours0", seeds)
    result = {
        "machine": machine(),
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
        "cuda_graphs": arguments.graphs,
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "resolution": arguments.resolution,
        "channel_base": arguments.channel_base,
        "images_per_round": arguments.images,
        "wall": summary([t[0] for t in theirs], [t[0] for t in ours], arguments.images),
        "processor": summary([t[1] for t in theirs], [t[1] for t in ours], arguments.images),
        "max_uint8_levels": levels,
    }
    for kind in ("wall", "processor"):
        print(f"{kind} time: {result[kind]['median_ratio']} times as fast, 95% {result[kind]['median_ratio_95']}")
    print(f"largest difference {levels} levels of 255")
    suffix = "" if arguments.channel_base == 32768 else f"_base{arguments.channel_base}"
    suffix += "_graphs" if arguments.graphs else ""
    name = f"stylegan_speed_{arguments.device}_{arguments.resolution}px_{arguments.threads}threads{suffix}"
    print(f"wrote {write_result(name, result)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
