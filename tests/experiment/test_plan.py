"""The plan lists what is trained: as many, in stages that read nothing of a later one, all before the test split."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tiny import add_batch, add_set, fast_config, tiny_set

from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.experiment import original as original_module
from ganfer.experiment import prepare as prepare_module
from ganfer.experiment import retrain as retrain_module
from ganfer.experiment.arms import ARMS, Arm, Trained, chosen_arms
from ganfer.experiment.builds import MOVED
from ganfer.experiment.material import Material, TrainingData
from ganfer.experiment.plan import plan_of, ratios_of
from ganfer.experiment.prepare import Prepared
from ganfer.experiment.ratios import portions_of
from ganfer.experiment.read import read
from ganfer.experiment.select import Choices
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

SET = tiny_set((20, 30, 6), val=6, test=6)


@dataclass
class Watched:
    """In place of trainings: random predictions, and what happened in which order. Unknown folders are an error."""

    val: ImageSet = field(default_factory=lambda: SET.of("val"))
    test: ImageSet = field(default_factory=lambda: SET.of("test"))
    seeds: tuple[int, ...] = (0, 1)
    events: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    trained: set[str] = field(default_factory=set)

    def train(self, wanted: Mapping[str, TrainingData]) -> None:
        assert not set(wanted) & self.trained, "trained twice"
        self.events.append(("train", tuple(wanted)))
        self.trained |= set(wanted)

    def validated(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        self._read("validation", *names)
        return {name: np.stack([self._says(name, seed, len(self.val)) for seed in self.seeds]) for name in names}

    def ensemble(self, name: str, images: np.ndarray, of: str = "") -> np.ndarray:
        self._read("validation", name)
        return self._says(name, 9, len(images))

    def look(self, name: str) -> tuple[Trained, ...]:
        self._read("test", name)
        found = [(self._says(name, s, len(self.test)), self._says(name, s, len(self.val))) for s in self.seeds]
        return tuple(Trained(test, val, 1.0, 1.0, "cpu") for test, val in found)

    def _read(self, what: str, *names: str) -> None:
        assert set(names) <= self.trained, "read before it was trained"
        self.events.append((what, names))

    def _says(self, name: str, seed: int, count: int) -> np.ndarray:
        rng = np.random.default_rng([seed, *name.encode()])
        return rng.dirichlet(np.ones(3), count).astype(np.float32)


def ready(config: Config) -> Prepared:
    """An experiment that was prepared on small images, with nothing on disk."""
    faces = tiny_set((6, 0, 24), 0, 0)
    real = SET.of("train")
    sure = np.eye(3, dtype=np.float32)[real.labels]
    material = Material(
        real, faces, faces, config.retrain.weight, held_back=faces, plausible=(faces,), out_of_fold=lambda: sure
    )
    arms = chosen_arms(config.retrain.arms, thinned=True)
    portions = portions_of(material, ratios_of(config.retrain))
    plan = plan_of(config.retrain, arms, [each.asked for each in portions if each.asked is not None])
    trainings: Any = Watched()
    choices = Choices(plan, portions, material, config.classifier, trainings, 20)
    about: Any = SimpleNamespace(config=config)
    nothing: Any = None
    return Prepared(about, SET, nothing, material, config.classifier, plan, nothing, trainings, choices)


LISTS = ("original,synthetic", "default", "all", "original,ldam,synthetic+best", "original,oversample,duplicated+best",
         "original,distilled,unscreened", "original,oversample,fitted-biases")  # fmt: skip
SEARCHES = [
    *itertools.product(("", "0.1,0.3,5,6"), ("", "0.5", "0.25,0.5"), (0,), ("", "mixed", "plain,mixed")),
    *(("", "", 2, ""), ("0.2", "0.5,1", 1, "mixed,own-norms"), ("0.1,0.3", "0.5,1", 2, "all")),
]  # ratios, weights, tries, ways


@pytest.fixture(autouse=True)
def nothing_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are pushed into rare classes by models, of which there are none here."""

    def moved(trainings: Watched, real: ImageSet, *_: object) -> tuple[ImageSet, str]:
        trainings.ensemble("original", real.images)  # it reads the original, as the true one does
        return real.select([0]), ""

    monkeypatch.setattr(original_module, "moved_images", moved)


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    def train_together(wanted: Sequence[tuple[Watched, Mapping[str, TrainingData]]]) -> None:
        for trainings, each in wanted:
            trainings.train(each)

    monkeypatch.setattr(retrain_module, "train_together", train_together)
    monkeypatch.setattr(retrain_module, "say_ceiling", lambda trainings, folders, *_: trainings.validated(folders))


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("arms", LISTS)
def test_what_is_planned_is_trained_and_the_test_split_is_looked_at_last(arms: str) -> None:
    for ratios, weights, tries, ways in SEARCHES:
        case = {"arms": arms, "ratios": ratios, "weights": weights, "tries": tries, "ways": ways}
        config = fast_config(**{f"retrain__{name}": value for name, value in case.items()})
        found = ready(config)
        retrain_module._train([found])
        experiment = read(found)
        watched: Any = found.trainings
        trained = [names for what, names in watched.events if what == "train"]
        assert found.plan.count == 2 * sum(map(len, trained)), case
        assert [len(stage) for stage in found.plan.stages] == list(map(len, trained)), case
        kinds = [what for what, _ in watched.events]
        first = kinds.index("test")
        assert set(kinds[first:]) == {"test"}, case
        looks = [name for _, names in watched.events[first:] for name in names]
        assert len(looks) == len(set(looks)) == sum(arm.after != "free" for arm in found.plan.arms), case
        assert set(looks) == set(experiment.folders.values()), case
        before = plan_of(config.retrain, found.plan.arms)  # as a dry run has it: some ratios may come to the same
        assert before.count >= found.plan.count, case
        assert ratios == "0.1,0.3,5,6" or before == found.plan, case


