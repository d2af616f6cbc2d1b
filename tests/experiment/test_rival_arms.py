"""Distilled faces, and the arms that need no generator: moved images, drawn features, cleaned labels."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from classifiers import TrainConfig
from ganfer.config import RetrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.errors import ConfigError, GanferError
from ganfer.experiment import cleaned as cleaned_module
from ganfer.experiment import original as original_module
from ganfer.experiment.arms import ARMS, Outcome, Trained, chosen_arms
from ganfer.experiment.cleaned import cleaned, out_of_fold
from ganfer.experiment.comparisons import Compared, Selection, claimed, decide, selected
from ganfer.experiment.faces import plausible_faces
from ganfer.experiment.material import Material, TrainingData
from ganfer.experiment.original import alike_in_all, moved_images, softly_labelled
from ganfer.experiment.plan import plan_of
from ganfer.experiment.portions import filled
from ganfer.experiment.prepare import folds_of
from ganfer.experiment.retrain import plan_lines
from ganfer.generate.batch import read_batch
from ganfer.label.labels import COPY, KEPT, LOW_CONFIDENCE, MISMATCH, SURPLUS, Labels, write_labels
from ganfer.pipeline import Project
from ganfer.statistics.verdict import Estimate
from ganfer.workspace import Run, Workspace

CONFIG = TrainConfig(model="compact-small")


class Opinions:
    """Trainings whose original says something of every image, and which keeps arrays."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, np.ndarray]] = {}

    def ensemble(self, name: str, images: np.ndarray, of: str = "") -> np.ndarray:
        said = images.reshape(len(images), -1)[:, :3].astype(np.float32) + 1
        return np.asarray(said / said.sum(axis=1, keepdims=True))

    def models(self, name: str, most: int) -> list[Any]:
        return [SimpleNamespace(seed=seed) for seed in range(most)]

    def kept(self, name: str) -> dict[str, np.ndarray] | None:
        return self.stored.get(name)

    def keep(self, name: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        self.stored[name] = arrays
        return arrays


def synthetic(images: ImageSet) -> ImageSet:
    return replace(images, source=np.full(len(images), "synthetic"), ids=np.char.add("face ", images.ids))


def test_distilling_with_faces_uses_no_label_of_theirs() -> None:
    real, faces = tiny_set((4, 6, 2), 0, 0), synthetic(tiny_set((3, 3, 3), 0, 0))
    built = []
    for labels in (faces.labels, (faces.labels + 1) % 3):
        opinion = Opinions()
        told = softly_labelled(opinion, [replace(faces, labels=labels)])  # type: ignore[arg-type]
        teacher = opinion.ensemble("original", real.images)
        material = Material(real, faces, faces, weight=0.5, teacher=teacher, plausible=told)
        built.append(ARMS["distilled+synthetic"].build(material, CONFIG))
    first, second = (one.images for one in built)
    assert np.array_equal(first.labels, second.labels)
    assert first.soft_labels is not None
    assert second.soft_labels is not None
    assert np.array_equal(first.soft_labels, second.soft_labels)
    alone = ARMS["distilled"].build(material, CONFIG).images
    assert np.array_equal(first.soft_labels[:12], alone.soft_labels)  # type: ignore[arg-type]
    assert np.allclose(first.soft_labels[12:], Opinions().ensemble("", faces.images))  # no share of a hard label
    assert built[0].weights.tolist() == [1.0] * 12 + [0.5] * 9
    assert [len(one) for one in alike_in_all([faces, faces.select(range(5))])] == [5, 5]


def test_plausible_faces_are_those_whose_label_alone_is_in_doubt(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    images = tiny_set()
    data = add_set(workspace, images)
    batch_run = add_batch(workspace, data, np.array([0, 1, 2] * 4))
    batch = read_batch(batch_run)
    reasons = [
        KEPT, SURPLUS, MISMATCH, LOW_CONFIDENCE, MISMATCH, LOW_CONFIDENCE, COPY, "near-duplicate", "blank",
        "off the manifold", MISMATCH, "copy of a validation or test image",
    ]  # fmt: skip
    realism = ["1", "1", "0.6", "0.6", "0.4", "", "1", "1", "1", "0.1", "0.9", "1"]
    likeness = ["0.1"] * 10 + ["0.95", "0.1"]  # the eleventh is a copy, which its reason does not say
    labels = Run(batch_run.path / "labels" / "x", {"inputs": {}})
    with labels.work("label"):
        predicted = np.array([0, 1, 2] * 4)
        sure = np.eye(3, dtype=np.float32)[predicted]
        table = Labels(labels, NAMES, predicted, np.ones(12), sure, np.array(reasons))
        more = {"realism": realism, "likeness": likeness, "isolation": ["0.1"] * 12}
        write_labels(labels, batch, table, more)
        limits = {"realism": dict.fromkeys(NAMES, 0.5), "copy": {"likeness": 0.9, "isolation": 0.5}}
        labels.finish(digest="x", figures={"screen": {"limits": limits}})
    found = plausible_faces(batch_run, labels, images, 100, 0)
    assert [int(name[-10:-4]) for name in found.ids] == [0, 1, 2, 3, 5]
    assert set(found.source) == {"synthetic"}
    assert len(plausible_faces(batch_run, labels, images, 2, 0)) == 2
    limits["copy"] = None  # copies were not looked for
    labels.finish(digest="x", figures={"screen": {"limits": limits}})
    assert [int(name[-10:-4]) for name in plausible_faces(batch_run, labels, images, 100, 0).ids] == [0, 1, 2, 3, 5, 10]


def test_moved_images_fill_rare_classes_and_copies_stand_for_those_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tiny_set((10, 20, 3), 0, 0)
    calls: list[tuple[int, int, int]] = []

    def pushed(guide: Any, other: Any, images: Any, labels: Any, target: int, number: int, **rest: Any) -> Any:
        calls.append((target, guide.seed, other.seed))
        sure = np.where(np.arange(number) % 2 == 0, 0.95, 0.5)
        source = np.flatnonzero(labels != target)[:number]
        return SimpleNamespace(images=np.full((number, 1, 16, 16), 7, np.uint8), source=source, confidence=sure)

    monkeypatch.setattr(original_module, "pushed", pushed)
    monkeypatch.setattr(original_module, "usual_confidence", lambda *_: np.array([1.0, 1.0, 0.52]))
    trainings, settings = Opinions(), {"beta": 0.999, "lam": 0.5, "confidence": 0.9}
    made, told = moved_images(trainings, real, "m2m", settings, 0)  # type: ignore[arg-type]
    assert filled([10, 20, 3], 33) == [10, 0, 17]
    assert filled([10, 20, 3, 0], 8) == [1, 0, 7, 0]  # the rarest first, and none for a class without an image
    assert made.counts() == {"angry": 10, "happy": 0, "sad": 17}
    # every second of angry, and all of sad, of whose real images the original is no surer
    assert told == "22 of 27 moved images accepted, copies in place of the others"
    accepted = (made.images == 7).all(axis=(1, 2, 3))
    assert accepted.sum() == 22
    pixels = {image.tobytes(): label for image, label in zip(real.images, real.labels, strict=True)}
    rest = np.flatnonzero(~accepted)
    assert [pixels[made.images[i].tobytes()] for i in rest] == made.labels[rest].tolist()  # of their own class
    assert sorted(calls) == [(0, 0, 1), (2, 0, 1)]
    again, _ = moved_images(trainings, real, "m2m", settings, 0)  # type: ignore[arg-type]
    assert len(calls) == 2  # what was moved is kept
    assert np.array_equal(again.images, made.images)
    assert len(set(made.ids)) == len(made)
    built = ARMS["m2m"].build(Material(real, real, real, moved={"m2m": (made, told)}), CONFIG)
    assert built.images.counts() == {"angry": 20, "happy": 20, "sad": 20}
    assert built.told == told


def test_doubted_labels_are_left_out_or_made_likelier() -> None:
    pytest.importorskip("cleanlab")
    real = tiny_set((60, 60, 30), 0, 0)
    wrong = np.array([3, 70, 71, 140])
    truth = real.labels
    real = replace(real, labels=truth.copy())
    real.labels[wrong] = (truth[wrong] + 1) % 3
    probabilities = (0.9 * np.eye(3)[truth] + 0.1 / 3).astype(np.float32)
    left, told = cleaned(real, probabilities)
    assert set(real.ids) - set(left.ids) == {f"image{i}" for i in wrong}
    assert told == "4 of 150 labels doubted and left out (angry 1, happy 1, sad 2)"
    every, told = cleaned(real, probabilities, relabel=True)
    assert np.array_equal(every.labels, truth)
    assert "given their likeliest class" in told
    sure, _ = cleaned(replace(real, labels=truth), probabilities)
    assert len(sure) == 150


def test_out_of_fold_probabilities_are_of_the_training_images_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def crossval(config: Any, given: Any, names: Any, folder: Path, **rest: Any) -> Any:
        asked.update(count=len(given), folder=folder, **rest)
        return SimpleNamespace(probabilities=np.full((len(given), 3), 1 / 3, np.float32))

    monkeypatch.setattr(cleaned_module, "crossval", crossval)
    run = Run(tmp_path / "run", {})
    with run.work("x"):
        found = out_of_fold(run, fast_config(), tiny_set((5, 3, 1), 4, 4).of("train"))
    assert (asked["count"], asked["folds"], asked["groups"]) == (8, 3, None)  # no more folds than images of a class
    assert found[-1].tolist() == [0, 0, 1]  # the only one of its class
    assert np.allclose(found[:8], 1 / 3)
    subjects = replace(tiny_set((5, 4, 4), 0, 0), group=np.array(["a", "b", "c"] * 4 + ["a"]))
    with run.work("x"):
        out_of_fold(run, fast_config(), subjects)
    assert (asked["folds"], set(asked["groups"])) == (3, {"a", "b", "c"})


def test_without_cleanlab_the_arm_is_refused_and_left_out_of_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaned_module, "find_spec", lambda name: None)
    with pytest.raises(GanferError, match="needs cleanlab"):
        Project(tmp_path / "w", fast_config(retrain__arms="original,clean")).retrain()
    assert not (tmp_path / "w").exists()
    assert "clean" not in [arm.name for arm in chosen_arms("cheap")]
    assert any("without the arm clean" in line for line in plan_lines(fast_config(retrain__arms="cheap")))


def test_lists_and_what_the_arms_cost() -> None:
    pytest.importorskip("cleanlab")
    assert [arm.name for arm in chosen_arms("rivals")] == ["original", "m2m", "features"]
    assert [arm.name for arm in chosen_arms("distillation")] == ["original", "distilled", "distilled+synthetic"]
    assert {"m2m", "features", "clean"} <= {arm.name for arm in chosen_arms("cheap")}
    with pytest.raises(ConfigError, match="Add distilled"):
        chosen_arms("original,distilled+synthetic")

    config = fast_config(retrain__arms="original,clean", audit__folds=6)
    assert folds_of(config, chosen_arms("original,clean")) == 6
    assert folds_of(config, chosen_arms("original,oversample")) == 0
    lines = "\n".join(plan_lines(config))
    assert "for the arm clean, 6 folds" in lines
    assert "at most 10 trainings" in lines  # two arms, two seeds
    stages = plan_of(config.retrain, chosen_arms("rivals,distillation")).stages
    assert [each.folder for each in stages[1]] == ["m2m", "features", "distilled", "distilled+synthetic"]


def outcome(name: str) -> Outcome:
    images = tiny_set((1, 1, 1), 0, 0)
    data = TrainingData(images, np.ones(3, np.float32), CONFIG)
    sure = np.eye(3, dtype=np.float32)
    return Outcome(ARMS[name], data, 1, (Trained(sure, sure, 1.0, 1.0, "cpu"),) * 2)


def verdict_of(against: Mapping[str, float], names: tuple[str, ...], best: str) -> dict[str, Any]:
    """The verdict where the first synthetic arm gains so much balanced accuracy over each baseline, give or take 1."""
    outcomes = [outcome(name) for name in names]
    selection = Selection(best, "oversample", {}, best)
    about, _ = claimed(outcomes, selection)
    flat = Estimate(0.0, -0.001, 0.001, (0.0, 0.0))
    pairs = [
        Compared(
            about, name, {"balanced_accuracy": Estimate(g, g - 0.01, g + 0.01, (g, g)), "accuracy": flat}, None, True
        )
        for name, g in against.items()
    ]
    pairs += [Compared(best, "original", {"balanced_accuracy": flat, "accuracy": flat}, None, True)]
    return decide(outcomes, pairs, selection, RetrainConfig())


def test_distilled_faces_must_beat_the_best_way_and_the_same_distillation() -> None:
    names = ("original", "oversample", "distilled", "distilled+synthetic")
    found = verdict_of({"original": 0.05, "oversample": 0.04, "distilled": 0.03}, names, "oversample")
    assert (found["word"], found["arm"], found["baseline"]) == ("helps", "distilled+synthetic", "distilled")
    assert "the same training without the faces" in found["sentence"]
    found = verdict_of({"original": 0.05, "oversample": 0.04, "distilled": 0.001}, names, "oversample")
    assert (found["word"], found["baseline"]) == ("no difference", "distilled") or found["word"] == "cannot tell"
    assert "distilled ensemble alone" in found["sentence"]
    found = verdict_of({"original": 0.05, "oversample": 0.0, "distilled": 0.03}, names, "oversample")
    assert found["word"] != "helps"
    assert found["baseline"] == "oversample"
    found = verdict_of({"original": 0.05, "distilled": 0.03}, names, "distilled")
    assert (found["word"], found["baseline"]) == ("helps", "distilled")
    assert selected({"original": 0.5, "m2m": 0.6, "distilled+synthetic": 0.9}).best_without == "m2m"


def test_an_arm_that_is_added_later_can_be_the_verdicts_opponent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARMS, "focal", replace(ARMS["oversample"], name="focal"))  # type: ignore[arg-type]
    assert selected({"original": 0.5, "focal": 0.7, "synthetic": 0.6}).best_without == "focal"


