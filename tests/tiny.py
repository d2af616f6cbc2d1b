"""A tiny workspace for the tests of the stages: three classes of striped images, a batch, and fast settings."""

from pathlib import Path

import numpy as np

from ganfer.config import Config, load_config
from ganfer.data.imageset import ImageSet, save_set
from ganfer.data.provenance import write_png
from ganfer.runtime.files import write_csv
from ganfer.workspace import Run, Workspace

NAMES = ("angry", "happy", "sad")
FAST = {
    "classifier.model": "compact-small",
    "classifier.epochs": 4,
    "classifier.batch_size": 32,
    "classifier.augment": "none",
    "classifier.tensorboard": False,
    "classifier.lr": 0.01,
    "classifier.ema": 0.0,
    "retrain.seeds": 2,
    "retrain.resamples": 100,
    "retrain.workers": 1,
    "workers": 1,
}


def striped(labels: np.ndarray, seed: int, size: int = 16, noise: float = 70.0) -> np.ndarray:
    """Images a small network tells apart in seconds: class k is a grating of direction k. (N, 1, size, size) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    angle = np.asarray(labels)[:, None, None] * np.pi / 3
    phase = rng.uniform(0, 2 * np.pi, (len(labels), 1, 1))
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 1.3 + phase)
    pixels = 128 + 60 * wave + rng.normal(0, noise, wave.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)[:, None]


def fast_config(**overrides: object) -> Config:
    """Settings under which every stage takes a second or two."""
    return load_config(overrides={**FAST, **{name.replace("__", "."): value for name, value in overrides.items()}})


def tiny_set(train: tuple[int, ...] = (40, 60, 10), val: int = 8, test: int = 12, source: str = "real") -> ImageSet:
    """A three-class set of striped 16-pixel images with the given counts."""
    counts = {"train": train, "val": (val,) * 3, "test": (test,) * 3}
    labels = np.concatenate([np.repeat(np.arange(3), counts[split]) for split in counts])
    split = np.concatenate([np.full(sum(counts[name]), name) for name in counts])
    n = len(labels)
    return ImageSet(
        images=striped(labels, seed=n),
        labels=labels,
        class_names=NAMES,
        split=split,
        group=np.full(n, ""),
        source=np.full(n, source),
        ids=np.array([f"image{i}" for i in range(n)]),
    )


def add_set(workspace: Workspace, images: ImageSet, name: str = "tiny") -> Run:
    """Put a set into the workspace and make it the active one."""
    key = {"config": {"name": name}, "inputs": {}, "seed": 0}
    run = workspace.run("data", name, key)
    with run.work("add"):
        run.finish(digest=save_set(run.path, images), figures={"count": len(images)})
    workspace.activate_data(run)
    return run


def add_batch(
    workspace: Workspace, data: Run, labels: np.ndarray, pixels: np.ndarray | None = None, **inputs: str
) -> Run:
    """Put a batch of good striped images (or of `pixels`) into the workspace, as if a generator had drawn it.

    inputs: what it stands on besides the data and a GAN.
    """
    key = {"config": {"n": len(labels)}, "inputs": {"data": data.digest, "gan": "g", **inputs}, "seed": 0}
    run = workspace.run("synthetic", "test", key)
    images = striped(labels, seed=99) if pixels is None else pixels
    with run.work("generate"):
        (run.path / "images").mkdir()
        names = [f"images/{i:06d}.png" for i in range(len(labels))]
        for name, image, label in zip(names, images, labels, strict=True):
            write_png(run.path / name, image, {"generator": "g", "seed": 0, "class": NAMES[label]})
        rows = [
            {"file_name": n, "asked": NAMES[label], "seed": i}
            for i, (n, label) in enumerate(zip(names, labels, strict=True))
        ]
        write_csv(run.path / "metadata.csv", ["file_name", "asked", "seed"], rows)
        run.finish(digest="batch", figures={"images": len(labels)})
    return run


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, to see that nothing changed."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
