"""Every arm decided for balanced accuracy: a moved threshold is no gain there, something learned is."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import fast_config, tiny_set

from ganfer.experiment.arms import ARMS, Outcome, Trained
from ganfer.experiment.ceiling import exchange
from ganfer.experiment.comparisons import compare, predictions, selected
from ganfer.experiment.fitted import with_fitted_biases
from ganfer.experiment.material import Material, TrainingData
from ganfer.experiment.operating_point import at_equal_shares
from ganfer.statistics.verdict import measure

VAL, TEST = (tiny_set((0, 0, 0), val=100, test=100).of(split) for split in ("val", "test"))
SHARES = np.array([0.65, 0.3, 0.05])


def outcome(name: str, *, skill: float = 1.5, shares: np.ndarray = SHARES) -> Outcome:
    """Two models that see the classes as far apart as `skill` says, and learned with these class shares."""
    trained = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        said = []
        for labels in (VAL.labels, TEST.labels):
            centres = skill * np.eye(3)
            seen = rng.normal(0, 1, (len(labels), 3)) + centres[labels]
            odds = shares * np.exp(-((seen[:, None] - centres) ** 2).sum(axis=2) / 2)
            said.append((odds / odds.sum(axis=1, keepdims=True)).astype(np.float32))
        trained.append(Trained(said[1], said[0], 1.0, 1.0, "cpu"))
    images = replace(VAL, source=np.full(len(VAL), "synthetic")) if ARMS[name].synthetic else VAL
    data = TrainingData(images, np.ones(len(VAL), np.float32), fast_config().classifier)
    return Outcome(ARMS[name], data, 10, tuple(trained))


def test_a_moved_threshold_is_no_gain_and_something_learned_is() -> None:
    arms = [
        outcome("original"),
        outcome("oversample", shares=np.full(3, 1 / 3)),
        outcome("synthetic", shares=np.full(3, 1 / 3)),
        outcome("synthetic+best", skill=2.5),
    ]
    plain = {o.arm.name: np.mean([(t.probabilities.argmax(1) == TEST.labels).mean() for t in o.trained]) for o in arms}
    assert plain["synthetic"] - plain["original"] > 0.03  # the classes of the test are equally common
    found, changes, _ = at_equal_shares(VAL, TEST, arms, resamples=200, seed=0)
    assert "synthetic" in changes
    rows = {row["name"]: row for row in found["arms"]}
    assert found["best"] in ("original", "oversample")
    level = {name: row["metrics"]["balanced_accuracy"]["mean"] for name, row in rows.items()}
    assert level["original"] == pytest.approx(level["synthetic"], abs=0.02)
    assert abs(rows["synthetic"]["change"]["balanced_accuracy"]["mean"]) < 0.02
    learned = rows["synthetic+best"]["change"]["balanced_accuracy"]
    assert learned["mean"] > 0.05
    assert learned["low"] > 0
    assert rows[found["best"]]["change"] is None


def test_the_best_arm_without_faces_is_chosen_on_validation() -> None:
    weak, strong = outcome("original", skill=1.0), outcome("oversample", skill=2.0)
    swapped = [replace(t, probabilities=w.probabilities) for t, w in zip(strong.trained, weak.trained, strict=True)]
    arms = [weak, replace(strong, trained=tuple(swapped)), outcome("synthetic", skill=3.0)]
    found, _, _ = at_equal_shares(VAL, TEST, arms, resamples=50, seed=0)
    assert found["best"] == "oversample"  # better on validation alone


def test_faces_that_only_move_a_threshold_are_worth_no_real_images() -> None:
    """Beside plain training they gain balanced accuracy, and would pass for thousands of images by that figure."""
    real, few = tiny_set((100, 100, 10)).of("train"), tiny_set((0, 40, 40)).of("train")
    arms = [outcome("original"), outcome("half", skill=1.0), outcome("synthetic", shares=np.full(3, 1 / 3))]
    measured = [at_equal_shares(VAL, TEST, arms, resamples=200, seed=0)[2][arm.arm.name] for arm in arms]
    found = exchange(arms, measured, Material(real, few, few))
    assert found is not None
    assert found["doubling"]["low"] > 0  # more real images do bring something
    assert abs(found["worth"]["mean"]) < 0.2 * found["real"]
    learned = [*arms[:2], outcome("synthetic", skill=2.2)]
    measured = [at_equal_shares(VAL, TEST, learned, resamples=200, seed=0)[2][arm.arm.name] for arm in learned]
    found = exchange(learned, measured, Material(real, few, few))
    assert found is not None
    assert found["worth"]["mean"] > 0.5 * found["real"], "what was learned is worth images"
    assert found["sentences"][0].startswith("Your 100 faces were worth "), (
        "those that were trained on, of the rare class"
    )
    assert "that is what 40 more real images of the rare classes would" in found["sentences"][1]
    found = exchange(learned, measured, Material(real, few.select(few.labels == 1), few))
    assert found is not None
    assert not any("perfect faces" in sentence for sentence in found["sentences"]), "none of a rare class was kept"


def test_the_originals_models_once_more_are_no_further_trainings() -> None:
    """Fitted biases have the luck of the original's seeds: as an arm of its own they would feign what seeds bring."""
    original, faces = outcome("original"), outcome("synthetic", skill=1.8)
    truth = TEST.labels
    alone, beside = [original, faces], [original, with_fitted_biases(original, ARMS["fitted-biases"], VAL), faces]
    tables = []
    for arms in (alone, beside):
        measured = [measure(truth, predictions(arm), TEST.class_names, resamples=50) for arm in arms]
        found = compare(arms, measured, truth, selected({arm.arm.name: 0.5 for arm in arms}))
        tables.append(next(pair.changes for pair in found if (pair.arm, pair.baseline) == ("synthetic", "original")))
    assert tables[0] == tables[1]
    _, fitted, _ = zip(*(at_equal_shares(VAL, TEST, arms, 50, 0) for arms in (alone, beside)), strict=True)
    assert fitted[0]["synthetic"] == fitted[1]["synthetic"]
