"""The arm that starts from a classifier trained on other images."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from classifiers import ClassifierError, Samples, TrainConfig, train
from ganfer.errors import ConfigError
from ganfer.experiment.arms import chosen_arms
from ganfer.experiment.crossfold import retrain_in_folds
from ganfer.experiment.prepare import inputs_of
from ganfer.experiment.retrain import plan_lines
from ganfer.experiment.starts import of_first_fold
from ganfer.page.node import read_results
from ganfer.pipeline import Project
from ganfer.workspace import Workspace


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = np.arange(60) % 3
    data, val = (Samples(striped(labels, seed), labels) for seed in (5, 6))
    folder = tmp_path_factory.mktemp("parent")
    config = TrainConfig(model="compact-small", epochs=8, batch_size=20, augment="none", lr=0.01, tensorboard=False)
    train(config, data, val, NAMES, folder, device="cpu")
    return folder


def test_the_arm_starts_from_the_weights_and_the_report_says_so(parent: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((20, 20, 8)))
    batch = add_batch(workspace, data, np.repeat([0, 2], [4, 6]))
    config = fast_config(
        retrain__arms="original,oversample,synthetic", retrain__seeds=1, retrain__pretrained=str(parent),
        classifier__epochs=1, classifier__lr=1e-5, label__min_confidence="0", label__require_match=False,
        label__manifold=0.0, label__copies=False, label__diverse=False,
    )  # fmt: skip
    assert "pretrained" in plan_lines(config, workspace, data)[0]
    Project(workspace, config).label()
    result = Project(workspace, config).retrain()
    arms = {arm["name"]: arm for arm in result.figures["arms"]}
    assert list(arms) == ["original", "oversample", "synthetic", "pretrained"]
    assert arms["pretrained"]["description"].endswith(f"; those of {parent.name}")
    level = {name: arm["metrics"]["balanced_accuracy"]["mean"] for name, arm in arms.items()}
    assert level["pretrained"] > level["original"] + 0.2  # at such a rate nothing else has learned anything
    notes = read_results(result.path)["data"]["notes"]
    assert any(note.startswith("The arm pretrained: it starts from ") and " images of " in note for note in notes)
    assert sum("it starts from" in note for note in notes) == 1
    assert len(of_first_fold(notes)) == 2
    card = json.loads(next(result.path.glob("trainings/pretrained*/card.json")).read_text())
    start = parent / "model.safetensors"
    assert card["notes"] == [f"it starts from {start}, trained on 60 images of angry, happy, sad"]
    plain = fast_config(retrain__arms="original,oversample,synthetic", retrain__seeds=1)
    assert inputs_of(workspace, plain, data, batch).run.path != result.path


def test_folds_with_the_arm_are_another_report(parent: Path, tmp_path: Path) -> None:
    """What names the run has the digest of the weights, not their path."""
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((24, 30, 12), val=6, test=9))

    def name(**more: object) -> str:
        def stop(*rest: object) -> None:
            raise KeyboardInterrupt

        before = set((tmp_path / "reports").glob("*"))
        config = fast_config(retrain__arms="original,oversample,synthetic", retrain__folds=3, **more)
        with pytest.raises(KeyboardInterrupt):
            retrain_in_folds(workspace, config, data, None, stop)  # type: ignore[arg-type]
        return "".join(path.name for path in set((tmp_path / "reports").glob("*")) - before)

    assert name()
    assert name(retrain__pretrained=str(parent))
    assert not name(retrain__pretrained=str(parent / "model.safetensors"))


def test_the_arm_is_asked_for_by_its_setting(parent: Path) -> None:
    with pytest.raises(ConfigError, match="needs a classifier to start from"):
        chosen_arms("original,pretrained")
    assert "pretrained" not in [arm.name for arm in chosen_arms("all")]
    assert [arm.name for arm in chosen_arms("quick", start=str(parent))][-1] == "pretrained"


@pytest.mark.parametrize(
    ("start", "model", "error", "said"),
    [
        ("nowhere", "compact-small", ConfigError, "retrain.pretrained = 'nowhere' is no classifier of ganfer's"),
        ("", "compact", ClassifierError, "weights of compact-small, and model is compact"),
    ],
)
def test_a_wrong_start_is_said_in_the_plan(
    parent: Path, tmp_path: Path, start: str, model: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        plan_lines(fast_config(retrain__pretrained=start or str(parent), classifier__model=model), Workspace(tmp_path))