@pytest.mark.parametrize(
    ("settings", "waiting"),
    [
        ({"arms": "default,placebos"}, [["synthetic+best-w1-*", "duplicated+best-w1-*"]]),
        ({"arms": "quick", "weights": "0.5,1"}, [["synthetic+best-w0.5-*", "synthetic+best-w1-*"]]),
        (
            {"arms": "quick,duplicated,duplicated+best", "ratios": "0.1,0.2", "weights": "0.5,1"},
            [
                ["synthetic-r*-w0.5", "synthetic+best-r*-w0.5-*", "synthetic+best-r*-w1-*"],
                ["duplicated-r*-w*", "duplicated+best-r*-w*-*"],
            ],
        ),
        ({"arms": "original,synthetic,distilled,half"}, [["distilled"]]),
        (
            {"arms": "original,synthetic,shuffled", "ways": "plain,mixed", "weights": "0.5,1"},
            [["synthetic-w*-mixed"], ["shuffled-w**"]],
        ),
        (
            {"arms": "original,synthetic,oversample,synthetic+best", "ways": "mixed,own-norms"},
            [["synthetic+best-w1-mixed-*", "synthetic+best-w1-own-norms-*"]],
        ),
        (
            {"arms": "original,synthetic,shuffled", "ratios": "0.1,0.2", "weights": "0.5"},
            [["synthetic-r*-w0.5", "shuffled-r*-w0.5"]],
        ),
    ],
)  # fmt: skip
def test_only_what_waits_for_a_choice_comes_later(settings: dict[str, str], waiting: list[list[str]]) -> None:
    config = fast_config(**{f"retrain__{name}": value for name, value in settings.items()}).retrain
    plan = plan_of(config, chosen_arms(config.arms))
    later = [{each.shown() for each in stage} for stage in plan.stages[1:]]
    assert later == [set(names) for names in waiting]
    assert not any(each.waits for each in plan.stages[0])
    lines = plan.lines("compact-small")
    for number, stage in enumerate(plan.stages, 1):
        named = next(line for line in lines if line.startswith(f"stage {number}, {len(stage) * 2} trainings"))
        assert all(each.shown() in named for each in stage)


def test_a_training_reads_no_choice_that_it_does_not_wait_for() -> None:
    config = fast_config(
        retrain__arms="all", retrain__ratios="0.1,0.3", retrain__weights="0.5,1", retrain__ways="plain,mixed"
    )
    found = ready(config)
    real, (faces,) = found.material.real, found.material.plausible
    soft = replace(faces, soft_labels=np.full((len(faces), 3), 1 / 3, np.float32))
    said = {"teacher": np.full((len(real), 3), 1 / 3, np.float32), "plausible": (soft,),
            "moved": dict.fromkeys(MOVED, (real, ""))}  # fmt: skip
    given = {"ratio": found.choices._portions[1], "weight": 0.5, "weight_with_best": 1.0, "best": "ldam",
             "way": "mixed", "way_with_best": "plain", "teacher": said}  # fmt: skip
    for number, stage in enumerate(found.plan.stages, 1):
        for planned in stage:
            assert number > 1 or not planned.waits
            fresh = ready(config).choices  # nothing is trained: another choice than the given ones would fail
            fresh.__dict__.update({choice: given[choice] for choice in planned.waits})
            folder, data = fresh.folder(planned), fresh.data(planned)
            assert "{" not in folder
            assert len(data.images) == len(data.weights)


