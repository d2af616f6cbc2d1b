"""What halving a 48-pixel face five times costs a ResNet that learns it from scratch: ResNet18, with and without.

    python benchmarks/recipes.py --fer fer2013.tar.xz --workspace W --answers FOLDER fer2013-resnet18
    python benchmarks/resnet_halvings.py --data W/fer-all-48 --answers FOLDER/fer2013-resnet18-0.npz

torchvision's ResNets halve an image five times, so that 48 pixels end as 2 x 2. ganfer takes the first two halvings
away (`classifiers/models/pretrained.py`), which leaves 6 x 6 and costs up to 16 times the arithmetic. The network that
keeps them is trained here with the recipe's settings, seed, images and number of passes, but on full-size images from
the first step on. Compared are the accuracies on validation, averaged over the mirror image, and their paired
difference with its 95% interval over the images; the test split is not read. Writes
benchmarks/results/resnet_halvings.json; what was trained is found again, and an interrupted training goes on.
"""

import argparse
import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from gan_common import RESULTS, environment
from recipe_records import wilson
from recipes_together import read

from classifiers import train
from classifiers.models import REGISTRY, pretrained
from ganfer.classifier.train import real_only, samples
from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.runtime.console import progress
from ganfer.workspace import Workspace

FILE = RESULTS / "resnet_halvings.json"
RECIPE = "fer2013-resnet18"


def five_halvings(*args: object, **options: object) -> pretrained.Adapted:
    """ResNet18 as torchvision has it, but for its grey input and its head."""
    with mock.patch.object(pretrained, "_soften_strides", return_value=None):
        return pretrained.Adapted("resnet18", *args, **options)  # type: ignore[arg-type]


def main() -> None:
    """Train the network with all its halvings and compare it with the recipe's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the workspace that recipes.py made")
    parser.add_argument("--answers", type=Path, required=True, help="what the recipe's network says")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    REGISTRY["resnet18-halved"] = five_halvings
    data = Workspace(options.data).active_data
    assert data is not None, "the workspace holds FER2013"
    images = read_set(data.path)
    val, theirs = images.of("val"), read(options.answers)
    if not np.array_equal(theirs["val labels"], val.labels):
        raise SystemExit(f"{options.answers} was measured on other validation images than those of {options.data}")
    hits = {"without the first two": theirs["val flip"].argmax(1) == val.labels}
    config = load_config(RECIPE)
    base = dataclasses.replace(config.classifier, model="resnet18-halved", progressive=0.0, tensorboard=False)
    found: dict[str, Any] = {"networks": {}}
    name, run = f"five halvings, {base.epochs} passes", options.data / "halvings"
    sets = samples(real_only(images, "train")), samples(real_only(images, "val"))
    done = train(base, *sets, images.class_names, run, seed=config.seed, device="cpu", progress=progress)
    said = done.load("cpu").probabilities(np.asarray(val.images), tta="flip")
    hits[name] = said.argmax(1) == val.labels
    found["networks"][name] = {"seconds": round(done.seconds, 1), "load": os.getloadavg()[0]}
    for name, right in hits.items():
        row = found["networks"].setdefault(name, {})
        row |= {"val accuracy": float(right.mean()), "interval": wilson(float(right.mean()), len(right))}
        difference = right.astype(float) - hits["without the first two"]
        half = 1.959964 * float(difference.std(ddof=1)) / math.sqrt(len(difference))
        mean = float(difference.mean())
        row["against without"] = mean, (mean - half, mean + half)
        print(name, row, flush=True)
    FILE.write_text(json.dumps(found | {"seed": config.seed, "environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
