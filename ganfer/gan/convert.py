"""Weights of one network rewritten for another that draws the same: other classes, other colours, fewer blocks.

Pure functions of tensors by name. A layer with run-time weight scaling divides by the square root of its inputs, so
its weights are scaled when their number changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ganfer.errors import GanferError
from ganfer.gan.parent import Parent
from ganfer.gan.spec import NetworkSpec
from ganfer.gan.stylegan2 import bridge_config
from stylegan_bridge.config import GeneratorConfig

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def cut_blocks(layout: GeneratorConfig, side: int, name: str) -> GeneratorConfig:
    """The layout without its blocks above `side`. GanferError for one with a single colour layer, at the top."""
    if layout.architecture != "skip":
        raise GanferError(
            f"{name} is a StyleGAN2 of the {layout.architecture} kind: its one colour layer is at {layout.resolution}"
            " pixels, so it cannot be cut to fewer.",
            f"Add the data again with --size {layout.resolution}.",
        )
    count = side.bit_length() - 2
    return replace(
        layout, resolution=side, channels=layout.channels[:count], num_fp16_res=min(layout.num_fp16_res, count)
    )


def generator_tensors(parent: Parent, spec: NetworkSpec, names: Sequence[str]) -> dict[str, Tensor]:
    """The parent's generator for the child's spec and classes; what has no counterpart is left out."""
    if spec.network == "stylegan2":
        return _stylegan2(parent, spec, names)
    weights = dict(parent.generator)
    old, new = parent.spec.channels, spec.channels
    if spec.network == "resgan":
        _recolour(weights, "image", old, new, dim=0)
        if spec.num_classes:
            weights["by_class.weight"] = _rows(weights.get("by_class.weight"), parent.class_names, names, 128)
        return weights
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("ups."))
    _recolour(weights, f"ups.{last}", old, new, dim=1)
    if not spec.num_classes:
        return weights
    if not parent.spec.num_classes:  # plain batch norms become conditional ones without a class's own part
        weights = {
            f"norms.{n.split('.')[1]}.norm.{n.split('.')[2]}" if n.startswith("norms.") else n: t
            for n, t in weights.items()
        }
        for name in [name for name in weights if name.endswith(".norm.weight")]:
            own = name.removesuffix("norm.weight") + "by_class.weight"
            weights[own] = torch.zeros(len(names), 2 * len(weights[name]))
        weights["class_input.weight"] = torch.zeros(len(names), len(weights["first.weight"]))
        return weights
    for name in [name for name in weights if "by_class" in name or name.startswith("class_input")]:
        weights[name] = _rows(weights[name], parent.class_names, names, weights[name].shape[1])
    return weights


def _stylegan2(parent: Parent, spec: NetworkSpec, names: Sequence[str]) -> dict[str, Tensor]:
    before, after = bridge_config(parent.spec), bridge_config(spec)
    wanted = after.shapes()
    weights = {name: value for name, value in parent.generator.items() if name in wanted}
    for side in after.block_resolutions:
        if after.has_torgb(side):
            _recolour(weights, f"synthesis.b{side}.torgb", before.img_channels, after.img_channels, dim=0)
    if not names:
        return weights
    if before.c_dim:
        rows = _rows(weights["mapping.embed.weight"].t(), parent.class_names, names, before.embed_features)
        weights["mapping.embed.weight"] = (rows * (len(names) / before.c_dim) ** 0.5).t().contiguous()
        return weights
    # the class enters beside z with weights of 0: at first it changes nothing, and its gradient is there at once
    first = weights["mapping.fc0.weight"]
    inputs = first.shape[1] + after.embed_features
    first = first * (inputs / first.shape[1]) ** 0.5
    weights["mapping.fc0.weight"] = torch.cat([first, first.new_zeros(len(first), after.embed_features)], dim=1)
    return weights


def discriminator_tensors(parent: Parent, spec: NetworkSpec, names: Sequence[str]) -> dict[str, Tensor]:
    """The parent's discriminator for the child's spec and classes; what has no counterpart is left out."""
    assert parent.discriminator is not None
    weights = dict(parent.discriminator)
    old, new = parent.spec.channels, spec.channels
    scaled = spec.network == "stylegan2"
    if spec.network == "stylegan2" and spec.filtered:
        first = f"trunk.b{parent.spec.size}.fromrgb"
        if spec.size < parent.spec.size:  # the highest block has the only colour layer
            gone = [f"trunk.b{spec.size << k}." for k in range(1, 9)]
            weights = {n: t for n, t in weights.items() if not n.startswith((*gone, f"trunk.b{spec.size}.fromrgb"))}
    elif spec.network == "stylegan2":
        first = "stem"
        dropped = (parent.spec.size // spec.size).bit_length() - 1
        if dropped:
            weights = _without_halvings(weights, dropped)
    else:
        first = "stem" if spec.network == "resgan" else "downs.0"
    for suffix in ("weight", "parametrizations.weight.original"):
        if f"{first}.{suffix}" in weights:
            weights[f"{first}.{suffix}"] = _seen(weights[f"{first}.{suffix}"], old, new, scaled=scaled)
    for name in [n for n in weights if n.startswith("by_class.") and n.endswith(("weight", "original"))]:
        weights[name] = _rows(weights[name], parent.class_names, names, weights[name].shape[1])
    heads = [weights[name] for name in ("logit.weight", "trunk.b4.out.weight") if name in weights]
    if spec.num_classes and not parent.spec.num_classes and heads and heads[0].ndim == 2:
        weights["by_class.weight"] = torch.zeros(len(names), heads[0].shape[1])
    return weights


def _without_halvings(weights: Mapping[str, Tensor], dropped: int) -> dict[str, Tensor]:
    """ganfer's own discriminator without its first halvings; its first layer fits no other width and starts anew."""
    kept: dict[str, Tensor] = {}
    for name, value in weights.items():
        parts = name.split(".")
        if parts[0] == "halvings":
            if int(parts[1]) >= dropped:
                kept[".".join([parts[0], str(int(parts[1]) - dropped), *parts[2:]])] = value
        elif parts[0] != "stem":
            kept[name] = value
    return kept


