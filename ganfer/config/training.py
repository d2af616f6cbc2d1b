"""The data and the generator: what enters the workspace, what is drawn, what a GAN is trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganfer.config.fields import setting
from ganfer.config.parent import network_of
from ganfer.errors import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """How images enter the workspace."""

    size: int = setting(48, "side of the square images, in pixels", low=16, high=1024)
    channels: int = setting(1, "1 = grey, 3 = colour", choices=(1, 3))
    val_fraction: float = setting(0.1, "share of the training images held out for validation", low=0.01, high=0.5)
    test_fraction: float = setting(0.2, "share held out for the test, where the source has none", low=0.01, high=0.6)
    split_seed: int = setting(0, "seed of the split", low=0)
    min_side: int = setting(16, "images with a side shorter than this many pixels are skipped", low=1)
    face_confidence: float = setting(0.0, "smallest face confidence taken from sources that give one (ExpW)", low=0)
    workers: int = setting(0, "processes that decode images; 0 = one per core", low=0, high=256)


@dataclass(frozen=True)
class DrawnConfig:
    """The embedded drawn faces, used when the workspace holds no data."""

    total: int = setting(5700, "training faces, long-tailed over the classes like FER2013", low=100)
    val: int = setting(1200, "faces for validation, of other people", low=21)
    test: int = setting(2400, "faces for the test, of other people again", low=21)
    seed: int = setting(0, "seed of the drawn set", low=0)


@dataclass(frozen=True)
class GanConfig:
    """The generator's network and its training."""

    network: str = setting("resgan", "network of the generator", choices=("dcgan", "resgan", "stylegan2"))
    classic: bool = setting(False, "the classic DCGAN: no classes, batch norm, no DiffAugment, no average of weights")
    conditional: bool = setting(True, "condition on the class")
    latent_dim: int = setting(100, "dimensions of the latent z", low=2, high=1024)
    base_channels: int = setting(16, "channels of the highest-resolution layer", low=4, high=512)
    loss: str = setting("relativistic", "adversarial loss", choices=("non-saturating", "hinge", "relativistic"))
    guidance: float = setting(
        0.25, "weight of the guide: a small classifier that shows the generator what a class looks like; 0 = none",
        low=0, high=100,
    )  # fmt: skip
    guide_epochs: int = setting(10, "passes over the training images when training the guide", low=1)
    regulariser: str = setting(
        "r1r2",
        "what keeps the discriminator smooth; 'none' is the classic batch norm",
        choices=("spectral", "r1", "r1r2", "none"),
    )
    r1_gamma: float = setting(0.2, "weight of the gradient penalties (R1 at real images, R2 at generated)", low=0)
    r1_interval: int = setting(4, "steps between gradient penalties (lazy regularisation)", low=1)
    augment: str = setting("color,translation,cutout", "DiffAugment policies, comma-separated; empty = none")
    ada_target: float = setting(
        0.6, "augment only as often as keeps the discriminator's lead at this (ADA's 0.6); 0 = always", low=0, high=0.95
    )
    batch_size: int = setting(
        0, "images per step, 2 or more; 0 = 64, on a GPU 256 for dcgan and resgan of up to 32 base channels",
        low=0, high=65_536,
    )  # fmt: skip
    steps: int = setting(4000, "optimiser steps of the generator", low=1)
    minutes: float = setting(0.0, "stop after this much training time; 0 = no limit", low=0)
    lr_generator: float = setting(1e-3, "Adam's learning rate, generator", low=0, high=1)
    lr_discriminator: float = setting(1e-3, "Adam's learning rate, discriminator", low=0, high=1)
    lr_final: float = setting(0.25, "share of the learning rates left at the end (cosine)", low=0, high=1)
    beta1: float = setting(0.0, "Adam's beta1", low=0, high=0.999)
    beta2: float = setting(0.99, "Adam's beta2", low=0, high=0.99999)
    ema_half_life: float = setting(10_000.0, "half-life of the generator's weight average, in images; 0 = none", low=0)
    transition: float = setting(
        0.15, "share of the training over which conditioning is switched on gradually; 0 = at once", low=0, high=1
    )
    balance: float = setting(
        0.5, "class sampling power: 0 = as the data is, 1 = all classes equally often", low=0, high=1
    )
    pool: bool = setting(
        False, "train on the pools' images, too (`data add --pool`), in the networks' parts that know no class"
    )
    flip: bool = setting(True, "mirror training images at random")
    snapshot_every: int = setting(500, "steps between snapshots, grids and the held-back metric", low=1)
    checkpoint_seconds: float = setting(60.0, "seconds between resume points besides those at snapshots", low=0)
    holdout: float = setting(0.1, "share of the training images held back to choose the best snapshot", low=0, high=0.5)
    precision: str = setting(
        "auto",
        "auto is bf16 on CUDA that has it, else fp32; fastest measures on a processor whether bf16 is faster, too",
        choices=("auto", "fp32", "bf16", "fp16", "fastest"),
    )
    parent: str = setting(
        "",
        "go on from this GAN: a StyleGAN2 file, a run here, or a run's or a workspace's folder; empty = from nothing",
    )
    parent_classes: str = setting(
        "", "classes of a parent whose file does not name them, in its order, comma-separated"
    )
    resolution: int = setting(
        0, "side that a parent StyleGAN2 is cut to, in pixels; 0 = the smallest that holds the data's", low=0, high=1024
    )
    freeze_d: int = setting(
        0, "lowest stages of the parent's discriminator that stay as they are (FreezeD); 2 with a parent", low=0
    )


