"""The registry of networks: a generator and its discriminator by name."""

from collections.abc import Callable

from torch import nn

from ganfer.gan import stylegan2
from ganfer.gan.dcgan import DcganDiscriminator, DcganGenerator
from ganfer.gan.resgan import ResganDiscriminator, ResganGenerator
from ganfer.gan.spec import NetworkSpec, hidden_widths, plan_size
from ganfer.gan.stylegan2 import StyleGan2Generator, discriminator_of

GENERATORS: dict[str, Callable[[NetworkSpec], nn.Module]] = {
    "dcgan": DcganGenerator,
    "resgan": ResganGenerator,
    "stylegan2": StyleGan2Generator,
}
DISCRIMINATORS: dict[str, Callable[[NetworkSpec, str], nn.Module]] = {
    "dcgan": DcganDiscriminator,
    "resgan": ResganDiscriminator,
    "stylegan2": discriminator_of,
}


def check_size(network: str, size: int) -> None:
    """GanferError for a side that the network cannot draw."""
    if network == "stylegan2":
        stylegan2.check_size(size)
    else:
        plan_size(size, network)


def build_generator(spec: NetworkSpec) -> nn.Module:
    """The generator `spec.network` names, with fresh weights from torch's global random state."""
    return GENERATORS[spec.network](spec)


def build_discriminator(spec: NetworkSpec, smooth: str) -> nn.Module:
    """The discriminator that belongs to `spec.network`."""
    return DISCRIMINATORS[spec.network](spec, smooth)


__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "NetworkSpec",
    "build_discriminator",
    "build_generator",
    "check_size",
    "hidden_widths",
    "plan_size",
]
