"""The whole experiment with every arm on tiny images, and the input it must refuse or survive."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, tiny_set, tree

from ganfer.data.imageset import ImageSet
from ganfer.errors import ConfigError, DataError
from ganfer.experiment import trainings as trainings_module
from ganfer.experiment.arms import ARMS, DEFAULT, QUICK, REBALANCING
from ganfer.experiment.prepare import identity
from ganfer.label.labels import newest_labels
from ganfer.pipeline import Project
from ganfer.runtime.files import digest_json, write_json
from ganfer.workspace import Workspace

ANY_FACE = {  # the screen has tests of its own
    "label__min_confidence": "0", "label__manifold": 0.0, "label__copies": False, "label__diverse": False,
    "label__require_match": False,
}  # fmt: skip


def project_with(root: Path, images: ImageSet, asked: tuple[int, int] = (40, 10), **settings: object) -> Project:
    """A workspace with this set as its data and a batch of faces, most of them sad."""
    workspace = Workspace(root)
    data = add_set(workspace, images)
    add_batch(workspace, data, np.repeat([2, 0], asked))
    few = {"classifier__epochs": 2, "retrain__arms": "original,synthetic"}
    return Project(workspace, fast_config(**{**few, **ANY_FACE, **settings}))


def with_ages(images: ImageSet) -> ImageSet:
    ages = np.where(np.arange(len(images)) % 2 == 0, "older", "younger")
    ages[np.flatnonzero(images.split == "test")[:3]] = "unsure"
    return replace(images, attributes={"age": ages, "name": images.ids})


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Every arm, with the ratio and the weight to be found, soft labels, and a column of ages."""
    root = tmp_path_factory.mktemp("everything")
    project = project_with(
        root, with_ages(tiny_set((40, 60, 6), test=24)), retrain__arms="all", retrain__ratios="0.05,0.2",
        retrain__weights="0.5,1", retrain__soft_labels=True, classifier__epochs=1,
    )  # fmt: skip
    project.retrain()
    return project


ABSENT = ("oracle", "pool", "pool+best", "pretrained")  # nothing was thinned; no pool, and no classifier to start from
ALL = tuple(name for name in ARMS if name not in ABSENT[1:])


def results_of(project: Project) -> dict[str, Any]:
    return dict(project.retrain().figures)


def test_every_arm_is_trained_alike(everything: Project) -> None:
    results = results_of(everything)
    arms = {arm["name"]: arm for arm in results["arms"]}
    assert list(arms) == [name for name in ARMS if name not in ABSENT]
    assert len({arm["steps"] for arm in arms.values()}) == 1
    cards = {
        path.parent.name: json.loads(path.read_text())["config"]
        for path in (everything.retrain().path or Path()).glob("trainings/*/card.json")
    }
    assert len({(card["steps"], card["validations"], card["lr"]) for card in cards.values()}) == 1
    counts = arms["synthetic"]["synthetic_counts"]
    for name in ("synthetic+best", "shuffled", "unscreened"):
        assert sum(arms[name]["synthetic_counts"].values()) == sum(counts.values()) > 0
    assert arms["duplicated"]["train_counts"] == arms["synthetic"]["train_counts"]
    assert not any(arms["duplicated"]["synthetic_counts"].values())


