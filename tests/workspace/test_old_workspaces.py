"""A workspace that an earlier version made is read, resumed and reported on; nothing in it is made again."""

import json
import tarfile
from pathlib import Path

import pytest
from tiny import fast_config

from ganfer.pipeline import Project
from ganfer.workspace import Workspace

ARCHIVES = sorted((Path(__file__).parent / "made_before").glob("*.tar.xz"))
MADE_WITH = {
    "classifier.model": "cnn-binary",
    "classifier.epochs": 20,
    "gan.network": "dcgan",
    "gan.base_channels": 4,
    "gan.latent_dim": 4,
    "gan.batch_size": 8,
    "gan.steps": 12,
    "gan.snapshot_every": 6,
    "gan.guidance": 0.0,
    "device": "cpu",
    "label.min_confidence": "0",
    "label.manifold": 0.0,
}


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A drawn data set, a GAN and another one interrupted, a classifier, two batches, labels, a report."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "work"


def project(root: Path, **changes: object) -> Project:
    return Project(Workspace(root), fast_config(**{**MADE_WITH, **changes}))


def records(root: Path) -> dict[str, dict[str, object]]:
    """All records, without the time at which one was asked for again."""
    found = {str(file.relative_to(root)): json.loads(file.read_text()) for file in sorted(root.rglob("record.json"))}
    return {name: {key: value for key, value in record.items() if key != "asked"} for name, record in found.items()}


def test_finished_work_is_found_again(old: Path) -> None:
    before = records(old)
    own = project(old)
    assert "already" in str(own.train_classifier())
    assert "already" in str(own.train_gan())
    assert "already" in str(own.generate(n=8))
    assert "already" in str(own.generate(n=8, source="dcgan"))  # the name the workspace's own GANs had before
    report = own.report()
    assert report.path is not None
    assert (report.path / "index.html").is_file()
    assert records(old) == before
    assert "report" in str(own.status())


def test_its_report_still_says_what_it_said(old: Path) -> None:
    results = json.loads(next((old / "reports").glob("*/results.json")).read_text())
    said = str(project(old).report())
    assert results["verdict"]["sentence"][:30] in said


@pytest.mark.slow
def test_an_interrupted_training_goes_on(old: Path) -> None:
    begun = next(path.parent for path in (old / "gans").glob("*/record.json") if '"running"' in path.read_text())
    changes = {"gan.steps": 400, "gan.snapshot_every": 100, "gan.checkpoint_seconds": 0.1}
    result = project(old, **changes).train_gan()
    assert result.path == begun
    assert json.loads((begun / "record.json").read_text())["status"] == "complete"
    assert len(list((old / "gans").iterdir())) == 2


def test_a_new_classifier_joins_the_old_ones(old: Path) -> None:
    own = project(old, **{"classifier.epochs": 2})
    assert own.train_classifier().path != own.workspace.runs("classifiers")[0].path
    assert len(own.workspace.runs("classifiers")) == 2
