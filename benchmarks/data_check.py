"""How well and how fast `ganfer data check` finds duplicates: planted copies, larger sets, and FER2013.

    python benchmarks/data_check.py [--fer2013 ../shared/data/fer2013.tar.xz] [--sizes 32000 128000]

Planted: each kind below, `--copies` times, among drawn faces of as many different people; recall per kind, and pairs
found that were not planted. Time: unrelated random textures, where no pair should be found. FER2013: what is in it, as
counts. Writes benchmarks/results/data_check.json.
"""

import argparse
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

import ganfer
from ganfer.data.damage import damage_of, grey_chunks
from ganfer.data.drawn import draw_faces
from ganfer.data.duplicates import NEAR, find_duplicates
from ganfer.runtime.files import write_json

HERE = Path(__file__).resolve().parent
SIZE = 48


def shifted(image: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """Moved by whole pixels, the border repeated."""
    padded = np.pad(image, 8, mode="edge")
    return padded[8 + dy : 8 + dy + SIZE, 8 + dx : 8 + dx + SIZE]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Compressed and read back."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Made smaller and then as large as before."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """The middle 1/factor of the image, as another crop of the same photograph would be."""
    side = round(SIZE * factor)
    big = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    start = (side - SIZE) // 2
    return np.asarray(big[start : start + SIZE, start : start + SIZE])


def noisy(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """With Gaussian noise of `sigma` grey levels."""
    return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def kinds(rng: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What may happen to a picture before it enters a set for the second time."""
    return {
        "exact": lambda x: x,
        "darker by 30%": lambda x: (x * 0.7).astype(np.uint8),
        "gamma 0.6": lambda x: (255 * (x / 255.0) ** 0.6).astype(np.uint8),
        "jpeg quality 40": lambda x: jpeg(x, 40),
        "shift 1 px": lambda x: shifted(x, 1, 1),
        "shift 2 px": lambda x: shifted(x, -2, 1),
        "resize to 32 px": lambda x: resized(x, 32),
        "zoom 4%": lambda x: zoomed(x, 1.04),
        "noise sigma 8": lambda x: noisy(x, 8, rng),
        "mirrored": lambda x: x[:, ::-1],
        "mirrored, shift 1 px, jpeg 60": lambda x: jpeg(np.ascontiguousarray(shifted(x[:, ::-1], 1, 0)), 60),
    }


def planted(copies: int, seed: int) -> dict[str, Any]:
    """Recall per kind, and how many of the other pairs were taken for duplicates."""
    rng = np.random.default_rng(seed)
    edits = kinds(rng)
    num = copies * len(edits)
    faces = draw_faces(np.arange(num) + 1, np.arange(num) % 7, size=SIZE, identities=np.arange(num) + 1, workers=2)
    twins = np.stack([edit(faces[k * copies + i, 0]) for k, edit in enumerate(edits.values()) for i in range(copies)])
    images = np.concatenate([faces, twins[:, None]])
    found = find_duplicates(images, np.ones(2 * num, dtype=bool), np.zeros(2 * num, dtype=int))
    exact = {(int(i), k) for k, i in enumerate(found.same_as) if i != k}
    pairs = exact | set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    hits = np.array([(i, i + num) in pairs for i in range(num)])
    others = len(pairs) - int(hits.sum())
    return {
        "faces": num,
        "copies_per_kind": copies,
        "recall": {name: float(hits[k * copies : (k + 1) * copies].mean()) for k, name in enumerate(edits)},
        "pairs_not_planted": others,
        "precision": len(pairs) and int(hits.sum()) / len(pairs),
        "share_of_unrelated_pairs_taken_for_duplicates": others / (num * (2 * num - 1)),
    }


def textures(count: int, seed: int) -> np.ndarray:
    """(count, 1, 48, 48) uint8: random textures with the spectrum of photographs (amplitude 1/f), none like another."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    images = np.empty((count, 1, SIZE, SIZE), dtype=np.uint8)
    for start in range(0, count, 4096):
        part = images[start : start + 4096]
        noise = np.fft.rfft2(rng.standard_normal((len(part), SIZE, SIZE), dtype=np.float32))
        field = np.fft.irfft2(noise / np.maximum(frequency, 1 / SIZE), s=(SIZE, SIZE))
        field /= field.std(axis=(1, 2), keepdims=True)
        part[:, 0] = np.clip(128 + 50 * field, 0, 255)
    return images


def timed(count: int, seed: int) -> dict[str, Any]:
    """Seconds for a set of unrelated images, from pixels to pairs."""
    images = textures(count, seed)
    start = time.perf_counter()
    for _, grey in grey_chunks(images):
        damage_of(grey)
    found = find_duplicates(images, np.ones(count, dtype=bool), np.zeros(count, dtype=int))
    seconds = time.perf_counter() - start
    return {"images": count, "hash_radius": found.radius, "pairs": len(found.first), "seconds": round(seconds, 1)}


def fer2013(path: Path) -> dict[str, Any]:
    """What the check finds in FER2013, as counts; imported with ganfer's own settings (10% of train for validation)."""
    with tempfile.TemporaryDirectory() as folder:
        project = ganfer.open(folder)
        project.add(path)
        start = time.perf_counter()
        figures = dict(project.check(drop=True).figures)
        seconds = time.perf_counter() - start
        left = project.check().figures["leaks"]["total"]
    return {**figures, "leaks_after_drop": left, "seconds": round(seconds, 1)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fer2013", type=Path, default=HERE.parents[1] / "shared" / "data" / "fer2013.tar.xz")
    parser.add_argument("--sizes", type=int, nargs="*", default=[32_000, 128_000])
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "data_check.json")
    options = parser.parse_args()
    results: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU used",
        "versions": {"ganfer": ganfer.__version__, "numpy": np.__version__, "opencv": cv2.__version__},
        "seed": options.seed,
        "similarity_threshold": NEAR,
        "planted": planted(options.copies, options.seed),
        "time": [timed(count, options.seed) for count in options.sizes],
    }
    if options.fer2013.is_file():
        results["fer2013"] = fer2013(options.fer2013)
    write_json(options.out, results)
    print(options.out.read_text())


if __name__ == "__main__":
    main()
