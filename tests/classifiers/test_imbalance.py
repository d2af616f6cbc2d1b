"""What trains for rare classes: worked out by hand, off by default, and resumed exactly."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars, quick

from classifiers import TrainConfig, load_classifier, train, training
from classifiers.biases import save_with_biases
from classifiers.config import identifying
from classifiers.imbalance import Imbalance, LateOrder, make_order
from classifiers.losses import make_loss
from classifiers.models import create_model
from classifiers.parts import Average, Order, make_optimizer
from classifiers.state import Run

LABELS = np.repeat([0, 1, 2], [90, 9, 1])
MASS = np.array([90.0, 9.0, 1.0])


def test_ldam_lowers_the_own_logit_by_its_margin() -> None:
    loss = make_loss("ldam", np.array([16, 1]), torch.device("cpu"), ldam_margin=2.0)
    logits = torch.tensor([[0.5, 0.0], [0.0, 1.0]])
    found = loss(logits, torch.eye(2))
    expected = [-np.log(np.exp(z) / (np.exp(z) + 1)) for z in (0.5 - 1.0, 1.0 - 2.0)]  # margins 2 * n^(-1/4)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    both = loss(logits[:1], torch.tensor([[0.5, 0.5]]))  # a soft target weighs the classes' terms
    other = -np.log(np.exp(0.0 - 2.0) / (np.exp(-2.0) + np.exp(0.5)))
    assert both.item() == pytest.approx(0.5 * expected[0] + 0.5 * other, rel=1e-5)


def test_the_square_root_sampler_lies_between_plain_and_balanced() -> None:
    drawn = np.bincount(LABELS[Order(LABELS, "root", 100, 0).batch(0)], minlength=3)
    root = np.sqrt(MASS) / np.sqrt(MASS).sum()
    assert drawn.tolist() == pytest.approx((100 * root).tolist(), abs=1)


def test_sampling_and_weights_set_in_late() -> None:
    config = TrainConfig(sampler="balanced", defer=0.8, batch_size=30)
    order = make_order(config, LABELS, 0, None, 10)
    assert isinstance(order, LateOrder)
    assert np.array_equal(order.batch(7), Order(LABELS, "shuffle", 30, 0).batch(7))
    assert np.bincount(LABELS[order.batch(8)]).tolist() == pytest.approx([10, 10, 10], abs=3)
    late = Imbalance(TrainConfig(loss="class-weighted", defer=0.8), LABELS, MASS, 10)
    targets = torch.eye(3)
    assert late.weigh(targets, 7) is targets
    assert late.weigh(targets, 8).diagonal().tolist() == pytest.approx((100 / 3 / MASS).tolist())


def test_a_new_head_on_frozen_features() -> None:
    config = quick(refit=0.25, model="compact-small")
    parts = Imbalance(config, LABELS, MASS, 8)
    model = create_model("compact-small", 3, 1, 16)
    optimizer, average = make_optimizer(config, model), Average(model, 0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parts.begin(5, model, optimizer, average)
    assert all(parameter.requires_grad for parameter in model.parameters())
    parts.begin(6, model, optimizer, average)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("head")}
    assert not any(parameter.requires_grad for parameter in model.body.parameters())
    assert all(torch.equal(a, b) for a, b in zip(model.head.parameters(), average.model.head.parameters(), strict=True))
    assert parts.lr_share(5) < 0.5 < parts.lr_share(6)  # the head has a schedule of its own
    again = {name: value.clone() for name, value in model.state_dict().items()}
    parts.begin(7, model, optimizer, average)
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_a_body_that_was_unfrozen_gradually_is_frozen_for_the_new_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learns = []

    def step(run: Run, *rest: Any) -> torch.Tensor:
        learns.append(sum(parameter.requires_grad for parameter in run.model.body.parameters()))
        return one_step(run, *rest)

    one_step = training._step
    monkeypatch.setattr(training, "_step", step)
    config = quick(model="compact-small", epochs=2, freeze=0.25, refit=0.5)
    train(config, bars(64), bars(15, seed=1), NAMES, tmp_path, device="cpu")
    assert learns[0] == 0 < learns[1] < learns[2] == learns[3]
    assert learns[4:] == [0] * 4


@pytest.mark.parametrize("late", [{"refit": 0.25}, {"defer": 0.75, "loss": "ldam"}])
def test_patience_waits_for_what_sets_in_late(tmp_path: Path, late: dict[str, object]) -> None:
    """A training that gets no better would end before the new head, or the weights, that it was asked for."""
    config = quick(epochs=12, patience=1, lr=1e-7, model="compact-small", **late)
    result = train(config, bars(16), bars(15, seed=1), NAMES, tmp_path, device="cpu")
    assert result.steps >= 10  # of 12; what is late begins with step 9


def test_pasted_patches_are_of_rare_classes_and_take_their_share() -> None:
    parts = Imbalance(TrainConfig(cmo=1.0), LABELS, MASS, 10)
    images, targets = torch.zeros(64, 1, 12, 12), torch.eye(3)[torch.zeros(64, dtype=torch.long)]
    taken: list[np.ndarray] = []

    def take(index: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        taken.append(LABELS[index])
        return torch.ones(len(index), 1, 12, 12), torch.eye(3)[torch.from_numpy(LABELS[index])]

    found, mixed = parts.pasted(images, targets, np.random.default_rng(0), take)
    assert np.mean(taken[0] == 2) > 0.7  # one image of a hundred
    share = found.mean((1, 2, 3))
    assert torch.allclose(mixed.sum(1), torch.ones(64))
    rare = torch.from_numpy(taken[0] != 0)
    assert torch.allclose(1 - mixed[rare, 0], share[rare], atol=1e-6)
    off = Imbalance(TrainConfig(), LABELS, MASS, 10)
    assert off.pasted(images, targets, np.random.default_rng(0), take)[0] is images


def test_only_rare_images_are_changed_more_strongly() -> None:
    parts = Imbalance(TrainConfig(rare_augment="strong"), LABELS, MASS, 10)
    raw = torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8)
    plain, targets = raw.float() / 255, torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 2])]
    found = parts.changed(raw, plain, targets, torch.Generator().manual_seed(0))
    same = [torch.equal(a, b) for a, b in zip(found, plain, strict=True)]
    assert same == [True, False, False, True, False, False]


def test_a_training_made_before_these_settings_is_the_same_training() -> None:
    later = {item.name for item in fields(TrainConfig) if item.metadata["later"]}
    assert {"defer", "refit", "cmo", "rare_augment", "ldam_margin"} <= later
    assert not later & identifying(asdict(TrainConfig())).keys()
    assert identifying(asdict(TrainConfig(defer=0.5)))["defer"] == 0.5


def test_a_training_with_all_of_it_is_resumed_exactly(tmp_path: Path) -> None:
    config = quick(
        epochs=4, loss="ldam", defer=0.3, refit=0.4, cmo=0.7, rare_augment="light", checkpoint_seconds=0.0,
        model="compact-small",
    )  # fmt: skip
    samples, val = bars(60), bars(15, seed=1)
    keep = np.concatenate([np.flatnonzero(samples.labels < 2), np.flatnonzero(samples.labels == 2)[:4]])
    samples.images, samples.labels = samples.images[keep], samples.labels[keep]
    whole = train(config, samples, val, NAMES, tmp_path / "whole", device="cpu")

    class Stop(Exception):
        pass

    def stop(row: dict[str, float], total: int) -> None:
        if row["step"] >= 0.7 * total:
            raise Stop

    with pytest.raises(Stop):
        train(config, samples, val, NAMES, tmp_path / "cut", device="cpu", watch=stop)
    cut = train(config, samples, val, NAMES, tmp_path / "cut", device="cpu")
    assert [row["val_loss"] for row in cut.history] == [row["val_loss"] for row in whole.history]
    a, b = (load_classifier(tmp_path / name, "cpu").logits(val.images) for name in ("whole", "cut"))
    assert np.array_equal(a, b)


def test_moved_biases_are_part_of_the_weights(tmp_path: Path, trained: object) -> None:
    folder = trained.folder  # type: ignore[attr-defined]
    images = bars(12, seed=3).images
    before = load_classifier(folder, "cpu").probabilities(images).astype(np.float64)
    shifts = np.array([0.5, -1.0, 0.2])
    assert save_with_biases(folder, tmp_path / "moved", slope=1.7, shifts=shifts, note={"arm": "x"})
    moved = load_classifier(tmp_path / "moved", "cpu")
    expected = before**1.7 * np.exp(shifts)
    assert moved.probabilities(images) == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-4)
    assert moved.card["arm"] == "x"
