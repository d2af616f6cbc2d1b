"""Ways to learn from faces: chosen on validation, said in the report, and trainings made before them still found."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tiny import add_batch, add_set, fast_config, tiny_set

from classifiers import ClassifierError, TrainConfig
from ganfer.config import RetrainConfig
from ganfer.errors import ConfigError
from ganfer.experiment.arms import ARMS, Material, with_faces
from ganfer.experiment.select import in_way, select, tries_of, weighted
from ganfer.experiment.trainings import Trainings
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
    assert tries_of(RetrainConfig(ways="plain,mixed")) == 2  # each cheap arm is tried twice, too
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
    candidate = weighted(in_way(first_candidate(), "mixed"), 0.5)
    assert candidate.name == "synthetic-w0.5-mixed"
    assert in_way(candidate, "plain").name == "synthetic-w0.5"  # as folders were named before


def first_candidate():  # type: ignore[no-untyped-def]
    return select(None, material(), CONFIG, RetrainConfig(), 0.95).chosen  # type: ignore[arg-type]


class Told(Trainings):
    """Trainings that are good in one way, and say which were asked for."""

    def __init__(self, best: str) -> None:
        self.val, self.best, self.asked = tiny_set((0, 0, 0), val=20).of("val"), best, list[str]()

    def train(self, wanted):  # type: ignore[no-untyped-def]
        self.asked += list(wanted)
        sure = np.eye(3, dtype=np.float32)
        wrong = (self.val.labels + (np.arange(len(self.val)) % 2)) % 3
        return {name: np.stack([sure[self.val.labels if name.endswith(self.best) else wrong]] * 2) for name in wanted}


def test_validation_chooses_the_way() -> None:
    trainings = Told("-mixed")
    settings = RetrainConfig(ways="plain,own-norms,mixed,real-priors", resamples=100, seeds=2)
    found = select(trainings, material(), CONFIG, settings, 0.95)
    assert found.chosen.material.way == "mixed"
    assert [(point["way"], point["chosen"]) for point in found.curve["ways"]] == [
        ("plain", False), ("own-norms", False), ("mixed", True)
    ]  # fmt: skip
    assert set(trainings.asked) == {"synthetic-w1", "synthetic-w1-own-norms", "synthetic-w1-mixed"}
    alone = select(Told(""), material(), CONFIG, RetrainConfig(ways="mixed"), 0.95)
    assert (alone.chosen.material.way, alone.curve) == ("mixed", {})


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
