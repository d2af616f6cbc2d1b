"""What every reader hands over: the network's layout and its tensors under one set of names; and the checks on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stylegan_bridge.config import MAX_FILTER_TAPS, MAX_MAPPING_LAYERS, GeneratorConfig
from stylegan_bridge.errors import BridgeError

_BLOCK = re.compile(r"synthesis\.b(\d{1,6})\.conv1\.weight")
_MAPPING = re.compile(r"mapping\.fc(\d{1,6})\.weight")
#: Blocks from 4 to 1024 px, and tensors of the largest layout, are far below these.
MAX_BLOCKS, MAX_TENSORS, MAX_NAME = 12, 4096, 200


@dataclass(frozen=True)
class Checkpoint:
    """A generator as read from a file. `tensors` lack `mapping.w_avg` where the file has no average w."""

    format: str
    config: GeneratorConfig
    tensors: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)


def infer_config(tensors: Mapping[str, np.ndarray], **known: Any) -> GeneratorConfig:
    """The layout that names and shapes imply; `known` holds what shapes cannot tell (clamp, activation, ...)."""
    sizes = sorted(int(m[1]) for name in tensors if (m := _BLOCK.fullmatch(name)))
    layers = sorted(int(m[1]) for name in tensors if (m := _MAPPING.fullmatch(name)))
    if not sizes or not layers:
        raise BridgeError("the file holds no StyleGAN2 generator: a mapping or a synthesis network is missing")
    if len(sizes) > MAX_BLOCKS or len(layers) > MAX_MAPPING_LAYERS:
        raise BridgeError(f"the generator has {len(sizes)} blocks and {len(layers)} mapping layers; no StyleGAN2 has")
    if sizes != [2**i for i in range(2, len(sizes) + 2)] or layers != list(range(len(layers))):
        raise BridgeError(f"the generator's layers have gaps: blocks of {sizes} px, {len(layers)} mapping layers")
    first, last = _matrix(tensors, "mapping.fc0.weight"), _matrix(tensors, f"mapping.fc{layers[-1]}.weight")
    embed = _matrix(tensors, "mapping.embed.weight") if "mapping.embed.weight" in tensors else (0, 0)
    torgb = tensors.get(f"synthesis.b{sizes[-1]}.torgb.weight")
    if torgb is None or torgb.ndim != 4:
        raise BridgeError("the generator has no colour layer at its full resolution")
    values = {
        "resolution": sizes[-1],
        "channels": tuple(_outputs(tensors, f"synthesis.b{size}.conv1.weight") for size in sizes),
        "img_channels": int(torgb.shape[0]),
        "z_dim": first[1] - embed[0],
        "w_dim": last[0],
        "c_dim": embed[1],
        "mapping_layers": len(layers),
        "mapping_features": first[0],
        "embed_features": embed[0],
        "architecture": _architecture(tensors, len(sizes)),
        "use_noise": "synthesis.b4.conv1.noise_const" in tensors,
    }
    given = {name: value for name, value in known.items() if name != "architecture" or value is not None}
    return GeneratorConfig.from_dict(values | given)


def _architecture(tensors: Mapping[str, np.ndarray], num_blocks: int) -> str:
    """Skip networks have a colour layer in each block, residual ones a shortcut."""
    if any(name.endswith(".skip.weight") for name in tensors):
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in tensors or num_blocks == 1 else "orig"


def _outputs(tensors: Mapping[str, np.ndarray], name: str) -> int:
    if tensors[name].ndim != 4:
        raise BridgeError(f"{name} has shape {tensors[name].shape}, where a convolution's weights belong")
    return int(tensors[name].shape[0])


def _matrix(tensors: Mapping[str, np.ndarray], name: str) -> tuple[int, int]:
    tensor = tensors[name]
    if tensor.ndim != 2:
        raise BridgeError(f"{name} has shape {tensor.shape}, where a matrix belongs")
    return int(tensor.shape[0]), int(tensor.shape[1])


def check_tensors(checkpoint: Checkpoint) -> None:
    """Every tensor that the layout needs is there, of its shape, of real numbers, and finite; nothing is left over."""
    wanted, tensors = checkpoint.config.shapes(), checkpoint.tensors
    missing = [name for name in wanted if name not in tensors and name != "mapping.w_avg"]
    if missing:
        raise BridgeError(f"the file lacks {missing[0]} ({len(missing)} of {len(wanted)} tensors are missing)")
    if extra := sorted(set(tensors) - set(wanted)):
        raise BridgeError(
            f"the file has {extra[0][:80]!r}, which a StyleGAN2 generator of this layout has not; it is another one"
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name]:
            raise BridgeError(f"{name} has shape {tensor.shape}, but the rest of the network needs {wanted[name]}")
        if tensor.dtype.kind != "f":
            raise BridgeError(f"{name} holds {tensor.dtype} values, where weights are floating point")
        if not np.isfinite(tensor).all():
            raise BridgeError(
                f"{name} holds NaN or infinite values; the network's training diverged or the file is damaged"
            )


def separable_taps(kernel: np.ndarray) -> tuple[float, ...]:
    """The 1-D filter whose outer product a stored 2-D one is; 1-D filters pass through."""
    if kernel.size > MAX_FILTER_TAPS**2 or kernel.dtype.kind not in "biuf":
        raise BridgeError(f"the resampling filter has {kernel.size} numbers; no StyleGAN2 release has such a one")
    kernel = kernel.astype(np.float64)
    if kernel.ndim == 1 and kernel.size:
        return tuple(map(float, kernel))
    if kernel.ndim == 2 and kernel.shape[0] == kernel.shape[1] and abs(kernel.sum()) > 1e-8:
        taps = kernel.sum(axis=1) / kernel.sum()
        if np.allclose(np.outer(taps, taps) * kernel.sum(), kernel, atol=1e-6):
            return tuple(map(float, taps))
    raise BridgeError(
        f"the resampling filter of shape {kernel.shape} is not separable; no StyleGAN2 release has such a one"
    )
