"""NVIDIA's TensorFlow pickles (stylegan2, stylegan2-ada): a tuple of three `dnnlib.tflib.network.Network`: G, D, Gs.

Each holds numpy arrays by TensorFlow variable name and the arguments of its build function. No TensorFlow is needed.
Convolution weights are (k, k, in, out) there, and upsampling ones are stored flipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from stylegan_bridge.config import MAX_FILTER_TAPS, GeneratorConfig
from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.checkpoint import (
    MAX_BLOCKS,
    MAX_NAME,
    MAX_TENSORS,
    Checkpoint,
    infer_config,
    separable_taps,
)
from stylegan_bridge.readers.values import Record, as_array

FORMAT = "nvidia-tensorflow"
#: The network itself, mapping and synthesis; more than these are another program's.
MAX_PARTS = 64

#: Arguments of TensorFlow's build functions: the name here, and what they mean if left out (stylegan2's own defaults).
_SWITCHES: dict[str, tuple[str, Any]] = {
    "mapping_lrmul": ("mapping_lr_multiplier", 0.01),
    "mapping_nonlinearity": ("mapping_activation", "lrelu"),
    "nonlinearity": ("activation", "lrelu"),
    "conv_clamp": ("conv_clamp", None),
    "num_fp16_res": ("num_fp16_res", 0),
    "architecture": ("architecture", "skip"),
    "resample_kernel": ("resample_filter", (1.0, 3.0, 3.0, 1.0)),
}
#: Arguments that the tensors' shapes state as well, or that matter to training alone.
_IMPLIED = {
    *("latent_size", "label_size", "dlatent_size", "resolution", "num_channels", "mapping_layers", "label_fmaps"),
    *("mapping_fmaps", "fmap_base", "fmap_max", "use_noise", "w_avg_beta", "truncation_psi", "truncation_cutoff"),
    *("style_mixing_prob", "structure"),
}

_Convert = Callable[[np.ndarray], np.ndarray]


def _conv(w: np.ndarray) -> np.ndarray:
    return w.transpose(3, 2, 0, 1)


def _flipped(w: np.ndarray) -> np.ndarray:
    return w[::-1, ::-1].transpose(3, 2, 0, 1)


def _matrix(w: np.ndarray) -> np.ndarray:
    return w.transpose()


def _same(w: np.ndarray) -> np.ndarray:
    return w


def _plus_one(w: np.ndarray) -> np.ndarray:
    return w + 1  # TensorFlow adds the styles' resting value at run time


_LAYER: dict[str, tuple[str, _Convert]] = {
    "bias": ("bias", _same),
    "mod_weight": ("affine.weight", _matrix),
    "mod_bias": ("affine.bias", _plus_one),
    "noise_strength": ("noise_strength", _same),
}


def is_nvidia_tf(content: Any) -> bool:
    """One or more of TensorFlow's Network objects."""
    networks = content if type(content) in (tuple, list) else [content]
    return bool(networks) and all(isinstance(n, Record) and n.class_name == "Network" for n in networks)


def read_nvidia_tf(content: Any) -> Checkpoint:
    """The averaged generator Gs: the last of the three networks, or the only one."""
    networks: list[Record] = list(content) if type(content) in (tuple, list) else [content]
    network = networks[-1]
    version, name = network.state.get("version"), network.state.get("build_func_name")
    name = name[:40] if type(name) is str else ""
    if type(version) is not int or version < 4:
        found = version if type(version) is int else "unknown"
        raise BridgeError(
            f"the file is a TensorFlow pickle of version {found}, before StyleGAN2 (4 and up); not supported"
        )
    variables = _variables(network)
    if not any(name.startswith("synthesis/") for name in variables):
        raise BridgeError(f"the file holds {name or 'a network'!r} and no generator; choose a file with Gs")
    if any("ToRGB_lod" in name or "/AdaIN" in name or "StyleMod" in name for name in variables):
        raise BridgeError("the file holds a StyleGAN 1 or a progressively grown generator, which is not supported")
    switches = _read_switches(network.state.get("static_kwargs"))
    tensors: dict[str, np.ndarray] = {}
    for tf_name, value in variables.items():
        if (converted := _convert(tf_name, value)) is not None:
            tensors[converted[0]] = converted[1]
    config: GeneratorConfig = infer_config(tensors, **switches)
    return Checkpoint(FORMAT, config, tensors)


