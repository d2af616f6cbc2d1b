"""Starting weights in the commands: runs are told apart by what the file holds, and what cannot be is said at once."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from classifiers import ClassifierError, Samples, TrainConfig, train
from ganfer.classifier.crossval import crossval
from ganfer.classifier.train import train_classifier
from ganfer.config import Config
from ganfer.data.thin import thin
from ganfer.errors import ConfigError
from ganfer.pipeline import Project
from ganfer.quality.stage import quality
from ganfer.tune.stage import tune
from ganfer.workspace import Run, Workspace

SETTINGS = TrainConfig(model="compact-small", epochs=1, batch_size=16, augment="none", tensorboard=False)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two classifiers that differ in their seed."""
    labels = np.arange(24) % 3
    data, val = (Samples(striped(labels, at), labels) for at in (1, 2))
    folders = tuple(tmp_path_factory.mktemp(f"start{seed}") for seed in (0, 1))
    for seed, folder in enumerate(folders):
        train(SETTINGS, data, val, NAMES, folder, seed=seed, device="cpu")
    return folders[0], folders[1]


Command = Callable[[Workspace, Config, Run, Run], object]
COMMANDS: dict[str, Command] = {
    "train classifier": lambda workspace, config, data, batch: train_classifier(workspace, config, data),
    "crossval": lambda workspace, config, data, batch: crossval(workspace, config, data),
    "tune": lambda workspace, config, data, batch: tune(workspace, config, data, ["dropout=none,0.2"]),
    "tune, searched": lambda workspace, config, data, batch: tune(
        workspace,
        dataclasses.replace(config, classifier=dataclasses.replace(config.classifier, pretrained="none")),
        data,
        [f"pretrained=none,{config.classifier.pretrained}"],
    ),
    "quality": lambda workspace, config, data, batch: quality(workspace, config, batch, data, data),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_named_by_the_weights_and_not_by_their_path(
    command: str, starts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command.startswith("tune"):
        pytest.importorskip("optuna")
    workspace = Workspace(tmp_path / "work")
    data = add_set(workspace, tiny_set())
    batch = add_batch(workspace, data, np.arange(3))
    plain = Workspace.run

    def name(start: str) -> str:
        def stop(self: Workspace, stage: str, name: str, key: dict[str, object]) -> Run:
            raise KeyboardInterrupt(plain(self, stage, name, key).name)

        monkeypatch.setattr(Workspace, "run", stop)
        with pytest.raises(KeyboardInterrupt) as named:
            COMMANDS[command](workspace, fast_config(classifier__pretrained=start, quality__faces="all"), data, batch)
        monkeypatch.setattr(Workspace, "run", plain)
        return str(named.value)

    monkeypatch.chdir(tmp_path)
    shutil.copytree(starts[0], "here")
    first = name("here")
    assert name(str(starts[0])) == first or command == "tune, searched"  # whose values are its settings
    shutil.rmtree("here")
    shutil.copytree(starts[1], "here")
    assert name("here") != first


@pytest.mark.parametrize("command", ["label", "quality", "crossval", "retrain", "train_classifier"])
def test_weights_for_other_images_are_said_before_a_generator_is_trained(
    command: str, starts: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    grey = tiny_set()
    add_set(workspace, dataclasses.replace(grey, images=np.repeat(grey.images, 3, axis=1)))
    project = Project(workspace, fast_config(classifier__pretrained=str(starts[0])))
    with pytest.raises(ClassifierError, match="trained on grey images, and these are colour"):
        getattr(project, command)()
    assert not list(tmp_path.glob("gans/*"))
    assert not list(tmp_path.glob("*/compact*"))


def test_a_start_is_looked_at_before_the_faces_are_drawn_it_would_train_on(
    starts: tuple[Path, Path], tmp_path: Path
) -> None:
    config = fast_config(retrain__pretrained=str(starts[0]), data__channels=3)
    with pytest.raises(ClassifierError, match="trained on grey images, and these are colour"):
        Project(Workspace(tmp_path / "new"), config).retrain()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("crossval", {"classifier__pretrained": "{}"}),
        ("audit", {"classifier__pretrained": "{}"}),
        ("retrain", {"classifier__pretrained": "{}", "retrain__folds": 3}),
        ("retrain", {"retrain__pretrained": "{}", "retrain__folds": 3}),
    ],
)
def test_folds_do_not_start_from_weights_that_have_seen_the_data(
    command: str, settings: dict[str, object], starts: tuple[Path, Path], tmp_path: Path
) -> None:
    """Nor does a set that was thinned or cleaned; other data's weights are none of it."""
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set())
    key = {"config": {}, "inputs": {"data": data.digest}, "seed": 0}
    run = workspace.run("classifiers", "compact-small", key)
    with run.work("train classifier"):
        shutil.copytree(starts[0], run.path, dirs_exist_ok=True)
        run.finish(digest="x", figures={})
    thin(workspace, fast_config(), data, imbalance=2.0)
    for start, seen in ((run.path, True), (run.path / "model.safetensors", True), (starts[1], False)):
        given = {name: str(start) if value == "{}" else value for name, value in settings.items()}
        project = Project(workspace, fast_config(**given))
        if seen:
            with pytest.raises(ConfigError, match="folds would test it on its own training images"):
                getattr(project, command)()
        else:
            assert getattr(project, command)(dry_run=True)
