"""Tiny data sets and trainings: images whose class can be seen, networks of four channels."""

import numpy as np

from ganfer.data.imageset import ImageSet, save_set
from ganfer.workspace import Run, Workspace

NAMES = ("angry", "fear", "happy")
TINY = {
    "device": "cpu",
    "gan.network": "dcgan",
    "gan.base_channels": 4,
    "gan.latent_dim": 8,
    "gan.batch_size": 8,
    "gan.steps": 12,
    "gan.snapshot_every": 6,
    "gan.guide_epochs": 1,
}


def tiny_images(labels: np.ndarray, size: int = 16, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise around a brightness that tells the class: (N, channels, size, size) uint8."""
    rng = np.random.default_rng(seed)
    base = 60 + 60 * labels[:, None, None, None]
    noise = rng.normal(0, 20, (len(labels), channels, size, size))
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def tiny_set(counts: dict[str, int], size: int = 16, channels: int = 1) -> ImageSet:
    """A set with so many training images per class."""
    labels = np.repeat(np.arange(len(counts)), list(counts.values())).astype(np.int64)
    n = len(labels)
    return ImageSet(
        images=tiny_images(labels, size, channels),
        labels=labels,
        class_names=tuple(counts),
        split=np.full(n, "train"),
        group=np.full(n, ""),
        source=np.full(n, "real"),
        ids=np.array([f"{i}.png" for i in range(n)], dtype=np.str_),
    )


def store(workspace: Workspace, images: ImageSet) -> Run:
    """The set as the workspace's active data."""
    run = workspace.run("data", "tiny", {"counts": images.counts(), "shape": list(images.images.shape)})
    with run.work("data add"):
        run.finish(digest=save_set(run.path, images), figures={})
    workspace.activate_data(run)
    return run
