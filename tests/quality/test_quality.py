"""`ganfer quality` on batches whose faults are known; its files, its page, the command."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from classifiers import Samples
from classifiers.many import with_threads
from ganfer.cli.main import cli
from ganfer.errors import DataError
from ganfer.pipeline import Project
from ganfer.quality.cas import train_cas
from ganfer.quality.page import _recognised
from ganfer.results import Result
from ganfer.workspace import Workspace

EACH = 30
GOOD = np.repeat([0, 1, 2], EACH)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("quality"))
    add_set(workspace, tiny_set(train=(60, 60, 60), val=60))
    project(workspace).train_classifier()
    return workspace


def project(workspace: Workspace, **more: object) -> Project:
    settings = {"quality__halvings": 4, "quality__cas": False, **more}
    return Project(workspace, fast_config(classifier__epochs=12, **settings))


def measured(workspace: Workspace, pixels: np.ndarray, name: str, labels: np.ndarray = GOOD, **more: object) -> Result:
    """The quality of a batch of these images, which were asked to show `labels`."""
    data = workspace.active_data
    assert data is not None
    batch = add_batch(workspace, data, labels, pixels)
    batch._write({**batch.record, "digest": name})
    batch.path.rename(batch.path.with_name(name))
    return project(workspace, **more).quality(name)


@pytest.fixture(scope="module")
def good(workspace: Workspace) -> Result:
    return measured(workspace, striped(GOOD, seed=7), "good", quality__cas=True, quality__cas_steps=60)


def mean(result: Result, figure: str, group: str = "all", side: str = "faces") -> float:
    return float(result.figures["groups"][group][figure][side]["mean"])


def test_real_like_faces_reach_the_ceiling(good: Result) -> None:
    groups = good.figures["groups"]
    assert list(groups) == ["all", *NAMES]
    assert groups["all"]["num_images"] == 3 * EACH
    assert groups["happy"]["num_images"] == EACH
    for figure in ("precision", "recall", "coverage", "density"):
        assert mean(good, figure) == pytest.approx(mean(good, figure, side="real"), abs=0.2), figure
        assert groups["all"][figure]["faces"]["low"] <= mean(good, figure) <= groups["all"][figure]["faces"]["high"]
    assert abs(mean(good, "kid")) < 3 * abs(groups["all"]["kid"]["real"]["high"] - groups["all"]["kid"]["real"]["low"])
    assert good.figures["copies"]["share"] <= 0.05
    assert all(0.8 < each["ratio"] < 1.2 for each in good.figures["diversity"].values())


def test_what_a_classifier_learns_from_good_faces(good: Result) -> None:
    cas = good.figures["cas"]
    made, real = (cas[f"trained_on_{what}"]["balanced_accuracy"] for what in ("synthetic", "real"))
    assert cas["replaced"] == list(NAMES)
    assert cas["images"] == 3 * EACH
    assert made["mean"] > 0.6
    assert made["mean"] == pytest.approx(real["mean"], abs=0.3)
    assert real["low"] < real["mean"] < real["high"] or real["mean"] == 1.0
    assert cas["faces_recognised"]["balanced_accuracy"]["mean"] > 0.6


def test_mode_collapse_is_seen_in_variety_not_in_precision(workspace: Workspace, good: Result) -> None:
    few = np.concatenate([striped(np.full(2, k), seed=50 + k).repeat(EACH // 2, axis=0) for k in range(3)])
    found = measured(workspace, few, "collapsed")
    assert mean(found, "coverage") < 0.5 * mean(good, "coverage")
    assert mean(found, "recall") < 0.3
    assert mean(found, "kid") > mean(good, "kid") + 0.1
    assert all(each["ratio"] < 0.7 for each in found.figures["diversity"].values())
    assert found.figures["copies"]["count"] == 0


def test_noise_is_seen_in_precision(workspace: Workspace, good: Result) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (len(GOOD), 1, 16, 16)).astype(np.uint8)
    found = measured(workspace, noise, "noise")
    assert mean(found, "density") < 0.7 * mean(good, "density")
    assert mean(found, "precision") < mean(good, "precision") - 0.1
    assert mean(found, "fid") > 2 * mean(good, "fid")


def test_copies_are_counted_and_paired_with_their_images(workspace: Workspace) -> None:
    images = tiny_set(train=(60, 60, 60), val=60)
    pixels = striped(GOOD, seed=8)
    pixels[30:40] = images.images[60:70]  # of the second class
    found = measured(workspace, pixels, "copies")
    copies = found.figures["copies"]
    assert copies["per_class"] == {"angry": 0, "happy": 10, "sad": 0}
    assert copies["low"] > copies["held_back_share"]
    assert found.path is not None
    with (found.path / "faces.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["nearest"] for row in rows[30:40]] == [f"image{i}" for i in range(60, 70)]
    assert [row["copy"] for row in rows[29:41]] == ["false", *["true"] * 10, "false"]
    pairs = json.loads((found.path / "quality.json").read_text())["pairs"]
    assert [pair["copy"] for pair in pairs[:10]] == [True] * 10
    assert pairs[0]["face"] == pairs[0]["training"]
    assert "10 of 90" in str(found)


def test_swapped_classes_are_seen_by_the_trained_classifiers(workspace: Workspace) -> None:
    swapped = striped((GOOD + 1) % 3, seed=9)
    cas = measured(workspace, swapped, "swapped", quality__cas=True, quality__cas_steps=60).figures["cas"]
    assert cas["trained_on_synthetic"]["balanced_accuracy"]["mean"] < 0.3
    assert cas["faces_recognised"]["balanced_accuracy"]["mean"] < 0.3
    assert cas["trained_on_real"]["balanced_accuracy"]["mean"] > 0.6


def test_a_batch_of_one_class_is_measured_alone(workspace: Workspace) -> None:
    labels = np.full(40, 2)
    found = measured(workspace, striped(labels, seed=10), "one", labels, quality__cas=True, quality__cas_steps=30)
    assert list(found.figures["groups"]) == ["sad"]
    assert found.figures["cas"]["replaced"] == ["sad"]
    assert set(found.figures["cas"]["trained_on_synthetic"]) == {"balanced_accuracy", *NAMES}
    assert "the faces of sad cover" in str(found)


def test_too_few_faces_are_said_not_measured(workspace: Workspace) -> None:
    labels = np.array([0, 0, 1])
    found = measured(workspace, striped(labels, seed=11), "few", labels)
    assert found.figures["groups"] == {}
    assert "too few faces" in str(found)
    assert "Too few images for figures of their own (8 on each side): angry, happy." in str(found)


def test_the_files(good: Result) -> None:
    assert good.path is not None
    with (good.path / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(NAMES)
    assert float(rows[1]["coverage_faces"]) == pytest.approx(mean(good, "coverage", "happy"), rel=1e-4)
    assert float(rows[1]["coverage_real"]) == pytest.approx(mean(good, "coverage", "happy", "real"), rel=1e-4)
    assert float(rows[0]["recall_trained_on_synthetic"]) > 0
    page = (good.path / "index.html").read_text()
    for heading in (
        "Fidelity and coverage",
        "Distance to real images",
        "Copies of training images",
        "learns from them",
    ):
        assert heading in page
    assert page.count("data:image/png;base64,") >= 3 * 16
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)  # one file, nothing fetched


def test_the_same_again_finds_it_done_and_an_interrupted_one_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = striped(GOOD, seed=12)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ganfer.quality.stage._copies", stop)
        with pytest.raises(KeyboardInterrupt):
            measured(workspace, pixels, "resumed")
    with monkeypatch.context() as patched:
        patched.setattr("ganfer.label.screener.Screener.look", stop)  # what was looked at is not looked at again
        first = project(workspace).quality("resumed")
    again = project(workspace).quality("resumed")
    assert "was already done" in capsys.readouterr().err
    assert again.figures == first.figures


def test_the_kept_faces_alone(workspace: Workspace) -> None:
    pixels = striped(GOOD, seed=13)
    pixels[:10] = 90  # blank
    measured(workspace, pixels, "screened")
    own = project(workspace, quality__faces="kept")
    with pytest.raises(DataError, match="not screened yet"):
        own.quality("screened")
    data = own.needs.data()
    from ganfer.label.stage import label

    label(own.config, workspace.find("synthetic", "screened"), own.needs.classifier(), data)
    found = own.quality("screened")
    assert found.figures["counts"]["angry"]["faces"] <= 20


def test_the_command_plans_and_prints_json(workspace: Workspace, good: Result) -> None:
    where = ["-w", str(workspace.root)]
    plan = CliRunner().invoke(cli, ["quality", *where, "--dry-run"])
    assert plan.exit_code == 0, plan.output
    assert "measure the faces beside held-back real images" in plan.output
    sets = [f"--set={name}={json.dumps(value)}" for name, value in _settings().items()]
    found = CliRunner().invoke(cli, ["quality", "good", *where, *sets, "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["groups"] == good.figures["groups"]


def _settings() -> dict[str, object]:
    from tiny import FAST

    return {**FAST, "classifier.epochs": 12, "quality.halvings": 4, "quality.cas": True, "quality.cas_steps": 60}


def test_the_scores_of_what_is_learned_start_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A classifier that knows the classes already would be praised for faces that teach nothing."""
    start = tmp_path / "start"
    samples = {name: Samples(striped(GOOD, seed), GOOD) for name, seed in (("real", 1), ("synthetic", 2))}
    one = {"real": samples["real"]}
    train_cas(fast_config(quality__cas_steps=30, device="cpu"), one, NAMES, start)
    noise = np.random.default_rng(0).integers(0, 256, samples["real"].images.shape).astype(np.uint8)
    config = fast_config(quality__cas_steps=2, device="cpu", classifier__pretrained=str(start / "real"))
    model = train_cas(config, {"synthetic": Samples(noise, GOOD)}, NAMES, tmp_path / "made")["synthetic"]
    assert "trained from scratch" in capsys.readouterr().err
    assert (model.probabilities(striped(GOOD, 3)).argmax(axis=1) == GOOD).mean() < 0.6
    assert model.card["config"]["pretrained"] == "none"