# Settings that only a training with a parent has; without one they are no part of what names a run.
OF_PARENT = ("parent", "parent_classes", "resolution", "freeze_d")


# The defaults above are those of `resgan` (Huang et al. 2024: the relativistic loss with both penalties, no momentum).
# Other networks replace some, below everything that a config file or the command line says.
_OF_NETWORK: dict[str, dict[str, Any]] = {
    "dcgan": {
        "base_channels": 32,
        "loss": "non-saturating",
        "regulariser": "r1",
        "r1_gamma": 0.05,
        "r1_interval": 16,
        "lr_generator": 4e-4,
        "lr_discriminator": 4e-4,
        "lr_final": 1.0,
        "beta1": 0.5,
        "beta2": 0.999,
        "ada_target": 0.0,
    },
    # Karras et al. 2020b, with run-time weight scaling, hence the high learning rates
    "stylegan2": {
        "base_channels": 32,
        "loss": "non-saturating",
        "regulariser": "r1",
        "r1_gamma": 0.1,
        "r1_interval": 16,
        "lr_generator": 2e-3,
        "lr_discriminator": 2e-3,
        "lr_final": 1.0,
        "ada_target": 0.6,
    },
}
# With a parent: small steps from what it knows (Mo et al. 2020; Karras et al. 2020b for the augmentation)
_FROM_PARENT: dict[str, dict[str, Any]] = {
    "resgan": {"lr_generator": 2.5e-4, "lr_discriminator": 2.5e-4},
    "dcgan": {"lr_generator": 1e-4, "lr_discriminator": 1e-4},
    "stylegan2": {"lr_generator": 5e-4, "lr_discriminator": 5e-4},
}
# Radford et al. 2016
_CLASSIC: dict[str, Any] = {
    **_OF_NETWORK["dcgan"],
    "network": "dcgan",
    "conditional": False,
    "base_channels": 64,
    "regulariser": "none",
    "lr_generator": 2e-4,
    "lr_discriminator": 2e-4,
    "augment": "",
    "batch_size": 128,
    "ema_half_life": 0.0,
    "transition": 0.0,
    "balance": 0.0,
    "flip": False,
}


def gan_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The [gan] section as it was `given`; where it is silent, what its network (or the classic DCGAN) brings.

    ConfigError for a classic network that is no DCGAN.
    """
    classic, network = given.get("classic") is True, given.get("network")
    if classic and network not in (None, "dcgan"):
        raise ConfigError(
            f"The classic, unconditional GAN is a dcgan, not {network!r}.",
            "Leave out one of the two; gan.conditional=false makes any network unconditional.",
        )
    if given.get("parent"):
        network = network or network_of(str(given["parent"]))
        small = {"network": network, **_FROM_PARENT.get(str(network), {}), "ada_target": 0.6, "freeze_d": 2}
        small["transition"] = 0.0  # new classes change nothing at first as it is, and known ones are to stay
        small["steps"] = 2000
    else:
        small = {}
    own = _CLASSIC if classic else _OF_NETWORK.get(str(network), {})
    return {**own, **small, **given}
