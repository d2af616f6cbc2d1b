"""Ways to learn from faces: chosen on validation, said in the report, and trainings made before them still found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny import add_batch, add_set, fast_config, tiny_set

from classifiers import ClassifierError, TrainConfig
from ganfer.config import RetrainConfig
from ganfer.errors import ConfigError
from ganfer.experiment.arms import ARMS, chosen_arms
from ganfer.experiment.builds import with_faces
from ganfer.experiment.material import Material
from ganfer.experiment.plan import plan_of
from ganfer.experiment.ratios import portions_of
from ganfer.experiment.select import Choices
from ganfer.experiment.ways import WAYS, identity, learned, parsed, refuse, tellable, ways_of, words
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

CONFIG = TrainConfig(model="compact-small")


def material(**changes: object) -> Material:
    real, faces = tiny_set((4, 6, 2), 0, 0), tiny_set((1, 0, 3), 0, 0)
    faces = replace(faces, source=np.full(len(faces), "synthetic"))
    return replace(Material(real, faces, faces, weight=0.5), **changes)  # type: ignore[arg-type]


def test_what_each_way_changes_in_a_training() -> None:
    adjusted = replace(CONFIG, loss="logit-adjusted")
    assert learned(CONFIG, "plain") == CONFIG
    assert learned(CONFIG, "own-norms").auxiliary_norm == "statistics"
    assert learned(CONFIG, "own-affine").auxiliary_norm == "affine"
    last = learned(replace(CONFIG, refit=0.4), "real-last")
    assert (last.refit, last.refit_on) == (0.4, "real")
    assert learned(CONFIG, "real-last").refit == 0.2
    assert learned(CONFIG, "mixed").mixup_across > 0
    assert learned(adjusted, "real-priors").prior == "real"
    assert learned(CONFIG, "real-priors") == CONFIG  # no prior is in that loss
    assert tellable(CONFIG, ["plain", "real-priors", "own-norms"]) == ["plain", "own-norms"]
    assert tellable(adjusted, ["plain", "real-priors"]) == ["plain", "real-priors"]
    both = learned(adjusted, "real-last+real-priors")
    assert (both.refit_on, both.prior) == ("real", "real")


def test_an_arm_says_how_it_learned_and_which_images_were_added() -> None:
    built = with_faces(material(way="own-norms+real-priors"), CONFIG)
    assert built.config.auxiliary_norm == "statistics"
    assert built.added is not None
    assert built.added.tolist() == [False] * 12 + [True] * 4
    assert built.weights.tolist() == [1.0] * 12 + [0.5] * 4
    assert "statistics of their own" in built.told
    assert "priors" not in built.told  # it changes nothing here
    assert with_faces(material(), CONFIG).told == words(CONFIG, "plain") == ""
    copies = ARMS["duplicated"].build(material(way="own-norms"), CONFIG)  # a control differs in nothing else
    assert copies.added is not None
    assert copies.added.sum() == 4
    assert copies.config == built.config
    assert ARMS["original"].build(material(way="own-norms"), CONFIG).config == CONFIG


def test_lists_of_ways() -> None:
    assert ways_of(RetrainConfig()) == []
    assert ways_of(RetrainConfig(ways="own-norms, plain,real-last + own-norms")) == [
        "plain", "own-norms", "own-norms+real-last"
    ]  # fmt: skip
    assert ways_of(RetrainConfig(ways="all")) == [way for way in WAYS if way != "own-affine"]
    assert parsed("", "retrain.way") == "plain"
    assert (
        plan_of(RetrainConfig(ways="plain,mixed"), chosen_arms("default")).tries == 2
    )  # cheap arms are tried twice, too
    for wrong, message in (
        ({"way": "own-norm"}, "unknown way 'own-norm'. Did you mean 'own-norms'"),
        ({"ways": "plain,nonsense"}, "unknown way 'nonsense'"),
        ({"way": "mixed+own-norms"}, "own-norms and mixed cannot be joined"),
        ({"ways": "own-norms+own-affine"}, "cannot be joined"),
    ):
        with pytest.raises(ConfigError, match=message):
            refuse(RetrainConfig(**wrong), CONFIG)
    with pytest.raises(ConfigError, match="fnn has no batch norm"):
        refuse(RetrainConfig(ways="all"), replace(CONFIG, model="fnn"))
    refuse(RetrainConfig(ways="plain,mixed"), replace(CONFIG, model="fnn"))


def test_a_wrong_way_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fnn has no batch norm"):
        Project(tmp_path / "w", fast_config(retrain__way="own-norms", classifier__model="fnn")).retrain()
    assert not (tmp_path / "w").exists()


def test_an_experiment_made_before_there_were_ways_is_the_same_one() -> None:
    before = identity(asdict(RetrainConfig(workers=3)))
    assert not {"way", "ways", "workers"} & before.keys()
    assert identity(asdict(RetrainConfig(way="mixed")))["way"] == "mixed"
    for way, folder in (("plain", "synthetic-w1"), ("mixed", "synthetic-w1-mixed")):  # the first as it was before
        plan = plan_of(RetrainConfig(way=way), chosen_arms("original,synthetic"))
        assert plan.with_faces(ARMS["synthetic"]).folder == folder


def choices_of(skill: Mapping[str, float], arms: str, **settings: object) -> Choices:
    """Choices from pretended trainings: one is right on validation as often as `skill` says of its folder."""
    val = tiny_set((0, 0, 0), val=100).of("val")

    def validated(names: Sequence[str]) -> dict[str, np.ndarray]:
        hard = np.random.default_rng(0).permutation(len(val)) / len(val)
        guesses = {name: np.where(hard < skill[name], val.labels, (val.labels + 1) % 3) for name in names}
        return {name: np.stack([np.eye(3, dtype=np.float32)[guess]] * 2) for name, guess in guesses.items()}

    pretended: Any = SimpleNamespace(val=val, validated=validated)
    config = fast_config(retrain__arms=arms, **{f"retrain__{name}": value for name, value in settings.items()})
    portions = portions_of(material(), [])
    plan = plan_of(config.retrain, chosen_arms(arms))
    return Choices(plan, portions, material(), CONFIG, pretended, 100)


def test_validation_chooses_the_way_alone_and_beside_the_best_rebalancing() -> None:
    skill = {"synthetic-w1": 0.6, "synthetic-w1-own-norms": 0.6, "synthetic-w1-mixed": 0.7}
    skill |= {"original": 0.5, "logit-adjusted": 0.6, "logit-adjusted-half": 0.5}
    best = "synthetic+best-w1{}-logit-adjusted"
    skill |= dict(
        zip(map(best.format, ("", "-own-norms", "-real-priors", "-mixed")), (0.6, 0.6, 0.8, 0.7), strict=True)
    )
    arms = "original,logit-adjusted,synthetic,synthetic+best,shuffled,duplicated+best"
    found = choices_of(skill, arms, ways="plain,own-norms,real-priors,mixed")
    folders = [found.folder(found.final(ARMS[name])) for name in arms.split(",")[2:]]
    assert folders == [
        "synthetic-w1-mixed", best.format("-real-priors"), "shuffled-w1-mixed",
        "duplicated+best-w1-real-priors-logit-adjusted",
    ]  # fmt: skip
    told = found.selected()
    assert (told.way, told.way_with_best) == ("mixed", "real-priors")
    assert [(point["way"], point["chosen"]) for point in told.curve["ways"]] == [
        ("plain", False), ("own-norms", False), ("mixed", True)
    ]  # fmt: skip
    assert [point["way"] for point in told.curve["ways_with_best"] if point["chosen"]] == ["real-priors"]
    built = found.data(found.final(ARMS["synthetic+best"]))
    assert (built.config.loss, built.config.prior) == ("logit-adjusted", "real")
    same = dict.fromkeys(skill, 0.6)
    assert choices_of(same, "original,synthetic", ways="mixed,plain").way == "plain"  # the first of equals


def test_the_report_says_how_the_faces_were_learned_from(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((40, 60, 6)))
    add_batch(workspace, data, np.repeat([2, 0], [40, 10]))
    project = Project(
        workspace,
        fast_config(
            retrain__arms="original,logit-adjusted,synthetic,synthetic+best", retrain__tries=1, classifier__epochs=1,
            retrain__ways="own-norms,real-priors+real-last", label__min_confidence="0", label__require_match=False,
        ),
    )  # fmt: skip
    result = project.retrain()
    arms = {arm["name"]: arm for arm in result.figures["arms"]}
    way, beside = result.figures["settings"]["way"], result.figures["settings"]["way_with_best"]
    assert {way, beside} <= {"own-norms", "real-last+real-priors"}
    assert arms["synthetic"]["folder"].endswith(f"-{way}")
    assert f"-{beside}-" in arms["synthetic+best"]["folder"]
    said = {"own-norms": "statistics of their own", "real-last+real-priors": "a new head on real images alone"}
    assert said[way] in arms["synthetic"]["description"]
    assert said[beside] in arms["synthetic+best"]["description"]
    page = (result.path / "index.html").read_text()  # type: ignore[operator]
    assert "How they are learned from, beside" in page
    assert said[way] in page


def test_settings_that_ask_for_synthetic_images_are_refused_where_they_cannot_work(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, ClassifierError), match="no head is fitted again"):
        fast_config(classifier__refit_on="real")
