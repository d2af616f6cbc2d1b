"""How many faces a second each recipe's network labels on this machine, untrained: one thread and two.

    python benchmarks/classifier_zoo.py [NAME ...] [--seconds 2]

Ready crops of noise go through `Classifier.probabilities`, as `ganfer label` and `predict` give them: what they show
changes nothing. One thread is measured in seconds of the processor, which other work on the machine hardly changes; two
threads in seconds of the clock, and only where the machine is idle. Each figure is the median of three rounds of at
least --seconds. Results, added to what is there: benchmarks/results/classifier_zoo.json.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gan_common import RESULTS, environment, summary
from recipes import BY_NAME, Recipe

from classifiers import Classifier, create_model
from ganfer.config import load_config

ROUNDS, MOST = 3, 1024
IDLE = 0.5  # load average up to which two threads have two cores


def main() -> None:
    """Measure what is asked for, or all, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes; all when none is named")
    parser.add_argument("--seconds", type=float, default=2.0, help="a round's least time")
    options = parser.parse_args()
    file = RESULTS / "classifier_zoo.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    for name in options.names or BY_NAME:
        if name not in BY_NAME:
            raise SystemExit(f"no recipe {name}; there are {', '.join(BY_NAME)}")
        found[name] = {**measured(BY_NAME[name], options.seconds), "environment": environment()}
        print(name, found[name]["faces_per_second"], flush=True)
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(recipe: Recipe, least: float) -> dict[str, Any]:
    """Parameters and faces per second of a recipe's network."""
    config = load_config(recipe.config, {"data.size": recipe.size})
    classes = {"fer": 7, "ck": 7, "fer embarrassed": 8}[" ".join(recipe.sources)]
    names = recipe.classes or tuple(f"class{k}" for k in range(classes))
    model = create_model(config.classifier.model, len(names), config.data.channels, recipe.size)
    classifier = Classifier(model, names)
    faces = np.random.default_rng(0).integers(0, 256, (MOST, config.data.channels, recipe.size, recipe.size), np.uint8)
    before, load = torch.get_num_threads(), os.getloadavg()[0]
    torch.set_num_threads(1)
    rates = {"1 thread": summary([rate(classifier, faces, least, time.process_time) for _ in range(ROUNDS)])}
    if load <= IDLE:
        torch.set_num_threads(2)
        rates["2 threads"] = summary([rate(classifier, faces, least, time.perf_counter) for _ in range(ROUNDS)])
    torch.set_num_threads(before)
    return {
        "model": config.classifier.model, "size": recipe.size, "channels": config.data.channels,
        "classes": len(names), "parameters": sum(p.numel() for p in model.parameters()),
        "faces_per_second": rates, "load_average": round(load, 2),
    }  # fmt: skip


def rate(classifier: Classifier, faces: np.ndarray, least: float, clock: Callable[[], float]) -> float:
    """Faces per second of `clock` over batches of 32 growing to all, for at least so many seconds."""
    classifier.probabilities(faces[:32])  # warm
    done, count, began = 0, 32, clock()
    while clock() - began < least:
        classifier.probabilities(faces[:count])
        done += count
        count = min(len(faces), 2 * count)
    return done / (clock() - began)


if __name__ == "__main__":
    main()
