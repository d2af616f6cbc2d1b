"""NVIDIA's PyTorch pickles: stylegan2-ada-pytorch, and the StyleGAN2 configurations of stylegan3.

A dict with G, D and G_ema, each a persistent object: a class name, its source (which is never read) and its state, the
`__dict__` of a torch module. What shapes do not tell (clamp, activation, learning-rate multiplier) is in that state.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.checkpoint import MAX_NAME, MAX_TENSORS, Checkpoint, infer_config, separable_taps
from stylegan_bridge.readers.values import Record, as_array

FORMAT = "nvidia-pytorch"


def is_nvidia_torch(content: Any) -> bool:
    """A training snapshot, or a single network of one."""
    if isinstance(content, Record):
        return "_modules" in content.state
    return type(content) is dict and any(isinstance(content.get(k), Record) for k in ("G_ema", "G", "D"))


def read_nvidia_torch(content: Any) -> Checkpoint:
    """The generator of a snapshot: its moving average G_ema, or G where that is all there is."""
    notes: tuple[str, ...] = ()
    network = content
    if type(content) is dict:
        network = content.get("G_ema") if content.get("G_ema") is not None else content.get("G")
        if not isinstance(network, Record):
            raise BridgeError("the file holds a discriminator and no generator; choose a snapshot with G_ema")
        if content.get("G_ema") is None:
            notes = ("no moving average (G_ema): the raw generator G is used",)
    modules, tensors = _flatten(network)
    synthesis = modules.get("synthesis")
    if synthesis is None or "mapping" not in modules:
        kind = "a discriminator" if "Discriminator" in network.class_name else f"a network {network.class_name!r}"
        raise BridgeError(f"the file holds {kind} and no generator; choose a snapshot with G_ema")
    _refuse_stylegan3(modules)
    filters = {name: tensors.pop(name) for name in list(tensors) if name.endswith(".resample_filter")}
    config = infer_config(tensors, **_switches(modules), resample_filter=_filter(modules, filters))
    return Checkpoint(FORMAT, config, tensors, notes)


def _flatten(root: Record) -> tuple[dict[str, Record], dict[str, np.ndarray]]:
    """All modules and all tensors of a network, by dotted name."""
    modules: dict[str, Record] = {}
    tensors: dict[str, np.ndarray] = {}
    pending = [("", root)]
    while pending:
        if len(tensors) > MAX_TENSORS:
            raise BridgeError("the network has more tensors than any StyleGAN2; refused")
        prefix, module = pending.pop()
        for table in ("_parameters", "_buffers"):
            for name, value in _table(module, table).items():
                if value is None:
                    continue
                array = as_array(value)
                if array is None:
                    raise BridgeError(f"{prefix + name!r} is not a tensor; the file is damaged")
                tensors[f"{prefix}{name}"] = array
        for name, child in _table(module, "_modules").items():
            if child is None:
                continue
            path = f"{prefix}{name}"
            if not isinstance(child, Record) or len(modules) > 4096 or path.count(".") > 8:
                raise BridgeError(f"the network's part {path[:80]!r} is not understood; refused")
            modules[path] = child
            pending.append((f"{path}.", child))
    return modules, tensors


def _table(module: Record, name: str) -> dict[str, Any]:
    table = module.state.get(name)
    if type(table) is not dict or len(table) > MAX_TENSORS:
        raise BridgeError(f"the network {module.class_name!r} has no usable table of its {name.strip('_')}")
    if not all(type(key) is str and len(key) <= MAX_NAME for key in table):
        raise BridgeError(
            f"the network {module.class_name!r} has no table of its {name.strip('_')}; the file is damaged"
        )
    return table


def _refuse_stylegan3(modules: dict[str, Record]) -> None:
    synthesis = modules["synthesis"].state
    if "synthesis.input" in modules or any(name.startswith("synthesis.L") for name in modules):
        layers = [module for name, module in modules.items() if re.fullmatch(r"synthesis\.L\d+_\w+", name)]
        kernels = [layer.state.get("conv_kernel") for layer in layers]
        rotation = all(
            type(kernel) is int and kernel == 1 for kernel in kernels
        )  # T has 3 x 3 kernels, but for the colour layer
        variant = "R" if rotation else "T"
        size = synthesis.get("img_resolution")
        shown = f" ({size} px)" if type(size) is int else ""
        raise BridgeError(
            f"the file holds a StyleGAN3-{variant} generator{shown}, which is not supported; take a StyleGAN2"
        )


def _switches(modules: dict[str, Record]) -> dict[str, Any]:
    """The settings that every layer must share, from the layers themselves, so that an old release's defaults hold."""
    layers = [
        m.state for name, m in modules.items() if name.startswith("synthesis.b") and name.endswith((".conv0", ".conv1"))
    ]
    blocks = [m.state for name, m in modules.items() if name.startswith("synthesis.b") and name.count(".") == 1]
    dense = [m.state for name, m in modules.items() if name.startswith("mapping.fc")]
    if not layers or not blocks or not dense:
        raise BridgeError("the file holds no StyleGAN2 generator: its layers are not named as NVIDIA's are")
    clamp = _shared("conv_clamp", [layer.get("conv_clamp") for layer in layers])
    fp16 = [block.get("resolution") for block in blocks if block.get("use_fp16") is True]
    multiplier = _shared("bias_gain", [layer.get("bias_gain") for layer in dense])
    if not isinstance(multiplier, int | float) or not math.isfinite(multiplier):
        raise BridgeError("the mapping network's learning-rate multiplier is missing; the file is damaged")
    return {
        "architecture": _shared("architecture", [block.get("architecture") for block in blocks]),
        "activation": _shared("activation", [layer.get("activation") for layer in layers]),
        "mapping_activation": _shared("activation", [layer.get("activation") for layer in dense]),
        "mapping_lr_multiplier": float(multiplier),
        "conv_clamp": float(clamp) if isinstance(clamp, int | float) else None,
        "num_fp16_res": len(fp16),
    }


def _shared(name: str, values: list[Any]) -> Any:
    """The one value that all layers have."""
    if any(type(value) not in (str, int, float, bool, type(None)) for value in values) or len(set(values)) != 1:
        raise BridgeError(f"the network's layers differ in {name}, which no StyleGAN2 release does; refused")
    return values[0]


def _filter(modules: dict[str, Record], filters: dict[str, np.ndarray]) -> tuple[float, ...]:
    """The filter of the layers that resample; the others carry one and never use it."""
    used = [f for name, f in sorted(filters.items()) if not name.endswith(".conv1.resample_filter")]
    if not used or any(f.shape != used[0].shape or not np.allclose(f, used[0]) for f in used):
        raise BridgeError("the network's layers lack a common resampling filter; refused")
    return separable_taps(used[0])
