"""Groups of test images: their intervals know of subjects and generators as the verdict's do."""

from dataclasses import replace

import numpy as np
from tiny import tiny_set

from classifiers import TrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import ARMS, Outcome, Trained
from ganfer.experiment.groups import group_tables
from ganfer.experiment.material import TrainingData
from ganfer.experiment.operating_point import at_equal_shares

SEEDS = 4


def measured_set(split: str) -> ImageSet:
    """40 images of each class, half of them of older people."""
    images = tiny_set((0, 0, 0), val=40, test=40).of(split)
    return replace(images, attributes={"age": np.where(np.arange(len(images)) % 2 == 0, "older", "younger")})


VAL, TEST = measured_set("val"), measured_set("test")


def outcome(name: str, right: np.ndarray, generators: int = 1) -> Outcome:
    """An arm that is right about these images (S, N)."""
    said = np.where(right, TEST.labels, (TEST.labels + 1) % 3)
    truth = np.eye(3, dtype=np.float32)
    trained = tuple(Trained(0.8 * truth[row] + 0.1, 0.8 * truth[VAL.labels] + 0.1, 1.0, 1.0, "cpu") for row in said)
    turns = (VAL,) * generators if generators > 1 else ()
    return Outcome(ARMS[name], TrainingData(VAL, np.ones(len(VAL), np.float32), TrainConfig(), turns), 1, trained)


def width(outcomes: list[Outcome], subjects: np.ndarray | None = None) -> float:
    older = group_tables(TEST, outcomes, "synthetic", "original", 200, 0, subjects)["age"][0]
    assert older["value"] == "older"
    return float(older["change"]["accuracy"]["high"] - older["change"]["accuracy"]["low"])


def test_people_who_gain_as_a_whole_widen_the_interval_of_their_group() -> None:
    subjects = np.arange(len(TEST)) % 10
    gained = np.broadcast_to(np.isin(subjects, [0, 1, 4]), (SEEDS, len(TEST)))
    arms = [outcome("original", np.zeros_like(gained)), outcome("synthetic", gained)]
    assert width(arms, subjects) > 2 * width(arms)


def test_the_generators_luck_is_in_every_interval() -> None:
    rng = np.random.default_rng(0)
    lucky = (np.arange(SEEDS) % 2 == 0)[
        :, None
    ]  # the first generator's faces are worth something, the second's nothing
    right = rng.random((SEEDS, len(TEST))) < np.where(lucky, 0.8, 0.5)
    base = rng.random((SEEDS, len(TEST))) < 0.5
    one, two = ([outcome("original", base), outcome("synthetic", right, number)] for number in (1, 2))
    assert width(two) > 1.5 * width(one)
    fitted = [at_equal_shares(VAL, TEST, arms, 200, 0)[1]["synthetic"] for arms in (one, two)]
    assert fitted[1].high - fitted[1].low > 1.5 * (fitted[0].high - fitted[0].low)
