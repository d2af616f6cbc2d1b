"""The goals of gpu.py that need FER2013: the recipes and their paces, the long GAN and the experiment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gpu_sizes import DRY, Clock, Figures, Sizes

DATA = Path("data", "fer2013.tar.xz")
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def archive_of(sizes: Sizes, shared: Path, scratch: Path) -> Path | None:
    """FER2013 in the shared folder, if it is there; when dry a tiny set of the same layout."""
    if sizes is not DRY:
        return shared / DATA if (shared / DATA).is_file() else None
    import numpy as np
    from PIL import Image

    folder = scratch / "fer2013"
    noise = np.random.default_rng(0).integers(0, 120, (24, len(EXPRESSIONS), 48, 48))
    for i, pictures in enumerate(noise):
        for k, name in enumerate(EXPRESSIONS):
            path = folder / ("test" if i % 4 == 0 else "train") / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pictures[k] + 20 * k).astype(np.uint8)).save(path)
    return folder


def fer2013(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """The 60-second recipe on FER2013's public test split, mirror averaged, by the shipped recipe."""
    import recipes

    archive = archive_of(sizes, shared, scratch)
    if archive is None:
        return {"left_out": f"FER2013 is not there: no {shared / DATA}"}
    tiny = {"device": sizes.device, "classifier.model": sizes.model, "classifier.steps": 2, "classifier.batch_size": 16}
    began = time.perf_counter()
    record = recipes.run(
        recipes.BY_NAME["fer2013-compact-minute"], {"fer": archive}, scratch / "work", short=False,
        also=tiny if sizes is DRY else {},
    )  # fmt: skip
    return {"seconds_with_data_and_start": time.perf_counter() - began, "recipe": record}


def paces(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Steps a second of the recipes on FER2013, each by 150 of its steps, and the seconds that the whole would take."""
    from dataclasses import replace

    import recipes

    from classifiers import train
    from classifiers.parts import total_steps
    from ganfer.classifier.train import real_only, samples
    from ganfer.data.imageset import read_set

    archive, found = archive_of(sizes, shared, scratch), Figures()
    if archive is None:
        return {"left_out": f"FER2013 is not there: no {shared / DATA}"}
    dry = sizes is DRY
    for name in ("fer2013-compact", "fer6-vgg16", "fer2013-vgg16", "fer2013-resnet152")[: 1 if dry else None]:
        tiny = {"classifier.model": sizes.model, "classifier.batch_size": 8} if dry else {}
        project = recipes.prepared(recipes.BY_NAME[name], {"fer": archive}, scratch / "paces", tiny)
        images, config = read_set(project.needs.data().path), project.config.classifier
        real, val = (samples(real_only(images, split)) for split in ("train", "val"))
        short = replace(config, steps=4 if dry else 150, validations=1, progressive=0.0)
        assert short.steps is not None
        clock = Clock(sizes.device, short.steps)
        train(short, real, val, images.class_names, scratch / name, device=sizes.device, progress=clock)
        steps = total_steps(config, len(real))
        found[name] = {"steps_per_second": clock.steps_per_second, "seconds": steps / clock.steps_per_second}
    return found


def _long_tail(sizes: Sizes, shared: Path, scratch: Path) -> Any:
    """A project of FER2013 thinned to a long tail, with the residual GAN's and the experiment's settings; or None."""
    from ganfer.config import load_config
    from ganfer.pipeline import Project

    dry = sizes is DRY
    batch = 8 if dry else 256
    settings: Figures = {
        "device": sizes.device, "gan.batch_size": batch, "gan.steps": sizes.gan_images // batch,
        "gan.snapshot_every": 2500, "retrain.arms": "quick", "retrain.seeds": 3,
    }  # fmt: skip
    if dry:
        settings |= {"data.size": 16, "gan.base_channels": 4, "gan.latent_dim": 8, "gan.guide_epochs": 1,
                     "retrain.seeds": 2, "classifier.model": sizes.model, "classifier.epochs": 1,
                     "classifier.batch_size": 16, "classifier.tensorboard": False, "label.require_match": False,
                     "label.min_confidence": "0", "label.manifold": 0.0, "label.copies": False}  # fmt: skip
    project = Project(scratch / "work", load_config(None, settings))
    if project.workspace.active_data is None:
        archive = archive_of(sizes, shared, scratch)
        if archive is None:
            return None
        project.add(archive)
        project.check(drop=True)
        project.thin(imbalance=2 if dry else 100)
    return project


def long_gan(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """The residual GAN for five million images of FER2013's long tail: its speed, snapshots included, and its KID."""
    project = _long_tail(sizes, shared, scratch)
    if project is None:
        return {"left_out": f"FER2013 is not there: no {shared / DATA}"}
    result = project.train_gan()
    return {name: result.figures[name] for name in ("steps", "images", "images_per_second", "score", "alarms")}


def experiment(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Whether that GAN's faces help: `ganfer retrain` on the long tail, the four arms that matter most, three seeds."""
    project = _long_tail(sizes, shared, scratch)
    if project is None:
        return {"left_out": f"FER2013 is not there: no {shared / DATA}"}
    project.train_gan()  # found, or gone on with
    began = time.perf_counter()
    project.generate(to=20 if sizes is DRY else 3000)
    project.label(fill=sizes is not DRY)
    results = project.retrain().figures
    arms = {arm["name"]: arm["metrics"]["balanced_accuracy"] for arm in results["arms"]}
    return {"seconds": time.perf_counter() - began, "verdict": results["verdict"]["sentence"], "arms": arms,
            "comparisons": results["comparisons"]}  # fmt: skip
