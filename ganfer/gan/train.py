"""Training a GAN as a stage of the workspace: plan, loop, the generator's file. The same command again resumes."""

import dataclasses
import time
from contextlib import closing
from typing import Any

import torch

from ganfer.config import Config, GanConfig
from ganfer.data.imageset import ImageSet, read_set
from ganfer.gan.guide import FOLDER, train_guide
from ganfer.gan.loop import CHECKPOINT, Training
from ganfer.gan.networks import NetworkSpec, check_size
from ganfer.gan.plan import TrainingPlan, plan_lines, plan_training
from ganfer.gan.settle import settled_batch, settled_precision
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.runtime.device import describe, graceful_stop, make_fabric, ranks, resolve_device
from ganfer.runtime.memory import NamingTheSetting
from ganfer.workspace import Run, Workspace


def train_gan(workspace: Workspace, config: Config, data: Run) -> Result:
    """Train a generator on the training split of `data`; writes gans/<run>/ and returns its figures.

    Resumes an interrupted run and returns a finished one at once. GanferError when the losses stop being numbers
    (the best snapshot so far is kept in the folder), when the images' size fits no network, or when there are none.
    """
    place = resolve_device(config.device)
    config = dataclasses.replace(config, gan=settled_batch(config.gan, place))
    key = run_key(config, data)
    run = workspace.run("gans", config.gan.network if config.gan.conditional else f"{config.gan.network}-plain", key)
    with run.work("train gan") as record:
        if record.get("status") == "complete":
            return _result(run, "was already trained")
        images = read_set(data.path)
        plan = plan_training(images, config.gan, config.seed)
        spec = network_spec(images, plan, config.gan)
        for line in plan_lines(plan, config.gan):
            say(line)
        began = time.monotonic()
        precision = settled_precision(config.gan, spec, place, run.path / CHECKPOINT)
        fabric = make_fabric(config.device, precision)
        memory = NamingTheSetting(
            f"gan.batch_size = {config.gan.batch_size} with gan.base_channels = {config.gan.base_channels} is too much",
            "Set a smaller gan.batch_size; or free the GPU, and the same command resumes.",
        )
        with memory:
            guide = train_guide(run.path / FOLDER, plan, config.gan, config.seed, fabric.device)
            trainer = Training(run, config.gan, config.seed, plan, spec, fabric, guide, began, precision)
        gpus = [fabric.device] if fabric.device.type == "cuda" else []  # of others the state is left alone
        with graceful_stop() as stop, closing(trainer.journal), torch.random.fork_rng(devices=gpus), memory:
            trainer.train(stop)
        if ranks.leads():
            digest = trainer.export({"data": data.digest, "precision": precision})
            run.finish(digest=digest, figures=trainer.figures(), device=describe(fabric.device))
    ranks.barrier()
    return _result(run, "trained")


def plan_steps(data: Run | None, config: Config) -> list[str]:
    """What `train_gan` would do, in words. GanferError for data or settings that cannot be trained with."""
    steps: list[str] = []
    config = dataclasses.replace(config, gan=settled_batch(config.gan, resolve_device(config.device)))
    if data is not None:
        images = read_set(data.path)
        plan = plan_training(images, config.gan, config.seed)
        network_spec(images, plan, config.gan)
        steps += plan_lines(plan, config.gan)
    limit = f", at most {config.gan.minutes:g} minutes" if config.gan.minutes else ""
    return [*steps, f"{config.gan.steps:,} steps of {config.gan.batch_size} images{limit}."]


def run_key(config: Config, data: Run) -> dict[str, Any]:
    """What names the run: every setting that changes the result (the batch size settled), the data and the seed."""
    settings = dataclasses.asdict(config.gan)
    del settings["checkpoint_seconds"]
    return {"config": settings, "inputs": {"data": data.digest}, "seed": config.seed}


def network_spec(images: ImageSet, plan: TrainingPlan, config: GanConfig) -> NetworkSpec:
    """The networks' shape for these images. GanferError when no network draws their size."""
    check_size(config.network, images.size)
    return NetworkSpec(
        network=config.network,
        size=images.size,
        channels=images.channels,
        num_classes=len(plan.class_names or ()),
        latent_dim=config.latent_dim,
        base_channels=config.base_channels,
    )


def _result(run: Run, what: str) -> Result:
    figures = run.figures
    score = figures["score"]
    quality = "" if score is None else f", KID {score:.4f} against held-back images ({figures['features']} features)"
    lines = [
        f"{run.name} {what}: {figures['steps']:,} steps, best at step {figures['best_step']:,}{quality}.",
        *(f"  ALARM {alarm}" for alarm in figures["alarms"][-3:]),
        f"  samples: {run.path / 'samples'}, curves: {run.path / 'losses.png'}",
    ]
    return Result("ganfer train gan", run.path, figures, lines)
