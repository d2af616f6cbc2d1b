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
    config = load_config(RECIPE)
    recipe = dataclasses.replace(config.classifier, model="resnet18-halved", progressive=0.0, tensorboard=False)
    sets, run = [samples(real_only(images, split)) for split in ("train", "val")], options.data / "halvings"
    done = train(recipe, *sets, images.class_names, run, seed=config.seed, device="cpu", progress=progress)
    said = done.load("cpu").probabilities(np.asarray(val.images), tta="flip")
    without, halved = (each.argmax(1) == val.labels for each in (theirs["val flip"], said))
    change = halved.astype(float) - without
    mean, half = float(change.mean()), 1.959964 * float(change.std(ddof=1)) / math.sqrt(len(change))
    found: dict[str, Any] = {
        f"{name}, {recipe.epochs} passes": {"val accuracy": share, "interval": wilson(share, len(val))}
        for name, share in (("five halvings", float(halved.mean())), ("without the first two", float(without.mean())))
    }
    found |= {"difference": mean, "interval": (mean - half, mean + half), "seconds": round(done.seconds, 1)}
    print(json.dumps(found, indent=1))
    FILE.write_text(json.dumps(found | {"seed": config.seed, "environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