def test_every_setting_of_every_arm_has_a_folder_of_its_own() -> None:
    config = fast_config(
        retrain__arms="all", retrain__ratios="0.1,0.3", retrain__weights="0.5,1", retrain__ways="all"
    ).retrain
    plan = plan_of(config, chosen_arms("all", pooled=True, start="classifier"))
    names = [each.folder for stage in plan.stages for each in stage]
    assert len(names) == len(set(names))
    assert {each.arm.name for stage in plan.stages for each in stage} >= {
        name for name, arm in ARMS.items() if arm.after != "free"
    }


def test_the_count_by_hand() -> None:
    def count(**settings: object) -> int:
        config = fast_config(**{f"retrain__{name}": value for name, value in settings.items()}).retrain
        return plan_of(config, chosen_arms(config.arms)).count

    assert count(seeds=3) == 15
    assert count(seeds=3, keep="distilled") == 16
    assert count(arms="original,synthetic", ratios="0.1,0.2,0.5", weights="0.5,1", seeds=1) == 5
    assert count(arms="original,synthetic", ratios="0.1,0.2", weights="0.25,0.5", seeds=1) == 5  # none of weight 1
    assert count(arms="original,synthetic", ratios="0.1,0.2", weights="0.5", seeds=1) == 4
    assert count(arms="quick", ratios="0.1,0.2,0.5", weights="0.5,1", seeds=1) == 9
    assert count(arms="quick", ratios="0.1,0.2,0.5", weights="0.5,1", tries=1, seeds=1) == 8
    assert count(tries=2, seeds=1) == 9
    assert count(arms="original,synthetic", ways="mixed", seeds=1) == 2
    assert count(arms="original,synthetic", ways="plain,mixed,own-norms", seeds=1) == 4
    assert count(arms="original,synthetic", ways="plain,real-priors", seeds=1) == 2  # there it is the plain one
    assert count(arms="original,synthetic", ways="plain,mixed", weights="0.5,1", seeds=1) == 4
    assert count(arms="original,oversample,synthetic+best", ways="plain,mixed", tries=1, seeds=1) == 2 + 2 + 2
    assert count(arms="original,oversample,synthetic+best", ways="plain,mixed", weights="1,2", tries=1, seeds=1) == 8
    assert count(arms="original,fitted-biases,synthetic", seeds=1) == 2


def test_what_is_on_disk_is_what_was_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((20, 30, 6)))
    add_batch(workspace, data, np.repeat([2, 0], [20, 4]))
    any_face = {"label__min_confidence": "0", "label__manifold": 0.0, "label__copies": False, "label__diverse": False,
                "label__require_match": False}  # fmt: skip
    config = fast_config(
        **any_face, retrain__arms="original,oversample,distilled,synthetic+best", retrain__ratios="0.1,0.3",
        retrain__weights="0.25,0.5", retrain__tries=1, retrain__seeds=1, retrain__keep="distilled",
        classifier__epochs=1,
    )  # fmt: skip
    plans = []
    monkeypatch.setattr(prepare_module, "plan_of", lambda *given: plans.append(plan_of(*given)) or plans[-1])
    result = Project(workspace, config).retrain()
    folders = {path.parent.name for path in (result.path or Path()).glob("trainings/*/model.safetensors")}
    assert len(folders) == plans[0].count == result.figures["run"]["budget"]["trainings"] == 10
    patterns = [f"{each.shown()}-0" for stage in plans[0].stages for each in stage]
    assert all(any(Path(name).match(pattern) for pattern in patterns) for name in folders if "-distilled" not in name)


def test_an_arm_made_of_the_ensembles_opinion_of_faces_has_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no ratio and no weight, so it waits for the original alone."""
    build = ARMS["synthetic"].build
    arm = Arm(
        "said", "Said", "faces with the ensemble's opinion", build, "synthetic", ("-more", build), after="teacher"
    )
    monkeypatch.setitem(cast(dict[str, Arm], ARMS), "said", arm)
    plan = plan_of(fast_config(retrain__arms="original,said,synthetic", retrain__weights="0.5,1").retrain,
                   chosen_arms("original,said,synthetic"))  # fmt: skip
    assert [[each.shown() for each in stage] for stage in plan.stages] == [
        ["original", "synthetic-w0.5", "synthetic-w1"], ["said", "said-more"],
    ]  # fmt: skip
    choices = ready(fast_config(retrain__arms="original,said,synthetic", retrain__weights="0.5,1")).choices
    choices.__dict__["teacher"] = {"teacher": np.full((len(SET.of("train")), 3), 1 / 3, np.float32)}
    assert choices.data(plan.stages[1][0]).images.counts() == {"angry": 26, "happy": 30, "sad": 30}
