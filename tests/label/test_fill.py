"""Drawing on until the screen has kept enough, and giving up where that is hopeless."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from ganfer.errors import GanferError
from ganfer.gan.generator import Generator
from ganfer.generate.batch import read_batch
from ganfer.label.fill import Tally, _lines, fill, next_step, quota_of, source_of
from ganfer.label.labels import newest_labels, read_labels
from ganfer.label.stage import label
from ganfer.pipeline import Project
from ganfer.workspace import Run, Workspace

GOOD = (1.0, 0.5, 0.0)  # share of the generator's images of each class that show it


@dataclass
class Striped(Generator):
    """A generator whose image depends on its seed and label; some show another class. chunk: images at a time."""

    class_names: tuple[str, ...] | None = NAMES
    name = "striped"
    size = 16
    channels = 1
    digest = "striped"
    drawn = 0

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        self.drawn += len(seeds)
        images = []
        for i, seed in enumerate(seeds):
            rng = np.random.default_rng(int(seed))
            shown = int(rng.integers(3)) if labels is None else int(labels[i])
            if labels is not None and rng.random() >= GOOD[shown]:
                shown = (shown + 1) % 3
            images.append(striped(np.array([shown]), seed=int(seed), noise=30.0)[0])
        return np.array(images)


@dataclass(frozen=True)
class FakeSource:
    generator: Striped
    input, name = "gan", "fake"
    digest = "g"
    settings: dict[str, object]

    def open(self, device: str, size: int, channels: int) -> Striped:
        return self.generator


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("fill"))
    add_set(workspace, tiny_set(train=(60, 60, 60), val=30))
    project(workspace).train_classifier()
    return workspace


def project(workspace: Workspace, **more: object) -> Project:
    settings = {"label__min_confidence": "0", "label__manifold": 0, "label__copies": False, **more}
    return Project(workspace, fast_config(classifier__epochs=12, **settings))


def a_batch(workspace: Workspace, counts: dict[str, int], generator: Striped, name: str) -> Run:
    """A batch as `generate` writes it, of the generator's first seeds."""
    data = workspace.active_data
    assert data is not None
    labels = np.repeat([NAMES.index(n) for n in counts], list(counts.values()))
    batch = add_batch(workspace, data, labels, generator.sample(np.arange(len(labels)), labels))
    record = batch.record
    record["key"]["config"] = {"counts": counts}
    record["digest"] = name
    batch._write(record)
    from PIL import Image

    Image.new("L", (4, 4)).save(batch.path / "contact.png")
    target = batch.path.with_name(f"batch-{name}")
    batch.path.rename(target)
    return Run(target)


def filled(
    workspace: Workspace, batch: Run, monkeypatch: pytest.MonkeyPatch, generator: Striped, **more: object
) -> tuple[Project, Run]:
    monkeypatch.setattr("ganfer.label.fill.source_of", lambda *_: FakeSource(generator, {}))
    own = project(workspace, **more)
    data = own.needs.data()
    return own, fill(workspace, own.config, batch, own.needs.classifier(), data)


