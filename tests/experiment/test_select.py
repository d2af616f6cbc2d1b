"""How many faces to add and what they weigh: chosen on validation, with a stopping point, and shown as a curve."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from tiny import fast_config, tiny_set

from ganfer.errors import ConfigError
from ganfer.experiment.arms import ARMS, Material, TrainingData
from ganfer.experiment.select import parse_list, select, select_rebalanced, trainings_of
from ganfer.experiment.trainings import Trainings

VAL = tiny_set((0, 0, 0), val=100, test=0).of("val")


class Pretended:
    """In place of real trainings: a candidate is right on validation as often as `skill` says of its name."""

    def __init__(self, skill: Mapping[str, float]) -> None:
        self.val, self.skill = VAL, skill
        self.trained: dict[str, TrainingData] = {}

    def train(self, wanted: Mapping[str, TrainingData]) -> dict[str, np.ndarray]:
        self.trained |= wanted
        return {name: self._probabilities(self.skill[name]) for name in wanted}

    def _probabilities(self, skill: float) -> np.ndarray:
        """(3 seeds, V, 3): the same images are hard for every candidate."""
        hard = np.random.default_rng(0).permutation(len(VAL)) / len(VAL)
        luck = np.random.default_rng(1).normal(0, 0.003, (3, 1))
        right = hard < skill + luck
        guess = np.where(right, VAL.labels, (VAL.labels + 1) % 3)
        return np.eye(3, dtype=np.float32)[guess]


def material(kept: tuple[int, int, int] = (40, 0, 60)) -> Material:
    real, faces = tiny_set((40, 60, 20), 0, 0), tiny_set(kept, 0, 0)
    faces = replace(faces, source=np.full(len(faces), "synthetic"))
    return Material(real, faces, faces)


def selected(skill: Mapping[str, float], **settings: object) -> tuple[Pretended, str, dict]:  # type: ignore[type-arg]
    config = fast_config(**{f"retrain__{name}": value for name, value in settings.items()})
    trainings = Pretended(skill)
    found = select(cast(Trainings, trainings), material(), config.classifier, config.retrain, 0.95)
    return trainings, found.chosen.name, found.curve


def test_where_more_faces_stop_bringing_more_is_the_stopping_point() -> None:
    skill = {"original": 0.5, "synthetic-r0.1-w1": 0.55, "synthetic-r0.3-w1": 0.8, "synthetic-r0.6-w1": 0.801}
    trainings, chosen, curve = selected(skill, ratios="0.6,0.1,0.3")
    assert chosen == "synthetic-r0.3-w1"  # 0.6 is better by less than its standard error
    assert [(point["ratio"], point["count"]) for point in curve["ratios"]] == [(0, 0), (0.1, 12), (0.3, 36), (0.6, 72)]
    assert [point["chosen"] for point in curve["ratios"]] == [False, False, True, False]
    assert curve["stopping_point"] == 0.3
    assert [point["mean"] for point in curve["ratios"]] == pytest.approx([0.5, 0.55, 0.8, 0.8], abs=0.02)
    added = trainings.trained["synthetic-r0.1-w1"].images
    assert added.counts() == {"angry": 40, "happy": 60, "sad": 32}  # the rarest class first


def test_the_largest_ratio_wins_while_more_still_brings_more() -> None:
    skill = {"original": 0.4, "synthetic-r0.1-w1": 0.5, "synthetic-r0.3-w1": 0.6, "synthetic-r0.6-w1": 0.75}
    assert selected(skill, ratios="0.1,0.3,0.6")[1] == "synthetic-r0.6-w1"


def test_ratios_beyond_the_kept_faces_become_one() -> None:
    skill = {"original": 0.5, "synthetic-r0.1-w1": 0.5, "synthetic-r1-w1": 0.7}
    trainings, chosen, curve = selected(skill, ratios="0.1,1,2,4")
    assert [(point["ratio"], point["count"]) for point in curve["ratios"]][1:] == [(0.1, 12), (0.8333, 100)]
    assert chosen == "synthetic-r1-w1"
    assert len(trainings.trained) == 3


def test_the_best_weight_at_the_chosen_ratio() -> None:
    skill = {"synthetic-w0.25": 0.6, "synthetic-w0.5": 0.7, "synthetic-w1": 0.65}
    trainings, chosen, curve = selected(skill, weights="1,0.5,0.25")
    assert chosen == "synthetic-w0.5"
    assert [(point["weight"], point["chosen"]) for point in curve["weights"]] == [
        (0.25, False),
        (0.5, True),
        (1, False),
    ]
    assert set(trainings.trained["synthetic-w0.25"].weights.tolist()) == {1.0, 0.25}
    both = {"original": 0.5, "synthetic-r0.1-w1": 0.7, "synthetic-r0.3-w1": 0.6, "synthetic-r0.1-w0.5": 0.9}
    assert selected(both, ratios="0.1,0.3", weights="0.5,1")[1] == "synthetic-r0.1-w0.5"


def test_beside_a_rebalancing_the_same_faces_have_their_own_weight() -> None:
    skill = {"synthetic-w0.5": 0.6, "synthetic-w1": 0.7}
    skill |= {"synthetic+best-w0.5-logit-adjusted": 0.8, "synthetic+best-w1-logit-adjusted": 0.7}
    config = fast_config(retrain__weights="0.5,1")
    trainings = cast(Trainings, Pretended(skill))
    first = select(trainings, material(), config.classifier, config.retrain, 0.95)
    assert first.candidate(ARMS["synthetic+best"]) == first.chosen
    both = select_rebalanced(trainings, first, "logit-adjusted", config.classifier, config.retrain, 0.95)
    assert [both.candidate(ARMS[name]).weight for name in ("synthetic", "shuffled", "synthetic+best")] == [1, 1, 0.5]
    assert [(p["weight"], p["chosen"]) for p in both.curve["weights_with_best"]] == [(0.5, True), (1, False)]
    assert both.curve["weights"] == first.curve["weights"]
    prepared = trainings.trained["synthetic+best-w0.5-logit-adjusted"]  # type: ignore[attr-defined]
    assert prepared.config.loss == "logit-adjusted"
    assert set(prepared.weights.tolist()) == {1.0, 0.5}


def test_without_a_choice_nothing_is_trained_for_it() -> None:
    for settings in ({}, {"weights": "0.5"}, {"ratios": "0.2"}):
        trainings, chosen, curve = selected({}, **settings)
        assert trainings.trained == {}
        assert curve == {}
        assert chosen == {"weights": "synthetic-w0.5", "ratios": "synthetic-r0.2-w1"}.get(
            next(iter(settings), ""), "synthetic-w1"
        )


@pytest.mark.parametrize("text", ["a", "0.5,x", "0", "-1,2", "nan", "2000"])
def test_lists_that_are_no_ratios(text: str) -> None:
    with pytest.raises(ConfigError, match=r"retrain\.ratios"):
        parse_list(text, "retrain.ratios", low=0, high=1000)


def test_the_budget_counts_the_search() -> None:
    assert trainings_of(fast_config().retrain) == 0
    search = {"retrain__ratios": "0.1,0.2,0.5", "retrain__weights": "0.5,1"}
    assert trainings_of(fast_config(**search, retrain__arms="original,synthetic").retrain) == 3
    quick = trainings_of(fast_config(**search, retrain__arms="quick").retrain)
    assert quick == 5  # the weight beside the rebalancing, and its own other setting: as many tries as the faces have
    assert trainings_of(fast_config(retrain__tries=2).retrain) == 4  # two cheap arms, the weight twice
    assert trainings_of(fast_config(**search, retrain__tries=1, retrain__arms="quick").retrain) == 4
