"""Training a GAN as a stage of the workspace: plan, loop, the generator's file. The same command again resumes."""

import dataclasses
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from ganfer.config import Config, GanConfig
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.unlabelled import pools_of, read_pools
from ganfer.errors import DataError
from ganfer.gan.guide import FOLDER, train_guide
from ganfer.gan.loop import Training
from ganfer.gan.networks import NetworkSpec, check_size
from ganfer.gan.plan import TrainingPlan, plan_lines, plan_training
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.runtime.device import describe, graceful_stop, make_fabric, ranks
from ganfer.runtime.files import digest_json
from ganfer.runtime.memory import NamingTheSetting
from ganfer.workspace import Run, Workspace


def train_gan(workspace: Workspace, config: Config, data: Run) -> Result:
    """Train a generator on the training split of `data`; writes gans/<run>/ and returns its figures.

    Resumes an interrupted run and returns a finished one at once. GanferError when the losses stop being numbers
    (the best snapshot so far is kept in the folder), when the images' size fits no network, or when there are none.
    """
    pools = used_pools(workspace, config, data)
    key = run_key(config, data, pools)
    run = workspace.run("gans", config.gan.network if config.gan.conditional else f"{config.gan.network}-plain", key)
    with run.work("train gan") as record:
        if record.get("status") == "complete":
            return _result(run, "was already trained")
        images = read_set(data.path)
        plan = plan_training(images, config.gan, config.seed, read_pools(pools) if pools else None)
        spec = network_spec(images, plan, config.gan)
        fabric = make_fabric(config.device, config.gan.precision)
        for line in plan_lines(plan, config.gan):
            say(line)
        began = time.monotonic()
        memory = NamingTheSetting(
            f"gan.batch_size = {config.gan.batch_size} with gan.base_channels = {config.gan.base_channels} is too much",
            "Set a smaller gan.batch_size; or free the GPU, and the same command resumes.",
        )
        with memory:
            guide = train_guide(run.path / FOLDER, plan, config.gan, config.seed, fabric.device)
            trainer = Training(run, config.gan, config.seed, plan, spec, fabric, guide, began)
        gpus = [fabric.device] if fabric.device.type == "cuda" else []  # of others the state is left alone
        with graceful_stop() as stop, closing(trainer.journal), torch.random.fork_rng(devices=gpus), memory:
            trainer.train(stop)
        if ranks.leads():
            digest = trainer.export({"data": data.digest})
            run.finish(digest=digest, figures=trainer.figures(), device=describe(fabric.device))
    ranks.barrier()
    return _result(run, "trained")


def train_several(workspace: Workspace, config: Config, data: Run, number: int) -> Result:
    """`train_gan` with `number` seeds one after the other, from the configured one on; the same call again resumes.

    Each GAN has its own held-back images, guide and weights, so that they are as independent as one data set allows.
    """
    results = []
    for place in range(number):
        say(f"GAN {place + 1} of {number}, seed {config.seed + place}.")
        results.append(train_gan(workspace, dataclasses.replace(config, seed=config.seed + place), data))
    last = results[-1]
    names = [Path(str(result.path)).name for result in results]
    lines = [
        *(line for result in results for line in result.lines),
        f"Draw from each: ganfer generate --generators {number}",
    ]
    return Result("ganfer train gan", last.path, {**last.figures, "gans": names}, lines)


def plan_steps(data: Run | None, config: Config, number: int = 1, workspace: Workspace | None = None) -> list[str]:
    """What `train_gan` would do, in words. GanferError for data or settings that cannot be trained with."""
    steps: list[str] = []
    if data is not None:
        images = read_set(data.path)
        pools = used_pools(workspace, config, data) if workspace else []
        plan = plan_training(images, config.gan, config.seed, read_pools(pools) if pools else None)
        network_spec(images, plan, config.gan)
        steps += plan_lines(plan, config.gan)
    limit = f", at most {config.gan.minutes:g} minutes" if config.gan.minutes else ""
    times = f", {number} times, with the seeds {config.seed} to {config.seed + number - 1}" if number > 1 else ""
    return [*steps, f"{config.gan.steps:,} steps of {config.gan.batch_size} images{limit}{times}."]


def used_pools(workspace: Workspace, config: Config, data: Run) -> list[Run]:
    """The pools that a training with these settings takes images from. DataError where it wants some and has none."""
    if not config.gan.pool:
        return []
    found = pools_of(workspace, data)
    if not found:
        raise DataError(
            f"gan.pool = true, and there is no pool beside {data.name}.",
            "Add real images without labels (ganfer data add FOLDER --pool), or leave the setting out.",
        )
    return found


def run_key(config: Config, data: Run, pools: Sequence[Run] = ()) -> dict[str, Any]:
    """What names the run: every setting that changes the result, the data, the pools it takes, and the seed."""
    settings = dataclasses.asdict(config.gan)
    del settings["checkpoint_seconds"]
    if not pools:
        del settings["pool"]
    inputs = {"data": data.digest, **({"pools": digest_json([run.digest for run in pools])} if pools else {})}
    return {"config": settings, "inputs": inputs, "seed": config.seed}


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