def test_it_draws_until_enough_is_kept_and_the_rest_stays(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Striped()
    batch = a_batch(trained, {"angry": 20, "happy": 30}, generator, "enough")
    before = {path.name: path.read_bytes() for path in (batch.path / "images").iterdir()}
    own, run = filled(trained, batch, monkeypatch, generator)
    assert run.path.name.startswith("filled-")
    result = own.label()
    labels = newest_labels(run)
    assert labels is not None
    found = read_labels(labels, NAMES)
    kept = np.bincount(found.predicted[found.kept], minlength=3)
    assert kept.tolist() == [20, 30, 0]  # exactly what was asked for, though more passed
    assert "surplus" in found.reason
    grown = read_batch(run)
    assert len(grown) > 60
    assert len(set(grown.seeds)) > len(grown) - 50  # the test's first images have seed labels of their own
    for name, content in before.items():
        assert (run.path / "images" / name).read_bytes() == content
    with (run.path / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["asked"] for row in rows] == list(grown.asked)
    classes = run.figures["fill"]["classes"]
    assert classes["happy"]["kept"] >= 30
    assert {each["stop"] for each in classes.values()} == {"filled"}
    assert f"filled from 50 to {len(grown)} faces" in str(result)
    assert own.workspace.latest("synthetic") == run or own.workspace.latest("synthetic").name == run.name
    assert (
        fill(trained, own.config, run, own.needs.classifier(), own.needs.data()).name == run.name
    )  # nothing more to do


def test_another_labeller_fills_anew_from_where_the_first_began(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do more draws; the lines of the first are not told of the second."""
    generator = Striped()
    batch = a_batch(trained, {"angry": 20, "happy": 30}, generator, "again")
    own, run = filled(trained, batch, monkeypatch, generator)
    data, first = own.needs.data(), own.needs.classifier()
    more = project(trained, label__draws=12.0).config
    assert fill(trained, more, run, first, data).figures["fill"]["of"] == batch.name
    assert fill(trained, more, run, first, data).name != run.name
    other = Run(first.path)
    monkeypatch.setattr(Run, "digest", property(lambda self: "other" if self is other else first.record["digest"]))
    assert not any("filled from" in line for line in label(own.config, run, other, data).lines)
    again = fill(trained, own.config, run, other, data)
    assert again.name != run.name
    assert again.figures["fill"]["of"] == batch.name
    assert any("filled from" in line for line in label(own.config, again, other, data).lines)
    batch.path.rename(batch.path.with_name("gone"))
    with pytest.raises(GanferError, match=f"{batch.name}, which it began with, is gone"):
        fill(trained, more, again, first, data)


def test_a_hopeless_class_is_given_up_early_and_it_is_said(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = Striped()
    batch = a_batch(trained, {"angry": 10, "sad": 100}, generator, "hopeless")
    generator.drawn = 0
    own, run = filled(trained, batch, monkeypatch, generator, label__draws=20.0)
    sad = run.figures["fill"]["classes"]["sad"]
    assert sad["kept"] < 10
    assert sad["drawn"] < 1000  # of 2,000 allowed
    assert "given up" in capsys.readouterr().err
    assert "label.draws" in sad["stop"]
    assert run.figures["fill"]["classes"]["angry"]["stop"] == "filled"
    assert "sad: given up" in str(own.label())


def test_interrupted_it_goes_on_to_the_same_batch(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"angry": 12, "happy": 40}
    batch = a_batch(trained, counts, Striped(), "resumed")
    _, run = filled(trained, batch, monkeypatch, Striped())
    images = {path.name: path.read_bytes() for path in (run.path / "images").iterdir()}
    rows = (run.path / "metadata.csv").read_text()
    run.path.rename(run.path.with_name("kept"))

    class Interrupted(Striped):
        def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
            if self.drawn:
                raise KeyboardInterrupt
            return super().sample(seeds, labels)

    with pytest.raises(KeyboardInterrupt):
        filled(trained, batch, monkeypatch, Interrupted())
    assert not run.complete
    rest = Striped()
    _, again = filled(trained, batch, monkeypatch, rest)
    assert again.name == run.name
    assert {path.name: path.read_bytes() for path in (again.path / "images").iterdir()} == images
    assert (again.path / "metadata.csv").read_text() == rows
    assert rest.drawn < len(images) - 52  # what the first try drew is not drawn again


def test_a_generator_without_classes_is_asked_for_more_of_everything(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Striped(class_names=None)
    batch = a_batch(trained, {"angry": 6, "sad": 14}, Striped(), "unconditional")
    _, run = filled(trained, batch, monkeypatch, generator)
    classes = run.figures["fill"]["classes"]
    assert all(each["kept"] >= each["asked"] for each in classes.values())
    assert read_batch(run).asked[-1] == ""


# --- the rule -------------------------------------------------------------------------------------------------------


def test_the_next_round_follows_the_yield() -> None:
    assert next_step(Tally(100, 100, 50), 10).draw == 100  # 75 lacking at one half, but at most doubled
    assert next_step(Tally(100, 500, 120), 10).draw == pytest.approx(5 * 500 / 120, abs=2)
    assert next_step(Tally(100, 0, 0), 10).draw == 64
    assert next_step(Tally(100, 960, 98), 10).draw == 40  # what is left
    assert next_step(Tally(100, 300, 125), 10) == next_step(Tally(100, 300, 200), 10)
    assert next_step(Tally(100, 300, 125), 10).stop == "filled"
    assert next_step(Tally(100, 1000, 101), 10).stop == "filled"


def test_giving_up_waits_until_the_best_case_costs_too_much() -> None:
    assert next_step(Tally(500, 30, 0), 10).draw  # 0 of 30 can still be one in ten
    stop = next_step(Tally(500, 500, 3), 10).stop
    assert "3 of 500 pass (0.6%, at most 1.7%)" in stop
    assert "label.draws allows 5,000" in stop
    assert next_step(Tally(500, 4000, 390), 10).draw == 1000  # too slow to fill it, but worth its draws
    assert next_step(Tally(10, 100, 8), 10).stop == "8 of 100 pass, and label.draws = 10 per face allows no more"


def test_the_interval_of_the_yield_is_exact() -> None:
    assert Tally(1, 10, 0).most_yield == pytest.approx(1 - 0.025 ** (1 / 10))
    assert Tally(1, 10, 10).most_yield == 1.0
    assert Tally(1, 0, 0).most_yield == 1.0


# --- batches that cannot be filled ----------------------------------------------------------------------------------


def test_batches_without_a_generator_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set())
    batch = add_batch(workspace, data, np.array([0, 1]))
    config = fast_config()
    for config_of, inputs, what in [
        ({}, {}, "came from a folder"),
        ({"steering": {}}, {"gan": "g"}, "was steered"),
        ({}, {"gan": "nowhere"}, "is gone"),
    ]:
        record = batch.record
        record["key"] = {"config": config_of, "inputs": {"data": data.digest, **inputs}}
        batch._write(record)
        with pytest.raises(GanferError, match=what):
            source_of(workspace, config, batch)
    with pytest.raises(GanferError, match="nothing tells when it is full"):
        quota_of(batch)


def test_what_cannot_be_filled_is_said_before_a_labeller_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    add_batch(workspace, add_set(workspace, tiny_set()), np.array([0, 1]))
    own = project(workspace)
    monkeypatch.setattr(own.needs, "classifier", lambda *_: pytest.fail("trained before"))
    with pytest.raises(GanferError, match="The GAN that drew .* is gone"):
        own.label(fill=True)
    (tmp_path / "faces").mkdir()
    with pytest.raises(GanferError, match="a folder has no generator"):
        own.label(tmp_path / "faces", fill=True)
    assert len(workspace.runs("synthetic")) == 1


def test_the_command_says_what_it_would_do(trained: Workspace) -> None:
    plan = project(trained).label(fill=True, dry_run=True)
    assert "draw more faces until" in str(plan)


def test_a_class_that_gets_faces_asked_to_be_others_has_no_yield() -> None:
    tallies, stops = {"sad": Tally(1, 1, 3)}, {"sad": "filled"}
    assert _lines(tallies, stops, 2, 3, matched=False)[3].split() == ["sad", "1", "1", "3", "-"]
    assert _lines({"sad": Tally(1, 4, 3)}, stops, 2, 4, matched=True)[3].split()[-1] == "75.0%"
