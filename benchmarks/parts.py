"""From how many images on processes of one thread label faster than one process with all threads.

    python benchmarks/parts.py [--images 32768] [--training 25000] [--workers 0] [--rounds 3]

The work is that of the screen: features of the classifier that comes with ganfer, and the nearest of so many training
images. Images are noise, as are the training images' features: what is counted is time. Each way is timed turn by turn
over the same images, the processes once with a single small part each (their start) and once with all (whole parts of
2,048 images). They pay from

    images > start / (seconds an image in one process - seconds an image in processes)

on, where that is positive. `ganfer.runtime.parts.LARGE` should lie above it. Writes benchmarks/results/parts.json.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from gan_common import environment, save, summary

from classifiers import load_classifier
from classifiers.scheduler import cores
from ganfer.classifier import starter
from ganfer.data.duplicates import NEAR
from ganfer.label.held_out import _copies
from ganfer.metrics.copies import CopyRule, TrainingIndex
from ganfer.runtime import parts
from ganfer.runtime.parts import Spread, kept_parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32_768)
    parser.add_argument("--training", type=int, default=25_000)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    workers = options.workers or cores()
    rng = np.random.default_rng(0)
    classifier = load_classifier(starter.FILE, "cpu")
    shape = (classifier.channels, classifier.size, classifier.size)
    width = classifier.features(np.zeros((1, *shape), np.uint8)).shape[1]
    training = rng.integers(0, 256, (options.training, *shape), np.uint8)
    index = TrainingIndex.of(training, rng.normal(size=(options.training, width)).astype(np.float16))
    function = partial(_copies, classifier, index, CopyRule(NEAR, 0.0))
    images = rng.integers(0, 256, (options.images, *shape), np.uint8)
    function(images[:8])  # the search is prepared

    def seconds(count: int, spread: Spread) -> float:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            list(kept_parts(function, count, lambda places: images[list(places)], Path(folder), spread=spread))
            return time.perf_counter() - begun

    parts.LARGE = 1
    usual = parts.PART
    timed: dict[str, list[float]] = {"start": [], "one": [], "processes": []}
    for _ in range(options.rounds):
        parts.PART = 8
        timed["start"].append(seconds(8 * workers, Spread(workers)))
        parts.PART = usual
        timed["processes"].append(seconds(len(images), Spread(workers)))
        timed["one"].append(seconds(len(images), Spread(1)))
    start, one, spread = (float(np.median(timed[name])) for name in ("start", "one", "processes"))
    saved = (one - (spread - start)) / len(images)
    save("parts", {
        "seconds": {name: summary(values) for name, values in timed.items()},
        "pays from": round(start / saved) if saved > 0 else None,
        "images": len(images), "training images": options.training, "workers": workers, "part": usual,
        **environment(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
