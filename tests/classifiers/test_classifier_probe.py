"""The precision of a processor: measured for long trainings, remembered, the same for all that are compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bars_data import NAMES, bars, quick

from classifiers import ClassifierError, Job, many, probe, train, train_many, training
from classifiers import device as devices

CPU = torch.device("cpu")


worth_it = probe.WORTH_IT


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A processor with bfloat16, where every training is long enough to measure; what was measured."""
    seen: list[str] = []

    def faster(model: str, *rest: Any) -> str:
        seen.append(model)
        return "bf16-mixed"

    monkeypatch.setattr(devices, "has_bf16", lambda device: True)
    monkeypatch.setattr(probe, "has_bf16", lambda device: True)
    monkeypatch.setattr(probe, "WORTH_IT", 0)
    monkeypatch.setattr(probe, "faster", faster)
    return seen


def test_only_long_trainings_on_processors_with_bfloat16_are_measured(
    measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, shape = quick(epochs=3), (100, 1, 48)
    assert probe.precision_of(config, shape, 3, CPU) == "bf16-mixed"
    assert probe.precision_of(replace(config, precision="32-true"), shape, 3, CPU) == "32-true"
    assert measured == ["compact"]
    monkeypatch.setattr(probe, "WORTH_IT", worth_it)
    assert probe.precision_of(config, shape, 3, CPU) == "32-true", "a probe would take longer than the training"
    assert probe.precision_of(quick(epochs=300), (28_709, 1, 48), 3, CPU) == "bf16-mixed"
    monkeypatch.setattr(probe, "has_bf16", lambda device: False)
    assert probe.precision_of(quick(epochs=300), (28_709, 1, 48), 3, CPU) == "32-true"
    assert measured == ["compact"] * 2


def test_a_large_network_is_worth_a_probe_after_fewer_images(
    measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CK+48's 883 training images in 12 passes take a small network seconds and ResNet18 minutes."""
    monkeypatch.setattr(probe, "WORTH_IT", worth_it)
    config, shape = quick(epochs=12, batch_size=32), (883, 1, 48)
    assert probe.precision_of(config, shape, 7, CPU) == "32-true"
    assert probe.precision_of(replace(config, model="resnet18"), shape, 7, CPU) == "bf16-mixed"
    assert probe.operations("resnet18", 7, 1, 48) > 20 * probe.operations("compact", 7, 1, 48)


@pytest.mark.parametrize(("ratio", "expected"), [(1.1, "32-true"), (1.3, "bf16-mixed")])
def test_bfloat16_has_to_be_clearly_faster(ratio: float, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0, "half": False}

    def computes(precision: str, device: torch.device) -> Any:
        clock["half"] = precision == "bf16-mixed"
        return torch.autocast("cpu", enabled=False)

    def now() -> float:  # called at both ends of a pass; the end comes after the context was entered
        clock["now"] += 0.5 * (1.0 if clock["half"] else ratio)
        return clock["now"]

    monkeypatch.setattr(probe, "computes_in", computes)
    monkeypatch.setattr(probe.time, "perf_counter", now)
    before = torch.get_rng_state()
    found = probe.faster.__wrapped__("compact-small", 3, 1, 16, 4, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert found == expected


def test_what_was_measured_is_in_the_card_and_a_resumed_training_obeys_it(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception): ...

    def stop(row: object, total: int) -> None:
        raise Stop

    arguments = (quick(epochs=3, checkpoint_seconds=0.0), bars(48), bars(12, seed=1), NAMES, tmp_path)
    with pytest.raises(Stop):
        train(*arguments, device="cpu", watch=stop)
    monkeypatch.setattr(probe, "faster", lambda *args: "32-true")  # other work slows the machine now
    result = train(*arguments, device="cpu")
    assert result.card["precision"] == "bf16-mixed"
    assert result.steps == 9
    fresh = train(quick(epochs=3), bars(48), bars(12, seed=1), NAMES, tmp_path / "fresh", device="cpu")
    assert fresh.card["precision"] == "32-true"


def test_trainings_that_are_compared_have_one_precision(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [Job(quick(epochs=1), bars(24), bars(6, seed=1), NAMES, tmp_path / str(n), n) for n in range(2)]
    first = train_many(jobs[:1], device="cpu", workers=1)
    monkeypatch.setattr(probe, "faster", lambda *args: "32-true")
    both = train_many(jobs, device="cpu", workers=1)
    assert [result.card["precision"] for result in [*first, *both]] == ["bf16-mixed"] * 3
    told = train_many([replace(jobs[0], folder=tmp_path / "told")], device="cpu", workers=1, auto_precision="32-true")
    assert told[0].card["precision"] == "32-true"
    assert many._settled(jobs[0], "cpu", 1) == "32-true"
    with pytest.raises(ClassifierError, match="GPU"):
        training.train(replace(jobs[0].config, precision="16-mixed"), bars(9), bars(6), NAMES, tmp_path / "x",
                       device="cpu")  # fmt: skip