def _rows(old: Tensor | None, known: Sequence[str] | None, names: Sequence[str], width: int) -> Tensor:
    """Embeddings (K, width): those of the classes known by name, the mean of all for others, zeros if none is known."""
    if old is None:
        return torch.zeros(len(names), width)
    places = {name: row for row, name in enumerate(known or ()) if name}
    mean = old.mean(dim=0)
    return torch.stack([old[places[name]] if name in places else mean for name in names])


def _recolour(weights: dict[str, Tensor], layer: str, old: int, new: int, *, dim: int) -> None:
    """The layer that makes the image, for grey instead of colour or the reverse; its outputs along `dim`."""
    if old == new:
        return
    for name, axis in ((f"{layer}.weight", dim), (f"{layer}.bias", 0)):
        if name in weights:
            value = weights[name]
            if new == 1:
                luma = value.new_tensor(LUMA).view([-1 if i == axis else 1 for i in range(value.ndim)])
                weights[name] = (value * luma).sum(dim=axis, keepdim=True)
            else:
                weights[name] = value.repeat_interleave(new, dim=axis)


def _seen(weight: Tensor, old: int, new: int, *, scaled: bool) -> Tensor:
    """The layer that sees the image, (O, old, k, k) -> (O, new, k, k): a grey image counts as it did in colour."""
    if old == new:
        return weight
    if new == 1:
        seen = weight.sum(dim=1, keepdim=True)
    else:
        seen = weight * weight.new_tensor(LUMA).view(1, -1, 1, 1)
    return seen * (new / old) ** 0.5 if scaled else seen
