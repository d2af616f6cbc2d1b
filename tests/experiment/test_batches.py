"""Several generators: the seeds take turns with their faces, and their luck is in the interval."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import add_batch, add_set, fast_config, striped, tiny_set

from classifiers import TrainConfig
from ganfer.config import Config
from ganfer.errors import ConfigError, DataError, WorkspaceError
from ganfer.experiment.arms import ARMS, Outcome
from ganfer.experiment.comparisons import generator_words
from ganfer.experiment.faces import alike, several_batches
from ganfer.experiment.material import TrainingData
from ganfer.experiment.prepare import Inputs, inputs_of, prepared
from ganfer.generate.batch import read_batch
from ganfer.pipeline import Project
from ganfer.review.decisions import log_of
from ganfer.workspace import Workspace

ANY_FACE = {
    "label__min_confidence": "0", "label__manifold": 0.0, "label__copies": False, "label__diverse": False,
    "label__require_match": False,
}  # fmt: skip


def settings(**more: object) -> Config:
    base = {"classifier__epochs": 1, "retrain__seeds": 4, "retrain__arms": "original,synthetic", **ANY_FACE}
    return fast_config(**{**base, **more})


def test_the_seeds_take_turns(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((20, 30, 6)))
    names = []
    for count in (20, 14):
        labels = np.full(count, 2)
        names.append(add_batch(workspace, data, labels, striped(labels, seed=count)).name)
        Project(workspace, settings()).label()
    assert len(set(names)) == 2
    result = Project(workspace, settings(retrain__batches=",".join(names))).retrain()
    synthetic = result.figures["arms"][1]
    assert sum(synthetic["synthetic_counts"].values()) <= 14  # as many of each generator
    assert result.figures["verdict"]["sentence"].count("faces of such generators (of 2)") == 1
    note = next(note for note in result.figures["data"]["notes"] if note.startswith("The seeds took turns"))
    assert f"2 batches, {sum(synthetic['synthetic_counts'].values())} faces of each" in note
    row = next(row for row in result.figures["comparisons"] if row["metric"] == "accuracy")
    values = np.array(synthetic["metrics"]["accuracy"]["per_seed"])
    values = values - np.array(result.figures["arms"][0]["metrics"]["accuracy"]["per_seed"])
    means = [values[[0, 2]].mean(), values[[1, 3]].mean()]
    assert row["single"]["high"] - row["change"] >= 12.7 * np.std(means, ddof=1) / 2**0.5 - 1e-6 or row["high"] == 1


def test_soft_labels_and_decisions_are_those_of_every_batch(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((10, 10, 10)))
    runs = []
    for asked in ((1, 8), (2, 6)):
        labels = np.repeat(*asked)
        runs.append(add_batch(workspace, data, labels, striped(labels, seed=asked[1])))
        Project(workspace, settings()).label()
    config = settings(retrain__batches=",".join(run.name for run in runs), retrain__soft_labels=True)

    def asked_now() -> Inputs:
        return inputs_of(workspace, config, data, runs[-1])

    before = asked_now()
    material = prepared(before).material
    assert len(material.turns) == 2
    assert all(one.soft_labels is not None for one in material.turns)
    names = read_batch(runs[0]).file_names
    log_of(runs[0].path).reject(names[:1], "ann")
    after = asked_now()
    assert after.run.name != before.run.name, "another face trains: another experiment"
    assert len(prepared(after).material.turns[0]) <= len(material.turns[0])


def test_what_cannot_take_turns_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((10, 10, 10)))
    one = add_batch(workspace, data, np.array([0, 1, 2] * 4)).name
    Project(workspace, settings()).label()
    with pytest.raises(ConfigError, match="Name two or more batches"):
        Project(workspace, settings(retrain__batches=one)).retrain()
    with pytest.raises(ConfigError, match="leave one out"):
        Project(workspace, settings(retrain__batches=one, retrain__folds=3)).retrain()


def test_as_many_of_every_batch() -> None:
    first, second = tiny_set((5, 3, 9), 0, 0), tiny_set((4, 6, 2), 0, 0)
    second = replace(second, ids=np.array([f"other{i}" for i in range(len(second))]))
    assert [one.counts() for one in alike([first, second], 0)] == [{"angry": 4, "happy": 3, "sad": 2}] * 2
    with pytest.raises(DataError, match="no class in common"):
        alike([tiny_set((5, 0, 0), 0, 0), tiny_set((0, 4, 4), 0, 0)], 0)


def test_a_digit_that_is_no_number_is_no_number_of_batches(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="²"):
        several_batches(Workspace(tmp_path), "²", 6)


@pytest.mark.parametrize(
    ("arm", "word", "generators", "said"),
    [
        ("synthetic", "helps", 1, True), ("synthetic+best", "hurts", 1, True), ("synthetic", "cannot tell", 1, False),
        ("synthetic", "helps", 3, False), ("pool", "helps", 1, False),
    ],
)  # fmt: skip
def test_a_claim_about_one_generator_says_what_it_leaves_out(arm: str, word: str, generators: int, said: bool) -> None:
    faces = tiny_set()
    turns = (faces,) * generators if generators > 1 else ()
    data = TrainingData(faces, np.ones(len(faces), np.float32), TrainConfig(), turns=turns)
    words = generator_words([Outcome(ARMS[arm], data, 1, ())], {"arm": arm, "word": word})
    assert ("--batches 3" in words) is said
