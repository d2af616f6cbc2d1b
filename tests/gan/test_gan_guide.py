"""The guide knows the classes, moves the generator towards them, and is left out where there is nothing to guide to."""

import torch
from gan_tiny import NAMES, TINY, store, tiny_set

from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.gan.guide import FOLDER, train_guide
from ganfer.gan.plan import plan_training
from ganfer.gan.train import train_gan
from ganfer.workspace import Workspace


def test_the_guide_prefers_the_class_that_is_shown_and_hands_its_gradient_on(tmp_path):
    data = store(Workspace(tmp_path), tiny_set(dict.fromkeys(NAMES, 60)))
    config = load_config(None, {**TINY, "gan.guide_epochs": 40})
    plan = plan_training(read_set(data.path), config.gan, 0)
    guide = train_guide(tmp_path / "guide", plan, config.gan, 0, torch.device("cpu"))
    images = torch.from_numpy(plan.held_images).float() / 127.5 - 1
    labels = torch.from_numpy(plan.held_labels)
    images.requires_grad_(True)
    right, wrong = guide.loss(images, labels), guide.loss(images, (labels + 1) % 3)
    assert right < 0.6 * wrong
    right.backward()
    assert images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in guide._model.parameters())
    assert set(guide.recall) == set(NAMES)
    again = train_guide(tmp_path / "guide", plan, config.gan, 0, torch.device("cpu"))
    assert torch.equal(guide.loss(images, labels), again.loss(images, labels))


def test_guidance_changes_what_is_learned_and_0_leaves_it_out(tmp_path):
    workspace = Workspace(tmp_path)
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 30)))
    results = {}
    for weight in (0.0, 5.0):
        results[weight] = train_gan(workspace, load_config(None, {**TINY, "gan.guidance": weight}), data)
    assert not (results[0.0].path / FOLDER).exists()
    assert (results[5.0].path / FOLDER / "card.json").is_file()
    assert results[5.0].figures["guide_recall"].keys() == set(NAMES)
    first, second = (result.path / "generator.safetensors" for result in results.values())
    assert first.read_bytes() != second.read_bytes()


def test_an_unconditional_gan_and_a_single_class_have_no_guide(tmp_path):
    workspace = Workspace(tmp_path)
    data = store(workspace, tiny_set({"angry": 30, "fear": 0, "happy": 0}))
    for overrides in ({}, {"gan.conditional": False}):
        result = train_gan(workspace, load_config(None, {**TINY, **overrides}), data)
        assert not (result.path / FOLDER).exists()
