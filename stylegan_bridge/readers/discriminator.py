"""The discriminator in a training snapshot, under NVIDIA's names; a generator's file as a rule holds none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.checkpoint import MAX_BLOCKS, MAX_TENSORS
from stylegan_bridge.readers.nvidia_torch import _flatten
from stylegan_bridge.readers.values import Record, as_array, check_shared

_PLACES = r"b\d{1,4}\.(fromrgb|conv0|conv1|skip|conv|fc|out)\.(weight|bias)"


@dataclass(frozen=True)
class Judged:
    """What a file holds of a discriminator: its tensors by NVIDIA's names, or None, and why."""

    tensors: dict[str, np.ndarray] | None
    note: str = ""


def find_discriminator(content: Any) -> Judged:
    """The discriminator that NVIDIA's PyTorch snapshots (D) and rosinality's checkpoints (d) hold beside the generator.

    BridgeError when what stands in its place is damaged.
    """
    if type(content) is not dict:
        return Judged(None, "the file holds no discriminator")
    if isinstance(content.get("D"), Record):
        tensors = {n: t for n, t in _flatten(content["D"])[1].items() if not n.endswith("resample_filter")}
    elif type(content.get("d")) is dict:
        tensors = _of_rosinality(content["d"])
    else:
        return Judged(None, "the file holds no discriminator")
    mine = {name: tensor for name, tensor in tensors.items() if re.fullmatch(_PLACES, name)}
    if len(mine) < len([name for name in tensors if not name.startswith("mapping.")]) or not mine:
        return Judged(None, "the file's discriminator is not the residual one of StyleGAN2")
    for name, tensor in mine.items():
        if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            raise BridgeError(f"the discriminator's {name} holds no finite numbers; the file is damaged")
    return Judged(mine)


def _of_rosinality(state: dict[str, Any]) -> dict[str, np.ndarray]:
    """rosinality's names, which count from the highest resolution down, as NVIDIA's."""
    if len(state) > MAX_TENSORS:
        raise BridgeError(f"the discriminator has {len(state)} tensors, more than any StyleGAN2; refused")
    check_shared(state.values())
    blocks = [int(m[1]) for name in state if type(name) is str and (m := re.match(r"convs\.(\d{1,6})\.", name))]
    most = max(blocks, default=0)
    if most > MAX_BLOCKS:
        raise BridgeError(f"the discriminator has {most} blocks, more than any StyleGAN2; refused")
    found: dict[str, np.ndarray] = {}
    for name, value in state.items():
        array = as_array(value)
        if array is None or type(name) is not str:
            raise BridgeError("a part of the discriminator is not a tensor; the file is damaged")
        if not name.endswith("kernel"):
            found[_renamed(name, most)] = array.reshape(-1) if name.endswith("bias") else array
    return found


def _renamed(name: str, blocks: int) -> str:
    fixed = {
        "convs.0.0.weight": f"b{4 << blocks}.fromrgb.weight",
        "convs.0.1.bias": f"b{4 << blocks}.fromrgb.bias",
        "final_conv.0.weight": "b4.conv.weight",
        "final_conv.1.bias": "b4.conv.bias",
        **{f"final_linear.{i}.{kind}": f"b4.{to}.{kind}" for i, to in enumerate(("fc", "out")) for kind in
           ("weight", "bias")},
    }  # fmt: skip
    if name in fixed:
        return fixed[name]
    if m := re.fullmatch(r"convs\.(\d{1,6})\.(conv1|conv2|skip)\.\d\.(weight|bias)", name):
        side = (8 << blocks) >> int(m[1])
        part = {"conv1": "conv0", "conv2": "conv1", "skip": "skip"}[m[2]]
        return f"b{side}.{part}.{m[3]}"
    return name
