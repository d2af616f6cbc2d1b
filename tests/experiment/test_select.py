"""How many faces to add and what they weigh: chosen on validation, with a stopping point, and shown as a curve."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from tiny import fast_config, tiny_set

from ganfer.errors import ConfigError
from ganfer.experiment.arms import ARMS, chosen_arms
from ganfer.experiment.material import Material
from ganfer.experiment.plan import parse_list, plan_of, ratios_of
from ganfer.experiment.ratios import portions_of
from ganfer.experiment.select import Choices
from ganfer.experiment.trainings import Trainings

VAL = tiny_set((0, 0, 0), val=100, test=0).of("val")


class Pretended:
    """In place of real trainings: a candidate is right on validation as often as `skill` says of its name."""

    def __init__(self, skill: Mapping[str, float]) -> None:
        self.val, self.skill = VAL, skill

    def validated(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: self._probabilities(self.skill[name]) for name in names}

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


def choices_of(skill: Mapping[str, float], arms: str = "original,synthetic", **settings: object) -> Choices:
    config = fast_config(**{"retrain__arms": arms, **{f"retrain__{name}": value for name, value in settings.items()}})
    portions = portions_of(material(), ratios_of(config.retrain))
    plan = plan_of(config.retrain, chosen_arms(arms), [each.asked for each in portions if each.asked is not None])
    pretended = cast(Trainings, Pretended(skill))
    return Choices(plan, portions, material(), config.classifier, pretended, config.retrain.resamples)


def selected(skill: Mapping[str, float], **settings: object) -> tuple[Choices, str, dict[str, Any]]:
    found = choices_of(skill, **settings)
    return found, found.folder(found.final(ARMS["synthetic"])), dict(found.selected().curve)


def test_where_more_faces_stop_bringing_more_is_the_stopping_point() -> None:
    skill = {"original": 0.5, "synthetic-r0.1-w1": 0.55, "synthetic-r0.3-w1": 0.8, "synthetic-r0.6-w1": 0.801}
    choices, chosen, curve = selected(skill, ratios="0.6,0.1,0.3")
    assert chosen == "synthetic-r0.3-w1"  # 0.6 is better by less than its standard error
    assert [(point["ratio"], point["count"]) for point in curve["ratios"]] == [(0, 0), (0.1, 12), (0.3, 36), (0.6, 72)]
    assert [point["chosen"] for point in curve["ratios"]] == [False, False, True, False]
    assert curve["stopping_point"] == 0.3
    assert [point["mean"] for point in curve["ratios"]] == pytest.approx([0.5, 0.55, 0.8, 0.8], abs=0.02)
    first = choices.made(choices_of(skill, ratios="0.6,0.1,0.3")._plan.stages[0])
    assert first["synthetic-r0.1-w1"].images.counts() == {"angry": 40, "happy": 60, "sad": 32}  # the rarest class first


def test_the_largest_ratio_wins_while_more_still_brings_more() -> None:
    skill = {"original": 0.4, "synthetic-r0.1-w1": 0.5, "synthetic-r0.3-w1": 0.6, "synthetic-r0.6-w1": 0.75}
    assert selected(skill, ratios="0.1,0.3,0.6")[1] == "synthetic-r0.6-w1"


def test_ratios_beyond_the_kept_faces_become_one() -> None:
    skill = {"original": 0.5, "synthetic-r0.1-w1": 0.5, "synthetic-r1-w1": 0.7}
    choices, chosen, curve = selected(skill, ratios="0.1,1,2,4")
    assert [(point["ratio"], point["count"]) for point in curve["ratios"]][1:] == [(0.1, 12), (0.8333, 100)]
    assert chosen == "synthetic-r1-w1"
    assert [each.folder for each in choices._plan.stages[0]] == list(skill)


def test_the_best_weight_at_the_chosen_ratio() -> None:
    skill = {"synthetic-w0.25": 0.6, "synthetic-w0.5": 0.7, "synthetic-w1": 0.65}
    choices, chosen, curve = selected(skill, weights="1,0.5,0.25")
    assert chosen == "synthetic-w0.5"
    assert [(point["weight"], point["chosen"]) for point in curve["weights"]] == [
        (0.25, False),
        (0.5, True),
        (1, False),
    ]
    made = choices.made(choices._plan.weights_tried())
    assert set(made["synthetic-w0.25"].weights.tolist()) == {1.0, 0.25}
    both = {"original": 0.5, "synthetic-r0.1-w1": 0.7, "synthetic-r0.3-w1": 0.6, "synthetic-r0.1-w0.5": 0.9}
    assert selected(both, ratios="0.1,0.3", weights="0.5,1")[1] == "synthetic-r0.1-w0.5"


def test_beside_a_rebalancing_the_same_faces_have_their_own_weight() -> None:
    skill = {"original": 0.5, "logit-adjusted": 0.6, "logit-adjusted-half": 0.5}
    skill |= {"synthetic-w0.5": 0.6, "synthetic-w1": 0.7}
    skill |= {"synthetic+best-w0.5-logit-adjusted": 0.8, "synthetic+best-w1-logit-adjusted": 0.7}
    arms = "original,logit-adjusted,synthetic,synthetic+best,shuffled,duplicated+best"
    both = choices_of(skill, arms, weights="0.5,1")
    folders = [both.folder(both.final(ARMS[name])) for name in arms.split(",")[2:]]
    assert folders == [
        "synthetic-w1", "synthetic+best-w0.5-logit-adjusted", "shuffled-w1", "duplicated+best-w0.5-logit-adjusted",
    ]  # fmt: skip
    curve = both.selected().curve
    assert [(p["weight"], p["chosen"]) for p in curve["weights_with_best"]] == [(0.5, True), (1, False)]
    assert [(p["weight"], p["chosen"]) for p in curve["weights"]] == [(0.5, False), (1, True)]
    prepared = both.data(both.final(ARMS["synthetic+best"]))
    assert prepared.config.loss == "logit-adjusted"
    assert set(prepared.weights.tolist()) == {1.0, 0.5}
    one = choices_of(skill, arms, weights="0.5", tries=1)
    assert one.selected().weight_with_best == one.selected().weight == 0.5


def test_without_a_choice_nothing_is_trained_for_it() -> None:
    for settings in ({}, {"weights": "0.5"}, {"ratios": "0.2"}):
        choices, chosen, curve = selected({}, **settings)
        assert [each.folder for each in choices._plan.stages[0]] == ["original", chosen]
        assert curve == {}
        assert chosen == {"weights": "synthetic-w0.5", "ratios": "synthetic-r0.2-w1"}.get(
            next(iter(settings), ""), "synthetic-w1"
        )


@pytest.mark.parametrize("text", ["a", "0.5,x", "0", "-1,2", "nan", "2000", "0.1234567,0.1234568"])
def test_lists_that_are_no_ratios(text: str) -> None:
    with pytest.raises(ConfigError, match=r"retrain\.ratios"):
        parse_list(text, "retrain.ratios", low=0, high=1000)