@pytest.mark.long
def test_the_two_trainings_are_the_same_side_by_side(tmp_path: Path) -> None:
    arms = {name: Samples(striped(GOOD, seed), GOOD) for name, seed in (("real", 1), ("synthetic", 2))}
    found = {}
    with with_threads(1):
        for workers in (1, 2):
            config = fast_config(workers=workers, quality__cas_steps=3, device="cpu")
            models = train_cas(config, arms, NAMES, tmp_path / str(workers))
            found[workers] = {name: model.logits(striped(GOOD, 3)).tobytes() for name, model in models.items()}
    assert found[1] == found[2]
    assert found[1]["real"] != found[1]["synthetic"]


def test_an_empty_workspace_gets_a_plan(tmp_path: Path) -> None:
    plan = str(Project(Workspace(tmp_path / "new")).quality(dry_run=True))
    assert "draw" in plan
    assert "train the classifier" in plan


def test_inception_stands_beside_where_its_weights_are(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ganfer.metrics import inception
    from ganfer.metrics.features import RandomConvFeatures

    class Stand(RandomConvFeatures):
        def __init__(self, path: Path, device: object) -> None:
            assert path == tmp_path / "weights.pth"
            super().__init__(1)

    (tmp_path / "weights.pth").write_bytes(b"")
    monkeypatch.setattr(inception, "InceptionFeatures", Stand)
    monkeypatch.setattr(inception, "require_known", lambda path: None)  # a stand-in is no published file
    found = measured(workspace, striped(GOOD, seed=14), "published", quality__inception=str(tmp_path / "weights.pth"))
    assert set(found.figures["inception"]) == {"all", *NAMES}
    assert found.figures["inception"]["all"]["fid"] != found.figures["groups"]["all"]["fid"]
    assert found.path is not None
    assert "Inception features, as published" in (found.path / "index.html").read_text()
    assert "no published FID" not in str(found)


def test_faces_of_hard_classes_are_compared_with_real_ones_of_the_same_classes() -> None:
    def level(mean: float) -> dict[str, float]:
        return {"mean": mean, "low": mean, "high": mean}

    real = {"angry": level(0.5), "happy": level(0.9), "sad": level(0.4), "balanced_accuracy": level(0.6)}
    faces = {"angry": level(0.45), "sad": level(0.35), "balanced_accuracy": level(0.4)}
    words = _recognised({"faces_recognised": faces, "trained_on_real": real})
    assert words == "40.0 [40.0, 40.0] % per class, of held-back real images of these 45.0 %"
