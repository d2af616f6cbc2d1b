"""Published StyleGAN2 networks by name: where they are and under which terms. They belong to their publishers."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from stylegan_bridge.errors import BridgeError

_ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"
_NVIDIA_TERMS = "NVIDIA Source Code License: research and evaluation only, no commercial use"
_FFHQ_TERMS = f"{_NVIDIA_TERMS}; trained on FFHQ (CC BY-NC-SA 4.0, individual photographs under their own licences)"


@dataclass(frozen=True)
class KnownNetwork:
    """One published network. `sha256`: None where the publisher states none; then the first download's is kept."""

    url: str
    resolution: int
    description: str
    licence: str
    num_classes: int = 0
    is_ffhq_aligned: bool = False
    sha256: str | None = None


def _faces(url: str, resolution: int, description: str, licence: str = _FFHQ_TERMS) -> KnownNetwork:
    return KnownNetwork(url, resolution, description, licence, is_ffhq_aligned=True)


KNOWN_NETWORKS: dict[str, KnownNetwork] = {
    "ffhq": _faces(_ADA + "ffhq.pkl", 1024, "faces at 1024 px, the original StyleGAN2 (config F)"),
    "ffhq-256": _faces(_NGC + "stylegan2-ffhq-256x256.pkl", 256, "faces at 256 px"),
    "ffhq-512": _faces(_NGC + "stylegan2-ffhq-512x512.pkl", 512, "faces at 512 px"),
    "ffhq-1024": _faces(_NGC + "stylegan2-ffhq-1024x1024.pkl", 1024, "faces at 1024 px"),
    "ffhqu-256": _faces(_NGC + "stylegan2-ffhqu-256x256.pkl", 256, "faces at 256 px, crops not aligned upright"),
    "ffhqu-1024": _faces(_NGC + "stylegan2-ffhqu-1024x1024.pkl", 1024, "faces at 1024 px, crops not aligned upright"),
    "celebahq-256": _faces(
        _NGC + "stylegan2-celebahq-256x256.pkl",
        256,
        "celebrity faces at 256 px",
        f"{_NVIDIA_TERMS}; trained on CelebA-HQ (non-commercial research only)",
    ),
    "metfaces": _faces(
        _ADA + "metfaces.pkl",
        1024,
        "painted faces at 1024 px, ADA transfer from FFHQ",
        f"{_NVIDIA_TERMS}; trained on MetFaces (CC BY-NC 2.0)",
    ),
    "cifar10": KnownNetwork(
        _ADA + "cifar10.pkl", 32, "CIFAR-10 at 32 px, conditional; small, good for a first try", _NVIDIA_TERMS, 10
    ),
}


def look_up(name: str) -> KnownNetwork:
    """A known network; an unknown name is a BridgeError with the nearest ones."""
    if name in KNOWN_NETWORKS:
        return KNOWN_NETWORKS[name]
    near = difflib.get_close_matches(name, KNOWN_NETWORKS, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(KNOWN_NETWORKS)}"
    raise BridgeError(f"{name!r} is neither a file nor a known network; {hint}")
