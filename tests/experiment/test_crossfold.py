"""The experiment in folds: nobody on both sides, every image tested once, and the folds' predictions pooled."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, tiny_set

from classifiers import Job
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import ConfigError, DataError
from ganfer.experiment import crossfold as crossfold_module
from ganfer.experiment import prepare as prepare_module
from ganfer.experiment import trainings as trainings_module
from ganfer.experiment.arms import ARMS
from ganfer.experiment.crossfold import fold_of, retrain_in_folds
from ganfer.experiment.prepare import RULE
from ganfer.pipeline import Project
from ganfer.results import Result
from ganfer.runtime.files import write_json
from ganfer.workspace import Run, Workspace

FOLDS = 3
ANY_FACE = {  # the screen has tests of its own
    "label__min_confidence": "0", "label__require_match": False, "label__manifold": 0.0, "label__copies": False,
    "label__diverse": False,
}  # fmt: skip


def with_people(images: ImageSet) -> ImageSet:
    """Three images per person."""
    return replace(images, group=np.array([f"S{i // 3:03d}" for i in range(len(images))]))


class Drawing:
    """In place of the pipeline: a batch that looks as if a GAN had drawn it, labelled."""

    def __init__(self, stop_in: int = -1) -> None:
        self.asked: list[Mapping[str, int]] = []
        self.stop_in = stop_in

    def __call__(self, workspace: Workspace, config: Config, counts: Mapping[str, int]) -> Run:
        if len(self.asked) == self.stop_in:
            raise KeyboardInterrupt
        self.asked.append(counts)
        data = workspace.active_data
        assert data is not None
        if not workspace.runs("synthetic"):
            add_batch(workspace, data, np.repeat([NAMES.index(name) for name in counts], list(counts.values())))
        return Project(workspace, config).needs.labels()


def settings(**more: object) -> Config:
    return fast_config(
        **{"retrain__arms": "original,oversample,synthetic", **more}, retrain__folds=FOLDS, retrain__seeds=1,
        classifier__epochs=1, **ANY_FACE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Result, Drawing]:
    workspace = Workspace(tmp_path_factory.mktemp("folds"))
    data = add_set(workspace, with_people(tiny_set((24, 30, 12), val=6, test=9)))
    batch = add_batch(workspace, data, np.repeat([2, 0], [33, 11]))
    drawing = Drawing()
    return workspace, retrain_in_folds(workspace, settings(), data, batch, drawing), drawing


def parts(workspace: Workspace) -> list[ImageSet]:
    folders = sorted(workspace.root.glob("reports/folds-*/folds/fold-*/data/fold-*"))
    return [read_set(folder) for folder in folders]


def test_every_image_is_tested_once_and_nobody_is_on_both_sides(told: tuple[Workspace, Result, Drawing]) -> None:
    folds = parts(told[0])
    assert len(folds) == FOLDS
    tested = np.sum([fold.split == "test" for fold in folds], axis=0)
    assert tested.tolist() == [1] * 111
    for fold in folds:
        people = {split: set(fold.group[fold.split == split]) for split in ("train", "val", "test")}
        assert not people["train"] & people["test"]
        assert not people["val"] & (people["train"] | people["test"])
        assert all(count > 0 for count in fold.counts("test").values())
        assert sum(fold.counts("val").values()) > 0
    assert len(set(told[0].root.glob("**/images.npy"))) == 4
    assert len({file.stat().st_ino for file in told[0].root.glob("**/images.npy")}) == 1  # one copy of the pixels


def test_the_predictions_are_pooled(told: tuple[Workspace, Result, Drawing]) -> None:
    results, workspace = told[1].figures, told[0]
    assert sum(results["data"]["test"].values()) == 111
    for place, arm in enumerate(results["arms"]):
        assert np.sum(arm["confusion"]) == 111
        inner = [stored(fold["path"])["arms"][place]["confusion"] for fold in results["folds"]]
        assert np.array_equal(arm["confusion"], np.sum(inner, axis=0))
    means = [stored(fold["path"])["selection"]["validation"]["oversample"] for fold in results["folds"]]
    assert results["selection"]["validation"]["oversample"] == pytest.approx(np.mean(means))
    assert "3 folds, split by subject" in results["data"]["notes"][0]
    assert (told[1].path or Path()).joinpath("index.html").is_file()
    assert workspace.active_data is not None
    assert workspace.active_data.name.startswith("tiny")  # the user's set stays the active one


def stored(path: str) -> dict[str, Any]:
    return dict(json.loads((Path(path) / "results.json").read_text()))


def test_a_finished_report_is_made_anew_under_a_new_rule_from_the_same_trainings(
    told: tuple[Workspace, Result, Drawing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "folds"
    shutil.copytree(told[0].root, root)
    workspace = Workspace(root)
    data = workspace.active_data
    assert data is not None
    (batch,) = workspace.runs("synthetic")
    report = root / "reports" / Path(str(told[1].path)).name
    for module in (crossfold_module, prepare_module):
        monkeypatch.setattr(module, "RULE", RULE + 1)

    trained = {file.stat().st_mtime_ns for file in root.glob("**/trainings/*/model.safetensors")}
    assert len(trained) == 3 * FOLDS
    old = stored(str(report))
    (report / "results.json").write_text(json.dumps({**old, "verdict": {**old["verdict"], "sentence": "old"}}))
    again = retrain_in_folds(workspace, settings(), data, batch, Drawing())
    assert again.path == report
    assert again.figures["verdict"] == told[1].figures["verdict"]
    weights = list(root.glob("**/trainings/*/model.safetensors"))
    assert len(weights) == 2 * 3 * FOLDS  # the earlier reports of the folds stay
    assert {file.stat().st_mtime_ns for file in weights} == trained, "none was trained anew"
    assert {fold["path"] for fold in again.figures["folds"]}.isdisjoint(fold["path"] for fold in old["folds"])
    assert json.loads((report / "record.json").read_text())["figures"]["rule"] == RULE + 1
    changed = (report / "index.html").stat().st_mtime_ns
    retrain_in_folds(workspace, settings(), data, batch, Drawing())  # and now it is done
    assert (report / "index.html").stat().st_mtime_ns == changed


def test_each_fold_draws_in_proportion(told: tuple[Workspace, Result, Drawing]) -> None:
    for asked, fold in zip(told[2].asked, parts(told[0]), strict=True):
        train = int((fold.split == "train").sum())
        assert asked == {"angry": round(11 / 66 * train), "sad": round(33 / 66 * train)}


def test_an_interrupted_one_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, config = Workspace(tmp_path), settings(retrain__arms="original,synthetic")
    data = add_set(workspace, with_people(tiny_set((24, 30, 12), val=6, test=9)))
    batch = add_batch(workspace, data, np.repeat([2, 0], [33, 11]))
    with pytest.raises(KeyboardInterrupt):
        retrain_in_folds(workspace, config, data, batch, Drawing(stop_in=1))
    real_train, trained = trainings_module.train_many, []

    def train_many(jobs: Sequence[Job], **options: Any) -> Any:
        trained.append([Path(job.folder).parts[-5] for job in jobs])
        if len(trained) == 1:
            real_train(jobs[:2], **options)
            raise KeyboardInterrupt
        return real_train(jobs, **options)

    monkeypatch.setattr(trainings_module, "train_many", train_many)
    with pytest.raises(KeyboardInterrupt):
        retrain_in_folds(workspace, config, data, batch, Drawing())
    assert trained == [["fold-0", "fold-0", "fold-1", "fold-1", "fold-2", "fold-2"]]  # all folds' go together
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("reports/*/folds/*/reports/**/*.safetensors")}
    assert len(written) == 2
    again = retrain_in_folds(workspace, config, data, batch, Drawing())
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert np.sum(again.figures["arms"][1]["confusion"]) == 111
    drawing = Drawing()
    assert retrain_in_folds(workspace, config, data, batch, drawing).figures == again.figures
    assert drawing.asked == []  # already done
    # folds that were finished stay as they are, as a former version left them one by one
    root = again.path or Path()
    shutil.rmtree(root / "folds" / "fold-2" / "reports")
    write_json(root / "record.json", {**Run(root).record, "status": "running"})
    before = {path: path.read_bytes() for path in root.glob("folds/fold-[01]/reports/*/results.json")}
    more = retrain_in_folds(workspace, config, data, batch, Drawing())
    assert len(before) == 2
    assert {path: path.read_bytes() for path in before} == before
    assert more.figures["comparisons"] == again.figures["comparisons"]


def test_folds_too_large_for_the_memory_are_trained_in_groups(
    told: tuple[Workspace, Result, Drawing], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = parts(told[0])[0]
    asked: Any = [SimpleNamespace(arms=[ARMS["original"], ARMS["synthetic"]])] * 5
    assert [len(group) for group in crossfold_module._groups(asked, images)] == [5]
    monkeypatch.setattr(crossfold_module, "_TOGETHER", 2 * 3 * images.images.nbytes)
    assert [len(group) for group in crossfold_module._groups(asked, images)] == [2, 2, 1]


def test_images_without_a_label_and_synthetic_ones_are_never_tested() -> None:
    images = tiny_set((10, 10, 10))
    labels, source = images.labels.copy(), images.source.copy().astype("<U9")
    labels[0], source[1] = -1, "synthetic"
    fold = fold_of(replace(images, labels=labels, source=source), 3, 0)
    assert fold[:2].tolist() == [-1, -1]
    assert set(fold[2:].tolist()) == {0, 1, 2}


def test_more_folds_than_images_of_a_class() -> None:
    with pytest.raises(DataError, match=r"30 folds, but the smallest class has 22 image\(s\)"):
        fold_of(tiny_set((2, 40, 40)), 30, 0)


def test_one_fold_and_a_batch_from_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 2, or 0"):
        Project(tmp_path / "empty", fast_config(retrain__folds=1)).retrain()
    assert not (tmp_path / "empty").exists()
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((10, 10, 10)))
    run = workspace.run("synthetic", "folder", {"inputs": {"data": data.digest, "folder": "f"}})
    with run.work("import"):
        run.finish(digest="x", figures={})
    with pytest.raises(DataError, match="was not drawn by a GAN that can be trained anew"):
        Project(workspace, settings()).retrain()


def test_a_dry_run_says_what_every_fold_does(tmp_path: Path) -> None:
    plan = Project(tmp_path / "empty", settings()).retrain(dry_run=True).figures["plan"]
    assert any(step.startswith("in each of 3 folds: train the resgan for") for step in plan)
    assert plan[-1] == "in 3 folds: 9 trainings in all"
    assert not (tmp_path / "empty").exists()


@pytest.mark.long
def test_the_whole_story_in_two_folds(tmp_path: Path) -> None:
    """GAN, labeller and arms really are trained anew in each fold."""
    config = fast_config(
        retrain__folds=2, retrain__seeds=1, drawn__total=120, drawn__val=21, drawn__test=35, data__size=32,
        gan__steps=4, gan__snapshot_every=4, gan__base_channels=8, gan__batch_size=8, gan__guidance=0.0,
        generate__n=14, classifier__epochs=1, **ANY_FACE,
    )  # fmt: skip
    project = Project(tmp_path, config)
    results = project.retrain().figures
    assert sum(results["data"]["test"].values()) == 176
    for kind in ("gans", "classifiers", "synthetic"):
        assert len(list(tmp_path.glob(f"reports/folds-*/folds/fold-*/{kind}/*/record.json"))) == 2, kind
    assert not (tmp_path / "gans").exists()
