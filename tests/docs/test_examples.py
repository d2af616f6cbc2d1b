"""Every command and every Python example of the documents runs, with tiny settings, in one tiny workspace per page."""

import dataclasses
import json
import re
import shlex
import shutil
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from documented import PAGES, ROOT, Block, blocks
from PIL import Image
from tiny import add_batch, striped

from ganfer.cli import main as main_module
from ganfer.config import Config, field_of, load_config
from ganfer.data.parquet import file_name, write_parquet
from ganfer.generate.shards import write_shard
from ganfer.live.records import columns_of
from ganfer.pipeline import Project
from ganfer.runtime.files import write_csv
from ganfer.workspace import Workspace

NAMES = ("disgust", "fear", "happy")
DEFAULTS = {"classifier.model": "compact-small"}
#: What keeps a training at a second, whatever a command asks for.
LIMITS = {
    "gan.steps": 4, "gan.minutes": 0.0, "gan.snapshot_every": 4, "gan.base_channels": 4, "gan.batch_size": 8,
    "gan.guide_epochs": 1, "classifier.steps": 4, "classifier.batch_size": 16, "classifier.tensorboard": False,
    "classifier.ema": 0.0, "retrain.seeds": 2, "retrain.resamples": 100, "retrain.workers": 1, "steering.pool": 8,
    "steering.judge_epochs": 1, "steering.confidence": 0.01, "steering.diversity": 0.0, "evaluate.resamples": 100,
    "quality.halvings": 2, "quality.cas": False, "device": "cpu", "data.size": 32, "live.detector": "none",
    "label.require_match": False, "label.min_confidence": "0", "label.manifold": 0.0, "label.copies": False,
    "label.diverse": False,
}  # fmt: skip
#: Pages whose commands do their work; those of the other pages print their plan. A session of commands, in their order.
SESSIONS = (
    "docs/tutorials/own-folder.md", "docs/tutorials/stylegan2.md", "docs/tutorials/does-it-help.md",
    "docs/extending/generator.md", "docs/data-check.md",
)  # fmt: skip
#: Commands that only plan everywhere: what they do takes a download, or does not end.
PLANNED = (
    "ganfer predict", "ganfer timeline", "ganfer serve", "ganfer demo", "ganfer tune", "ganfer crossval",
    "ganfer generate --source stylegan2 --network faces.pkl --class",  # random weights: there is nothing to steer to
)  # fmt: skip


def write_faces(folder: Path, counts: dict[str, tuple[int, int, int]]) -> Path:
    """A folder per split and class with so many striped pictures."""
    for split, (part, per_class) in enumerate(counts.items()):
        for label, (name, count) in enumerate(zip(NAMES, per_class, strict=True)):
            write_pictures(folder / part / name, label, count, seed=10 * split + label)
    return folder


def write_pictures(folder: Path, label: int, count: int, seed: int, named: str = "{:03d}.png") -> None:
    folder.mkdir(parents=True)
    for i, image in enumerate(striped(np.full(count, label), seed=seed, size=24)):
        Image.fromarray(image[0]).save(folder / named.format(i))


def zipped(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))


