"""Ways of training several seeds of `compact` at once: one by one, side by side, or stacked with torch.func.vmap.

    python benchmarks/classifier_many.py [--seeds 4] [--steps 40] [--device auto]

Measures optimiser steps per second, over all seeds, of the training step alone (forward, backward, AdamW) for "one by
one" with all threads and for "stacked" (parameters of all seeds in one tensor, convolutions grouped), and of whole
trainings through `train_many` for one worker and for one per core. Writes benchmarks/results/classifier_many.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from classifiers import Job, Samples, TrainConfig, create_model, train_many

SIZE, CLASSES, BATCH = 48, 7, 128


def one_by_one(seeds: int, steps: int, device: torch.device) -> float:
    images, labels = batch(device)
    started = 0.0
    for _ in range(seeds):
        model = create_model("compact", CLASSES, 1, SIZE, dropout=0.0).to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        for step in range(steps + 2):
            if step == 2:
                synchronise(device)
                begun = time.perf_counter()
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        synchronise(device)
        started += time.perf_counter() - begun
    return seeds * steps / started


def stacked(seeds: int, steps: int, device: torch.device) -> float:
    """All seeds in one graph. Batch statistics are the batch's own (running ones can't be kept under vmap)."""
    images, labels = batch(device)
    models = [create_model("compact", CLASSES, 1, SIZE, dropout=0.0).to(device) for _ in range(seeds)]
    for model in models:
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
    parameters, buffers = stack_module_state(models)
    template = models[0]

    def loss_of(own: dict[str, Tensor], fixed: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(functional_call(template, (own, fixed), (images,)), labels)

    optimizer = torch.optim.AdamW(parameters.values(), 1e-3)
    for step in range(steps + 2):
        if step == 2:
            synchronise(device)
            begun = time.perf_counter()
        loss = vmap(loss_of)(parameters, buffers).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    synchronise(device)
    return seeds * steps / (time.perf_counter() - begun)


def whole_trainings(seeds: int, steps: int, device: str, workers: int, threads: int) -> float:
    """Steps per second of the whole call, worker processes' start included."""
    rng = np.random.default_rng(0)
    data = Samples(rng.integers(0, 256, (2048, 1, SIZE, SIZE), np.uint8), np.arange(2048) % CLASSES)
    val = Samples(data.images[:70], data.labels[:70])
    config = TrainConfig(steps=steps, batch_size=BATCH, tensorboard=False, validations=1)
    names = [f"class-{k}" for k in range(CLASSES)]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [Job(config, data, val, names, Path(folder) / str(seed), seed) for seed in range(seeds)]
        begun = time.perf_counter()
        train_many(jobs, device=device, workers=workers, threads=threads)
        return seeds * steps / (time.perf_counter() - begun)


def batch(device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(BATCH, 1, SIZE, SIZE, generator=generator).to(device)
    return images, (torch.arange(BATCH) % CLASSES).to(device)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "classifier_many.json")
    options = parser.parse_args()
    cuda = options.device != "cpu" and torch.cuda.is_available()
    device, cores = torch.device("cuda" if cuda else "cpu"), os.cpu_count() or 1
    workers = min(options.seeds, 10 if cuda else cores)
    rates: dict[str, float] = {}
    rates["step: one by one, all threads"] = one_by_one(options.seeds, options.steps, device)
    rates["step: stacked with vmap"] = stacked(options.seeds, options.steps, device)
    rates["training: one worker, all threads"] = whole_trainings(options.seeds, options.steps, str(device), 1, cores)
    key = f"training: {workers} workers, one thread each"
    rates[key] = whole_trainings(options.seeds, options.steps, str(device), workers, 1)
    report: dict[str, Any] = {
        "unit": "optimiser steps per second, all seeds together", "rates": rates, "seeds": options.seeds,
        "steps": options.steps, "batch": BATCH, "cores": cores, "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
