"""Several GANs side by side: each as it would be alone, whatever ends in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from gan_tiny import NAMES, TINY, store, tiny_set

from classifiers.scheduler import Place
from ganfer.errors import ConfigError, GanferError
from ganfer.gan import many
from ganfer.gan.many import Way, seeded, train_several
from ganfer.gan.sampling import open_gan
from ganfer.gan.train import gan_run, train_gan
from ganfer.pipeline import Project
from ganfer.runtime.console import Listener, heard_by, progress, say, silent
from ganfer.runtime.memory import NamingTheSetting
from ganfer.workspace import Run, Workspace, command_line

FEW = {"gan__steps": 4, "gan__snapshot_every": 4, "gan__guidance": 0.0}


def digests(workspace: Workspace) -> dict[str, str]:
    return {run.name: run.digest for run in workspace.runs("gans")}


@pytest.fixture
def alone(tmp_path, make_config) -> Callable[..., dict[str, str]]:
    """The digests of so many GANs that are trained one after the other, elsewhere."""

    def trained(number: int, **changes: object) -> dict[str, str]:
        workspace = Workspace(tmp_path / "alone")
        data = store(workspace, tiny_set(dict.fromkeys(NAMES, 30)))
        for config in seeded(make_config(**changes), number):
            train_gan(workspace, config, data)
        return digests(workspace)

    return trained


def test_side_by_side_each_is_as_alone_and_one_that_fails_is_named(
    workspace, data, make_config, alone, monkeypatch, capsys
):
    moved = []

    @contextmanager
    def bar(description: str, total: int) -> Iterator[Callable[..., None]]:
        moved.append((description, total))
        yield lambda n=1, note="": moved.append(n)

    config = make_config(**FEW, workers=2)
    first = Run(train_gan(workspace, config, data).path)
    finished = first.record["finished"]
    damaged = gan_run(workspace, seeded(config, 3)[1], data).path / "checkpoint.pt"
    damaged.parent.mkdir()
    damaged.write_bytes(b"no resume point")
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(many, "progress", bar)
        with pytest.raises(GanferError, match=r"1 of 3 GANs failed.*GAN 2 \(seed 1\): .*checkpoint.pt cannot be read"):
            train_several(workspace, config, data, 3)
    assert (moved[0], sum(moved[1:])) == (("train 3 GANs", 12), 8)  # of the first, which was there, and the third
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == ["2 GANs are trained 2 at a time, 1 thread each.", "GAN 2 of 3, seed 1.", "GAN 3 of 3, seed 2."]
    assert "GAN 3: Training dcgan on 78 real images (12 held back to choose the best snapshot)." in said
    assert any(line.startswith("GAN 3: step 4 of 4: KID") for line in said)

    damaged.unlink()
    result = train_several(workspace, config, data, 3)  # the one that is left needs no process
    assert digests(workspace) == alone(3, **FEW)
    assert result.figures["gans"] == [gan_run(workspace, each, data).name for each in seeded(config, 3)]
    assert [" was already trained" in line for line in result.lines if " trained: " in line] == [True, False, True]
    assert Run(first.path).record["finished"] == finished
    assert [run.record["command"] for run in workspace.runs("gans")] == [command_line()] * 3
    assert sorted(path.name for path in first.path.parent.iterdir()) == sorted(result.figures["gans"])


def test_one_after_the_other_a_failure_does_not_stop_the_next(workspace, data, make_config):
    config = make_config(**FEW, workers=1)
    damaged = gan_run(workspace, config, data).path / "checkpoint.pt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no resume point")
    with pytest.raises(GanferError, match=r"1 of 2 GANs failed.*GAN 1 \(seed 0\): .*checkpoint.pt cannot be read"):
        train_several(workspace, config, data, 2)
    assert gan_run(workspace, seeded(config, 2)[1], data).complete


def test_one_that_fails_leaves_its_memory_to_the_next(workspace, data, make_config, monkeypatch):
    class Network:
        pass

    known, alive = weakref.WeakSet[Network](), list[int]()

    def failing(*_: object) -> None:
        alive.append(len(known))
        network = Network()
        known.add(network)
        with NamingTheSetting("it is too much", "Set less."):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(many, "train_gan", failing)
    monkeypatch.setattr(Way, "of", lambda *_: Way(1, 1))
    with pytest.raises(GanferError, match="3 of 3 GANs failed"):
        many.train_gans(workspace, [make_config(seed=seed) for seed in range(3)], data, 3)
    assert alive == [0, 0, 0]


def test_from_a_parent_each_is_as_alone(workspace, data, make_config):
    parent = Path(train_gan(workspace, make_config(**FEW), data).path).name
    config = make_config(**FEW, gan__parent=parent, seed=7, workers=1)
    first = Path(train_gan(workspace, config, data).path)
    result = train_several(workspace, config, data, 2)
    assert result.figures["gans"][0] == first.name
    assert result.lines[0].startswith(f"{first.name} was already trained")
    assert Run(result.path).record["key"]["seed"] == 8


def test_a_parent_that_a_worker_does_not_see_is_one_line(tmp_path, make_config, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    place = Place(tmp_path / "worker", {})
    place.folder.mkdir()
    found = many._train(place, tmp_path / "work", make_config(gan__parent="dcgan-0a1b"), "data", "own", 1, [])
    assert str(found).startswith("--from dcgan-0a1b: the worker does not see it. Put it where all workers see it")


def test_a_run_that_broke_off_at_a_worker_does_not_come_back_with_the_next(tmp_path, make_config, monkeypatch):
    """By then another worker may have finished it."""

    def train(workspace, config, data):
        for name in ("own", "other"):
            (workspace.root / "gans" / name).mkdir(parents=True, exist_ok=True)
            (workspace.root / "gans" / name / "record.json").touch()
            (workspace.root / "gans" / name / ".lock").touch()

    monkeypatch.setattr(many, "train_gan", train)
    place = Place(tmp_path / "dask", {})
    many._train(place, tmp_path / "work", make_config(), "data", "own", 1, [])
    left = {str(path.relative_to(place.folder)) for path in place.folder.rglob("*") if path.is_file()}
    assert left == {"gans/own/record.json"}


@pytest.mark.long
def test_whatever_is_killed_the_same_command_goes_on(workspace, data, make_config, alone, child_environment):
    """Workers end with their command; a worker that is killed, either way, costs what came after its last save."""
    changes = {"gan__steps": 100, "gan__snapshot_every": 100, "gan__guidance": 0.0}
    settings = TINY | {name.replace("__", "."): value for name, value in changes.items()}
    settings |= {"gan.checkpoint_seconds": 0.0}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    command = [sys.executable, "-m", "ganfer", "train", "gan", "--number", "2", "--workers", "2",
               "-w", str(workspace.root), *sets]  # fmt: skip
    folders = [gan_run(workspace, each, data).path for each in seeded(make_config(**changes), 2)]
    said = workspace.root / "said"

    def begun() -> tuple["subprocess.Popen[bytes]", list[int]]:
        """The command, and its two workers when each has saved something of its own."""
        before = [stamp(folder) for folder in folders]
        with said.open("w") as err:
            child = subprocess.Popen(command, env=child_environment, stdout=err, stderr=err)

        def are_at_work() -> bool:
            assert child.poll() is None, said.read_text()
            return all(stamp(folder) > old for folder, old in zip(folders, before, strict=True))

        until(are_at_work)
        return child, [holder(folder) for folder in folders]

    child, workers = begun()
    child.kill()
    child.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 20)
    assert not any(Run(folder).complete for folder in folders)

    child, workers = begun()
    for pid, number in zip(workers, (signal.SIGKILL, signal.SIGTERM), strict=True):
        os.kill(pid, number)
    assert child.wait(timeout=120) == 0, said.read_text()
    assert [said.read_text().count(f"GAN {n}: Resuming at step") for n in (1, 2)] == [2, 2]
    assert not list((workspace.root / "gans").glob(".arrays-*"))
    alone(2, **changes)
    for folder in folders:
        found, wanted = (
            weights(root / "gans" / folder.name) for root in (workspace.root, workspace.root.parent / "alone")
        )
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return open_gan(folder, "cpu").network.state_dict()


def stamp(folder: Path) -> int:
    """When a run's resume point was written."""
    with suppress(FileNotFoundError):
        return (folder / "checkpoint.pt").stat().st_mtime_ns
    return 0


