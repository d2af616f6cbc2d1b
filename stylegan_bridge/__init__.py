"""StyleGAN2 for inference, anywhere: read any checkpoint safely, draw it fast, and steer it to what it rarely draws.

A library of its own. Names are handed out lazily, so that importing the package loads no torch.

`loading` opens a file by its `readers`; `fetching` brings it here (`known` lists the published ones). `config` is what
a network looks like, `network` and `ops` compute it (`winograd` on a processor, `graphs` and `exact` on a GPU,
`transfer` to it and back). `generator` draws images by seed, `sampling` many. `steering` leads it to classes,
`projection` finds the latent code of an image; `discriminator` is for those who go on training. `errors` has the one
error.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylegan_bridge.config import GeneratorConfig
    from stylegan_bridge.errors import BridgeError
    from stylegan_bridge.fetching import fetch
    from stylegan_bridge.generator import Generator
    from stylegan_bridge.known import KNOWN_NETWORKS
    from stylegan_bridge.loading import Info, convert, inspect, load_generator, read_discriminator, read_tensors
    from stylegan_bridge.projection import ProjectConfig, Projection, Projector
    from stylegan_bridge.sampling import face_crop, mix_styles, save_pngs, stream
    from stylegan_bridge.steering import PlainSpace, SteerConfig, SteerResult, StyleSpace, steer

_HOMES = {
    "BridgeError": "errors",
    "GeneratorConfig": "config",
    "Generator": "generator",
    "Info": "loading",
    "inspect": "loading",
    "load_generator": "loading",
    "read_discriminator": "loading",
    "read_tensors": "loading",
    "convert": "loading",
    "fetch": "fetching",
    "KNOWN_NETWORKS": "known",
    "ProjectConfig": "projection",
    "Projection": "projection",
    "Projector": "projection",
    "stream": "sampling",
    "mix_styles": "sampling",
    "face_crop": "sampling",
    "save_pngs": "sampling",
    "steer": "steering",
    "SteerResult": "steering",
    "SteerConfig": "steering",
    "StyleSpace": "steering",
    "PlainSpace": "steering",
}

__all__ = [
    "KNOWN_NETWORKS",
    "BridgeError",
    "Generator",
    "GeneratorConfig",
    "Info",
    "PlainSpace",
    "ProjectConfig",
    "Projection",
    "Projector",
    "SteerConfig",
    "SteerResult",
    "StyleSpace",
    "convert",
    "face_crop",
    "fetch",
    "inspect",
    "load_generator",
    "mix_styles",
    "read_discriminator",
    "read_tensors",
    "save_pngs",
    "steer",
    "stream",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
