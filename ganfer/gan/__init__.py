"""GANs: networks, losses, training and sampling. Importing this loads no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganfer.gan.generator import Generator, open_generator
    from ganfer.gan.sampling import open_gan
    from ganfer.gan.train import train_gan

__all__ = ["Generator", "open_gan", "open_generator", "train_gan"]

_HOME = {
    "Generator": "ganfer.gan.generator",
    "open_gan": "ganfer.gan.sampling",
    "open_generator": "ganfer.gan.generator",
    "train_gan": "ganfer.gan.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ganfer.gan' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
