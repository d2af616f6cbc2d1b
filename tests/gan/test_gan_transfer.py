"""Training from a parent: what is taken over draws the same, what is frozen stays, what does not fit is said."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from bridge_checkpoints import tiny_config, tiny_generator, write_nvidia_torch, write_rosinality
from gan_tiny import NAMES, TINY, store, tiny_set

from ganfer.config import load_config
from ganfer.errors import ConfigError, GanferError
from ganfer.gan.latents import latents
from ganfer.gan.loop import fresh_networks
from ganfer.gan.parent import open_parent
from ganfer.gan.sampling import open_gan
from ganfer.gan.spec import NetworkSpec
from ganfer.gan.train import network_spec, plan_steps, run_key, start_from, train_gan
from ganfer.gan.plan import plan_training, resized
from ganfer.data.imageset import read_set
from ganfer.workspace import Run, Workspace
from stylegan_bridge import load_generator, read_discriminator

SMALL = TINY | {"gan.steps": 4, "gan.snapshot_every": 2}
NO_NETWORK = {name: value for name, value in SMALL.items() if name not in ("gan.network", "gan.base_channels")}


def settings(parent: Path | str, **changes: object):
    return load_config(None, NO_NETWORK | {"gan.parent": str(parent)} | {n.replace("__", "."): v for n, v in changes.items()})


def trained(tmp_path: Path, network: str = "resgan", names: tuple[str, ...] = NAMES, size: int = 16, **changes: object) -> Path:
    """A tiny GAN in a workspace of its own; its run's folder."""
    other = Workspace(tmp_path / "other")
    data = store(other, tiny_set(dict.fromkeys(names, 20), size=size, channels=int(changes.pop("channels", 1))))
    config = load_config(None, SMALL | {"gan.network": network} | {n.replace("__", "."): v for n, v in changes.items()})
    return train_gan(other, config, data).path


def begun(workspace: Workspace, data: Run, config):
    """The child's networks as its training begins, with the start."""
    parent = open_parent(workspace, config.gan)
    images = read_set(data.path)
    plan = plan_training(images, config.gan, config.seed)
    spec = network_spec(images, plan, config.gan, parent)
    start = start_from(parent, spec, resized(plan, spec.size), config)
    networks = fresh_networks(spec, config.gan, config.seed)
    start.fill(*networks)
    return parent, spec, start, networks


def drawn(network: torch.nn.Module, z: torch.Tensor, label: int | None) -> torch.Tensor:
    with torch.no_grad():
        labels = None if label is None else torch.full((len(z),), label)
        return network.eval()(z, labels)


Z = torch.from_numpy(latents(np.arange(4), 8))


@pytest.mark.parametrize("network", ["resgan", "dcgan", "stylegan2"])
def test_a_child_with_classes_first_draws_what_its_parent_without_draws(tmp_path, workspace, data, network):
    run = trained(tmp_path, network, gan__conditional=False)
    config = settings(run)
    _, spec, _, (generator, _) = begun(workspace, data, config)
    mother = open_gan(run, "cpu").network
    assert config.gan.network == network
    assert spec.num_classes == 3
    for label in range(3):
        assert torch.allclose(drawn(generator, Z, label), drawn(mother, Z, None), atol=1e-5)
    labels = torch.tensor([0, 1, 2, 0])  # and yet it can learn the classes
    generator.train()(Z, labels).square().sum().backward()
    assert any(float(p.grad.abs().sum()) > 0 for n, p in generator.named_parameters()
               if p.grad is not None and ("by_class" in n or "fc0" in n))


@pytest.mark.parametrize("network", ["resgan", "dcgan", "stylegan2"])
def test_shared_classes_keep_their_embedding_and_new_ones_start_from_the_mean(tmp_path, workspace, network):
    run = trained(tmp_path, network, names=("happy", "angry"))
    data = store(workspace, tiny_set(dict.fromkeys(("angry", "disgust", "happy"), 20)))
    _, _, start, (generator, judge) = begun(workspace, data, settings(run))
    mother = open_gan(run, "cpu").network
    for here, there in ((0, 1), (2, 0)):
        assert torch.allclose(drawn(generator, Z, here), drawn(mother, Z, there), atol=1e-5)
    rows = judge.by_class.weight
    assert torch.allclose(rows[1], (rows[0] + rows[2]) / 2, atol=1e-6)
    assert "new classes, which start from the mean of the parent's classes: disgust" in "\n".join(start.lines)
    assert start.parent.discriminator is not None


@pytest.mark.parametrize("write", [write_nvidia_torch, write_rosinality])
@pytest.mark.parametrize(("resolution", "channels"), [(16, 3), (16, 1), (32, 1)])
def test_a_stylegan2_file_is_gone_on_from_at_its_own_size_or_cut(tmp_path, workspace, write, resolution, channels):
    mother = tiny_generator(tiny_config(resolution, mapping_lr_multiplier=0.01))
    file = write(mother, tmp_path / "faces.pkl")
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 10), channels=channels))
    _, spec, start, (generator, _) = begun(workspace, data, settings(file))
    assert spec.size == 16
    child = drawn(generator, Z, 1)
    ws = load_generator(file).map(Z)
    image = None
    x = None
    with torch.no_grad():
        loaded = load_generator(file).synthesis
        noises, first = loaded.const_noises(), 0
        for block in loaded.blocks[:3]:
            last = first + block.num_convs
            x, image = block(x, image, ws[:, first : last + 1], noises[first:last], loaded.taps, torch.float32)
            first = last
    assert image is not None
    if channels == 1:
        image = (image * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert torch.allclose(child, image, atol=1e-3, rtol=1e-3)
    assert "starts anew" in "\n".join(start.lines)
