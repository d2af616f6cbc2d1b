"""Checkpoints of tiny generators, written as each of the other programs would write them."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from stylegan_bridge.config import ACTIVATION_GAINS, GeneratorConfig
from stylegan_bridge.discriminator import Discriminator
from stylegan_bridge.generator import Generator


def tiny_config(resolution: int = 16, **overrides: Any) -> GeneratorConfig:
    """A few thousand parameters."""
    values = {"channel_base": 16 * resolution, "channel_max": 12, "z_dim": 8, "w_dim": 10, "mapping_layers": 2}
    return GeneratorConfig.standard(resolution, **(values | overrides))


def tiny_generator(config: GeneratorConfig | None = None, *, seed: int = 0) -> Generator:
    """Random weights in which every tensor matters: noise, biases and the centre of w are not zero."""
    torch.manual_seed(seed)
    generator = Generator(config or tiny_config())
    for name, tensor in generator.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_avg")):
            tensor.add_(0.3 * torch.randn_like(tensor))
    return generator


@contextmanager
def foreign_modules() -> Iterator[dict[str, Any]]:
    """The names under which the other programs' pickles refer to their code, for as long as a pickle is written."""

    class EasyDict(dict):
        pass

    class Network:
        pass

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
        raise AssertionError("a reader must never call this")

    homes: dict[str, list[Any]] = {
        "dnnlib": [],
        "dnnlib.util": [EasyDict],
        "dnnlib.tflib": [],
        "dnnlib.tflib.network": [Network],
        "torch_utils": [],
        "torch_utils.persistence": [_reconstruct_persistent_obj],
    }
    saved = {name: sys.modules.get(name) for name in homes}
    try:
        for name, members in homes.items():
            module = ModuleType(name)
            for member in members:
                member.__module__, member.__qualname__ = name, member.__name__
                setattr(module, member.__name__, member)
            sys.modules[name] = module
        yield {"EasyDict": EasyDict, "Network": Network, "reconstruct": _reconstruct_persistent_obj}
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Persistent:
    """Pickles as NVIDIA's persistent classes do: a call with the class's source code and the instance's state."""

    #: If a reader ran this, the test would see the file that it makes.
    source = "raise SystemExit('the source code in a pickle was run')"

    def __init__(self, class_name: str, state: dict[str, Any], reconstruct: Any) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": self.source,
            "class_name": class_name,
            "state": state,
        }
        self.reconstruct = reconstruct

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reconstruct, (self.meta,)


def _modules_tree(generator: Generator, foreign: dict[str, Any], overrides: dict[str, Any]) -> Persistent:
    """The generator's tensors in nested module states, as torch modules pickle."""
    config = generator.config
    taps = np.outer(config.resample_filter, config.resample_filter)
    taps = torch.tensor(taps / taps.sum(), dtype=torch.float32)
    tree: dict[str, Any] = {}
    for name, tensor in generator.state_dict().items():
        node = tree
        *path, leaf = name.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = tensor.clone()

    def build(path: str, node: dict[str, Any]) -> Persistent:
        parameters, buffers, modules = OrderedDict(), OrderedDict(), OrderedDict()
        for key, value in node.items():
            if isinstance(value, dict):
                modules[key] = build(f"{path}.{key}" if path else key, value)
            elif key in ("w_avg", "noise_const"):
                buffers[key] = value
            else:
                parameters[key] = torch.nn.Parameter(value, requires_grad=False)
        state: dict[str, Any] = {
            "training": False,
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
        }
        class_name = "FullyConnectedLayer"
        last = path.rsplit(".", 1)[-1]
        if path.startswith("mapping.fc"):
            state |= {"activation": config.mapping_activation, "bias_gain": config.mapping_lr_multiplier}
            state["weight_gain"] = np.sqrt(np.float64(2))  # a numpy scalar, as NVIDIA's attributes are
        elif last in ("conv0", "conv1"):
            class_name = "SynthesisLayer"
            state |= {"conv_clamp": config.conv_clamp, "activation": config.activation}
            state["act_gain"] = np.float64(ACTIVATION_GAINS[config.activation])
            buffers["resample_filter"] = taps
        elif last.startswith("b") and last[1:].isdigit():
            class_name, size = "SynthesisBlock", int(last[1:])
            state |= {"architecture": config.architecture, "resolution": size, "use_fp16": config.is_fp16(size)}
            buffers["resample_filter"] = taps
        elif last == "skip":
            buffers["resample_filter"] = taps
        elif not path:
            class_name = "Generator"
            state["_init_kwargs"] = foreign["EasyDict"](z_dim=config.z_dim, resample_filter=[1, 3, 3, 1])
        state |= {"_parameters": parameters, "_buffers": buffers, "_modules": modules}
        return Persistent(class_name, {**state, **overrides.get(path, {})}, foreign["reconstruct"])

    return build("", tree)


