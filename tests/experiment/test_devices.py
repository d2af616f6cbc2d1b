"""Arms that were trained on several kinds of device differ for that alone: it is said, and none is brought about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import fast_config, tiny_set

from classifiers.files import read_weights
from classifiers.prediction import WEIGHTS, write_folder
from ganfer.experiment.arms import ARMS, Outcome
from ganfer.experiment.findings import arm_notes
from ganfer.experiment.material import TrainingData
from ganfer.experiment.trainings import Trainings
from ganfer.workspace import Workspace

IMAGES = tiny_set((12, 12, 12))
DATA = TrainingData(
    IMAGES.of("train"), np.ones(36, np.float32), replace(fast_config().classifier, epochs=1, model="compact-small")
)


def experiment(tmp_path: Path, number: int) -> Trainings:
    run = Workspace(tmp_path).run("reports", "report", {"number": number})
    with run.work("retrain"):
        return Trainings(run, IMAGES.of("val"), IMAGES.of("test"), [0], device="cpu", workers=1)


def moved(folder: Path, device: str) -> None:
    """As if it had been trained there."""
    tensors, card = read_weights(folder / WEIGHTS)
    write_folder(folder, tensors, {**card, "device": device})


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_training_of_another_kind_of_device_is_not_taken_over(tmp_path: Path, device: str) -> None:
    first, second = experiment(tmp_path, 1), experiment(tmp_path, 2)
    first.train({"original": DATA})
    moved(first.folder("original", 0), device)
    second.job("original", DATA, 0, {})
    assert second.folder("original", 0).exists() == (device == "cpu")


def test_arms_of_several_kinds_of_device_are_noted(tmp_path: Path) -> None:
    trainings = experiment(tmp_path, 1)
    trainings.train({"original": DATA, "oversample": DATA})
    about = []
    for device in ("cpu", "cuda:1"):
        moved(trainings.folder("original", 0), device)
        outcomes = [Outcome(ARMS[name], DATA, 1, trainings.look(name)) for name in ("original", "oversample")]
        about.append([note for note in arm_notes(outcomes) if "device" in note])
    assert about[0] == []
    assert about[1][0].startswith("Some models were trained on cpu and some on cuda: arms may differ for that alone.")
