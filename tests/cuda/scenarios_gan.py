"""GANs on the stand-in: trained, recorded, and where memory runs out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from fake_gpu import FakeCuda
from scenarios_common import NAMES, Figures, Meter, made_ready


def tiny_workspace(folder: Path) -> tuple[Any, Any]:
    """A workspace with 60 training images of noise, and its data."""
    from ganfer.data.imageset import ImageSet, save_set
    from ganfer.workspace import Workspace

    n, size = 60, 16
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, size, size), np.uint8)
    images = ImageSet(
        images=pixels, labels=np.arange(n) % len(NAMES), class_names=NAMES, split=np.full(n, "train"),
        group=np.full(n, ""), source=np.full(n, "real"), ids=np.array([f"{i}.png" for i in range(n)]),
    )  # fmt: skip
    workspace = Workspace(folder)
    data = workspace.run("data", "tiny", {})
    with data.work("data add"):
        data.finish(digest=save_set(data.path, images), figures={})
    return workspace, data


def gan(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """`ganfer train gan` with its own defaults, small; kernels and waits of one step; then draw."""
    import ganfer.gan.train as stage
    from ganfer.config import load_config
    from ganfer.gan import history, loop, open_gan, sampling, snapshots

    workspace, data = tiny_workspace(folder)
    small = {"base_channels": 4, "latent_dim": 8, "batch_size": 8, "steps": 9, "snapshot_every": 9, "guide_epochs": 1}
    config = load_config(None, {"device": "cuda", **{f"gan.{k}": v for k, v in small.items()}, **settings})
    meter = Meter(gpu)

    @contextlib.contextmanager
    def asked() -> Iterator[Callable[[], bool]]:
        def never() -> bool:
            meter.note()
            return False

        yield never

    with contextlib.ExitStack() as small:
        small.enter_context(mock.patch.object(history, "plot_losses"))
        small.enter_context(mock.patch.object(stage, "graceful_stop", asked))
        small.enter_context(mock.patch.dict(sampling._INTERNAL_BATCH, cuda=16))
        small.enter_context(mock.patch.object(snapshots, "_SAMPLES", 4))
        small.enter_context(mock.patch.object(loop, "_RECALIBRATION_BATCHES", 1))
        run = stage.train_gan(workspace, config, data)
        open_gan(run.path, "cuda").sample(np.arange(3), np.arange(3))
    made_ready(gpu, meter)
    facts = json.loads((run.path / "record.json").read_text())
    assert facts["device"] == "Fake H100"
    if len(meter.seen) > 10:
        return meter.per_step(8, 10)  # recorded by then
    return meter.per_step(3, 7)  # four steps: every one pays its share of the lazy penalties


def broken_gan(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """A recording that breaks off in the generator's half of a step: it goes on plainly, and trains the same."""
    from ganfer.gan.guide import Guide

    loss = Guide.loss

    def refusing(self: Guide, *given: Any) -> torch.Tensor:
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("operation not permitted when stream is capturing")
        return loss(self, *given)

    with mock.patch.object(Guide, "loss", refusing):
        recorded_gan(gpu, folder, **settings)
    return {"syncs": 0.0}


def recorded_gan(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """Both kinds of steps, with penalties and without, recorded as graphs: the same generator, in few launches."""
    from classifiers import recorder
    from ganfer.gan import open_gan

    found = []
    for plain_steps in (99, 3):
        with mock.patch.object(recorder, "WARM_UP", plain_steps):
            figures = gan(gpu, folder / str(plain_steps), **settings)
        (path,) = (folder / str(plain_steps)).glob("gans/*/generator.safetensors")
        found.append(open_gan(path, "cpu").digest)
    assert found[0] == found[1], "a recorded step trains something else"
    return figures


def gan_out_of_memory(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """Memory that runs out in the GAN's training is one line that names the setting."""
    from ganfer.errors import GanferError

    with pytest.raises(GanferError, match="gan.batch_size = 8 .*Set a smaller gan.batch_size"):
        gan(gpu, folder, **settings)
    return {"syncs": 0.0}