def test_choices_are_made_on_validation_and_only_what_was_chosen_sees_the_test(everything: Project) -> None:
    results = results_of(everything)
    selection, tuning = results["selection"], results["tuning"]
    validation = selection["validation"]
    cheap = [name for name, arm in ARMS.items() if arm.role == "cheap" and name not in ABSENT]
    assert selection["best_cheap"] == max(cheap, key=lambda name: validation[name])
    assert selection["best_rebalancing"] in REBALANCING
    without = [*cheap, "original", "duplicated", "duplicated+best"]
    assert selection["best_without"] == max(without, key=lambda name: validation[name])
    chosen = [point for point in tuning["weights"] if point["chosen"]]
    assert len(chosen) == 1
    assert results["settings"]["weight"] == chosen[0]["weight"]
    assert results["settings"]["ratio"] in [point["ratio"] for point in tuning["ratios"] if point["chosen"]]
    folders = {path.name for path in (everything.retrain().path or Path()).glob("trainings/*")}
    looked = {path.parent.name for path in (everything.retrain().path or Path()).glob("trainings/*/test.npz")}
    trained = [arm for arm in ARMS.values() if arm.after != "free" and arm.name not in ABSENT]
    assert len(looked) == len(trained) * 2  # one look per trained model
    tuned_out = {name for name in folders - looked if name.startswith("synthetic-")}
    assert len(tuned_out) == 2 * 2  # the other ratio and the other weight, two seeds each
    chosen = [point["weight"] for point in tuning["weights_with_best"] if point["chosen"]]
    assert [results["settings"]["weight_with_best"]] == chosen
    tuned_out |= {name for name in folders - looked if name.startswith("synthetic+best-")}
    assert len(tuned_out) == 2 * 3  # the other weight beside the rebalancing
    others = {name for name in folders - looked - tuned_out if not name.startswith(".")}
    given = [arm for name, arm in ARMS.items() if name not in ABSENT and arm.other]
    assert len(others) == 2 * len(given)  # the cheap arms' other settings


def test_every_arm_is_decided_for_balanced_accuracy_too(everything: Project) -> None:
    results = results_of(everything)
    equal = results["equal_shares"]
    rows = {row["name"]: row for row in equal["arms"]}
    assert list(rows) == [name for name in ARMS if name not in ABSENT]
    assert ARMS[equal["best"]].role in ("baseline", "cheap", "copies")
    assert [name for name, row in rows.items() if row["change"] is None] == [equal["best"]]
    base = rows[equal["best"]]["metrics"]["accuracy"]["mean"]
    assert rows["synthetic"]["change"]["accuracy"]["mean"] == pytest.approx(
        rows["synthetic"]["metrics"]["accuracy"]["mean"] - base
    )
    page = (everything.retrain().path or Path()) / "index.html"
    assert "More than a moved threshold?" in page.read_text()


def test_comparisons_hold_what_was_claimed(everything: Project) -> None:
    results = results_of(everything)
    rows = {(row["arm"], row["baseline"], row["metric"]): row for row in results["comparisons"]}
    cheap = results["selection"]["best_cheap"]
    for arm in ("synthetic", "synthetic+best"):
        assert (arm, cheap, "balanced_accuracy") in rows
        assert (arm, cheap, "recall:sad") in rows
    assert ("synthetic", "shuffled", "accuracy") in rows
    assert ("synthetic", "shuffled", "recall:sad") not in rows
    assert ("synthetic+best", "duplicated+best", "balanced_accuracy") in rows
    assert "mcnemar" not in rows["synthetic", "original", "accuracy"]  # it says nothing of other seeds
    for row in rows.values():
        assert (row["low"] > 0) == (row["word"] == "helps")  # words and intervals agree
        assert (row["high"] < 0) == (row["word"] == "hurts")
        assert row["low"] <= row["single"]["low"] <= row["single"]["high"] <= row["high"]
        assert row["p"] <= row["p_holm"] <= 1
        assert 0 < row["detectable"] <= row["detectable_80"] <= 1
    verdict = results["verdict"]
    assert verdict["arm"] == "synthetic+best"
    assert verdict["baseline"] in ("original", results["selection"]["best_without"])
    claim = rows["synthetic+best", verdict["baseline"], "balanced_accuracy"]
    assert claim["p_holm"] == claim["p"]  # named beforehand
    assert "points" in verdict["sentence"]
    assert rows["duplicated", "original", "balanced_accuracy"]["p_holm"] >= claim["p"] or claim["p"] == 1


def test_groups_are_measured_where_they_are_large_enough(everything: Project) -> None:
    groups = results_of(everything)["groups"]
    assert list(groups) == ["age"]  # the column of names is no grouping
    rows = {row["value"]: row for row in groups["age"]}
    assert rows["unsure"]["count"] == 3
    assert rows["unsure"]["change"] is None
    assert rows["older"]["count"] + rows["younger"]["count"] == 69
    change = rows["older"]["change"]["accuracy"]
    expected = rows["older"]["after"]["accuracy"]["mean"] - rows["older"]["before"]["accuracy"]["mean"]
    assert change["mean"] == pytest.approx(expected)
    assert change["low"] <= change["mean"] <= change["high"]


