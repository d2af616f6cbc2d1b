"""Are our images NVIDIA's? Same weights, seeds and noise through the reference and through ours, on the CPU, float32.

    python benchmarks/stylegan_exactness.py --reference DIR [--resolutions 64,256,1024]

Random weights, written by the reference's own pickler and read by ours; unconditional and conditional, skip and
resnet, truncation 0.5 and 1, const and no noise. Latents come from NVIDIA's RandomState(seed). Ends with 1 if any pixel
of about -1..1 differs by more than 1e-4; the figures go to results/stylegan_exactness.json.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stylegan_reference import import_reference, machine, random_reference, write_result, write_snapshot

from stylegan_bridge import load_generator
from stylegan_bridge.generator import to_uint8

LIMIT = 1e-4
SEEDS = (0, 85)
NUM_CLASSES, CLASS_INDEX = 5, 3


@torch.no_grad()
def compare(resolution: int, c_dim: int, architecture: str, folder: Path) -> list[dict[str, Any]]:
    """One network in all its modes."""
    reference = random_reference(resolution, c_dim=c_dim, architecture=architecture, conv_clamp=256)
    path = folder / "network.pkl"
    write_snapshot(reference, path)
    ours = load_generator(path)
    rows = []
    for psi, noise_mode in itertools.product((0.5, 1.0), ("const", "none")):
        difference = levels = spread = 0.0
        for seed in SEEDS if resolution < 1024 else SEEDS[:1]:
            z = torch.from_numpy(np.random.RandomState(seed).randn(1, 512))
            label = torch.zeros(1, c_dim)
            if c_dim:
                label[:, CLASS_INDEX] = 1
            theirs = reference(z, label, truncation_psi=psi, noise_mode=noise_mode)
            ws = ours.map(z.float(), ours.labels(CLASS_INDEX if c_dim else None, 1), truncation_psi=psi)
            image = ours.render(ws, ours.noises(noise_mode))
            difference = max(difference, (image - theirs).abs().max().item())
            spread = max(spread, theirs.std().item())
            theirs_uint8 = (theirs * 127.5 + 128).clamp(0, 255).to(torch.uint8)
            levels = max(levels, (to_uint8(image).int() - theirs_uint8.int()).abs().max().item())
        rows.append(
            {
                "resolution": resolution,
                "classes": c_dim,
                "architecture": architecture,
                "truncation_psi": psi,
                "noise_mode": noise_mode,
                "max_abs_difference": difference,
                "max_uint8_levels": int(levels),
                "reference_std": round(spread, 3),
            }
        )
        print(*(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    return rows


def main() -> int:
    """Compare everything, write the result, say whether it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="a checkout of NVlabs/stylegan2-ada-pytorch")
    parser.add_argument("--resolutions", default="64,256,1024")
    arguments = parser.parse_args()
    import_reference(arguments.reference)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for resolution in map(int, arguments.resolutions.split(",")):
            for c_dim, architecture in itertools.product((0, NUM_CLASSES), ("skip", "resnet")):
                rows += compare(resolution, c_dim, architecture, Path(folder))
    worst = max(row["max_abs_difference"] for row in rows)
    result = {"machine": machine(), "seeds": SEEDS, "limit": LIMIT, "max_abs_difference": worst, "cases": rows}
    print(f"largest difference {worst:.2e} (limit {LIMIT:.0e}); wrote {write_result('stylegan_exactness', result)}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
