"""The verdict where the truth is known, in short; benchmarks/verdict_truth.py is the long form."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

TRIALS = 200


@pytest.fixture(scope="module")
def truth() -> ModuleType:
    file = Path(__file__).resolve().parents[2] / "benchmarks" / "verdict_truth.py"
    spec = importlib.util.spec_from_file_location("verdict_truth", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def trials(truth: ModuleType, design: str, effect: str, count: int = TRIALS) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    return [truth.simulated_trial(rng, truth.DESIGNS[design], truth.EFFECTS[effect], 60) for _ in range(count)]


@pytest.mark.parametrize("design", ["small-3", "small-5"])
def test_identical_arms_rarely_help_and_intervals_cover_the_truth(truth: ModuleType, design: str) -> None:
    found = trials(truth, design, "A/A")
    words = [trial["word"] for trial in found]
    assert words.count("helps") <= 0.05 * TRIALS
    assert words.count("hurts") <= 0.05 * TRIALS
    for name in ("balanced_accuracy", "accuracy"):
        assert 0.92 <= np.mean([trial["covered"][name] for trial in found]) <= 0.995, name
    recalls = [hit for trial in found for name, hit in trial["covered"].items() if name.startswith("recall:")]
    assert 0.93 <= np.mean(recalls) <= 0.98


def test_three_seeds_of_a_capricious_training_are_no_certainty(truth: ModuleType) -> None:
    found = trials(truth, "lucky-small", "A/A")
    assert [trial["word"] for trial in found].count("helps") <= 0.05 * TRIALS
    assert np.mean([trial["covered"]["recall:disgust"] for trial in found]) >= 0.93


def test_a_real_gain_is_found_and_a_loss_never_helps(truth: ModuleType) -> None:
    design = truth.DESIGNS["small-5"]
    rng = np.random.default_rng(4)
    gains = (0.12,) * 7
    words = [truth.simulated_trial(rng, design, gains, 60)["word"] for _ in range(40)]
    assert words.count("helps") >= 0.8 * 40
    assert [t["word"] for t in trials(truth, "small-3", "every class loses", 100)].count("helps") <= 5


def test_the_simulated_truth_is_what_the_simulation_gives(truth: ModuleType) -> None:
    """The closed form against a large sample: else coverage would measure nothing."""
    design = truth.Design(counts=(2000,) * 7, seeds=20)
    gains = truth.EFFECTS["a rare class gains"]
    rng = np.random.default_rng(5)
    changes = []
    for _ in range(6):
        labels, base, arm = truth.simulate(rng, design, gains)
        right = [np.array([(rows == labels)[:, labels == k].mean() for k in range(7)]) for rows in (base, arm)]
        changes.append(right[1] - right[0])
    assert np.mean(changes, axis=0) == pytest.approx(np.array(gains), abs=0.02)
    assert truth.true_changes(design, gains)["balanced_accuracy"] == pytest.approx(0.03)