def test_the_nearest_real_face_stands_beside_each_synthetic_one(everything: Project) -> None:
    for name, kinds in results_of(everything)["faces"].items():
        assert len(kinds["nearest"]) == len(kinds["synthetic"])
        assert name != "sad" or kinds["nearest"]


def test_the_budget_is_said_before_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = project_with(tmp_path, tiny_set((10, 10, 10), test=4), retrain__arms="quick", classifier__epochs=1)
    plan = project.retrain(dry_run=True).figures["plan"]
    assert plan[-1].startswith("at most 8 trainings: time unknown")
    project.retrain()
    said = capfd.readouterr().err
    assert "at most 8 trainings of 1 steps: about" in said
    assert "(from the classifier trained before)" in said


@pytest.mark.parametrize(("given", "arms"), [(["--quick"], QUICK), (["--arms", "all"], ALL), ([], None)])
def test_the_command_line_takes_lists_of_arms(given: list[str], arms: tuple[str, ...] | None, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from ganfer.cli.main import cli

    out = CliRunner().invoke(cli, ["retrain", *given, "--dry-run", "--json", "-w", str(tmp_path / "empty")])
    assert out.exit_code == 0, out.output
    wanted = ", ".join(arms or DEFAULT)
    plan = json.loads(out.stdout)["plan"]
    assert f"train compact-small with 3 seed(s) in each arm: {wanted}" in plan
    assert plan[0].startswith("draw 3,000 training faces")  # in an empty folder, with the demo's small settings
    named = ["retrain", *given, "--dry-run", "--json", "-w", str(tmp_path / "empty"), "--config", "fer2013-cpu"]
    assert not json.loads(CliRunner().invoke(cli, named).stdout)["plan"][0].startswith("draw 3,000 ")


def test_a_warm_up_tells_the_time_where_no_record_does(tmp_path: Path) -> None:
    from ganfer.experiment.budget import budget_of

    project = project_with(tmp_path, tiny_set((40, 40, 40)))
    images = tiny_set((40, 40, 40))
    data = project.workspace.active_data
    budget = budget_of(project.config, 6, project.workspace, data, real=images.of("train"), val=images.of("val"))
    assert budget.source == "from a short warm-up"
    assert budget.seconds is not None
    assert budget.seconds > 0
    assert budget.steps == 8  # 120 images in batches of 32, two passes


def test_the_warm_up_leaves_out_the_slow_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from ganfer.experiment import budget

    waits: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waits.append(1))
    now = 0.0
    monkeypatch.setattr(budget.time, "monotonic", lambda: now)
    first, timed = budget._WARM_UP["cuda"]
    clock = budget._Clock(torch.device("cuda"), first, first + timed)
    with clock.watched("train", first + timed) as advance:
        advance(0)
        for step in range(first + timed):
            now += 2.0 if step < first else 0.01  # libraries load; the last step's validation is not timed
            now += 5.0 if step == first + timed - 1 else 0.0
            advance(1)
    assert clock.seconds / timed == pytest.approx(0.01)
    assert len(waits) == 2, "the device has done the steps that are timed"


# --- input that is refused, or survived -------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_synthetic_image_in_validation_or_test_is_refused(tmp_path: Path, split: str) -> None:
    images = tiny_set((10, 10, 10))
    source = images.source.copy()
    source[np.flatnonzero(images.split == split)[2]] = "synthetic"
    with pytest.raises(DataError, match=f"The {split} split holds 1 synthetic image"):
        project_with(tmp_path, replace(images, source=source)).retrain()


def test_a_batch_labelled_with_other_data_is_refused(tmp_path: Path) -> None:
    project = project_with(tmp_path, tiny_set((10, 10, 10)))
    project.label()
    batch = project.needs.batch()
    labels = newest_labels(batch)
    assert labels is not None
    record = labels.record
    record["key"]["inputs"]["data"] = "another"
    write_json(labels.path / "record.json", record)
    before = tree(project.workspace.root)
    with pytest.raises(DataError, match=r"was labelled from other data than tiny.*may have seen this test split"):
        project.retrain()
    assert tree(project.workspace.root) == before


