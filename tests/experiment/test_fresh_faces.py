"""`retrain --fresh`: further faces by the batch's own generator, screened alike, another set in every pass."""

from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from ganfer.config import Config
from ganfer.errors import GanferError
from ganfer.experiment import fresh
from ganfer.experiment.builds import with_faces
from ganfer.experiment.material import Material
from ganfer.experiment.portions import in_order
from ganfer.gan.generator import Generator
from ganfer.label import fill
from ganfer.label.labels import newest_labels
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

LOOSE = {
    "label__min_confidence": "0", "label__manifold": 0.0, "label__copies": False, "label__diverse": False,
    "label__draws": 4.0, "retrain__arms": "original,synthetic", "retrain__seeds": 2, "classifier__epochs": 3,
}  # fmt: skip


def settings(**more: object) -> Config:
    return fast_config(**{**LOOSE, **more})


class Stripes(Generator):
    """Draws the class that it is asked for, another face for every seed."""

    name, size, channels, digest, class_names = "stripes", 16, 1, "g", NAMES

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        assert labels is not None
        return np.concatenate(
            [striped(np.array([k]), seed=abs(int(s)) % 2**31, noise=20) for s, k in zip(seeds, labels, strict=True)]
        )


class Choice:
    """The generator of the batch, as `source_of` finds it."""

    kind, name, input, digest = "dcgan", "stripes", "gan", "g"

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}

    def open(self, *rest: object) -> Generator:
        return Stripes()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for module in (fill, fresh):
        monkeypatch.setattr(module, "source_of", lambda *rest: Choice())
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((20, 20, 8)))
    labels = np.repeat([0, 1, 2], [4, 4, 6])
    batch = add_batch(workspace, data, labels, striped(labels, seed=3, noise=20))
    (batch.path / "contact.png").touch()
    Project(workspace, settings()).label()
    return Project(workspace, settings(retrain__fresh=1000))


def test_every_pass_has_other_faces_and_the_report_counts_them(project: Project) -> None:
    batch = project.workspace.latest("synthetic")
    report = project.retrain()
    found = report.figures["settings"]["fresh"]
    kept = sum(report.figures["arms"][1]["synthetic_counts"].values())
    assert found["each"] == kept
    assert found["sets"] == 3  # three passes
    assert kept < found["faces"] <= 3 * kept
    assert any("different faces" in note for note in report.figures["data"]["notes"])
    (run,) = project.workspace.runs("fresh")
    assert run.complete
    newest = project.workspace.latest("synthetic")
    assert newest is not None
    assert batch is not None
    assert newest.name == batch.name  # it is no batch that a command takes for the newest
    assert report.figures["arms"][0]["steps"] == report.figures["arms"][1]["steps"]
    assert Path(str(project.retrain().path)) == report.path
    assert len(project.workspace.runs("fresh")) == 1
    plain = Project(project.workspace, settings()).retrain()
    assert plain.path != report.path


def test_the_plan_says_what_it_costs(project: Project) -> None:
    plan = str(project.retrain(dry_run=True))
    batch = project.workspace.latest("synthetic")
    assert batch is not None
    kept = sum(newest_labels(batch).figures["screen"]["kept"].values())  # type: ignore[union-attr]
    words = f"draw and screen 2 further sets of {kept} faces, one for each of 3 passes: at most {4 * 3 * kept} draws"
    assert words in plan
    assert project.workspace.runs("fresh") == []


def test_a_batch_without_a_generator_is_refused_before_any_work(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set())
    add_batch(workspace, data, np.array([0, 1, 2] * 3))
    with pytest.raises(GanferError, match=r"The GAN that drew .* is gone"):
        Project(workspace, settings(retrain__fresh=3)).retrain(dry_run=True)
    assert workspace.runs("classifiers") == []


def test_sets_have_the_classes_of_the_kept_faces_image_by_image() -> None:
    kept, drawn = tiny_set((3, 2, 4), 0, 0), tiny_set((5, 4, 0), 0, 0)
    sets = fresh._sets(drawn, kept, 2)
    for one in sets:
        assert np.array_equal(one.labels, kept.labels)
    angry = [one.ids[one.labels == 0].tolist() for one in sets]
    assert len({*angry[0], *angry[1]}) == 5  # five were drawn, so one of six comes again
    happy = [one.ids[one.labels == 1].tolist() for one in sets]
    assert not set(happy[0]) & set(happy[1])
    assert np.array_equal(sets[0].images[sets[0].labels == 2], kept.images[kept.labels == 2])  # none was drawn
    part = kept.select([8, 0, 3])
    for one in in_order(sets, part):
        assert np.array_equal(one.labels, part.labels)
    material = Material(tiny_set((2, 2, 2), 0, 0), kept, kept, fresh=(sets,))
    data = with_faces(material, fast_config().classifier)
    assert len(data.fresh_of_seed(1)) == 2
    assert with_faces(material, fast_config().classifier, drawn).fresh == ()  # what stands in their place has no sets
    assert fresh.fresh_figures(material) == {
        "sets": 3,
        "faces": len({*kept.ids, *sets[0].ids, *sets[1].ids}),
        "each": 9,
    }


def test_passes_are_counted() -> None:
    config = fast_config(classifier__epochs=3, classifier__batch_size=32).classifier
    assert fresh.passes(config, 100) == 4  # ten steps of 32 images: three passes and a begun one
    assert fresh.passes(config, 16) == 3
