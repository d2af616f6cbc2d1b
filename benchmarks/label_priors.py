"""What the labeller says as if all classes were equally common: its own word, divided by the shares, and fitted.

    python benchmarks/label_priors.py NAME=WORKSPACE [NAME=WORKSPACE ...]

Each workspace has data and a classifier, as `benchmarks/fer2013.py` leaves them. The held-back validation images are
halved at random, by class: one half fits (`classifiers.prior_shift`), the other is measured, 20 times. Results:
benchmarks/results/label_priors.json.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gan_common import RESULTS, environment

from classifiers.prior_shift import EqualShares
from ganfer.classifier.opened import open_classifier
from ganfer.classifier.train import real_only, training_prior
from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.pipeline import Project

HALVINGS = 20


def measured(workspace: Path) -> dict[str, Any]:
    """Mean and standard deviation over the halvings, of each way."""
    config = load_config("fer2013-cpu", [])
    project = Project(workspace, config)
    images = read_set(project.needs.data().path)
    classifier = open_classifier(project.needs.classifier(), images.class_names, config)
    shares, val = training_prior(classifier, images), real_only(images, "val")
    said, labels = classifier.probabilities(np.asarray(val.images)), val.labels
    rng, found = np.random.default_rng(0), []
    for _ in range(HALVINGS):
        order = rng.permutation(len(labels))
        order = order[np.argsort(labels[order], kind="stable")]  # by class, so that every other one is half of each
        fit, rest = order[::2], order[1::2]
        ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "plain": lambda p: p,
            "divided": EqualShares(1.0, -np.log(shares)),
            "fitted": EqualShares.fit(said[fit], labels[fit], shares),
        }
        found.append({name: figures(way(said[rest]), labels[rest], int(shares.argmin())) for name, way in ways.items()})
    return {
        "shares": dict(zip(images.class_names, np.round(shares, 4).tolist(), strict=True)),
        "validation": images.counts("val"),
        "ways": {
            way: {
                metric: {
                    "mean": round(float(np.mean([f[way][metric] for f in found])), 4),
                    "sd": round(float(np.std([f[way][metric] for f in found], ddof=1)), 4),
                }
                for metric in found[0][way]
            }
            for way in found[0]
        },
    }


def figures(probabilities: np.ndarray, labels: np.ndarray, rarest: int) -> dict[str, float]:
    """Balanced accuracy, accuracy, and the balanced NLL; of the rarest class the recall, and how often it is said."""
    said = probabilities.argmax(axis=1)
    right, classes = said == labels, np.unique(labels)
    log_p = np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    return {
        "balanced_accuracy": float(np.mean([right[labels == k].mean() for k in classes])),
        "accuracy": float(right.mean()),
        "balanced_nll": -float(np.mean([log_p[labels == k].mean() for k in classes])),
        "rarest_recall": float(right[labels == rarest].mean()),
        "rarest_said": float((said == rarest).mean()),
    }


def main() -> None:
    """Measure every workspace and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+", metavar="NAME=WORKSPACE")
    pairs = [text.split("=", 1) for text in parser.parse_args().workspaces]
    found = {name: measured(Path(path)) for name, path in pairs}
    record = {"machine": environment("cpu"), "halvings": HALVINGS, "data": found}
    (RESULTS / "label_priors.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for named, one in found.items():
        for way, metrics in one["ways"].items():
            shown = {name: value for name, value in metrics.items() if name != "balanced_nll"}
            cells = [f"{name} {100 * value['mean']:.1f} ± {100 * value['sd']:.1f}" for name, value in shown.items()]
            print(f"{named:12} {way:8} {'; '.join(cells)}")


if __name__ == "__main__":
    main()