def _variables(network: Record) -> dict[str, np.ndarray]:
    """All variables of a network and its components, by path."""
    found: dict[str, np.ndarray] = {}
    pending, parts = [("", network)], 0
    while pending:
        prefix, part = pending.pop()
        parts += 1
        if parts + len(pending) > MAX_PARTS or len(found) > MAX_TENSORS:
            raise BridgeError("the TensorFlow network has more parts than any StyleGAN2; refused")
        variables, components = part.state.get("variables"), part.state.get("components", {})
        if type(variables) is not list or type(components) is not dict or prefix.count("/") > 4:
            raise BridgeError("the TensorFlow network lists no variables; the file is damaged")
        if len(variables) > MAX_TENSORS or len(components) > MAX_PARTS:
            raise BridgeError("the TensorFlow network has more parts than any StyleGAN2; refused")
        for entry in variables:
            array = as_array(entry[1]) if type(entry) is tuple and len(entry) == 2 else None
            if array is None or type(entry[0]) is not str or len(entry[0]) > MAX_NAME:
                raise BridgeError("a TensorFlow variable is not an array; the file is damaged")
            found[prefix + entry[0]] = array
        for name, component in components.items():
            if type(name) is not str or len(name) > MAX_NAME or not isinstance(component, Record):
                raise BridgeError("the TensorFlow network has a part that is not a network; the file is damaged")
            pending.append((f"{prefix}{name}/", component))
    return found


def _read_switches(given: Any) -> dict[str, Any]:
    if type(given) is not dict:
        raise BridgeError("the TensorFlow network does not say how it was built; the file is damaged")
    if unknown := [name for name in given if name not in _SWITCHES and name not in _IMPLIED]:
        raise BridgeError(
            f"the TensorFlow network was built with {_shown(unknown[0])}, which StyleGAN2 does not know; refused"
        )
    switches = {}
    for tf_name, (name, default) in _SWITCHES.items():
        value = given.get(tf_name, default)
        if tf_name == "resample_kernel":
            value = separable_taps(_kernel(value if value is not None else (1, 3, 3, 1)))
        elif value is None:
            value = default
        if type(value) not in (int, float, str, tuple, type(None)) or isinstance(value, str) != isinstance(
            default, str
        ):
            raise BridgeError(
                f"the TensorFlow network's {tf_name} is of type {type(value).__name__}; the file is damaged"
            )
        switches[name] = value
    return switches


def _shown(key: Any) -> str:
    return repr(key[:40]) if type(key) is str else "something that is no name"


def _kernel(value: Any) -> np.ndarray:
    """A filter as an array; a container is checked first, since a nested one can stand for any number of numbers."""
    if (array := as_array(value)) is not None:
        return array
    if type(value) not in (list, tuple) or len(value) > MAX_FILTER_TAPS:
        raise BridgeError("the TensorFlow network's resample_kernel is no list of numbers; the file is damaged")
    if not all(type(tap) in (int, float) for tap in value):
        raise BridgeError("the TensorFlow network's resample_kernel is no list of numbers; the file is damaged")
    return np.asarray(value, dtype=np.float64)


def _convert(name: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    """A variable under its new name and layout; None for what inference does not use."""
    try:
        if name == "dlatent_avg":
            return "mapping.w_avg", value
        if m := re.fullmatch(r"mapping/(LabelEmbed|Dense(\d{1,6}))/(weight|bias)", name):
            layer = "embed" if m[2] is None else f"fc{m[2]}"
            return f"mapping.{layer}.{m[3]}", _matrix(value) if m[3] == "weight" else value
        if name == "synthesis/4x4/Const/const":
            return "synthesis.b4.const", value[0]
        if (m := re.fullmatch(r"synthesis/noise(\d{1,6})", name)) and int(m[1]) < 2 * MAX_BLOCKS:
            index = int(m[1])
            size, layer = 2 ** ((index + 5) // 2), "conv1" if index == 0 or index % 2 == 0 else "conv0"
            return f"synthesis.b{size}.{layer}.noise_const", value[0, 0]
        if m := re.fullmatch(r"synthesis/(\d{1,6})x\1/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name):
            layer = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}[m[2]]
            if m[3] == "weight":
                return f"synthesis.b{m[1]}.{layer}.weight", (_flipped if m[2] in ("Conv0_up", "Skip") else _conv)(value)
            if m[3] in _LAYER:
                new_name, convert = _LAYER[m[3]]
                return f"synthesis.b{m[1]}.{layer}.{new_name}", convert(value)
    except (ValueError, IndexError, OverflowError) as error:
        raise BridgeError(
            f"{name[:80]!r} has shape {value.shape}, which its place does not allow; the file is damaged"
        ) from error
    if name in ("lod", "synthesis/lod"):
        return None
    raise BridgeError(f"the generator has a variable {name[:80]!r}, which StyleGAN2 does not know; refused")
