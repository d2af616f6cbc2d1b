"""How hard are the drawn faces? A linear model and a small CNN on the default set, several seeds.

    python benchmarks/drawn_difficulty.py [--seeds 3] [--epochs 10]

Each seed draws its own set (other faces, other people), fits a logistic regression on the pixels (its strength of
regularisation chosen on validation), trains a small CNN, and reads the test split once. Prints and writes accuracy,
balanced accuracy and recall per class with their spread over the seeds, and faces drawn per second and core.
"""

import argparse
import json
import os
import platform
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from ganfer.data.drawn import DRAWN_VERSION, EXPRESSIONS, DrawnSet, draw_faces, drawn_set

_BATCH = 64


def standardised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each picture with mean 0 and deviation 1, (N, 1, H, W): brightness and contrast taken out."""
    pixels = images.astype(np.float32)
    mean, deviation = pixels.mean(axis=(1, 2, 3), keepdims=True), pixels.std(axis=(1, 2, 3), keepdims=True)
    return (pixels - mean) / (deviation + 1e-3)


def linear_predictions(data: DrawnSet, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Test predictions of logistic regression on 24x24 pixels; the best of four penalties on validation."""
    half = pixels.reshape(len(pixels), 24, 2, 24, 2).mean(axis=(2, 4)).reshape(len(pixels), -1)
    train, val, test = (data.split == name for name in ("train", "val", "test"))
    models = [
        LogisticRegression(C=penalty, max_iter=150, tol=1e-3).fit(half[train], data.labels[train])
        for penalty in (1e-5, 1e-4, 1e-3, 1e-2)
    ]
    best = max(models, key=lambda model: float(model.score(half[val], data.labels[val])))
    return np.asarray(best.predict(half[test]))


def small_cnn() -> nn.Sequential:
    """Four convolutions, 0.08 million weights: (N, 1, 48, 48) to (N, 7)."""
    widths = (1, 16, 32, 64, 96)
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        kernel, stride = (5, 2) if index == 0 else (3, 1)
        layers += [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
        if index:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(96 * 9, len(EXPRESSIONS)))


def cnn_predictions(data: DrawnSet, pixels: NDArray[np.float32], seed: int, epochs: int) -> NDArray[np.int64]:
    """Test predictions of the CNN after a fixed number of epochs with flips and shifts."""
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    train, test = data.split == "train", data.split == "test"
    images, labels = torch.from_numpy(pixels[train]), torch.from_numpy(data.labels[train])
    net = small_cnn()
    steps = epochs * (len(images) // _BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    net.train()
    for step in range(steps):
        if step % (len(images) // _BATCH) == 0:
            shuffled = torch.randperm(len(images), generator=order)
        start = step % (len(images) // _BATCH) * _BATCH
        rows = shuffled[start : start + _BATCH]
        batch = images[rows]
        if torch.rand((), generator=order) < 0.5:
            batch = batch.flip(3)
        down, right = torch.randint(-3, 4, (2,), generator=order).tolist()
        loss = F.cross_entropy(net(torch.roll(batch, (down, right), (2, 3))), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    net.eval()
    with torch.inference_mode():
        return np.concatenate([net(part).argmax(1).numpy() for part in torch.from_numpy(pixels[test]).split(256)])


def scores(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, balanced accuracy, and recall by class."""
    recall = {name: float((predicted[labels == k] == k).mean()) for k, name in enumerate(EXPRESSIONS)}
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(np.mean(list(recall.values()))),
        **{f"recall_{name}": value for name, value in recall.items()},
    }


def summary(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over the seeds."""
    return {
        key: {"mean": round(float(np.mean(values)), 4), "sd": round(float(np.std(values, ddof=1)), 4)}
        for key in rows[0]
        for values in [[row[key] for row in rows]]
    }


def faces_per_second(count: int = 300) -> float:
    """48-pixel grey faces per second of one core's time, the best of three runs."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        draw_faces(range(count), [seed % len(EXPRESSIONS) for seed in range(count)], workers=1)
        best = min(best, time.process_time() - start)
    return count / best


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "drawn_difficulty.json")
    wanted = parser.parse_args()
    if wanted.seeds < 2 or wanted.epochs < 1:
        parser.error("at least 2 seeds (for a spread) and 1 epoch are needed")
    speed = faces_per_second()
    print(f"drawing: {speed:.0f} faces/s on one core", flush=True)
    results: dict[str, list[dict[str, float]]] = {"linear": [], "cnn": []}
    for seed in range(wanted.seeds):
        data = drawn_set(seed=seed)
        pixels = standardised(data.images)
        truth = data.labels[data.split == "test"]
        for name, predicted in (
            ("linear", linear_predictions(data, pixels)),
            ("cnn", cnn_predictions(data, pixels, seed, wanted.epochs)),
        ):
            results[name].append(scores(truth, predicted))
            print(seed, name, {key: round(value, 3) for key, value in results[name][-1].items()}, flush=True)
    summaries = {name: summary(rows) for name, rows in results.items()}
    record = {
        "drawn_version": DRAWN_VERSION,
        "seeds": list(range(wanted.seeds)),
        "train_faces": int((data.split == "train").sum()),
        "test_faces": len(truth),
        "cnn_epochs": wanted.epochs,
        "faces_per_second_and_core": round(speed),
        **summaries,
        "hardware": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps(record, indent=2) + "\n")
    for name, figures in summaries.items():
        accuracy = figures["accuracy"]
        print(f"{name}: accuracy {accuracy['mean']:.3f} ± {accuracy['sd']:.3f}")
    print(wanted.out)


def processor() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