def write_packed(root: Path, files: list[Path]) -> None:
    """The same faces as Parquet of the Hub and as tar shards, three files each."""
    rows = [(file.name, file.read_bytes(), file.parent.name, {}) for file in files]
    for number in range(3):
        part = rows[number::3]
        write_parquet(root / "hub" / file_name("train", number, 3), part, NAMES, {})
        samples = ((f"{i:06d}", png, {"class": name}) for i, (_, png, name, _) in enumerate(part))
        write_shard(root / "shards" / f"faces-{number:06d}.tar", samples)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything the pages name: archives, pictures, a StyleGAN2, and a workspace with a report."""
    checkpoints = import_module("bridge_checkpoints")
    root = tmp_path_factory.mktemp("shelf")
    faces = write_faces(root / "photos", {"train": (12, 20, 20), "val": (8, 8, 8), "test": (8, 8, 8)})
    zipped(faces, root / "faces.zip")
    for label, name in enumerate(("happy", "sadness", "surprise")):
        write_pictures(root / "ck" / name, label, 12, 90 + label, f"S{{:03d}}_{label:03d}_00000001.png")
    zipped(root / "ck", root / "CK+48.zip")
    write_pictures(root / "holiday", 0, 2, 80)
    face = Image.open(root / "holiday" / "000.png")
    face.save(root / "face.png")
    face.save(root / "photo.jpg")
    write_packed(root, sorted(faces.rglob("*.png")))
    (root / "emotions").mkdir()
    for i in range(12):
        shutil.copy(root / "face.png", root / "emotions" / f"{i}.png")
    (root / "emotions" / "emotions.txt").write_text("".join(f"{i}.png {NAMES[i % 3]}\n" for i in range(12)))
    (root / "blobs.txt").write_text(" ".join(NAMES))
    generator = checkpoints.tiny_generator(checkpoints.tiny_config(32))
    checkpoints.write_nvidia_torch(generator, root / "faces.pkl")
    columns = columns_of((), NAMES)
    for name in ("anna.csv", "boris.csv"):
        write_csv(root / name, columns, [])
    film = cv2.VideoWriter(str(root / "lecture.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 48))
    for _ in range(5):
        film.write(np.zeros((48, 64, 3), np.uint8))
    film.release()
    settings = {**LIMITS, **DEFAULTS, "retrain.arms": "original,synthetic"}
    project = Project(Workspace(root / "ganfer-work"), load_config(overrides=settings))
    project.add(root / "faces.zip")
    data = project.workspace.active_data
    assert data is not None
    add_batch(
        project.workspace, data, np.repeat([0, 1, 2], [8, 2, 2]), striped(np.repeat([0, 1, 2], [8, 2, 2]), 99, 32)
    )
    project.label()
    project.retrain()
    write_pictures(root / "people", 1, 6, 70)
    project.add(root / "people", pool=True)
    return root


@pytest.fixture
def here(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shelf, and settings that keep every training short."""
    shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    (tmp_path / "work").symlink_to("ganfer-work")

    def short(source: Any = None, overrides: Any = ()) -> Config:
        if isinstance(overrides, dict):
            return load_config(source, {**DEFAULTS, **overrides, **LIMITS})
        lines = [[f"{key}={json.dumps(value)}" for key, value in part.items()] for part in (DEFAULTS, LIMITS)]
        return load_config(source, [*lines[0], *overrides, *lines[1]])

    for module in ("ganfer.cli.options", "ganfer.pipeline"):
        monkeypatch.setattr(f"{module}.load_config", short)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def ganfer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ganfer", *arguments])
        with pytest.raises(SystemExit) as done:
            main_module.main()
        out, err = capsys.readouterr()
        return int(done.value.code or 0), out + err

    return call


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page(
    page: Path, here: Path, ganfer: Callable[..., tuple[int, str]], registries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_generators(page, monkeypatch)
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks(page):
        if not block.runs or block.mark == "run":  # the server's test runs these, against a server
            continue
        if block.language == "python":
            run_python(block, names, here)
        else:
            run_commands(block, ganfer)


def run_commands(block: Block, ganfer: Callable[..., tuple[int, str]]) -> None:
    """Run or plan every line of a block."""
    for line in block.commands:
        if not line.startswith("ganfer "):
            assert known_line(line, block.mark), f"{block.page}: nothing runs {line!r}; mark it <!-- not run: why -->"
            continue
        planned = block.page not in SESSIONS or line.startswith(PLANNED)
        code, said = ganfer(*shlex.split(line)[1:], *(["--dry-run"] if planned else []))
        assert code == 0, f"{block.page}: {line}\n{said}"


def run_python(block: Block, names: dict[str, Any], here: Path) -> None:
    """Run a block in the page's names; one that begins with a file's name becomes that file as well."""
    if block.code.startswith('"""') and ".py:" in block.code.splitlines()[0]:
        (here / block.code[3:].split(":")[0]).write_text(block.code)
    exec(compile(block.code, block.page, "exec"), names)


def known_line(line: str, mark: str) -> bool:
    """The few other commands: pip with an extra that there is, and what `.ci/run` runs word for word."""
    if mark in ("demo", "test", "ci"):
        return True
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return line in [f"pip install '.[{name}]'" for name in extras]


def offer_generators(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points that a page writes into its `pyproject.toml`, as if that package were installed."""
    text = "\n".join(block.code for block in blocks(page) if block.language == "toml" and "entry-points" in block.code)
    points = tomllib.loads(text).get("project", {}).get("entry-points", {}).get("ganfer.generators", {})

    class Point:
        def __init__(self, name: str, value: str) -> None:
            self.name, self.value = name, value

        def load(self) -> Any:
            module, _, function = self.value.partition(":")
            return getattr(import_module(module), function)

    if points:
        monkeypatch.setattr(
            "ganfer.gan.generator.entry_points", lambda group: [Point(*item) for item in points.items()]
        )


@pytest.fixture
def registries() -> Iterator[None]:
    """The registries as they were, after a page has added to them."""
    from classifiers.models import REGISTRY
    from ganfer.data.sources.registry import KINDS
    from ganfer.experiment.arms import ARMS

    kept = [(registry, dict(registry)) for registry in (REGISTRY, KINDS, ARMS)]
    yield
    for registry, before in kept:
        registry.clear()  # type: ignore[attr-defined]
        registry.update(before)  # type: ignore[attr-defined]


def test_the_example_of_a_cluster_hands_its_address_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not run as it stands, for want of Slurm: here with a cluster that is none."""

    class SLURMCluster(nullcontext[Any]):
        scheduler_address = "tcp://head:8786"

        def __init__(self, **options: Any) -> None:
            super().__init__(self)

        def scale(self, jobs: int) -> None: ...

    asked: list[str] = []
    monkeypatch.setitem(sys.modules, "dask_jobqueue", SimpleNamespace(SLURMCluster=SLURMCluster))
    monkeypatch.setattr(Project, "retrain", lambda project: asked.append(project.config.cluster))
    monkeypatch.chdir(tmp_path)
    [block] = [each for each in blocks(ROOT / "docs" / "cluster.md") if each.language == "python"]
    exec(compile(block.code, block.page, "exec"), {})
    assert asked == ["tcp://head:8786"]


def test_what_does_not_run_says_why() -> None:
    marked = [block for page in PAGES for block in blocks(page) if block.mark.startswith("not run")]
    assert marked
    assert [block.code for block in marked if len(block.mark) < len("not run: ") + 10] == []


def test_settings_that_pages_name_are_settings() -> None:
    sections = "|".join(field.name for field in dataclasses.fields(Config))
    named = {name for page in PAGES for name in re.findall(rf"`((?:{sections})\.[a-z_0-9]+)[`=]", page.read_text())}
    assert len(named) > 20
    for name in sorted(named):
        if not name.endswith((".py", ".json", ".csv", ".md")):  # a file named like a section
            field_of(name)
