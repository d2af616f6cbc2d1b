"""The registry of networks: a generator and its discriminator by name."""

from collections.abc import Callable

from torch import nn

from ganfer.gan.dcgan import DcganDiscriminator, DcganGenerator
from ganfer.gan.resgan import ResganDiscriminator, ResganGenerator
from ganfer.gan.spec import NetworkSpec, hidden_widths, plan_size

GENERATORS: dict[str, Callable[[NetworkSpec], nn.Module]] = {"dcgan": DcganGenerator, "resgan": ResganGenerator}
DISCRIMINATORS: dict[str, Callable[[NetworkSpec, str], nn.Module]] = {
    "dcgan": DcganDiscriminator,
    "resgan": ResganDiscriminator,
}


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
    "hidden_widths",
    "plan_size",
]
