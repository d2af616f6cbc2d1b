"""Which arm a report recommends: whatever was shown to help, real faces from a pool among them, and nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import fast_config, tiny_set

from ganfer.experiment.arms import ARMS, Outcome, Trained
from ganfer.experiment.comparisons import claimed, compare, decide, predictions, selected
from ganfer.experiment.material import TrainingData
from ganfer.experiment.operating_point import at_equal_shares
from ganfer.experiment.recommend import recommendation
from ganfer.statistics.verdict import measure

VAL, TEST = (tiny_set((0, 0, 0), val=200, test=200).of(split) for split in ("val", "test"))
TRAIN = tiny_set((40, 60, 10), 0, 0)
SEEDS = 3


def outcome(name: str, skill: float, *, on_test: float | None = None, added: int = 0) -> Outcome:
    """Models that see the classes as far apart as `skill` says, and on the test as `on_test`."""
    trained = []
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, len(name)])
        said = []
        for labels, far in ((VAL.labels, skill), (TEST.labels, skill if on_test is None else on_test)):
            seen = rng.normal(0, 1, (len(labels), 3)) + far * np.eye(3)[labels]
            odds = np.exp(-((seen[:, None] - far * np.eye(3)) ** 2).sum(axis=2) / 2)
            said.append((odds / odds.sum(axis=1, keepdims=True)).astype(np.float32))
        trained.append(Trained(said[1], said[0], 1.0, 1.0, "cpu"))
    images = TRAIN.select(np.arange(len(TRAIN) + added) % len(TRAIN))
    data = TrainingData(images, np.ones(len(images), np.float32), fast_config().classifier)
    return Outcome(ARMS[name], data, 10, tuple(trained))


def recommended(*outcomes: Outcome) -> dict[str, Any]:
    settings = fast_config().retrain
    levels = {
        o.arm.name: float(np.mean([(t.validation.argmax(1) == VAL.labels).mean() for t in o.trained])) for o in outcomes
    }
    selection = selected(levels)
    measured = [measure(TEST.labels, predictions(o), TEST.class_names, resamples=200) for o in outcomes]
    compared = compare(outcomes, measured, TEST.labels, selection)
    _, fitted, _ = at_equal_shares(VAL, TEST, outcomes, 200, 0)
    decided = decide(outcomes, compared, selection, settings, fitted.get(claimed(outcomes, selection)[0]))
    return recommendation(outcomes, compared, selection, decided, settings, fitted)


def usual(**others: Outcome) -> list[Outcome]:
    arms = {name: outcome(name, 1.5) for name in ("original", "oversample", "synthetic", "synthetic+best")}
    return list((arms | {o.arm.name: o for o in others.values()}).values())


def test_a_pool_that_helps_is_recommended_with_what_it_costs() -> None:
    for name in ("pool", "pool+best"):
        found = recommended(*usual(pool=outcome(name, 2.8, added=123)))
        assert found["arm"] == name
        assert found["title"] == ARMS[name].title
        assert f"({name}): balanced accuracy +" in found["sentence"]
        assert "123 real faces from the pool with the labeller's labels" in found["sentence"]
        assert found["gain"]["low"] > 0


def test_of_two_that_help_the_better_one_on_validation_is_recommended() -> None:
    faces, pool = outcome("synthetic+best", 3.2), outcome("pool", 2.8)
    assert recommended(*usual(faces=faces, pool=pool))["arm"] == "synthetic+best"
    faces, pool = outcome("synthetic+best", 2.8), outcome("pool", 3.2)
    assert recommended(*usual(faces=faces, pool=pool))["arm"] == "pool"


def test_other_synthetic_arms_are_recommended_too_where_they_pass_the_rule() -> None:
    plain, strong = outcome("distilled", 1.6), outcome("distilled+synthetic", 2.8)
    assert recommended(*usual(rival=plain, faces=strong))["arm"] == "distilled+synthetic"
    rival = outcome("distilled", 2.8)  # the same without faces does as well
    assert recommended(*usual(rival=rival, faces=strong))["arm"] == "distilled"


@pytest.mark.parametrize("on_test", [1.5, 1.2])
def test_a_pool_that_is_good_on_validation_alone_is_not(on_test: float) -> None:
    found = recommended(*usual(pool=outcome("pool", 2.8, on_test=on_test)))
    assert found["arm"] in ("original", "oversample")


def test_what_the_test_shows_to_hurt_is_not_recommended() -> None:
    weak = outcome("oversample", 2.2, on_test=0.7)
    found = recommended(outcome("original", 1.5), weak, outcome("synthetic", 1.0))
    assert found["arm"] == "original"
    assert found["sentence"].startswith(
        "Keep the original training: oversampling (oversample) was better on validation"
    )
    assert "it changes balanced accuracy by −" in found["sentence"]
    unsure = recommended(outcome("original", 1.5), outcome("oversample", 2.2, on_test=1.5), outcome("synthetic", 1.0))
    assert unsure["arm"] == "oversample", "the test refutes, it does not choose"


def test_of_equals_on_validation_the_first_of_the_registry_is_taken_whatever_was_asked_first() -> None:
    asked = {"original": 0.5, "logit-adjusted": 0.6, "oversample": 0.6, "synthetic+best": 0.7}
    assert selected(asked).best_rebalancing == "oversample"  # with which `synthetic+best` was trained


def test_folds_that_chose_different_ways_of_rebalancing_name_none() -> None:
    outcomes = usual()
    selection = selected({o.arm.name: 0.5 for o in outcomes})
    measured = [measure(TEST.labels, predictions(o), TEST.class_names, resamples=50) for o in outcomes]
    compared = compare(outcomes, measured, TEST.labels, selection)
    settings = fast_config().retrain
    plain = decide(outcomes, compared, selection, settings)
    several = decide(outcomes, compared, selection, settings, rebalancing="each fold's best rebalancing")
    assert "with oversampling," in plain["sentence"]
    assert "with each fold's best rebalancing," in several["sentence"]


def test_what_is_good_on_the_test_alone_is_not() -> None:
    """The choice is made on validation: no arm is taken because of the test."""
    found = recommended(*usual(pool=outcome("pool", 1.0, on_test=2.8)))
    assert found["arm"] in ("original", "oversample")


def test_one_seed_and_no_other_way_to_compare_with() -> None:
    pool = outcome("pool", 2.8)
    one = [replace(o, trained=o.trained[:1]) for o in usual(pool=pool)]
    assert recommended(*one)["arm"] in ("original", "oversample")
    alone = recommended(outcome("original", 1.5), outcome("synthetic", 1.5), pool)
    assert alone["arm"] == "pool"
    assert "Compare it with oversampling first" in alone["sentence"]


@pytest.mark.parametrize("name", ["oracle", "shuffled"])
def test_what_nobody_can_use_is_never_recommended(name: str) -> None:
    assert recommended(outcome("original", 1.5), outcome(name, 2.8))["arm"] == "original"