def test_labels_that_the_data_does_not_know_are_refused(tmp_path: Path) -> None:
    project = project_with(tmp_path, tiny_set((10, 10, 10)))
    project.label()
    labels = newest_labels(project.needs.batch())
    assert labels is not None
    file = labels.path / "labels.csv"
    file.write_text(file.read_text().replace("p_sad", "p_bored").replace("sad", "bored"))
    with pytest.raises(DataError, match=r"has the classes angry, happy, bored; the data has angry, happy, sad"):
        project.retrain()


def test_what_would_let_the_rejected_faces_pass_is_said(tmp_path: Path) -> None:
    project = project_with(tmp_path, tiny_set((10, 10, 10)), classifier__epochs=1)
    project.label()
    labels = newest_labels(project.needs.batch())
    assert labels is not None
    file = labels.path / "labels.csv"
    for reason, option in (("off the manifold", r"--set label\.manifold=0"), ("mismatch", "--any-class")):
        file.write_text(file.read_text().replace(",kept", f",{reason}").replace(",off the manifold", f",{reason}"))
        with pytest.raises(DataError, match=rf"kept none of the 50 faces .*\(50 {reason}\).* or label with {option}"):
            project.retrain()
    assert not list(tmp_path.glob("data/*/check"))  # said before the slower looks


def test_too_few_test_images_to_show_anything(tmp_path: Path) -> None:
    images = tiny_set((10, 10, 10), test=2)
    few = images.select(np.flatnonzero((images.split != "test") | (images.labels < 2)))
    with pytest.raises(DataError, match=r"test split has 4 labelled image\(s\); with fewer than 6 no change"):
        project_with(tmp_path, few).retrain()


def test_a_test_split_of_one_class(tmp_path: Path) -> None:
    images = tiny_set((10, 10, 10))
    one = images.select(np.flatnonzero((images.split != "test") | (images.labels == 1)))
    with pytest.raises(DataError, match="All 12 test images are happy"):
        project_with(tmp_path, one).retrain()


def test_classes_with_no_and_with_few_test_images_are_named(tmp_path: Path) -> None:
    images = tiny_set((10, 10, 10))
    test = images.split == "test"
    chosen = ~test | (images.labels == 0) | (np.cumsum(test & (images.labels == 1)) <= 4) & (images.labels == 1)
    results = results_of(project_with(tmp_path, images.select(np.flatnonzero(chosen)), classifier__epochs=1))
    notes = results["data"]["notes"]
    assert "sad has no test image: nothing can be said about it." in notes
    assert any(note.startswith("happy has 4 test image(s): no change of its recall can be shown") for note in notes)
    assert any(note.startswith("angry has 12 test images, which can show no change under") for note in notes)
    assert not any(row["metric"] == "recall:sad" for row in results["comparisons"])


def leaky(root: Path, **settings: object) -> Project:
    """Two training images and one of validation are pictures of the test."""
    images = tiny_set((20, 20, 20))
    images = replace(images, images=np.random.default_rng(0).integers(0, 256, images.images.shape, dtype=np.uint8))
    pixels, test = images.images.copy(), np.flatnonzero(images.split == "test")
    pixels[[0, 1]] = pixels[test[:2]]
    pixels[np.flatnonzero(images.split == "val")[0]] = pixels[test[2]]
    return project_with(root, replace(images, images=pixels), **settings)


def test_leaks_are_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = results_of(leaky(tmp_path / "kept", classifier__epochs=1))
    assert "2 training and 1 validation images are also in a split nearer to the test" in capfd.readouterr().err
    assert any("ganfer data check --drop" in note for note in results["data"]["notes"])
    assert results["data"]["check"]["leaks"]["total"] == 3
    assert sum(results["arms"][0]["train_counts"].values()) == 60


