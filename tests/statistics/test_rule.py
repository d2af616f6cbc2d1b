"""When the faces are said to help, and what is said where they are not."""

import math
from dataclasses import replace

import pytest
from scipy import stats

from ganfer.statistics.rule import Claim, Evidence, Verdict, verdict
from ganfer.statistics.verdict import Estimate


def estimate(mean: float, error: float, seeds: int = 3) -> Estimate:
    """An estimate with its 95% interval."""
    half = float(stats.norm.ppf(0.975)) * error
    return Estimate(mean, mean - half, mean + half, (mean,) * seeds, error, math.inf)


def claim(against: str, balanced: Estimate, accuracy: Estimate | None = None) -> Claim:
    return Claim(against, {"balanced_accuracy": balanced, "accuracy": accuracy or estimate(0.01, 0.003)})


GAIN, SMALL, UNSURE, LOSS, REFUTED = (
    estimate(mean, error) for mean, error in ((0.05, 0.01), (0.0, 0.002), (0.02, 0.02), (-0.04, 0.01), (-0.016, 0.009))
)
PLAIN = claim("the original training", GAIN)


def asked(first: Estimate, accuracy: Estimate | None = None, **more: object) -> Verdict:
    evidence = Evidence(claim("oversampling alone", first, accuracy), PLAIN)
    return verdict(replace(evidence, **more), margin=0.01, accuracy_margin=0.005)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (GAIN, "helps"), (SMALL, "no difference"), (UNSURE, "cannot tell"), (LOSS, "hurts"),
        (REFUTED, "does not help"),
    ],
)  # fmt: skip
def test_the_best_arm_without_faces_decides(first: Estimate, expected: str) -> None:
    found = asked(first)
    assert found.word == expected
    assert "against oversampling alone" in found.sentence
    assert found.beside.startswith("Against the original training: balanced accuracy +5.0")


def test_every_sentence_says_which_gain_is_ruled_out() -> None:
    assert asked(REFUTED).sentence.endswith("A gain of more than 0.2 points is ruled out.")
    assert asked(LOSS).sentence.endswith("Any gain is ruled out.")
    assert asked(GAIN).sentence.endswith("A gain of more than 7.0 points is ruled out.")
    assert asked(UNSURE).sentence.endswith("A gain of more than 5.9 points is ruled out.")


def test_a_gain_over_plain_training_alone_is_no_help() -> None:
    evidence = Evidence(PLAIN, missing="oversampling")
    found = verdict(evidence, margin=0.01, accuracy_margin=0.005)
    assert found.word == "cannot tell"
    assert found.sentence.startswith(
        "These synthetic faces gain over plain training, but were not compared with oversampling: "
    )


def test_a_gain_over_plain_training_is_said_only_where_there_is_one() -> None:
    """Where mixup, say, did worse than plain training: beating it is no gain over plain training."""
    found = asked(GAIN, original=claim("the original training", UNSURE), missing="oversampling")
    assert (found.word, found.by_original) == ("cannot tell", True)
    assert "but not clearly over plain training: balanced accuracy +2.0" in found.sentence
    assert "gain over plain training" not in found.sentence


@pytest.mark.parametrize(
    ("accuracy", "word", "words"),
    [
        (estimate(0.0, 0.002), "helps", "help:"),
        (estimate(-0.002, 0.004), "cannot tell", "their cost in accuracy is not known"),
        (estimate(0.001, 0.01), "cannot tell", "their cost in accuracy is not known"),  # the bound, not the mean
        (estimate(-0.02, 0.004), "cannot tell", "accuracy falls by more than the 0.5 points allowed"),
    ],
)
def test_the_cost_in_accuracy_is_judged_by_its_bound(accuracy: Estimate, word: str, words: str) -> None:
    found = asked(GAIN, accuracy)
    assert found.word == word
    assert words in found.sentence


def test_what_accuracy_costs_against_plain_training_is_no_obstacle() -> None:
    """Rebalancing gives accuracy for balanced accuracy by design; the faces are not to answer for that."""
    dear = claim("the original training", GAIN, estimate(-0.03, 0.002))
    assert asked(GAIN, original=dear).word == "helps"


def test_a_gain_that_a_moved_threshold_explains_is_no_help() -> None:
    """By the interval that is shown: 1.8 standard errors, which a one-sided bound would let pass, are not enough."""
    for mean, words in ((-0.001, "no more than a moved threshold"), (0.018, "not clearly more than a moved threshold")):
        found = asked(GAIN, fitted=estimate(mean, 0.01))
        assert found.word == "cannot tell"
        assert words in found.sentence
    assert asked(GAIN, fitted=estimate(0.03, 0.01)).word == "helps"


def test_plain_training_must_be_beaten_too() -> None:
    found = asked(GAIN, original=claim("the original training", UNSURE))
    assert (found.word, found.by_original) == ("cannot tell", True)
    assert "not clearly over plain training" in found.sentence


def test_one_seed_tells_nothing() -> None:
    found = asked(estimate(0.05, 0.001, seeds=1))
    assert found.word == "cannot tell"
    assert "one seed" in found.sentence
