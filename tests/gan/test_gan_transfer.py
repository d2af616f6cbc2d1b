"""Training from a parent: what is taken over draws the same, what is frozen stays, what does not fit is said."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bridge_checkpoints import tiny_config, tiny_discriminator, tiny_generator, write_nvidia_torch, write_rosinality
from gan_tiny import NAMES, TINY, store, tiny_set

from classifiers.files import unseal
from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.errors import GanferError
from ganfer.gan.latents import latents
from ganfer.gan.loop import fresh_networks
from ganfer.gan.parent import open_parent
from ganfer.gan.plan import plan_training, resized
from ganfer.gan.sampling import open_gan
from ganfer.gan.spec import NetworkSpec
from ganfer.gan.train import network_spec, plan_steps, run_key, start_from, train_gan
from ganfer.workspace import Run, Workspace
from stylegan_bridge import load_generator

SMALL = TINY | {"gan.steps": 4, "gan.snapshot_every": 2}
NO_NETWORK = {name: value for name, value in SMALL.items() if name not in ("gan.network", "gan.base_channels")}


def settings(parent: Path | str, **changes: object):
    return load_config(
        None, NO_NETWORK | {"gan.parent": str(parent)} | {n.replace("__", "."): v for n, v in changes.items()}
    )


def trained(
    tmp_path: Path, network: str = "resgan", names: tuple[str, ...] = NAMES, size: int = 16, **changes: object
) -> Path:
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


def resume_point(folder: Path) -> dict[str, Any]:
    return torch.load(io.BytesIO(unseal((folder / "checkpoint.pt").read_bytes())), weights_only=True)


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
    assert any(
        float(p.grad.abs().sum()) > 0
        for n, p in generator.named_parameters()
        if p.grad is not None and ("by_class" in n or "fc0" in n)
    )


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


@pytest.mark.parametrize("write", [write_nvidia_torch, write_rosinality])
def test_the_file_s_discriminator_is_taken_over_and_its_lowest_stages_stay(tmp_path, workspace, write):
    config = tiny_config(16, mapping_lr_multiplier=0.01)
    judge = tiny_discriminator(config)
    file = write(tiny_generator(config), tmp_path / "faces.pkl", judge=judge)
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 10), channels=3))
    child = settings(file, gan__freeze_d=1)
    _, _, start, (_, fresh) = begun(workspace, data, child)
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(
            fresh(images, torch.tensor([0, 1, 2, 0])), judge.b4.out(judge(images)).flatten(), atol=1e-5
        )
    layers = [f"{name}.{part}" for name in ("fromrgb", "conv0", "conv1") for part in ("weight", "bias")]
    assert start.frozen == {f"trunk.b16.{name}" for name in (*layers, "skip.weight")}
    result = train_gan(workspace, child, data)
    after = resume_point(result.path)["discriminator"]
    before = fresh.state_dict()
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (name in start.frozen), name
    assert open_gan(result.path, "cpu").card["parent"] == start.parent.digest


def test_what_a_cut_network_loses_starts_anew_and_is_not_frozen(tmp_path, workspace):
    config = tiny_config(32, mapping_lr_multiplier=0.01)
    file = write_rosinality(tiny_generator(config), tmp_path / "faces.pt", judge=tiny_discriminator(config))
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 10), channels=3))
    _, spec, start, _ = begun(workspace, data, settings(file))
    assert spec.size == 16
    assert "new: trunk.b16.fromrgb." in "\n".join(start.lines)
    assert "trunk.b16 (but for what is new in it), trunk.b8" in start.lines[-1]
    assert not any("fromrgb" in name for name in start.frozen)


def test_images_are_brought_to_the_network_s_size_and_drawn_at_the_data_s(tmp_path, workspace):
    file = write_rosinality(tiny_generator(tiny_config(32, mapping_lr_multiplier=0.01)), tmp_path / "faces.pt")
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 10), size=24))
    result = train_gan(workspace, settings(file), data)
    generator = open_gan(result.path, "cpu")
    assert generator.spec.size == 32
    assert generator.sample(np.arange(3), np.zeros(3, np.int64)).shape == (3, 1, 24, 24)
    assert torch.equal(
        torch.from_numpy(generator.sample(np.arange(3), np.zeros(3, np.int64))),
        torch.from_numpy(generator.sample(np.arange(1, 4) - 1, np.zeros(3, np.int64))),
    )


@pytest.mark.parametrize("network", ["resgan", "dcgan", "stylegan2"])
def test_frozen_layers_stay_and_the_others_learn(tmp_path, workspace, data, network):
    run = trained(tmp_path, network)
    _, _, start, (_, fresh) = begun(workspace, data, settings(run))
    result = train_gan(workspace, settings(run), data)
    after, before = resume_point(result.path)["discriminator"], fresh.state_dict()
    same = {name for name in after if torch.equal(after[name], before[name])}
    assert start.frozen
    assert start.frozen <= same
    assert not [name for name in set(after) - start.frozen if name in same and after[name].numel() > 1]


CHILD = """
import json, sys
from ganfer.config import load_config
from ganfer.gan.train import train_gan
from ganfer.workspace import Workspace
workspace = Workspace(sys.argv[1])
train_gan(workspace, load_config(None, json.loads(sys.argv[2])), workspace.active_data)
"""


def test_a_kill_and_the_same_command_give_the_same_weights(tmp_path, workspace, data, child_environment):
    run = trained(tmp_path)
    changes = {"gan.steps": 30, "gan.snapshot_every": 20, "gan.checkpoint_seconds": 0.0}
    values = NO_NETWORK | {"gan.parent": str(run)} | changes
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace.root), json.dumps(values)], env=child_environment,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while not list(workspace.root.glob("gans/*/checkpoint.pt")):
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (begun_run,) = workspace.runs("gans")
    assert 0 < resume_point(begun_run.path)["step"] < 30
    again = train_gan(workspace, load_config(None, values), data).path
    other = Workspace(tmp_path / "elsewhere")
    straight = train_gan(other, load_config(None, values), store(other, tiny_set(dict.fromkeys(NAMES, 30)))).path
    one, two = (open_gan(path, "cpu").network.state_dict() for path in (again, straight))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_training_without_a_parent_is_named_as_before(workspace, data, make_config):
    key = run_key(make_config(), data)
    assert not {"parent", "parent_classes", "resolution", "freeze_d"} & set(key["config"])
    assert set(key["inputs"]) == {"data"}
    assert "layout" not in NetworkSpec("resgan", 48, 1, 7, 100, 16).to_dict()


def test_a_parent_that_changed_is_named(tmp_path, workspace, data, capsys, monkeypatch):
    run = trained(tmp_path)

    def interrupted(self, stop):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ganfer.gan.loop.Training.train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_gan(workspace, settings(run), data)
    (run / "checkpoint.pt").unlink()
    train_gan(workspace, settings(run), data)
    said = capsys.readouterr().err
    assert f"{run} has changed since" in said
    assert "discriminator: starts anew (there is no checkpoint.pt beside the generator" in said


def test_the_plan_says_what_is_taken_over_new_and_frozen_and_how_long(tmp_path, workspace, data):
    run = trained(tmp_path, names=("happy", "angry"))
    lines = "\n".join(
        plan_steps(data, settings(run.parent.parent), workspace, timed=True)
    )  # a workspace: its newest GAN
    for words in ("numbers taken over", "new classes, which start from the mean", "frozen: stem, blocks.0.", "About "):
        assert words in lines
    assert not workspace.runs("gans")


def test_what_cannot_be_gone_on_from_is_said_in_a_line(tmp_path, workspace, data):
    run = trained(tmp_path)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "generator.safetensors").write_bytes((run / "generator.safetensors").read_bytes()[:-100])
    half = tmp_path / "half.pkl"
    half.write_bytes(write_nvidia_torch(tiny_generator(), tmp_path / "whole.pkl").read_bytes()[:500])
    classes = write_nvidia_torch(tiny_generator(tiny_config(16, c_dim=2)), tmp_path / "classes.pkl")
    small = write_nvidia_torch(tiny_generator(tiny_config(8)), tmp_path / "small.pkl")
    for parent, changes, words in (
        (tmp_path / "nowhere.pkl", {}, "no such file or folder"),
        (tmp_path, {}, "holds no trained GAN"),
        (damaged, {}, "is damaged"),
        (half, {}, r"half\.pkl"),
        (classes, {"gan__parent_classes": "happy"}, "names 1 classes, .* has 2"),
        (run, {"gan__parent_classes": "happy"}, "name their classes"),
        (run, {"gan__network": "dcgan"}, "is a resgan"),
        (run, {"gan__conditional": False}, "draws by class"),
        (run, {"gan__resolution": 32}, "of 16 pixels, and only a StyleGAN2 can be cut"),
        (small, {}, "less than the data's 16×16"),
        (small, {"gan__resolution": 12}, "power of two"),
    ):
        with pytest.raises(GanferError, match=words):
            plan_steps(data, settings(parent, **changes), workspace)
    broken = resume_point(run)
    assert broken
    (run / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(GanferError, match="is damaged"):
        plan_steps(data, settings(run), workspace)
    with pytest.raises(GanferError, match="freeze_d is of a parent"):
        plan_steps(data, load_config(None, SMALL | {"gan.freeze_d": 1}), workspace)


def test_a_published_network_is_planned_without_a_download(workspace, data, monkeypatch):
    monkeypatch.setenv("GANFER_CACHE", str(workspace.root / "cache"))
    config = settings("ffhq-256")
    assert config.gan.network == "stylegan2"
    assert plan_steps(data, config, workspace)[0] == "download ffhq-256, a StyleGAN2, and go on from it"


def test_named_classes_of_a_file_keep_their_embedding(tmp_path, workspace):
    mother = tiny_generator(tiny_config(16, c_dim=2, mapping_lr_multiplier=0.01))
    file = write_nvidia_torch(mother, tmp_path / "classes.pkl")
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 10), channels=3))
    _, _, _, (generator, _) = begun(workspace, data, settings(file, gan__parent_classes="happy,angry"))
    for here, there in ((0, 1), (2, 0)):
        labels = mother.labels(there, len(Z))
        assert torch.allclose(drawn(generator, Z, here), mother.render(mother.map(Z, labels)), atol=1e-3)