def test_cleaning_the_real_arms_alone_is_refused(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from ganfer.cli.main import cli

    out = CliRunner().invoke(cli, ["retrain", "--drop-leaks", "-w", str(tmp_path / "empty")])
    assert isinstance(out.exception, ConfigError)
    assert "ganfer data check --drop" in str(out.exception.remedy)
    assert not (tmp_path / "empty").exists()


def test_unlabelled_test_images_are_left_out(tmp_path: Path) -> None:
    images = tiny_set((10, 10, 10))
    labels = images.labels.copy()
    labels[np.flatnonzero(images.split == "test")[:3]] = -1
    labels[np.flatnonzero(images.split == "val")[:2]] = -1
    labels[0] = -1
    project = project_with(tmp_path, replace(images, labels=labels), classifier__epochs=1)
    arm = results_of(project)["arms"][0]
    assert np.sum(arm["confusion"]) == (36 - 3) * 2
    assert arm["train_counts"] == {"angry": 9, "happy": 10, "sad": 10}


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_with(tmp_path, tiny_set((10, 10, 10)), classifier__epochs=1)
    project.label()
    real_write, allowed = trainings_module.write_bytes, [5]

    def write(path: Path, data: bytes) -> None:
        allowed[0] -= 1
        if allowed[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real_write(path, data)

    monkeypatch.setattr(trainings_module, "write_bytes", write)
    with pytest.raises(OSError, match="No space left"):
        project.retrain()
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.glob("reports/*/trainings/*/model.safetensors")}
    assert len(trained) == 4
    monkeypatch.undo()
    assert results_of(project)["verdict"]["word"]
    assert {path: path.stat().st_mtime_ns for path in trained} == trained


def test_what_another_experiment_trained_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_with(tmp_path, tiny_set((10, 10, 10)), classifier__epochs=1, retrain__seeds=1)
    first = project.retrain()
    real_train, asked = trainings_module.train_many, []

    def train_many(jobs: Any, **options: Any) -> Any:
        results = real_train(jobs, **options)
        asked.extend((Path(job.folder).name, result.already_done) for job, result in zip(jobs, results, strict=True))
        return results

    monkeypatch.setattr(trainings_module, "train_many", train_many)
    more = Project(project.workspace, replace(project.config, retrain=replace(project.config.retrain, seeds=2)))
    second = more.retrain()
    assert dict(asked) == {
        "original-0": True, "original-1": False, "synthetic-w1-0": True, "synthetic-w1-1": False,
    }  # fmt: skip
    alone = [run.figures["arms"][0]["metrics"]["accuracy"]["per_seed"][0] for run in (first, second)]
    assert alone[0] == alone[1]
    asked.clear()
    other = replace(project.config, classifier=replace(project.config.classifier, lr=0.02))
    Project(project.workspace, other).retrain()
    assert not any(done for _, done in asked)  # another recipe, another training


def test_a_damaged_prediction_is_named(tmp_path: Path) -> None:
    from classifiers.errors import ClassifierError

    project = project_with(tmp_path, tiny_set((10, 10, 10)), classifier__epochs=1)
    run = Path(str(project.retrain().path))
    file = run / "trainings" / "original-0" / "val.npz"
    record = json.loads((run / "record.json").read_text())
    for damaged in (b"", file.read_bytes()[:-3]):
        file.write_bytes(damaged)
        write_json(run / "record.json", {**record, "status": "running"})
        with pytest.raises(ClassifierError, match=r"val\.npz is damaged .*; remove .*original-0 and run the command"):
            project.retrain()


def test_bad_lists_are_said_before_any_work(tmp_path: Path) -> None:
    for settings in ({"retrain__ratios": "0.5,x"}, {"retrain__weights": "-1"}, {"retrain__arms": "orignal"}):
        with pytest.raises(ConfigError):
            Project(tmp_path / "empty", fast_config(**settings)).retrain()
    assert not (tmp_path / "empty").exists()


def test_how_many_run_side_by_side_is_not_part_of_the_experiment(tmp_path: Path) -> None:
    project = project_with(tmp_path, tiny_set((10, 10, 10)))
    two = Project(project.workspace, fast_config(retrain__workers=2))
    assert digest_json(identity(two.config)) == digest_json(identity(fast_config(retrain__workers=1)))
    assert NAMES[0] == "angry"