def _plain_tree(module: torch.nn.Module, foreign: dict[str, Any]) -> Persistent:
    """Any module's parameters in nested states."""
    state = {
        "_parameters": OrderedDict(module._parameters),
        "_buffers": OrderedDict(),
        "_modules": OrderedDict(
            (name, _plain_tree(child, foreign)) for name, child in module._modules.items() if child
        ),
    }
    return Persistent("Discriminator", state, foreign["reconstruct"])


def write_nvidia_torch(
    generator: Generator,
    path: Path,
    *,
    key: str | None = "G_ema",
    raw: Generator | None = None,
    protocol: int | None = None,
    overrides: dict[str, Any] | None = None,
    judge: Discriminator | None = None,
) -> Path:
    """A snapshot of stylegan2-ada-pytorch; with key None the network alone. `overrides` change modules' states."""
    with foreign_modules() as foreign:
        network = _modules_tree(generator, foreign, overrides or {})
        discriminator = Persistent(
            "Discriminator", {"_parameters": {}, "_buffers": {}, "_modules": {}}, foreign["reconstruct"]
        )
        if judge is not None:
            discriminator = _plain_tree(judge, foreign)
        options = foreign["EasyDict"](class_name="training.dataset.ImageFolderDataset", path="/data/faces.zip")
        snapshot = {"training_set_kwargs": options, "D": discriminator, "augment_pipe": None, key: network}
        if raw is not None:
            snapshot["G"] = _modules_tree(raw, foreign, {})
        path.write_bytes(pickle.dumps(network if key is None else snapshot, protocol))
    return path


def tf_variables(generator: Generator) -> dict[str, np.ndarray]:
    """The generator's tensors as TensorFlow's code names and lays them out."""
    config = generator.config
    weights = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    found: dict[str, np.ndarray] = {"dlatent_avg": weights["mapping.w_avg"], "lod": np.zeros((), np.float32)}
    for index in range(config.mapping_layers):
        found[f"mapping/Dense{index}/weight"] = weights[f"mapping.fc{index}.weight"].T
        found[f"mapping/Dense{index}/bias"] = weights[f"mapping.fc{index}.bias"]
    if config.c_dim:
        found["mapping/LabelEmbed/weight"] = weights["mapping.embed.weight"].T
        found["mapping/LabelEmbed/bias"] = weights["mapping.embed.bias"]
    found["synthesis/4x4/Const/const"] = weights["synthesis.b4.const"][None]
    noise_index = 0
    for size in config.block_resolutions:
        layers = [("conv1", "Conv")] if size == 4 else [("conv0", "Conv0_up"), ("conv1", "Conv1")]
        for layer, tf_layer in [*layers, ("torgb", "ToRGB")]:
            ours, theirs = f"synthesis.b{size}.{layer}", f"synthesis/{size}x{size}/{tf_layer}"
            if f"{ours}.weight" not in weights:
                continue
            kernel = weights[f"{ours}.weight"].transpose(2, 3, 1, 0)
            found[f"{theirs}/weight"] = kernel[::-1, ::-1] if layer == "conv0" else kernel
            found[f"{theirs}/bias"] = weights[f"{ours}.bias"]
            found[f"{theirs}/mod_weight"] = weights[f"{ours}.affine.weight"].T
            found[f"{theirs}/mod_bias"] = weights[f"{ours}.affine.bias"] - 1
            if layer != "torgb":
                found[f"{theirs}/noise_strength"] = weights[f"{ours}.noise_strength"]
                found[f"synthesis/noise{noise_index}"] = weights[f"{ours}.noise_const"][None, None]
                noise_index += 1
        if f"synthesis.b{size}.skip.weight" in weights:
            kernel = weights[f"synthesis.b{size}.skip.weight"].transpose(2, 3, 1, 0)
            found[f"synthesis/{size}x{size}/Skip/weight"] = kernel[::-1, ::-1]
    return {name: np.array(value, dtype=np.float32, order="C") for name, value in found.items()}


def write_nvidia_tf(
    generator: Generator, path: Path, *, variables: dict[str, np.ndarray] | None = None, version: int = 4, **kwargs: Any
) -> Path:
    """A snapshot of stylegan2: (G, D, Gs), each a Network with its parts. `kwargs` go to static_kwargs."""
    config = generator.config
    variables = tf_variables(generator) if variables is None else variables
    static = {
        "resolution": config.resolution,
        "fmap_base": 1024,
        "architecture": config.architecture,
        "mapping_lrmul": config.mapping_lr_multiplier,
        "resample_kernel": [1, 3, 3, 1],
        "conv_clamp": config.conv_clamp,
        **kwargs,
    }
    with foreign_modules() as foreign:

        def network(name: str, prefix: str, parts: tuple[str, ...] = ()) -> Any:
            made = foreign["Network"]()
            own = [
                (key[len(prefix) :], value)
                for key, value in variables.items()
                if key.startswith(prefix) and not any(key.startswith(part + "/") for part in parts)
            ]
            made.__dict__ |= {
                "version": version,
                "name": name,
                "static_kwargs": foreign["EasyDict"](static),
                "components": {part: network(f"G_{part}", f"{part}/") for part in parts},
                "build_module_src": Persistent.source,
                "build_func_name": f"{name}_main",
                "variables": own,
            }
            return made

        gs = network("G", "", ("mapping", "synthesis"))
        path.write_bytes(pickle.dumps((network("G", "none"), network("D", "none"), gs), pickle.HIGHEST_PROTOCOL))
    return path