def test_all_of_them_end_to_end_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cleanlab")
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((24, 30, 6)))
    add_batch(workspace, data, np.repeat([2, 0, 1], 8), striped(np.repeat([2, 0, 1], 8), seed=99))
    settings = {
        "retrain__arms": "original,oversample,rivals,distillation,clean", "classifier__epochs": 1, "audit__folds": 2,
        "label__min_confidence": "0", "label__require_match": False,
    }  # fmt: skip
    first = Project(workspace, fast_config(**settings)).retrain()
    arms = {arm["name"]: arm for arm in first.figures["arms"]}
    assert list(arms) == ["original", "oversample", "m2m", "features", "distilled", "distilled+synthetic", "clean"]
    assert sum(arms["distilled+synthetic"]["synthetic_counts"].values()) > 0
    assert "moved images accepted" in arms["m2m"]["description"]
    assert "labels doubted" in arms["clean"]["description"]
    assert first.figures["verdict"]["arm"] == "distilled+synthetic"
    assert len({arm["steps"] for arm in arms.values()}) == 1
    assert first.path is not None
    made = {path.name: path.stat().st_mtime_ns for path in first.path.glob("trainings/*/model.safetensors")}
    (first.path / "results.json").unlink()
    record = (first.path / "record.json").read_text().replace('"complete"', '"running"')
    (first.path / "record.json").write_text(record)  # as if it had been killed at the end
    monkeypatch.setattr(original_module, "pushed", None)
    again = Project(workspace, fast_config(**settings)).retrain()
    assert [arm["confusion"] for arm in again.figures["arms"]] == [arm["confusion"] for arm in first.figures["arms"]]
    assert {path.name: path.stat().st_mtime_ns for path in first.path.glob("trainings/*/model.safetensors")} == made
