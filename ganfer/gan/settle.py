"""What a GAN's settings come to on a device where they leave it open: the batch size, and a processor's precision.

Both are settled before a training begins. The batch size is part of what names the run; the precision is kept in its
resume point, so that a training interrupted in the middle goes on in the arithmetic it began with.
"""

import dataclasses
import io
import time
from pathlib import Path

import torch

from classifiers.device import computes_in, has_bf16
from classifiers.files import UNREADABLE, unseal
from classifiers.probe import FASTER
from ganfer.config import GanConfig
from ganfer.errors import GanferError
from ganfer.gan.networks import NetworkSpec, build_discriminator, build_generator
from ganfer.runtime import ranks
from ganfer.runtime.device import resolve_precision

BATCH, WIDE_BATCH = 64, 256
NARROW = 32  # base channels up to which a GPU waits for launches at 64 images a step, and takes 256 in the same time
_LAUNCH_BOUND = ("dcgan", "resgan")
WORTH_IT = 200_000_000  # pixels in a training; below it a probe costs more
_WARM, _TIMED = 2, 3


def settled_batch(config: GanConfig, device: torch.device) -> GanConfig:
    """The settings with a batch size: the given one, or for 0 what suits the device. GanferError for a batch of 1."""
    if config.batch_size == 1:
        raise GanferError("gan.batch_size = 1 is too few.", "Take 2 or more, or 0 for what suits the device.")
    if config.batch_size:
        return config
    wide = device.type == "cuda" and config.network in _LAUNCH_BOUND and config.base_channels <= NARROW
    return dataclasses.replace(config, batch_size=WIDE_BATCH if wide else BATCH)


def settled_precision(config: GanConfig, spec: NetworkSpec, device: torch.device, checkpoint: Path) -> str:
    """`fp32`, `bf16` or `fp16`: what was asked for or, for `fastest` on a processor, what measures clearly faster.

    checkpoint: the resume point, whose training goes on in the precision it has. Short trainings are not worth a probe.
    """
    if config.precision != "fastest" or device.type != "cpu":
        return resolve_precision(config.precision, device)
    if known := stored_precision(checkpoint):
        return known
    work = config.steps * config.batch_size * spec.channels * spec.size**2
    found = "fp32"
    if work >= WORTH_IT and has_bf16(device):
        found = faster(spec, config.regulariser, config.batch_size)
    half = ranks.from_leader(float(found == "bf16"))[0]  # all processes compute in what the leader measured
    return "bf16" if half else "fp32"


def faster(spec: NetworkSpec, regulariser: str, batch: int) -> str:
    """The precision in which the passes of both networks are faster on this processor; fp32 unless by `FASTER`."""
    with torch.random.fork_rng(devices=[]):
        generator, discriminator = build_generator(spec), build_discriminator(spec, regulariser)
        for network in (generator, discriminator):
            network.to(memory_format=torch.channels_last).train()
        z = torch.randn(batch, spec.latent_dim)
        labels = torch.randint(max(1, spec.num_classes), (batch,))
        seconds: dict[str, list[float]] = {"32-true": [], "bf16-mixed": []}
        for _ in range(_WARM + _TIMED):
            for precision, times in seconds.items():  # turn by turn: other work on the machine slows both
                began = time.perf_counter()
                with computes_in(precision, torch.device("cpu")):
                    images = generator(z, labels, 1.0)
                    logits = discriminator(torch.cat([images, images.detach()]), labels.repeat(2), 1.0)
                logits.float().mean().backward()
                times.append(time.perf_counter() - began)
    plain, half = (min(times[_WARM:]) for times in seconds.values())
    return "bf16" if plain >= FASTER * half else "fp32"


def stored_precision(checkpoint: Path) -> str | None:
    """The precision of the training that this resume point goes on with; None without one that can be read."""
    if not checkpoint.is_file():
        return None
    try:
        content = torch.load(io.BytesIO(unseal(checkpoint.read_bytes())), map_location="cpu", weights_only=True)
        return str(content.get("arithmetic", "fp32"))  # before it was measured, that was all
    except (*UNREADABLE, AttributeError):
        return None  # loading it says so
