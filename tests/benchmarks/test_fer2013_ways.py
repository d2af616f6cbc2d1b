"""benchmarks/fer2013_ways.py: each way differs from fer2013.py in what it says, and what is told of it is right."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import NAMES, tiny_set

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ways(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import fer2013_ways

    return fer2013_ways


def options(**changed) -> argparse.Namespace:
    """As the command line gives them by default."""
    given = {"seeds": 5, "other_minutes": 12.0, "number": 3, "encoder_steps": 1500, "quick": False}
    return argparse.Namespace(**(given | changed))


def test_the_settings_are_those_of_the_experiment_before_but_for_what_a_way_changes(ways) -> None:
    recorded = json.loads((ROOT / "benchmarks/results/fer2013_imbalance100.json").read_text(encoding="utf-8"))
    was = recorded["generators"]["resgan"]["options"]
    plain = ways.config(options())
    assert (plain.gan.minutes, plain.gan.snapshot_every) == (float(was["minutes"]), int(was["snapshots"]))
    assert (plain.classifier.epochs, plain.retrain.seeds) == (int(was["epochs"]), int(was["seeds"]))
    assert int(was["to"]) == ways.TO
    assert "gan.guide_epochs=12" in was["set"]
    assert plain.gan.guide_epochs == 12
    other = ways.config(options(), {"seed": 2, "gan.minutes": 12.0})
    assert (other.seed, other.gan) == (2, dataclasses.replace(plain.gan, minutes=12.0))
    assert ways.config(options(), {"classifier.loss": "logit-adjusted"}).classifier.loss == "logit-adjusted"


def test_quick_leaves_out_what_does_not_rebalance(ways) -> None:
    arms = "original,logit-adjusted,synthetic,synthetic+best,pool,pool+best"
    assert ways.arms_of(arms, quick=True) == "original,logit-adjusted,synthetic+best,pool+best"
    assert ways.arms_of(arms, quick=False) == arms
    assert not ways.done(None, quick=True)
    assert ways.done({"quick": True}, quick=True)
    assert not ways.done({"quick": True}, quick=False), "its other arms are missing"
    assert ways.done({"quick": False}, quick=True)


def test_the_spread_between_generators_is_of_paired_changes(ways) -> None:
    seeds = {"logit-adjusted": [0.5, 0.5, 0.5, 0.6, 0.6, 0.6], "synthetic+best": [0.5, 0.6, 0.7, 0.6, 0.7, 0.8]}
    arms = [{"name": name, "metrics": {"balanced_accuracy": {"per_seed": row}}} for name, row in seeds.items()]
    found = ways.spread(arms, "logit-adjusted", 3)
    assert list(found) == ["synthetic+best"]
    assert found["synthetic+best"]["by_generator"] == pytest.approx([0.0, 0.1, 0.2])
    assert found["synthetic+best"]["deviation"] == pytest.approx(0.1)


def test_a_way_is_judged_by_validation_alone(ways, monkeypatch) -> None:
    images = tiny_set(val=60)
    truth = images.labels[images.split == "val"]
    rng = np.random.default_rng(0)
    wrong = (truth + 1) % len(NAMES)
    said = {"base": rng.random(len(truth)) < 0.5, "faces": rng.random(len(truth)) < 0.9}

    def stored(folder: Path, name: str, seed: int) -> SimpleNamespace:
        assert folder == Path("report")
        return SimpleNamespace(validation=np.eye(len(NAMES))[np.where(said[name], truth, wrong)])

    monkeypatch.setattr(ways, "stored_trained", stored)
    results = {
        "selection": {"best_without": "logit-adjusted"},
        "settings": {"seeds": [0, 1, 2]},
        "arms": [{"name": "logit-adjusted", "folder": "base"}, {"name": "synthetic+best", "folder": "faces"}],
    }
    (name, found), *more = ways.on_validation(SimpleNamespace(path=Path("report")), results, images, 1).items()
    assert (name, more) == ("synthetic+best", [])
    change = found["balanced_accuracy"]
    assert 0.2 < change["low"] < change["mean"] < change["high"] < 0.6
    assert change["mean"] == pytest.approx(said["faces"].mean() - said["base"].mean())


def test_a_way_of_learning_stops_where_validation_rules_the_target_out(ways, monkeypatch) -> None:
    for name in ("screened", "generator", "rare_labeller"):
        monkeypatch.setattr(ways, name, lambda *given: None)
    for high, trained in ((ways.TARGET - 0.001, [3]), (ways.TARGET + 0.001, [3, 5])):
        asked = []

        def compared(options, batches, arms, *, seeds, changed, high=high, asked=asked):
            asked.append(seeds)
            return {"validation": {"synthetic+best": {"balanced_accuracy": {"high": high}}}}

        monkeypatch.setattr(ways, "compared", compared)
        assert ways.by_learning({"retrain.way": "real-last"}, options())["learning"] == {"retrain.way": "real-last"}
        assert asked == trained


def test_a_way_that_there_is_not_is_refused(ways, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["fer2013_ways.py", "--only", "labeler"])
    with pytest.raises(SystemExit):
        ways.main()
    assert "no way 'labeler'; there are labeller, transfer" in capsys.readouterr().err
