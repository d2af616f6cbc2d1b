"""What the landmarks' second opinion gains or loses beside a classifier, on a workspace's test images.

    python benchmarks/predict_landmarks.py WORKSPACE NAME --landmarker-model FILE [--test 1400]

Fitted on training images, its weight chosen on validation, read once on test images (evenly over the split); the gain
has a paired bootstrap interval. Writes benchmarks/results/predict_landmarks_NAME.json.
"""

import argparse
from pathlib import Path

import numpy as np
from gan_common import environment, save

from classifiers import load_classifier
from ganfer.data.imageset import read_set
from ganfer.live.mesh import open_landmarker
from ganfer.live.opinion import best_weight, blendshapes_of, fit, pooled
from ganfer.workspace import Workspace

RESAMPLES = 2000


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    hits = probabilities.argmax(axis=1) == labels
    recalls = [hits[labels == k].mean() for k in np.unique(labels)]
    return {"accuracy": round(float(hits.mean()), 4), "balanced_accuracy": round(float(np.mean(recalls)), 4)}


def gain(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> list[float]:
    """Accuracy of the second less that of the first, with a paired bootstrap interval of 95%."""
    change = (second.argmax(axis=1) == labels).astype(float) - (first.argmax(axis=1) == labels)
    means = np.random.default_rng(0).choice(change, (RESAMPLES, len(change))).mean(axis=1)
    return [round(float(v), 4) for v in (change.mean(), *np.quantile(means, (0.025, 0.975)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("name")
    parser.add_argument("--landmarker-model", type=Path)
    parser.add_argument("--train", type=int, default=250, help="images of each class")
    parser.add_argument("--val", type=int, default=600)
    parser.add_argument("--test", type=int, default=1400)
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    data = workspace.active_data
    assert data is not None
    run = workspace.latest("classifiers", data=data.digest)
    assert run is not None, "train a classifier there first"
    machine = environment("cpu")
    classifier, images = load_classifier(run.path, "cpu"), read_set(data.path)
    landmarker = open_landmarker(options.landmarker_model)
    order = classifier.columns(images.class_names)
    parts = {}
    for split, count in (("train", None), ("val", options.val), ("test", options.test)):
        here = images.of(split)
        if count is None:
            classes = [np.flatnonzero(here.labels == k)[: options.train] for k in range(len(images.class_names))]
            chosen = np.concatenate(classes)
        else:
            chosen = np.unique(np.linspace(0, len(here) - 1, min(count, len(here))).astype(int))
        pixels, labels = np.asarray(here.images[chosen]), here.labels[chosen]
        parts[split] = (pixels, labels, blendshapes_of(pixels, landmarker))
        print(split, len(labels), flush=True)
    landmarker.close()
    opinion = fit(parts["train"][2], parts["train"][1], images.class_names)

    def both(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels, labels, shapes = parts[split]
        seen = np.array([one is not None for one in shapes])
        own = np.stack([opinion.probabilities(one) for one in shapes if one is not None])
        return classifier.probabilities(pixels[seen])[:, order], own, labels[seen]

    weight = best_weight(*both("val"))
    cnn, own, labels = both("test")
    fused = pooled(cnn, own, weight)
    save(
        f"predict_landmarks_{options.name}",
        {
            "what": "a classifier, the landmarks' opinion, and both, on test images in which landmarks are found",
            "data": data.name,
            "classifier": run.name,
            "test_images": len(parts["test"][1]),
            "with_landmarks": len(labels),
            "weight": weight,
            "classifier_alone": scores(cnn, labels),
            "landmarks_alone": scores(own, labels),
            "both": scores(fused, labels),
            "gain_of_accuracy": gain(cnn, fused, labels),
            **machine,
        },
    )


if __name__ == "__main__":
    main()
