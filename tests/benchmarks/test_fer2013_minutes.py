"""benchmarks/fer2013_minutes.py: candidates get the same time, are compared by the same images, and are found again."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from classifiers import Samples, TrainConfig
from classifiers.models import REGISTRY, create_model

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("flat", "steep")


@pytest.fixture
def minutes(monkeypatch):
    """The script as a module, its networks known for the time of a test."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import fer2013_minutes

    for name, make in sys.modules["fer2013_networks"].VARIANTS.items():
        monkeypatch.setitem(REGISTRY, name, make)
    return fer2013_minutes


def stripes(n: int, seed: int) -> Samples:
    """Noisy stripes, flat or steep in turn."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 100, (n, 1, 16, 16)), np.arange(n) % 2
    images[labels == 0, :, ::4] += 150
    images[labels == 1, :, :, ::4] += 150
    return Samples(images.astype(np.uint8), labels)


def test_every_network_learns_and_gives_logits(minutes):
    for name in sys.modules["fer2013_networks"].VARIANTS:
        network = create_model(name, 7, 1, 48)
        logits = network(torch.randint(256, (2, 1, 48, 48), dtype=torch.uint8))
        assert logits.shape == (2, 7)
        logits.sum().backward()
        assert all(p.grad is not None for p in network.parameters()), name


def test_branches_are_one_convolution_after_training(minutes):
    torch.manual_seed(0)
    block = sys.modules["fer2013_networks"].Branches(4)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    for _ in range(3):
        block(2 * torch.randn(8, 4, 6, 6) + 1)
    block.eval()
    x = torch.randn(2, 4, 6, 6)
    assert torch.allclose(block(x), block.fused()(x).relu(), atol=1e-5)


def test_the_time_gives_the_steps(minutes):
    pace = minutes.Pace(small=1.0, full=2.0, validation=5.0)
    assert pace.steps(100, 0.0, 4) == 40
    assert pace.steps(100, 0.5, 4) == 53
    assert pace.steps(1, 0.5, 4) == 1


def test_candidates_are_joined_and_a_wrong_name_is_said(minutes):
    joined = minutes.candidate_of("unshuffled+progressive-50+distilled")
    assert joined.settings == {"model": "compact-unshuffled", "progressive": 0.5}
    assert joined.teachers == 3
    with pytest.raises(ValueError, match="no candidate fast; there are float32, recipe"):
        minutes.candidate_of("unshuffled+fast")
    for name, candidate in minutes.CANDIDATES.items():
        assert dataclasses.replace(TrainConfig(), **candidate.settings), name


def test_trainings_fill_their_time_and_are_found_again(minutes, tmp_path, monkeypatch):
    monkeypatch.setattr(minutes, "_PROBE", 8)
    monkeypatch.setattr(minutes, "_SETTLED", 1)
    monkeypatch.setitem(minutes.CANDIDATES, "taught", minutes.Candidate({"progressive": 0.5}, teachers=2))
    recipe = TrainConfig(model="compact-small", batch_size=8, validations=2, tensorboard=False, augment="none")
    data, pace = (stripes(32, 0), stripes(13, 1), NAMES), {"recipe": {"small": 0.1, "full": 0.1, "validation": 0.1}}
    first = minutes.trained("recipe", 0, 0.02, data, tmp_path, pace, recipe)
    assert first["steps"] == 10, "1.2 s, two validations"
    assert first["validation"] == 13
    pace["taught"] = {"small": 0.04, "full": 0.14, "validation": 0.0}
    taught = minutes.trained("taught", 0, 0.02, data, tmp_path, pace, recipe)
    assert taught["steps"] == 6, "half of the time is the teachers'"
    assert len(list(tmp_path.glob("taught-*-teacher-*"))) == 2
    change = minutes.against({"0": taught}, {"0": first, "1": first})
    assert change["seeds"] == 1
    points = 100 * (taught["accuracy, mirror averaged"] - first["accuracy, mirror averaged"])
    assert change["mean"] == pytest.approx(points, abs=0.01)
    assert change["low"] <= change["mean"] <= change["high"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    again = minutes.trained("recipe", 0, 0.02, data, tmp_path, pace, recipe)
    assert again["hits"] == first["hits"]
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}


def test_the_pace_is_measured_for_both_sizes(minutes, monkeypatch):
    monkeypatch.setattr(minutes, "_PROBE", 12)
    monkeypatch.setattr(minutes, "_SETTLED", 1)
    config = TrainConfig(model="compact-small", batch_size=8, tensorboard=False, augment="none")
    pace = minutes.pace_of(config, stripes(32, 0), stripes(8, 1), NAMES, 0.5)
    assert min(pace.small, pace.full) > 0
    assert pace.validation >= 0
