"""Training and labelling with `classifiers` against the usual way, in one run, turn by turn.

    python benchmarks/classifier_speed.py [--images 4096] [--rounds 3] [--device auto] [--model compact]
                                          [--batches 128 512] [--workers N]

Training, the usual way: torchvision's ImageFolder and DataLoader (a worker per core unless --workers says otherwise),
per-image transforms of the same kinds and ranges, a plain loop in float32 with AdamW. Ours: `classifiers.train`, in
float32 and, on a processor, in the precision that "auto" comes to for long trainings (bfloat16 where it is clearly
faster). Same network, batch sizes, epochs and images; the ratio is taken round by round.
Labelling, the usual way: one file after another, opened, transformed and passed through the network alone, as
deepface and fer do. Ours: the files read by a pool of threads, one batched pass. Images are smooth random textures in
PNG files of 48x48 grey pixels: speed doesn't depend on what they show. Beside them stands a bound: how many images a
second would be trained if all of the network's arithmetic ran as fast as a large matrix product does here. Writes
benchmarks/results/classifier_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms
from torchvision.datasets import ImageFolder

from classifiers import Classifier, Samples, TrainConfig, create_model, train
from classifiers.probe import faster

SIZE, CLASSES, BATCH = 48, 7, 128
NAMES = [f"class-{k}" for k in range(CLASSES)]


def make_folder(folder: Path, number: int) -> None:
    """`number` smooth textures as PNG files in class folders."""
    coarse = np.random.default_rng(0).integers(0, 256, (number, 8, 8), np.uint8)
    for i in range(number):
        path = folder / NAMES[i % CLASSES] / f"{i:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse[i]).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))[None]


def read_all(files: list[Path]) -> np.ndarray:
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(read, files)))


def usual_training(
    folder: Path, epochs: int, device: torch.device, model: str, workers: int | None = None, batch: int = BATCH
) -> float:
    """Images per second, decoding included, as it happens every epoch; the first batch's worker start-up is not."""
    augmentation = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.RandomAffine(10, translate=(0.08, 0.08), scale=(0.9, 1.11)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(brightness=0.2, contrast=0.2),
            transforms.ToTensor(),
        ]
    )
    loader = torch.utils.data.DataLoader(
        ImageFolder(str(folder), augmentation), batch, shuffle=True, drop_last=True,
        num_workers=workers or os.cpu_count() or 1, persistent_workers=True, pin_memory=device.type == "cuda",
    )  # fmt: skip
    network = create_model(model, CLASSES, 1, SIZE).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    started, seen = 0.0, -1
    for _ in range(epochs):
        for images, labels in loader:
            loss = F.cross_entropy(network(images.to(device)), labels.to(device), label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if seen < 0:
                started, seen = time.perf_counter(), 0
            else:
                seen += len(images)
    _ = loss.item()
    return seen / (time.perf_counter() - started)


def our_training(
    folder: Path, epochs: int, device: str, model: str, scratch: Path, batch: int = BATCH, precision: str = "auto"
) -> tuple[float, float]:
    """Images per second of the whole call (reading the files, training, validating, calibrating, writing), and of its
    steps after the first, as the usual way is timed."""
    stamps: list[float] = []

    @contextmanager
    def watched(description: str, total: int) -> Iterator[Any]:
        yield lambda n=1, note="": stamps.append(time.perf_counter())

    started = time.perf_counter()
    files = sorted(folder.rglob("*.png"))
    images, labels = read_all(files), np.array([NAMES.index(path.parent.name) for path in files])
    val = Samples(images[:CLASSES], np.arange(CLASSES))
    config = TrainConfig(model=model, epochs=epochs, batch_size=batch, tensorboard=False, precision=precision)
    train(config, Samples(images, labels), val, NAMES, scratch, device=device, resume=False, progress=watched)
    whole = epochs * len(files) / (time.perf_counter() - started)
    return whole, batch * (len(stamps) - 1) / (stamps[-1] - stamps[0])


@torch.no_grad()
def usual_labelling(files: list[Path], network: torch.nn.Module, device: torch.device) -> float:
    convert = transforms.Compose([transforms.Grayscale(), transforms.Resize((SIZE, SIZE)), transforms.ToTensor()])
    started = time.perf_counter()
    for path in files:
        with Image.open(path) as image:
            network(convert(image)[None].to(device)).softmax(1).cpu()
    return len(files) / (time.perf_counter() - started)


def our_labelling(files: list[Path], classifier: Classifier) -> float:
    started = time.perf_counter()
    classifier.probabilities(read_all(files))
    return len(files) / (time.perf_counter() - started)


def bound(model: str, device: torch.device, size: int = 2048, repeats: int = 10) -> dict[str, float]:
    """Images per second if forward and backward pass ran at the rate of a matrix product."""
    network = create_model(model, CLASSES, 1, SIZE).to(device)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 1, SIZE, SIZE, device=device)).sum().backward()
    flop = counter.get_total_flops() / 2
    a = torch.randn(size, size, device=device)
    rates = []
    for _ in range(repeats + 1):  # the first warms up
        started = time.perf_counter()
        (a @ a)[0, 0].item()
        rates.append(2 * size**3 / (time.perf_counter() - started))
    fastest = max(rates[1:])
    return {"gflop_per_image": flop / 1e9, "matrix_product_gflop_per_s": fastest / 1e9, "images_per_s": fastest / flop}