def holder(folder: Path) -> int:
    """The process at work on a run."""
    with suppress(FileNotFoundError, ValueError, IndexError):
        return int((folder / ".holder").read_text().split()[0])
    return 0


def until(done: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_how_many_at_a_time_and_with_how_many_threads(make_config, monkeypatch):
    monkeypatch.setattr(many, "cores", lambda: 8)
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    ways = {
        (0, 3): Way(3, 2), (0, 8): Way(8, 1), (0, 20): Way(8, 1), (2, 20): Way(2, 4), (12, 20): Way(12, 1),
        (1, 20): Way(1, None),
    }  # fmt: skip
    assert {asked: Way.of(make_config(workers=asked[0]), asked[1]) for asked in ways} == ways
    assert Way.of(make_config(cluster="local:4"), 3) == Way(0, 1, "local:4")
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)  # as OMP_NUM_THREADS asks for
    assert Way.of(make_config(), 3) == Way(3, 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert Way.of(make_config(device="cuda"), 5) == Way(2, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Way.of(make_config(device="cpu", workers=4, cluster="local:4"), 3) == Way(1, None)


def test_the_plan_says_how_they_are_trained(workspace, data, make_config, monkeypatch):
    monkeypatch.setattr(many, "cores", lambda: 2)
    for changes, words in (
        ({}, "They are trained 2 at a time, 1 thread each."),
        ({"workers": 1}, "They are trained one after the other."),
        ({"cluster": "tcp://a:1"}, "They are trained on the cluster at tcp://a:1, one thread each."),
        ({"cluster": "tcp://a:1", "workers": 3}, "at tcp://a:1, one thread each, at most 3 at a time."),
    ):
        assert words in Project(workspace, make_config(**changes)).train_gan(3, dry_run=True).lines[-1]
    assert "trained" not in Project(workspace, make_config()).train_gan(dry_run=True).lines[-1]
    with pytest.raises(ConfigError, match="seed"):
        Project(workspace, make_config(seed=2_000_000_000)).train_gan(2)
    assert not (workspace.root / "gans").exists()


def test_a_worker_tells_its_lines_and_bars_and_says_nothing_itself(capsys):
    heard, bars = [], []

    @contextmanager
    def bar(description: str, total: int | None) -> Iterator[Callable[..., None]]:
        bars.append((description, total))
        yield silent

    with heard_by(Listener(heard.append, bar)):
        say("a line")
        with progress("work", 3) as advance:
            advance(2)
    say("after")
    assert (heard, bars, capsys.readouterr().err) == (["a line"], [("work", 3)], "after\n")
