"""Training a GAN as a stage of the workspace: plan, loop, the generator's file. The same command again resumes."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch

from classifiers.device import libraries_as_before
from classifiers.memory import kept
from ganfer.cards.dataset import CARD
from ganfer.cards.model import write_model_card
from ganfer.config import Config, GanConfig
from ganfer.config.training import OF_PARENT
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.unlabelled import pools_of, read_pools
from ganfer.errors import DataError, GanferError
from ganfer.gan.diffaugment import parse_policies
from ganfer.gan.guide import FOLDER, train_guide
from ganfer.gan.loop import CHECKPOINT, Training, fresh_networks, own_batch
from ganfer.gan.model_card import generator_facts
from ganfer.gan.networks import NetworkSpec, check_size
from ganfer.gan.parent import PARENT, Parent, is_distant, open_parent
from ganfer.gan.plan import TrainingPlan, plan_lines, plan_training, resized
from ganfer.gan.settle import settled_batch, settled_precision
from ganfer.gan.transfer import Start, child_spec, prepare
from ganfer.page.numbers import duration
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.runtime.device import describe, graceful_stop, make_fabric, ranks, resolve_device, resolve_precision
from ganfer.runtime.files import digest_json, read_object, write_json
from ganfer.runtime.memory import NamingTheSetting
from ganfer.tracking import figures_of, tracked
from ganfer.workspace import Run, Workspace
from stylegan_bridge.fetching import is_cached

_TOLD = ("score", "kid", "kid_by_class", "diversity", "best_step", "images_per_second")


def train_gan(workspace: Workspace, config: Config, data: Run) -> Result:
    """Train a generator on the training split of `data`; writes gans/<run>/ and returns its figures.

    Resumes an interrupted run and returns a finished one at once. GanferError when the losses stop being numbers
    (the best snapshot so far is kept in the folder), when the images' size fits no network, or when there are none.
    """
    place = resolve_device(config.device)
    config = dataclasses.replace(config, gan=settled_batch(config.gan, place))
    pools = used_pools(workspace, config, data)
    parent = open_parent(workspace, config.gan) if config.gan.parent else None
    run = gan_run(workspace, config, data, parent, pools)
    if parent is not None:
        say_if_changed(workspace, config.gan, parent)
    with run.work("train gan") as record, libraries_as_before():
        if record.get("status") == "complete":
            return gan_result(run, "was already trained")
        images = read_set(data.path)
        plan = plan_training(images, config.gan, config.seed, read_pools(pools) if pools else None)
        spec = network_spec(images, plan, config.gan, parent)
        plan = resized(plan, spec.size)
        start = None if parent is None else start_from(parent, spec, plan, config)
        for line in [*plan_lines(plan, config.gan), *(start.lines if start else ())]:
            say(line)
        if parent is not None and ranks.leads():
            write_json(run.path / PARENT, {"path": config.gan.parent, "name": parent.name, "digest": parent.digest})
        began = time.monotonic()
        precision = settled_precision(config.gan, spec, place, run.path / CHECKPOINT)
        fabric = make_fabric(config.device, precision)
        memory = NamingTheSetting(
            f"gan.batch_size = {config.gan.batch_size} with gan.base_channels = {config.gan.base_channels} is too much",
            "Set a smaller gan.batch_size; or free the GPU, and the same command resumes.",
        )
        with tracked(run, config, "train gan") as track:
            with memory:
                guide = train_guide(run.path / FOLDER, plan, config.gan, config.seed, fabric.device)
                trainer = Training(
                    run, config.gan, config.seed, plan, spec, fabric, guide, began, precision, track, start
                )
            gpus = [fabric.device] if fabric.device.type == "cuda" else []  # of others the state is left alone
            with graceful_stop() as stop, torch.random.fork_rng(devices=gpus), memory, kept(fabric.device):
                trainer.train(stop)
            if ranks.leads():
                facts = {"data": data.digest, "precision": precision} | ({"parent": parent.digest} if parent else {})
                digest, figures = trainer.export(facts), trainer.figures()
                write_model_card(run.path, generator_facts(run, config, plan, spec, figures, data))
                track.metrics(figures_of({"best": {name: figures[name] for name in _TOLD}}))
                track.artefacts(CARD, "card.json", "losses.png", "history.csv")
                run.finish(digest=digest, figures=figures, device=describe(fabric.device))
    ranks.barrier()
    return gan_result(run, "trained")


def check_settings(data: Run | None, config: Config) -> None:
    """GanferError for a device, or settings, that cannot be trained with. data: None where it is yet to be drawn."""
    place = resolve_device(config.device)
    resolve_precision(config.gan.precision, place)
    parse_policies(config.gan.augment)
    own_batch(settled_batch(config.gan, place).batch_size)
    check_parent_settings(config.gan)
    if config.gan.pool and data is None:
        raise DataError(
            "gan.pool = true, and there is no data yet that a pool could stand beside.",
            "Add labelled images (ganfer data add PATH), then the pool (ganfer data add FOLDER --pool).",
        )
    if not config.gan.parent:  # which brings its own size
        check_size(config.gan.network, config.data.size if data is None else read_set(data.path).size)


def plan_steps(
    data: Run | None,
    config: Config,
    workspace: Workspace | None = None,
    *,
    timed: bool = False,
    number: int = 1,
) -> list[str]:
    """What `train_gan` would do, in words; timed: and how long from a parent, which takes a few passes to tell.
    number: of GANs, each with a seed of its own.

    GanferError for data, settings or a parent that cannot be trained with.
    """
    check_settings(data, config)
    steps: list[str] = []
    config = dataclasses.replace(config, gan=settled_batch(config.gan, resolve_device(config.device)))
    if is_distant(config.gan.parent) and not is_cached(config.gan.parent):
        return [f"download {config.gan.parent}, a StyleGAN2, and go on from it", f"{config.gan.steps:,} steps."]
    parent = open_parent(workspace or Workspace(), config.gan) if config.gan.parent else None
    if data is not None:
        images = read_set(data.path)
        pools = used_pools(workspace, config, data) if workspace else []
        plan = plan_training(images, config.gan, config.seed, read_pools(pools) if pools else None)
        spec = network_spec(images, plan, config.gan, parent)
        steps += plan_lines(plan, config.gan)
        if parent is not None:
            plan = resized(plan, spec.size)
            steps += start_from(parent, spec, plan, config).lines
            steps += [how_long(spec, config)] if timed else []
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


def gan_run(
    workspace: Workspace, config: Config, data: Run, parent: Parent | None = None, pools: Sequence[Run] = ()
) -> Run:
    """The run of a training with these settings, the batch size settled."""
    name = config.gan.network if config.gan.conditional else f"{config.gan.network}-plain"
    return workspace.run("gans", name, run_key(config, data, parent, pools))


def run_key(config: Config, data: Run, parent: Parent | None = None, pools: Sequence[Run] = ()) -> dict[str, Any]:
    """What names the run: every setting that changes the result (the batch size settled), the data, the pools it takes,
    the parent's weights and the seed."""
    check_parent_settings(config.gan)
    settings = dataclasses.asdict(config.gan)
    del settings["checkpoint_seconds"], settings["parent"]
    inputs = {"data": data.digest}
    if pools:
        inputs["pools"] = digest_json([run.digest for run in pools])
    else:
        del settings["pool"]
    if parent is None:
        for name in OF_PARENT:
            settings.pop(name, None)
    else:
        inputs["parent"] = parent.digest
    return {"config": settings, "inputs": inputs, "seed": config.seed}