def ratio(ours: list[float], usual: list[float]) -> dict[str, float]:
    """Round by round."""
    each = [a / b for a, b in zip(ours, usual, strict=True)]
    return {"median": statistics.median(each), "lowest": min(each), "highest": max(each)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of the usual loader")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "classifier_speed.json")
    options = parser.parse_args()
    cuda = options.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    # what "auto" comes to in a training long enough to measure it
    settled = "auto" if cuda else faster(options.model, CLASSES, 1, SIZE, BATCH, torch.get_num_threads())
    ways = {"ours": settled, **({"ours in float32": "32-true"} if settled != "32-true" else {})}
    rates: dict[str, list[float]] = {}

    def note(what: str, rate: float) -> None:
        rates.setdefault(what, []).append(rate)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        make_folder(folder, options.images)
        files = sorted(folder.rglob("*.png"))
        classifier = Classifier(create_model(options.model, CLASSES, 1, SIZE), NAMES, device=device)
        for number in range(options.rounds):
            for batch in options.batches:
                usual = usual_training(folder, options.epochs, device, options.model, options.workers, batch)
                note(f"train usual, batch {batch}", usual)
                for way, precision in ways.items():
                    scratch = Path(name) / f"run-{number}-{batch}-{precision}"
                    rate, steps = our_training(
                        folder, options.epochs, str(device), options.model, scratch, batch, precision
                    )
                    note(f"train {way}, batch {batch}", rate)
                    note(f"train {way}, steps alone, batch {batch}", steps)
            note("label usual", usual_labelling(files[:512], classifier.model, device))
            note("label ours", our_labelling(files, classifier))
            print({key: round(values[-1]) for key, values in rates.items()}, flush=True)
    ratios = {
        f"training, {way}{part}, batch {batch}": ratio(
            rates[f"train {way}{part}, batch {batch}"], rates[f"train usual, batch {batch}"]
        )
        for batch in options.batches
        for way in ways
        for part in ("", ", steps alone")
    }
    report: dict[str, Any] = {
        "unit": "images per second",
        "bound": bound(options.model, device),
        "rates": rates,
        "ratios": ratios | {"labelling": ratio(rates["label ours"], rates["label usual"])},
        "model": options.model, "images": options.images, "epochs": options.epochs, "loader workers": options.workers,
        "precision": {"usual": "float32", **ways}, "threads": torch.get_num_threads(), "load": os.getloadavg(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "cores": os.cpu_count(), "torch": torch.__version__,
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({k: v for k, v in report.items() if k != "rates"}, indent=1))


if __name__ == "__main__":
    main()
