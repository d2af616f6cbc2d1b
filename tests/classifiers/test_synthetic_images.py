"""Settings that treat synthetic images differently: batch norm of their own, a last stage and priors of real ones,
mixup across."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars, quick

from classifiers import ClassifierError, Samples, TrainConfig, create_model, load_classifier, train
from classifiers import device as devices
from classifiers.augment import mix_across
from classifiers.config import identifying
from classifiers.imbalance import Imbalance, make_order
from classifiers.models import ImageClassifier
from classifiers.samples import class_mass
from classifiers.split_norm import SplitNorm
from classifiers.training import find_finished

LABELS = np.repeat([0, 1, 2], [90, 9, 1])
OPTIONS: list[dict[str, object]] = [
    {"auxiliary_norm": "statistics"},
    {"auxiliary_norm": "affine", "refit": 0.5},
    {"refit": 0.5, "refit_on": "real"},
    {"loss": "logit-adjusted", "prior": "real"},
    {"loss": "ldam", "defer": 0.3, "refit": 0.4, "refit_on": "real"},
    {"mixup_across": 0.4},
]


def mixed(n: int = 48, *, dark: int = 60) -> Samples:
    """Bars, every third of them synthetic and darker."""
    samples = bars(n)
    samples.synthetic = np.arange(n) % 4 == 1
    samples.images = samples.images.copy()
    samples.images[samples.synthetic] //= 1 + dark // 60
    return samples


def statistics(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if "running" in name}


@pytest.mark.parametrize(("name", "affine"), [("compact-small", False), ("cnn-8class", True), ("resnet18", False)])
def test_the_networks_statistics_are_those_of_the_real_images_alone(name: str, affine: bool) -> None:
    torch.manual_seed(0)
    split = SplitNorm(create_model(name, 3, 1, 16), name, affine=affine)
    torch.manual_seed(0)
    plain = create_model(name, 3, 1, 16)
    samples = mixed()
    assert samples.synthetic is not None
    images = torch.from_numpy(samples.images)
    for model in (split, plain):
        model.train()
        for dropout in (m for m in model.modules() if isinstance(m, torch.nn.Dropout)):
            dropout.p = 0.0
    logits, alone = split(images, samples.synthetic), plain(images[~samples.synthetic])
    assert torch.allclose(logits[~samples.synthetic], alone, atol=1e-5)  # in their places
    assert all(torch.equal(value, statistics(plain)[name]) for name, value in statistics(split.model).items())
    own = statistics(split.auxiliary)
    assert len(own) == len(statistics(plain))
    assert not any(torch.equal(a, b) for a, b in zip(own.values(), statistics(plain).values(), strict=True))
    assert len(list(split.auxiliary.parameters())) == (len(own) if affine else 0)  # a gain and a bias each
    before = {key: value.clone() for key, value in statistics(split.model).items()}
    split(images[:1], np.array([True]))  # a single image has no statistics
    split(images[:1], np.array([False]))
    assert all(torch.equal(value, before[key]) for key, value in statistics(split.model).items())
    assert all(module.training for module in split.model.modules())


def test_what_is_saved_is_a_plain_network(tmp_path: Path) -> None:
    samples, val = mixed(), bars(15, seed=1)
    result = train(quick(auxiliary_norm="affine", model="compact-small"), samples, val, NAMES, tmp_path, device="cpu")
    found = load_classifier(tmp_path, "cpu")
    assert found.model.state_dict().keys() == create_model("compact-small", 3, 1, 16).state_dict().keys()
    assert result.notes == []
    assert result.card["config"]["auxiliary_norm"] == "affine"


def test_in_half_precision_and_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_bf16", lambda device: True)
    forward = ImageClassifier.forward

    def small(self: ImageClassifier, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 8:
            raise RuntimeError("CUDA error: out of memory")
        return forward(self, images)

    monkeypatch.setattr(ImageClassifier, "forward", small)
    config = quick(epochs=1, auxiliary_norm="affine", model="compact-small", precision="bf16-mixed")
    result = train(config, mixed(), bars(8, seed=1), NAMES, tmp_path, device="cpu")
    assert result.card["micro_batches"] > 1
    assert result.card["precision"] == "bf16-mixed"
    assert np.isfinite(result.history[-1]["val_loss"])


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options))
def test_each_is_resumed_exactly_and_changes_the_training(options: dict[str, object], tmp_path: Path) -> None:
    config = quick(checkpoint_seconds=0.0, model="compact-small", **options)
    samples, val = mixed(), bars(15, seed=1)
    if "prior" in options:  # the priors differ where most of a class is synthetic
        samples.synthetic = (samples.labels == 2) & (np.arange(len(samples)) % 2 == 0)
    whole = train(config, samples, val, NAMES, tmp_path / "whole", device="cpu")

    class Stop(Exception):
        pass

    def stop(row: dict[str, float], total: int) -> None:
        if row["step"] >= 0.6 * total:
            raise Stop

    with pytest.raises(Stop):
        train(config, samples, val, NAMES, tmp_path / "cut", device="cpu", watch=stop)
    cut = train(config, samples, val, NAMES, tmp_path / "cut", device="cpu")
    assert [row["val_loss"] for row in cut.history] == [row["val_loss"] for row in whole.history]
    a, b = (load_classifier(tmp_path / name, "cpu").logits(val.images) for name in ("whole", "cut"))
    assert np.array_equal(a, b)
    blind = train(config, Samples(samples.images, samples.labels), val, NAMES, tmp_path / "blind", device="cpu")
    assert "no training image is said to be synthetic" in blind.notes[0]
    assert [row["val_loss"] for row in blind.history] != [row["val_loss"] for row in whole.history]


def test_which_images_are_synthetic_counts_only_where_something_asks(tmp_path: Path) -> None:
    told, untold, val = mixed(24), mixed(24), bars(15, seed=1)
    untold.synthetic = None
    plain = quick(epochs=1, model="compact-small")
    train(plain, untold, val, NAMES, tmp_path, device="cpu")
    assert find_finished(plain, told, val, NAMES, tmp_path)
    later = {"refit_on", "prior", "auxiliary_norm", "mixup_across"}
    assert not later & identifying(asdict(TrainConfig())).keys()
    train(quick(epochs=1, model="compact-small", mixup_across=0.2), told, val, NAMES, tmp_path / "asks", device="cpu")
    other = mixed(24)
    other.synthetic = np.arange(24) % 4 == 2
    for samples, there in ((told, True), (other, False)):
        found = find_finished(replace_mixup(plain), samples, val, NAMES, tmp_path / "asks")
        assert (found is not None) == there


def replace_mixup(config: TrainConfig) -> TrainConfig:
    return TrainConfig(**{**asdict(config), "mixup_across": 0.2})


def test_the_last_stage_draws_real_images_alone_and_classes_equally_often() -> None:
    synthetic = np.arange(100) % 2 == 0
    synthetic[99] = False
    config = TrainConfig(refit=0.5, refit_on="real", batch_size=30)
    order = make_order(config, LABELS, 0, None, 10, synthetic)
    first, last = np.concatenate([order.batch(s) for s in range(5)]), order.batch(7)
    assert synthetic[first].any()
    assert not synthetic[last].any()
    assert np.bincount(LABELS[last]).tolist() == pytest.approx([10, 10, 10], abs=3)


def test_the_last_stage_has_balanced_sampling_and_no_other_rebalancing() -> None:
    config = TrainConfig(loss="class-weighted", refit=0.5, refit_on="real")
    parts = Imbalance(config, LABELS, np.array([90.0, 9.0, 1.0]), 10)
    targets = torch.eye(3)
    assert parts.weigh(targets, 4).diagonal().tolist() == pytest.approx([0.3704, 3.7037, 33.3333], rel=1e-3)
    assert parts.weigh(targets, 5) is targets
    deferred = TrainConfig(sampler="balanced", defer=0.4, refit=0.2, batch_size=30)
    order = make_order(deferred, LABELS, 0, None, 10)  # plain, then balanced, then balanced with a new head
    assert np.array_equal(order.batch(3), make_order(TrainConfig(batch_size=30), LABELS, 0, None, 10).batch(3))
    assert np.bincount(LABELS[order.batch(5)]).tolist() == pytest.approx([10, 10, 10], abs=3)


def test_without_synthetic_images_the_last_stage_is_the_usual_one(tmp_path: Path) -> None:
    config = {"refit": 0.5, "loss": "logit-adjusted", "model": "compact-small", "epochs": 2}
    samples, val, rows = bars(24), bars(15, seed=1), []
    samples.labels = np.minimum(samples.labels, np.arange(24) % 6)
    for more in ({}, {"refit_on": "real"}):
        result = train(quick(**config, **more), samples, val, NAMES, tmp_path / str(len(more)), device="cpu")
        rows.append([row["val_loss"] for row in result.history])
    assert rows[0] == rows[1]
    assert "refit_on = real changes nothing" in result.notes[0]


def test_priors_of_the_real_images_alone() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    synthetic = np.array([False, False, False, False, True, True, True])
    weights = np.array([1, 1, 1, 1, 0.5, 0.5, 0.25], np.float32)
    images = np.zeros((7, 1, 16, 16), np.uint8)
    for given, counted in ((None, [3, 3, 1]), (weights, [3, 2, 0.25])):
        samples = Samples(images, labels, given, synthetic=synthetic)
        assert class_mass(samples, 3).tolist() == counted
        # a class that has no real image keeps its synthetic ones
        assert class_mass(samples, 3, real=True).tolist() == [3, 1, counted[2]]
    real = Samples(images[:4], labels[:4])
    assert class_mass(real, 3).tolist()[:2] == [3, 1]


def test_mixup_across_mixes_real_with_synthetic() -> None:
    synthetic = np.array([True, False, False, False, True, False])
    x = torch.from_numpy(synthetic.astype(np.float32)).view(-1, 1, 1, 1).expand(6, 1, 4, 4)
    targets = torch.eye(2)[torch.from_numpy(synthetic.astype(np.int64))]
    found, mixed_targets = mix_across(x, targets, synthetic, 1.0, np.random.default_rng(0))
    share = float(found[0, 0, 0, 0])  # of the synthetic image's own
    assert 0 < share < 1
    assert found[:, 0, 0, 0].tolist() == pytest.approx([share if own else 1 - share for own in synthetic])
    assert torch.allclose(mixed_targets[:, 1], found[:, 0, 0, 0])
    for one_source in (np.zeros(6, bool), np.ones(6, bool)):
        assert mix_across(x, targets, one_source, 1.0, np.random.default_rng(0))[0] is x


def test_what_cannot_work_is_said_before_the_training(tmp_path: Path) -> None:
    for options, message in (
        ({"refit_on": "real"}, "no head is fitted again"),
        ({"mixup_across": 0.2, "auxiliary_norm": "statistics"}, "no image that is real alone"),
    ):
        with pytest.raises(ClassifierError, match=message):
            quick(**options)
    val = bars(15, seed=1)
    wrong = [
        ({"auxiliary_norm": "statistics", "model": "fnn"}, np.arange(24) % 2 == 0, "'fnn' has no batch norm"),
        ({"refit": 0.3, "refit_on": "real"}, bars(24).labels == 2, "rising has synthetic images alone"),
        ({"prior": "real"}, np.ones(24, bool), "every training image is synthetic"),
        ({}, np.ones(24), "must be 24 truth values"),
        ({}, np.ones(3, bool), "must be 24 truth values"),
    ]
    for options, synthetic, message in wrong:
        samples = bars(24)
        samples.synthetic = synthetic
        with pytest.raises(ClassifierError, match=message):
            train(quick(**options), samples, val, NAMES, tmp_path / "wrong", device="cpu")
