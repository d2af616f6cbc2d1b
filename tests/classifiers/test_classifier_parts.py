"""Order, schedule, averaged weights and losses, each against what it should be by hand."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_leaves

from classifiers import TrainConfig, create_model
from classifiers.losses import balanced_class_weights, make_loss, smooth, smoothing_shares
from classifiers.muon import Muon
from classifiers.muon_stack import orthogonalised, stacks_of
from classifiers.parts import (
    DEFAULT_LR,
    Average,
    Order,
    clip_gradients,
    default_lr,
    lr_factor,
    make_optimizer,
    total_steps,
    validation_steps,
)

CPU = torch.device("cpu")


def test_every_image_comes_once_per_epoch_in_a_new_order() -> None:
    order = Order(np.zeros(10, int), "shuffle", 4, seed=0)
    run = np.concatenate([order.batch(step) for step in range(5)])
    assert sorted(run[:10]) == sorted(run[10:]) == list(range(10))
    assert not np.array_equal(run[:10], run[10:])


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    labels = np.arange(30) % 3
    for sampler in ("shuffle", "balanced"):
        walked = Order(labels, sampler, 7, seed=1)
        for step in range(9):
            batch = walked.batch(step)
        assert np.array_equal(batch, Order(labels, sampler, 7, seed=1).batch(8))
        assert not np.array_equal(batch, Order(labels, sampler, 7, seed=2).batch(8))


def test_balanced_draws_classes_equally_often() -> None:
    labels = np.array([0] * 90 + [2] * 10)
    drawn = labels[np.concatenate([Order(labels, "balanced", 10, seed=0).batch(s) for s in range(10)])]
    assert np.bincount(drawn).tolist() == [50, 0, 50]


def test_balanced_draws_light_images_less_often_and_their_class_as_often() -> None:
    labels = np.array([0] * 50 + [1] * 50)
    weights = np.array([1.0] * 50 + [1.0] * 10 + [0.25] * 30 + [0.0] * 10)
    order = Order(labels, "balanced", 100, seed=0, weights=weights)
    drawn = np.bincount(np.concatenate([order.batch(step) for step in range(100)]), minlength=100)
    assert drawn[:50].sum() == drawn[50:].sum() == 5000
    assert drawn[50:60].sum() / drawn[60:90].sum() == pytest.approx(10 / 7.5, rel=0.1)
    assert drawn[90:].sum() == 0
    alike = Order(labels, "balanced", 100, seed=0, weights=np.full(100, 0.5))
    assert np.array_equal(alike.batch(3), Order(labels, "balanced", 100, seed=0).batch(3))


def test_a_batch_larger_than_the_set_is_the_set() -> None:
    assert sorted(Order(np.zeros(3, int), "shuffle", 64, seed=0).batch(5)) == [0, 1, 2]


def test_steps_and_validations() -> None:
    assert total_steps(TrainConfig(epochs=3, batch_size=16), 40) == 8
    assert validation_steps(TrainConfig(epochs=3, batch_size=16), 40) == [3, 5, 8]
    assert validation_steps(TrainConfig(steps=1000, batch_size=16, validations=4), 160) == [250, 500, 750, 1000]
    assert validation_steps(TrainConfig(steps=2, batch_size=16), 160) == [2]


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_the_learning_rate_rises_peaks_and_falls(schedule: str) -> None:
    values = [lr_factor(schedule, i / 100, 0.2) for i in range(100)]
    assert values[:21] == sorted(values[:21])
    assert values[20] == 1
    assert values[20:] == sorted(values[20:], reverse=True)
    assert 0.04 < values[0] < 0.06
    assert values[-1] == 1 if schedule == "constant" else values[-1] < 0.02


def test_weight_decay_spares_norms_and_biases() -> None:
    model = create_model("compact", 3, size=16)
    for name, optimizer in (("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)):
        made = make_optimizer(TrainConfig(optimizer=name, weight_decay=0.1), model)
        assert isinstance(made, optimizer)
        for group in made.param_groups:
            assert group["weight_decay"] == (0.1 if group["params"][0].ndim > 1 else 0)
            assert len({p.ndim > 1 for p in group["params"]}) == 1
        assert sum(len(g["params"]) for g in made.param_groups) == len(list(model.parameters()))


def test_the_optimiser_is_the_models_own_unless_one_is_named() -> None:
    compact, fnn = create_model("compact-small", 3, size=16), create_model("fnn", 3, size=16)
    assert isinstance(make_optimizer(TrainConfig(), compact), Muon)
    assert isinstance(make_optimizer(TrainConfig(), fnn), torch.optim.AdamW)
    assert isinstance(make_optimizer(TrainConfig(optimizer="sgd"), compact), torch.optim.SGD)
    assert {group["peak_lr"] for group in make_optimizer(TrainConfig(), compact).param_groups} == {1e-2}
    assert {group["peak_lr"] for group in make_optimizer(TrainConfig(), fnn).param_groups} == {3e-3}


def test_average_follows_parameters_and_batch_statistics() -> None:
    model = create_model("compact", 3, size=16)
    average = Average(model, 0.75)
    before = model.head[1].bias.detach().clone()  # type: ignore[index]
    with torch.no_grad():
        model.head[1].bias += 1  # type: ignore[index]
        model.body[0][1].running_mean += 1  # type: ignore[index]
    average.update(1000)
    assert torch.allclose(average.model.head[1].bias, before + 0.25)  # type: ignore[index]
    assert torch.allclose(average.model.body[0][1].running_mean, torch.full((32,), 0.25))  # type: ignore[index]
    average.update(0)  # early on it follows closely: decay (1 + 0) / (10 + 0)
    assert torch.allclose(average.model.head[1].bias, before + 0.25 + 0.75 * 0.9)  # type: ignore[index]


LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.3, 0.1]])
LABELS = torch.tensor([0, 2])
ONE_HOT = F.one_hot(LABELS, 3).float()
COUNTS = np.array([80, 0, 20])


def value(name: str, targets: torch.Tensor = ONE_HOT, **options: float) -> torch.Tensor:
    return make_loss(name, COUNTS, CPU, **options)(LOGITS, targets)


def test_cross_entropy_with_smoothing_is_torchs() -> None:
    ours = value("cross-entropy", smooth(ONE_HOT, 0.1, smoothing_shares("cross-entropy", COUNTS, CPU)))
    assert torch.allclose(ours, F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction="none"))


@pytest.mark.parametrize("name", ["cross-entropy", "focal", "logit-adjusted", "l2-svm"])
def test_a_weight_scales_its_samples_loss(name: str) -> None:
    weights = torch.tensor([[3.0], [0.5]])
    assert torch.allclose(value(name, ONE_HOT * weights), value(name) * weights[:, 0])


def test_focal_by_hand_and_gamma_zero_is_cross_entropy() -> None:
    p = LOGITS.softmax(1)[torch.arange(2), LABELS]
    assert torch.allclose(value("focal", focal_gamma=2.0), -((1 - p) ** 2) * p.log())
    assert torch.allclose(value("focal", focal_gamma=0.0), value("cross-entropy"))


def test_logit_adjustment_adds_the_log_prior_and_survives_an_empty_class() -> None:
    prior = torch.tensor([80 / 101, 1 / 101, 20 / 101])
    assert torch.allclose(value("logit-adjusted"), F.cross_entropy(LOGITS + prior.log(), LABELS, reduction="none"))
    assert torch.allclose(value("logit-adjusted", logit_tau=0.0), value("cross-entropy"))


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_smoothing_under_logit_adjustment_favours_no_class(tau: float) -> None:
    """An image that says nothing: the best plain logits are even, with smoothing as without it."""
    counts = np.array([900, 90, 10])
    says_nothing = (torch.tensor(counts, dtype=torch.float32).log() * tau).softmax(0)
    shares = smoothing_shares("logit-adjusted", counts, CPU, logit_tau=tau)
    target = smooth(says_nothing[None], 0.3, shares)
    assert torch.allclose(target.sum(1), torch.ones(1))
    logits = torch.zeros(1, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(
        make_loss("logit-adjusted", counts, CPU, logit_tau=tau)(logits, target).sum(), logits
    )
    assert torch.allclose(slope, torch.zeros(1, 3), atol=1e-6)
    assert torch.allclose(shares, torch.full((3,), 1 / 3)) == (tau == 0)


def test_l2_svm_by_hand() -> None:
    # True class 0 at 2.0 costs nothing; 0.5 and -1.0 as negatives cost 1.5^2 and 0.
    assert float(value("l2-svm")[0]) == pytest.approx(2.25)
    # True class 2 at 0.1 costs 0.9^2; 0.0 and 0.3 cost 1 and 1.3^2.
    assert float(value("l2-svm")[1]) == pytest.approx(0.81 + 1 + 1.69)


def test_class_weights_are_scikit_learns_balanced() -> None:
    assert balanced_class_weights(COUNTS).tolist() == [pytest.approx(100 / 160), 0, pytest.approx(100 / 40)]


def test_losses_stay_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    for name in ("cross-entropy", "focal", "logit-adjusted", "l2-svm"):
        loss = make_loss(name, COUNTS, CPU)(logits, torch.tensor([[1.0, 0.0, 0.0]])).sum()
        (grad,) = torch.autograd.grad(loss, logits)
        assert math.isfinite(loss.item())
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16)])
def test_orthogonalised_brings_singular_values_near_one_and_keeps_directions(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrix = 30 * u @ torch.diag(torch.logspace(0, -1.2, min(shape))) @ v
    out = orthogonalised(matrix)
    assert 0.5 < torch.linalg.svdvals(out).min() <= torch.linalg.svdvals(out).max() < 1.3
    inner = torch.diag(u.T @ out @ v.T)
    assert (inner > 0.5).all(), "each singular direction is kept, only its length changes"


def test_muon_in_bfloat16_turns_where_it_turns_in_float32() -> None:
    torch.manual_seed(0)
    weight = torch.randn(32, 16, 3, 3) * torch.logspace(0, -2, 32).view(-1, 1, 1, 1)
    weight[3] = 1e-40  # a unit that died: denormal, with which processors multiply slowly
    steps = []
    for half in (False, True):
        p = torch.nn.Parameter(weight.clone())
        optimizer = Muon([{"params": [p], "muon": True}], lr=0.01, half=half)
        p.grad = weight.clone()
        optimizer.step()
        steps.append((p.detach() - weight).flatten())
        assert optimizer.state[p]["momentum"].dtype == p.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(*steps, 0) > 0.999
    assert not torch.equal(*steps)


@pytest.mark.parametrize("shape", [(32, 288), (3, 16, 100), (400, 24)])
def test_muon_by_gram_matrices_is_the_iteration_itself(shape: tuple[int, ...]) -> None:
    """As near to the iteration in float64 as float32 comes, for singular values over five powers of ten."""
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    size = min(shape[-2:])
    matrix = u @ torch.diag_embed(torch.logspace(0, -5, size).expand(*shape[:-2], size)) @ v
    matrix[..., 3, :] = 0.0  # of a unit that died
    found = orthogonalised(matrix)
    expected = orthogonalised(matrix.double())  # whose products are those of the matrices
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, atol=2e-4)
    assert not found[..., 3, :].any()


def test_muon_splits_kernels_from_the_rest_and_its_adam_is_torchs() -> None:
    model = create_model("compact", 3, size=16)
    made = make_optimizer(TrainConfig(optimizer="muon", weight_decay=0.0), model)
    kernels = {id(p) for group in made.param_groups if group["muon"] for p in group["params"]}
    assert kernels == {id(p) for p in model.body.parameters() if p.ndim > 1}

    torch.manual_seed(0)
    ours, theirs = torch.nn.Parameter(torch.randn(5)), torch.nn.Parameter(torch.zeros(5))
    theirs.data.copy_(ours.data)
    options = {"lr": 0.01, "weight_decay": 0.1}
    pair = (
        (ours, Muon([{"params": [ours], "muon": False, "weight_decay": 0.1}], lr=0.01)),
        (theirs, torch.optim.AdamW([theirs], betas=(0.9, 0.99), **options)),  # type: ignore[arg-type]
    )
    for step in range(5):
        for p, optimizer in pair:
            p.grad = torch.linspace(-1, 1, 5) * (step + 1)
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def _trained(model: torch.nn.Module, batched: bool, *, tensor_rate: bool = False, frozen: int = 0) -> Muon:
    """Six steps on random gradients, the first `frozen` parameters only learning from the fourth on, and a reload."""
    config = TrainConfig(optimizer="muon")
    groups = make_optimizer(config, model).param_groups
    optimizer = Muon(groups, lr=0.01, batched=batched)
    rng = torch.Generator().manual_seed(1)
    for step in range(6):
        for i, p in enumerate(model.parameters()):
            gradient = torch.randn(p.shape, generator=rng) * 0.1
            p.grad = gradient.to(memory_format=torch.channels_last) if p.ndim == 4 else gradient
            if step < 3 and i < frozen:
                p.grad = None
        for group in optimizer.param_groups:
            rate = 0.01 / (step + 1)
            group["lr"] = torch.tensor(rate) if tensor_rate else rate
        optimizer.step()
        if step == 3:
            again = Muon(groups, lr=0.01, batched=batched)
            again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer = again
    return optimizer


@pytest.mark.parametrize("options", [{}, {"tensor_rate": True}, {"frozen": 9}])
def test_muon_for_all_matrices_together_is_muon_for_each(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = create_model("compact-small", 3, size=48).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    together = copy.deepcopy(plain)
    before = [p.detach().clone() for p in plain.parameters()]
    _trained(plain, batched=False, **{k: v for k, v in options.items() if k == "frozen"})
    optimizer = _trained(together, batched=True, **options)
    for start, a, b in zip(before, plain.parameters(), together.parameters(), strict=True):
        assert not torch.equal(start, a)
        assert torch.allclose(a, b, atol=3e-7, rtol=3e-6)
    shared = {optimizer.state[p]["momentum"].untyped_storage().data_ptr() for p in together.body.parameters()
              if p.ndim > 1}  # fmt: skip
    assert len(shared) < 3, "all momenta lie in a stack or two"


@pytest.mark.parametrize("clipped", [True, False])
def test_muon_takes_float16s_scale_and_leaves_out_a_step_that_overflowed(clipped: bool) -> None:
    """As torch's gradient scaler asks of optimisers that never wait to hear whether gradients are finite."""
    torch.manual_seed(0)
    plain = create_model("compact-small", 3, size=16)
    scaled = copy.deepcopy(plain)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    pairs = [
        (network, Muon(make_optimizer(TrainConfig(optimizer="muon"), network).param_groups, lr=0.01, batched=True))
        for network in (plain, scaled)
    ]
    fabric: Any = SimpleNamespace(strategy=SimpleNamespace(precision=SimpleNamespace(scaler=scaler)))

    def step(factor: float) -> None:
        rng = torch.Generator().manual_seed(1)
        gradients = [torch.randn(p.shape, generator=rng) * 0.1 for p in plain.parameters()]
        for network, optimizer in pairs:
            own = network is scaled
            for p, gradient in zip(network.parameters(), gradients, strict=True):
                p.grad = gradient * (float(scaler.scale(torch.ones(()))) * factor if own else 1.0)
            if not own:
                if clipped:
                    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                continue
            if clipped:
                clip_gradients(fabric, SimpleNamespace(optimizer=optimizer), 1.0)
            scaler.step(optimizer)
            scaler.update()

    for _ in range(3):
        step(1.0)
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    before = copy.deepcopy([list(scaled.parameters()), pairs[1][1].state_dict()["state"]])
    step(math.inf)
    assert scaler.get_scale() == 512.0
    after = [list(scaled.parameters()), pairs[1][1].state_dict()["state"]]
    for a, b in zip(tree_leaves(before), tree_leaves(after), strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_stacks_pad_no_more_than_is_cheap() -> None:
    def stacks(name: str) -> list[Any]:
        return stacks_of([p for p in create_model(name, 7, size=48).body.parameters() if p.ndim > 1])

    assert len(stacks("compact")) == 1
    large = stacks("compact-large")
    assert 1 < len(large) < 5
    assert sum(len(stack.params) for stack in large) == 10
    for stack in large:
        n, rows, columns = stack.gradient.shape
        own = sum(min(m) ** 2 * max(m) for m in stack._shapes)
        assert n * rows**2 * columns <= max(2**31, 2 * own)


def test_muons_step_is_as_long_as_adams() -> None:
    p = torch.nn.Parameter(torch.zeros(64, 3, 3, 3))
    optimizer = Muon([{"params": [p], "muon": True}], lr=0.01)
    torch.manual_seed(0)
    p.grad = torch.randn_like(p) * 7
    optimizer.step()
    assert float(p.detach().square().mean().sqrt()) == pytest.approx(0.01 * 0.2 * (64 / 64) ** 0.5, rel=0.3)


def test_a_unit_that_died_leaves_no_denormal_numbers_behind() -> None:
    """Seen in a long training: a sixth of the units dead, their momentum denormal, every step 30 times as long."""
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    optimizer = Muon([{"params": [p], "muon": True}], lr=0.01)
    alive = torch.randn(7, 4, 3, 3)
    for _ in range(1500):  # 0.95^1500 is 4e-34
        p.grad = torch.cat([alive, torch.zeros(1, 4, 3, 3)]) if optimizer.state else torch.randn(8, 4, 3, 3)
        optimizer.step()
    momentum = optimizer.state[p]["momentum"]
    assert torch.equal(momentum[7], torch.zeros(4, 3, 3))
    assert float(momentum[:7].abs().min()) > 1e-6

    matrix = torch.randn(6, 10)
    with_dead = torch.cat([matrix, torch.full((1, 10), 1e-39)])
    found = orthogonalised(with_dead)
    assert torch.allclose(found[:6], orthogonalised(matrix), atol=1e-6)
    assert torch.equal(found[6], torch.zeros(10))


@pytest.mark.long
def test_a_wide_network_starts_with_smaller_steps_and_learns() -> None:
    """At the rate of `compact`, `compact-large` had a loss of 7.6 after 20 steps, four times that of guessing."""
    rates = {name: default_lr("muon", create_model(name, 7)) for name in ("compact-small", "compact", "compact-large")}
    assert rates["compact-small"] == rates["compact"] == DEFAULT_LR["muon"]
    assert rates["compact-large"] == pytest.approx(DEFAULT_LR["muon"] / 3)
    assert default_lr("adamw", create_model("compact-large", 7)) == DEFAULT_LR["adamw"]

    torch.manual_seed(0)
    model = create_model("compact-large", 2, size=16)
    optimizer = make_optimizer(TrainConfig(), model)
    for _ in range(12):
        labels = torch.randint(0, 2, (16,))
        images = (0.3 + 0.2 * labels.float())[:, None, None, None] + 0.05 * torch.randn(16, 1, 16, 16)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        assert float(loss.detach()) < 5
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
