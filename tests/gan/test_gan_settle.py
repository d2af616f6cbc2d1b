"""What a GAN's settings come to: the batch size by the device, the precision by a measurement that is kept."""

from __future__ import annotations

import dataclasses
import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from ganfer.config import Config, GanConfig, load_config
from ganfer.errors import GanferError
from ganfer.gan import settle
from ganfer.gan import train as stage
from ganfer.gan.networks import NetworkSpec
from ganfer.gan.train import train_gan

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
SPEC = NetworkSpec("resgan", 16, 1, 3, 8, 4)


@pytest.mark.parametrize(
    ("settings", "device", "expected"),
    [
        ({}, CPU, 64),
        ({}, CUDA, 256),
        ({"network": "dcgan"}, CUDA, 256),
        ({"base_channels": 64}, CUDA, 64),
        ({"network": "stylegan2"}, CUDA, 64),
        ({"classic": True}, CUDA, 128),
        ({"batch_size": 64}, CUDA, 64),
        ({"batch_size": 8}, CPU, 8),
    ],
)
def test_the_batch_is_wide_where_a_gpu_waits_for_launches(settings, device, expected):
    config = load_config(None, {f"gan.{name}": value for name, value in settings.items()}).gan
    assert settle.settled_batch(config, device).batch_size == expected


def test_a_batch_of_one_is_refused():
    with pytest.raises(GanferError, match="batch_size = 1 is too few.*2 or more"):
        settle.settled_batch(GanConfig(batch_size=1), CPU)


def test_a_run_made_when_the_batch_size_was_a_number_is_still_found(workspace, data, make_config):
    given = make_config(gan__batch_size=settle.BATCH, gan__steps=2, gan__snapshot_every=2)
    path = train_gan(workspace, given, data).path
    left_open = make_config(gan__batch_size=0, gan__steps=2, gan__snapshot_every=2)
    again = train_gan(workspace, left_open, data)
    assert (again.path, "already trained" in again.lines[0]) == (path, True)


worth_it = settle.WORTH_IT


@contextmanager
def stops_at_the_fifth_step():
    """In place of `graceful_stop`."""
    asked = iter([False] * 4 + [True])
    yield lambda: next(asked)


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """A processor with bfloat16, where every training is long enough to measure; which networks were measured."""
    seen: list[str] = []

    def faster(spec: NetworkSpec, regulariser: str, batch: int) -> str:
        seen.append(spec.network)
        return "bf16"

    monkeypatch.setattr(settle, "has_bf16", lambda device: True)
    monkeypatch.setattr(settle, "WORTH_IT", 0)
    monkeypatch.setattr(settle, "faster", faster)
    return seen


def test_only_long_trainings_on_processors_with_bfloat16_are_measured(measured, monkeypatch, tmp_path: Path):
    config = GanConfig(batch_size=64, precision="fastest")
    nowhere = tmp_path / "checkpoint.pt"

    def found(**changes: object) -> str:
        return settle.settled_precision(dataclasses.replace(config, **changes), SPEC, CPU, nowhere)  # type: ignore[arg-type]

    assert found() == "bf16"
    assert found(precision="fp32") == found(precision="auto") == "fp32"
    assert measured == ["resgan"]
    monkeypatch.setattr(settle, "WORTH_IT", worth_it)
    assert found(steps=100) == "fp32", "a probe would take longer than it gains"
    assert found(steps=100_000) == "bf16"
    monkeypatch.setattr(settle, "has_bf16", lambda device: False)
    assert found(steps=100_000) == "fp32"
    assert len(measured) == 2
    nowhere.write_bytes(b"damaged")
    assert found(steps=100_000) == "fp32"


@pytest.mark.parametrize(("ratio", "expected"), [(1.1, "fp32"), (1.3, "bf16")])
def test_bfloat16_has_to_be_clearly_faster(ratio, expected, monkeypatch):
    clock = {"now": 0.0, "half": False}

    @contextmanager
    def computes(precision, device):
        clock["half"] = precision == "bf16-mixed"
        yield

    def now() -> float:  # called at both ends of a pass; the end comes after the context was entered
        clock["now"] += 0.5 * (1.0 if clock["half"] else ratio)
        return clock["now"]

    monkeypatch.setattr(settle, "computes_in", computes)
    monkeypatch.setattr(settle.time, "perf_counter", now)
    before = torch.get_rng_state()
    assert settle.faster(SPEC, "r1r2", 4) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_what_was_measured_is_in_the_card_and_a_resumed_training_obeys_it(
    measured, workspace, data, make_config, monkeypatch
):
    config: Config = make_config(gan__steps=8, gan__snapshot_every=8, gan__precision="fastest")
    with monkeypatch.context() as patched:
        patched.setattr(stage, "graceful_stop", stops_at_the_fifth_step)
        with pytest.raises(KeyboardInterrupt):
            train_gan(workspace, config, data)
    monkeypatch.setattr(settle, "faster", lambda *_: "fp32")  # other work slows the machine now
    result = train_gan(workspace, config, data)
    assert result.path is not None
    assert json.loads((result.path / "card.json").read_text())["precision"] == "bf16"
    assert result.figures["steps"] == 8
    fresh = train_gan(workspace, dataclasses.replace(config, seed=config.seed + 1), data)
    assert fresh.path is not None
    assert json.loads((fresh.path / "card.json").read_text())["precision"] == "fp32"
    assert measured == ["dcgan"]


def test_a_training_that_goes_on_in_another_precision_says_so(workspace, data, make_config, monkeypatch, capsys):
    """As one that was begun on a GPU does on a processor."""
    config: Config = make_config(gan__steps=8, gan__snapshot_every=8, gan__guidance=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(stage, "graceful_stop", stops_at_the_fifth_step)
        patched.setattr(stage, "settled_precision", lambda *_: "bf16")
        with pytest.raises(KeyboardInterrupt):
            train_gan(workspace, config, data)
    train_gan(workspace, config, data)
    assert "Resuming at step 5 of 8, in fp32; until here it was bf16.\n" in capsys.readouterr().err