def check_parent_settings(config: GanConfig) -> None:
    """GanferError for settings of a parent where there is none."""
    given = [name for name in OF_PARENT if getattr(config, name)]
    if given and not config.parent:
        raise GanferError(f"gan.{given[0]} is of a parent, and there is none.", "Give one with --from FILE|RUN.")


def network_spec(images: ImageSet, plan: TrainingPlan, config: GanConfig, parent: Parent | None = None) -> NetworkSpec:
    """The networks' shape for these images. GanferError when no network draws their size, or the parent's does not."""
    if parent is not None:
        return child_spec(parent, images, len(plan.class_names or ()), config)
    check_size(config.network, images.size)
    return NetworkSpec(
        network=config.network,
        size=images.size,
        channels=images.channels,
        num_classes=len(plan.class_names or ()),
        latent_dim=config.latent_dim,
        base_channels=config.base_channels,
    )


def start_from(parent: Parent, spec: NetworkSpec, plan: TrainingPlan, config: Config) -> Start:
    """The weights that a training from this parent begins with."""
    networks = fresh_networks(spec, config.gan, config.seed)
    return prepare(parent, spec, plan.class_names, *networks, config.gan)


def say_if_changed(workspace: Workspace, config: GanConfig, parent: Parent) -> None:
    """Name a parent that is not what it was when an unfinished training began from it: that one is not gone on with."""
    for run in workspace.runs("gans"):
        file = run.path / PARENT
        if run.complete or not file.is_file():
            continue
        begun = read_object(file, f"Remove {run.path}.")
        if begun.get("path") == config.parent and begun.get("digest") != parent.digest:
            say(
                f"{config.parent} has changed since {run.name} was begun from it ({str(begun.get('digest'))[:12]} then,"
                f" {parent.digest[:12]} now): a new training begins; remove {run.path} if it is not wanted."
            )


def how_long(spec: NetworkSpec, config: Config) -> str:
    """The training's time on this machine, from a few images through both networks."""
    with libraries_as_before():
        return _timed(spec, config)


def _timed(spec: NetworkSpec, config: Config) -> str:
    fabric = make_fabric(config.device, config.gan.precision)
    networks = [network.to(fabric.device) for network in fresh_networks(spec, config.gan, config.seed)]
    few = min(8, config.gan.batch_size)
    z = torch.zeros(few, spec.latent_dim, device=fabric.device)
    labels = torch.zeros(few, dtype=torch.int64, device=fabric.device)

    def once() -> float:
        began = time.monotonic()
        with fabric.autocast():
            loss = networks[1](networks[0](z, labels), labels).sum()
        loss.backward()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize(fabric.device)
        return time.monotonic() - began

    once()  # libraries are loaded, and their algorithms chosen
    passes = 3.0  # both updates and the penalties, in passes like this one
    seconds = min(once(), once()) * passes * config.gan.batch_size / few * config.gan.steps
    return f"About {duration(seconds)} on this {fabric.device.type}, by the time that {few} images take."


def gan_result(run: Run, what: str) -> Result:
    """What a finished training says; what: "trained" or "was already trained"."""
    figures = run.figures
    score = figures["score"]
    quality = "" if score is None else f", KID {score:.4f} against held-back images ({figures['features']} features)"
    lines = [
        f"{run.name} {what}: {figures['steps']:,} steps, best at step {figures['best_step']:,}{quality}.",
        *(f"  ALARM {alarm}" for alarm in figures["alarms"][-3:]),
        f"  samples: {run.path / 'samples'}, curves: {run.path / 'losses.png'}",
    ]
    return Result("ganfer train gan", run.path, figures, lines)
