"""The work of a GAN's snapshot while the training waits: KID and the resume point, as it was and as it is.

    python benchmarks/gan_snapshots.py [--device cpu] [--rounds 5]

KID of 7 classes with 150 held-back images each: every kernel by NumPy for every snapshot, as it was; and on the device,
with the held-back images' own kernels computed once; on a CPU in seconds of the processor. The resume point of the
default network's training: written before the next step, and copied to memory and written by a thread, which is what
happens on a GPU. Turn by turn in one run. Writes benchmarks/results/gan_snapshots_DEVICE.json.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_common import environment, save, summary

from ganfer.config import load_config
from ganfer.gan.checkpoint import Saver
from ganfer.gan.loop import new_state
from ganfer.gan.networks import NetworkSpec
from ganfer.metrics.features import RandomConvFeatures
from ganfer.metrics.kid import mmd2, mmd2_on, within_on
from ganfer.runtime.device import make_fabric

CLASSES, HELD, SIDE = 7, 150, 48


def kid_seconds(device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Seconds for all KIDs of a snapshot, and the largest difference between the two ways."""
    rng = np.random.default_rng(0)
    features = RandomConvFeatures(1, "cpu").dim
    held = rng.normal(0, 1, (CLASSES * HELD, features)).astype(np.float32)
    fake = rng.normal(0.1, 1, (CLASSES * HELD, features)).astype(np.float32)
    parts = [slice(0, CLASSES * HELD), *(slice(k * HELD, (k + 1) * HELD) for k in range(CLASSES))]
    known = [within_on(held[part], device) for part in parts]

    def before() -> list[float]:
        return [mmd2(held[part], fake[part]) for part in parts]

    def after() -> list[float]:
        return [mmd2_on(held[part], fake[part], device, within_x=w) for part, w in zip(parts, known, strict=True)]

    assert np.allclose(before(), after(), rtol=0, atol=1e-12)
    found: dict[str, list[float]] = {"by NumPy, all of it": [], "on the device, held-back ones known": []}
    for _ in range(rounds):
        for name, way in zip(found, (before, after), strict=True):
            found[name].append(timed(way, processor=device.type == "cpu"))
    return found


def save_seconds(device: torch.device, rounds: int, scratch: Path) -> dict[str, list[float]]:
    """Seconds until the training goes on after a resume point."""
    fabric = make_fabric(device.type, "auto")
    spec = NetworkSpec("resgan", SIDE, 1, CLASSES, 100, 16)
    state = new_state(spec, load_config(None, {}).gan, 0, fabric)
    savers = {"written at once": Saver(scratch / "direct.pt", aside=False),
              "by a thread": Saver(scratch / "aside.pt", aside=True)}  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in savers}
    for _ in range(rounds):
        for name, saver in savers.items():
            found[name].append(timed(lambda saver=saver: saver.save(state)))
            saver.wait()
    return found


def timed(work: Callable[[], Any], *, processor: bool = False) -> float:
    """Seconds, or the processor's, which other work hardly changes; a GPU has done everything by then."""
    clock = time.process_time if processor else time.perf_counter
    began = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - began


def measure(device: torch.device, rounds: int, scratch: Path) -> dict[str, Any]:
    """Both kinds of work, with the ratio of the medians."""
    result: dict[str, Any] = {}
    parts = {"kid": kid_seconds(device, rounds), "resume point": save_seconds(device, rounds, scratch)}
    for what, found in parts.items():
        (_, before), (_, after) = ((name, float(np.median(values))) for name, values in found.items())
        result[what] = {name: summary(values) for name, values in found.items()} | {"ratio": round(before / after, 2)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(torch.device(options.device), options.rounds, Path(folder))
    save(f"gan_snapshots_{options.device}", {"seconds": found, **environment(options.device)})


if __name__ == "__main__":
    main()