def tiny_discriminator(config: GeneratorConfig, *, seed: int = 1) -> Discriminator:
    """One that fits the generator's layout, with biases that matter."""
    torch.manual_seed(seed)
    network = Discriminator(config.channels, config.img_channels)
    for name, tensor in network.state_dict().items():
        if name.endswith("bias"):
            tensor.add_(0.3 * torch.randn_like(tensor))
    return network


def rosinality_discriminator(network: Discriminator) -> dict[str, torch.Tensor]:
    """Its state as stylegan2-pytorch names it: blocks are counted from the highest resolution down."""
    weights = network.state_dict()
    top, found = network.sides[0], {"convs.1.conv2.0.kernel": torch.ones(4, 4) / 16}
    found["convs.0.0.weight"] = weights[f"b{top}.fromrgb.weight"]
    found["convs.0.1.bias"] = weights[f"b{top}.fromrgb.bias"]
    for place, side in enumerate(network.sides, start=1):
        for ours, theirs, bias in (
            ("conv0", "conv1.0", "conv1.1"),
            ("conv1", "conv2.1", "conv2.2"),
            ("skip", "skip.1", ""),
        ):
            found[f"convs.{place}.{theirs}.weight"] = weights[f"b{side}.{ours}.weight"]
            if bias:
                found[f"convs.{place}.{bias}.bias"] = weights[f"b{side}.{ours}.bias"].view(1, -1, 1, 1)
    found["final_conv.0.weight"], found["final_conv.1.bias"] = weights["b4.conv.weight"], weights["b4.conv.bias"]
    for place, name in enumerate(("fc", "out")):
        for part in ("weight", "bias"):
            found[f"final_linear.{place}.{part}"] = weights[f"b4.{name}.{part}"]
    return found


def write_rosinality(
    generator: Generator, path: Path, *, legacy: bool = False, average: bool = True, judge: Discriminator | None = None
) -> Path:
    """A checkpoint of stylegan2-pytorch: torch.save of g_ema and latent_avg, and d where it is given."""
    weights = generator.state_dict()
    state: dict[str, torch.Tensor] = {"input.input": weights["synthesis.b4.const"][None]}
    for index in range(generator.config.mapping_layers):
        for part in ("weight", "bias"):
            state[f"style.{index + 1}.{part}"] = weights[f"mapping.fc{index}.{part}"]
    names = [("b4.conv1", "conv1")]
    for index, size in enumerate(generator.config.block_resolutions[1:]):
        names += [(f"b{size}.conv0", f"convs.{2 * index}"), (f"b{size}.conv1", f"convs.{2 * index + 1}")]
        names += [(f"b{size}.torgb", f"to_rgbs.{index}")]
        state[f"to_rgbs.{index}.upsample.kernel"] = torch.ones(4, 4) / 4
        state[f"convs.{2 * index}.conv.blur.kernel"] = torch.ones(4, 4) / 4
    noise_index = 0
    for ours, theirs in [*names, ("b4.torgb", "to_rgb1")]:
        ours = f"synthesis.{ours}"
        weight = weights[f"{ours}.weight"]
        scale = 1.0 if ours.endswith("torgb") else weight[0].numel() ** 0.5
        state[f"{theirs}.conv.weight"] = (weight * scale)[None]
        state[f"{theirs}.conv.modulation.weight"] = weights[f"{ours}.affine.weight"]
        state[f"{theirs}.conv.modulation.bias"] = weights[f"{ours}.affine.bias"]
        if ours.endswith("torgb"):
            state[f"{theirs}.bias"] = weights[f"{ours}.bias"].view(1, -1, 1, 1)
        else:
            state[f"{theirs}.activate.bias"] = weights[f"{ours}.bias"]
            state[f"{theirs}.noise.weight"] = weights[f"{ours}.noise_strength"].view(1)
            state[f"noises.noise_{noise_index}"] = weights[f"{ours}.noise_const"][None, None]
            noise_index += 1
    content: dict[str, Any] = {"g_ema": state}
    if average:
        content["latent_avg"] = weights["mapping.w_avg"]
    if judge is not None:
        content["d"] = rosinality_discriminator(judge)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
