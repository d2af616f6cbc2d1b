"""rosinality's stylegan2-pytorch checkpoints: a torch file with `g_ema` (a state dict) and, usually, `latent_avg`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.checkpoint import MAX_BLOCKS, MAX_TENSORS, Checkpoint, infer_config
from stylegan_bridge.readers.values import as_array, check_shared

FORMAT = "rosinality"


def is_rosinality(content: Any) -> bool:
    """A dict with one of the trainer's networks, or a bare state dict of its generator."""
    if type(content) is not dict:
        return False
    return any(type(content.get(key)) is dict for key in ("g_ema", "g", "d")) or "input.input" in content


def read_rosinality(content: dict[str, Any]) -> Checkpoint:
    """The averaged generator `g_ema`, or `g` where that is all there is."""
    notes: list[str] = []
    state = content if "input.input" in content else content.get("g_ema")
    if state is None:
        state = content.get("g")
        notes.append("no moving average (g_ema): the raw generator g is used")
    if type(state) is not dict or not state:
        raise BridgeError("the file holds a discriminator and no generator; choose a checkpoint with g_ema")
    tensors: dict[str, np.ndarray] = {}
    if len(state) > MAX_TENSORS:
        raise BridgeError(f"the file holds {len(state)} tensors, more than any StyleGAN2; refused")
    check_shared(state.values())
    for name, value in state.items():
        array = as_array(value)
        if array is None or type(name) is not str:
            shown = repr(name[:80]) if type(name) is str else "a part without a name"
            raise BridgeError(f"{shown} is not a tensor; the file is damaged")
        try:
            converted = _convert(name, array)
        except (ValueError, IndexError, OverflowError, ZeroDivisionError) as error:
            raise BridgeError(
                f"{name[:80]!r} has shape {array.shape}, which its place does not allow; the file is damaged"
            ) from error
        if converted is not None:
            tensors[converted[0]] = converted[1]
    average = as_array(content.get("latent_avg"))
    if average is not None:
        tensors["mapping.w_avg"] = average.reshape(-1)
    else:
        notes.append("no average w (latent_avg): truncation takes the mean over 4096 latents")
    # The trainer's fixed choices; 2 * log2(size) - 2 latents, skip architecture, one filter.
    config = infer_config(tensors, architecture="skip", mapping_lr_multiplier=0.01)
    return Checkpoint(FORMAT, config, tensors, tuple(notes))


def _convert(name: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    """A tensor under NVIDIA's name and layout; None for filters, which are always the same."""
    if name.endswith(".kernel"):
        return None
    if m := re.fullmatch(r"style\.(\d{1,6})\.(weight|bias)", name):
        return f"mapping.fc{int(m[1]) - 1}.{m[2]}", value
    if name == "input.input":
        return "synthesis.b4.const", value[0]
    if m := re.fullmatch(r"noises\.noise_(\d{1,6})", name):
        return f"synthesis.{_place(int(m[1]))}.noise_const", value[0, 0]
    if m := re.fullmatch(r"(?:conv1|convs\.(\d{1,6}))\.(.+)", name):
        return _layer(f"synthesis.{_place(0 if m[1] is None else int(m[1]) + 1)}", m[2], value)
    if m := re.fullmatch(r"(?:to_rgb1|to_rgbs\.(\d{1,6}))\.(.+)", name):
        size = 4 if m[1] is None else 2 ** (_block(int(m[1])) + 3)
        return _layer(f"synthesis.b{size}.torgb", m[2], value)
    raise BridgeError(
        f"the generator has a tensor {name[:80]!r}, which rosinality's StyleGAN2 does not; it is another network"
    )


def _block(index: int) -> int:
    if index > MAX_BLOCKS:
        raise BridgeError(f"the generator has a layer number {index}, more than any StyleGAN2; refused")
    return index


def _place(index: int) -> str:
    """The block and layer of the index-th convolution, the 4-pixel one being number 0."""
    size = 2 ** (_block((index + 5) // 2))
    return f"b{size}.{'conv1' if index % 2 == 0 else 'conv0'}"


def _layer(prefix: str, part: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    """One part of a modulated layer."""
    if part == "conv.weight":
        weight = value[0]
        if not prefix.endswith("torgb"):  # its scale of 1 / sqrt(fan in) acts before demodulation's epsilon
            weight = weight * np.float32(weight[0].size ** -0.5)
        return f"{prefix}.weight", weight
    if part in ("conv.modulation.weight", "conv.modulation.bias"):
        return f"{prefix}.affine.{part.rsplit('.', 1)[1]}", value
    if part == "noise.weight":
        return f"{prefix}.noise_strength", value.reshape(())
    if part in ("activate.bias", "bias"):
        return f"{prefix}.bias", value.reshape(-1)
    raise BridgeError(f"the generator has a tensor {prefix}.{part[:80]}, which rosinality's StyleGAN2 does not")
