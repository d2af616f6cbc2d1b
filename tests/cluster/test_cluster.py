"""A cluster on the loopback: the same results as on one process, through deaths, late workers and blind ones."""

import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import add_batch, add_set, fast_config, striped, tiny_set

from classifiers import ClassifierError, Job, Samples, TrainConfig, train, train_many
from classifiers.cluster import Cluster, check, remarks
from classifiers.cluster_worker import greet, versions
from classifiers.errors import StorageError
from classifiers.files import read_weights
from classifiers.many import with_threads
from classifiers.scheduler import Place, Task, run
from ganfer.config import load_config
from ganfer.data.imageset import save_set
from ganfer.label.photos import ConfidenceScreener
from ganfer.label.screener import ImageFacts, image_facts
from ganfer.pipeline import Project
from ganfer.runtime import parts
from ganfer.runtime.parts import Spread
from ganfer.workspace import Run, Workspace, command_line

Client = pytest.importorskip("distributed", reason="the extra `cluster` is not installed").Client

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("angry", "happy", "sad")
TIMES = ("seconds", "run", "started", "finished", "budget", "page", "path")


class Processes:
    """Dask's own commands, as a user starts them on several machines."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show",
                                     "--scheduler-file", str(self.file))  # fmt: skip
        until(lambda: self.file.is_file() and self.file.read_text().rstrip().endswith("}"))  # there, and written whole
        self.address = json.loads(self.file.read_text())["address"]

    def add(self, *options: str) -> int:
        """One more worker's process."""
        local = self.folder / f"worker-{len(self.workers)}"
        self.workers.append(
            self._start("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--memory-limit",
                        "0", "--host", "127.0.0.1", "--local-directory", str(local), *options)
        )  # fmt: skip
        return self.workers[-1].pid

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, command: str, *options: str) -> "subprocess.Popen[bytes]":
        path = os.pathsep.join([str(ROOT), str(self.folder)])
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + command, *options],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}, cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def blind_worker(tmp_path: Path) -> Processes:
    """A cluster of one worker that does not see the workspace's folder: data and results travel through Dask."""
    folder = tmp_path / "dask"
    folder.mkdir()
    (folder / "blind.py").write_text(
        "import classifiers.cluster_worker as worker\nworker.visible = lambda path: False\n"
    )
    processes = Processes(folder)
    processes.add("--preload", "blind.py")
    return processes


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with closing(Processes(tmp_path_factory.mktemp("dask"))) as processes:
        for _ in range(3):
            processes.add()
        yield processes


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def weights(folder: Path) -> dict[str, Any]:
    return {name: tensor.numpy().tobytes() for name, tensor in read_weights(folder / "model.safetensors")[0].items()}


def jobs_below(folder: Path, number: int) -> list[Job]:
    labels = np.arange(48) % 3
    data, val = (Samples(striped(labels, seed), labels) for seed in (1, 2))
    config = TrainConfig(model="compact-small", epochs=2, batch_size=16, augment="none", tensorboard=False)
    return [Job(config, data, val, NAMES, folder / str(seed), seed) for seed in range(number)]


@pytest.mark.long
def test_three_workers_write_the_report_that_one_process_writes(three: Processes, tmp_path: Path) -> None:
    reports = []
    for name, cluster in (("alone", ""), ("together", three.address)):
        workspace = Workspace(tmp_path / name)
        add_batch(workspace, add_set(workspace, tiny_set((40, 60, 6))), np.repeat([2, 0], [40, 10]))
        settings = {
            "retrain__arms": "original,synthetic",
            "classifier__epochs": 2,
            "retrain__workers": int(not cluster),
        }
        result = Project(workspace, fast_config(cluster=cluster, **settings)).retrain()
        reports.append(json.dumps(timeless(json.loads((result.path / "results.json").read_text())), indent=1))
    assert len(reports[0]) > 5_000
    assert reports[0] == reports[1]


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(three: Processes, tmp_path: Path) -> None:
    def told_once(place: Place, number: int) -> int:
        place.tell(os.getpid())
        time.sleep(0.3)
        place.folder.mkdir(parents=True, exist_ok=True)
        (place.folder / str(number)).write_text(str(os.getpid()))
        return number

    killed: list[int] = []

    def kill_one(pid: int) -> None:
        if not killed:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    tasks = [Task(str(n), told_once, (n,), tmp_path / "made", hear=kill_one) for n in range(4)]
    with closing(Cluster(three.address, tmp_path)) as engine:
        found = sorted(value for _, value in run(tasks, engine))
    assert found == [0, 1, 2, 3]
    assert killed[0] not in [int(file.read_text()) for file in (tmp_path / "made").iterdir()]


def test_files_that_take_long_to_arrive_are_no_lost_worker(tmp_path: Path) -> None:
    """The network of a worker that does not see the folder may be slow, and the training took hours."""

    class Finished:
        status = "finished"

        def result(self, timeout: float) -> tuple[str, list[tuple[str, bytes]]]:
            if timeout < 300:
                raise TimeoutError
            return "done", [("model", b"weights")]

    engine = Cluster.__new__(Cluster)
    engine._shared = False
    assert engine._value(Finished(), tmp_path) == "done"
    assert (tmp_path / "model").read_bytes() == b"weights"


def test_a_worker_that_joins_late_takes_work(three: Processes, tmp_path: Path) -> None:
    def where(place: Place) -> int:
        time.sleep(0.4)
        return os.getpid()

    def tasks() -> Iterator[Task]:
        late = three.add()
        deadline = time.monotonic() + 60
        while late not in seen and time.monotonic() < deadline:
            yield Task("where", where)

    seen = set[int]()
    with closing(Cluster(three.address, tmp_path)) as engine:
        for _, pid in run(tasks(), engine):
            seen.add(pid)
    assert three.workers[-1].pid in seen


def test_an_interrupt_ends_what_runs_on_the_workers(three: Processes, tmp_path: Path) -> None:
    def busy(place: Place) -> None:
        while True:
            place.tell("working")
            (place.folder / "beat").touch()
            time.sleep(0.05)

    def interrupt(said: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), closing(Cluster(three.address, tmp_path)) as engine:
        list(run([Task("busy", busy, folder=tmp_path, hear=interrupt)], engine))
    time.sleep(1.0)
    beat = (tmp_path / "beat").stat().st_mtime
    time.sleep(0.5)
    assert (tmp_path / "beat").stat().st_mtime == beat
    with closing(Cluster(three.address, tmp_path)) as engine:  # which is free for others
        assert [value for _, value in run([Task("pid", lambda place: 7)], engine)] == [7]


def test_questions_are_answered_and_a_failure_stays_the_tasks_own_and_names_the_machine(
    three: Processes, tmp_path: Path
) -> None:
    def ask(place: Place, number: int) -> int:
        if number == 1:
            raise ClassifierError("bad input")
        if number == 2:
            raise OSError(28, "No space left on device", "/scratch/x")
        return int(place.ask(number))

    tasks = [Task(str(n), ask, (n,), hear=lambda n: 10 * n) for n in range(4)]
    with closing(Cluster(three.address, tmp_path, most=1)) as engine:
        found = {task.name: value for task, value in run(tasks, engine)}
    assert (found["0"], found["3"]) == (0, 30)
    assert [type(found[name]) for name in ("1", "2")] == [ClassifierError, StorageError]
    assert str(found["1"]) == f"bad input (on {platform.node()})"
    assert str(found["2"]) == f"[Errno 28] No space left on device: '/scratch/x' (on {platform.node()})"


def test_a_task_that_a_worker_cannot_read_is_one_line(three: Processes, tmp_path: Path) -> None:
    """Code that is here alone, as of another version; Dask by itself would send it again for ever."""
    (tmp_path / "here_alone.py").write_text("def work(place):\n    return 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import here_alone  # type: ignore[import-not-found]

        with closing(Cluster(three.address, tmp_path)) as engine:
            ((_, value),) = run([Task("alone", here_alone.work)], engine)
    finally:
        sys.path.remove(str(tmp_path))
    assert isinstance(value, ClassifierError)
    assert "No module named 'here_alone'" in value.message
    assert "install the same version there" in value.message


@pytest.mark.long
@pytest.mark.parametrize("blind", [False, True], ids=["by the folder", "by Dask's transfer"])
def test_workers_look_at_a_large_batch(
    three: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, blind: bool,
) -> None:  # fmt: skip
    """Part by part, as this process does, bit for bit; arrays are mapped, or sent once; nothing is left."""
    monkeypatch.setattr(parts, "PART", 10)
    monkeypatch.setattr(parts, "ON_CLUSTER", 20)
    screener = ConfidenceScreener(load_config(overrides={"device": "cpu"}))
    pixels = striped(np.arange(25) % 3, seed=3, size=screener.classifier.size)
    looks = []
    with closing(blind_worker(tmp_path)) if blind else nullcontext(three) as processes:
        address = processes.address
        for name, cluster in (("alone", ""), ("together", address)):
            screener.spread = Spread(1 if not cluster else 0, cluster)
            looks.append(image_facts(screener, 25, lambda places: pixels[list(places)], tmp_path / name / "looks"))
    for field in dataclasses.fields(ImageFacts):
        assert getattr(looks[0], field.name).tobytes() == getattr(looks[1], field.name).tobytes(), field.name
    assert capsys.readouterr().err == f"25 images go to the cluster at {address}.\n"
    assert ("travel through Dask" in caplog.text) == blind
    assert [path.name for path in (tmp_path / "together").iterdir()] == ["looks"]


@pytest.mark.long
@pytest.mark.parametrize("blind", [False, True], ids=["by the folder", "by Dask's transfer"])
def test_several_gans_are_trained_on_the_workers(
    three: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, blind: bool,
) -> None:  # fmt: skip
    """As they are here, bit for bit: from a variant, whose images are its parent's, and a pool beside that parent."""
    monkeypatch.setattr("ganfer.gan.history.plot_losses", lambda path, history: None)
    tiny = {"network": "dcgan", "base_channels": 4, "latent_dim": 8, "batch_size": 8, "steps": 4, "snapshot_every": 4,
            "guidance": 0.0, "pool": True}  # fmt: skip
    settings = {"device": "cpu", **{f"gan__{name}": value for name, value in tiny.items()}}
    digests = []
    with closing(blind_worker(tmp_path)) if blind else nullcontext(three) as processes, with_threads(1):
        for name, more in (("alone", {"workers": 1}), ("together", {"cluster": processes.address, "workers": 0})):
            workspace = Workspace(tmp_path / name)
            data = add_set(workspace, tiny_set((20, 30, 10)))
            pool = workspace.run("pools", "people", {"inputs": {"data": data.digest}})
            with pool.work("data add"):
                pool.finish(digest=save_set(pool.path, tiny_set((9, 1, 1), 1, 1)), figures={"images": 17})
            project = Project(workspace, fast_config(**settings, **more))
            project.thin(counts={"angry": 15})
            before = {path.name for path in workspace.root.iterdir()}
            result = project.train_gan(2)
            digests.append([(run.name, run.digest) for run in sorted(workspace.runs("gans"), key=lambda run: run.name)])
            assert {path.name for path in workspace.root.iterdir()} - before == {"gans"}
    assert digests[0] == digests[1]
    said = capsys.readouterr().err
    assert f"2 GANs are trained on the cluster at {processes.address}, one thread each." in said
    assert "GAN 2: Training dcgan on" in said
    assert ("travel through Dask" in caplog.text) == blind
    folders = [workspace.root / "gans" / name for name in result.figures["gans"]]
    assert sorted(path.name for path in folders[0].parent.iterdir()) == sorted(result.figures["gans"])
    assert all(
        (folder / name).is_file() for folder in folders for name in ("checkpoint.pt", "card.json", "history.csv")
    )
    assert [Run(folder).record["command"] for folder in folders] == [command_line()] * 2


@pytest.mark.long
def test_a_scheduler_that_is_gone_is_one_line_and_nothing_finished_is_lost(tmp_path: Path) -> None:
    """The worker here does not see the folder, so that data and results travel through Dask, too."""
    with closing(blind_worker(tmp_path)) as processes:
        jobs = jobs_below(tmp_path, 3)
        first = tmp_path / "0" / "model.safetensors"

        def kill(description: str, total: int) -> Any:
            return closing_bar(lambda: first.is_file() and processes.scheduler.kill())

        with pytest.raises(ClassifierError, match="scheduler at .* is gone; start it again, and the same command"):
            train_many(jobs, device="cpu", cluster=processes.address, progress=kill)
    made = first.stat().st_mtime_ns
    results = train_many(jobs, device="cpu", workers=1)
    assert (results[0].already_done, first.stat().st_mtime_ns) == (True, made)
    alone = train(jobs[0].config, jobs[0].train, jobs[0].val, NAMES, tmp_path / "alone", seed=0, device="cpu")
    assert weights(results[0].folder) == weights(alone.folder)
    assert not list(tmp_path.glob(".arrays-*"))


class closing_bar:  # noqa: N801
    """A progress bar that does something at each step."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __enter__(self) -> Callable[..., None]:
        return lambda n=1, note="": self.act() and None

    def __exit__(self, *error: object) -> None:
        return None


@pytest.mark.long
def test_processes_of_local_n_end_with_the_one_that_asked(tmp_path: Path) -> None:
    """Neither does the script run again (it has no main guard), nor does anything outlive a kill -9."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib\n"
        "from classifiers.cluster import Cluster\n"
        "from classifiers.scheduler import Task, run\n"
        "def sleep(place):\n"
        "    import os, time\n"
        "    place.tell(os.getpid())\n"
        "    time.sleep(60)\n"
        "print('begun', flush=True)\n"
        "tell = lambda pid: print(pid, flush=True)\n"
        f"list(run([Task('sleep', sleep, hear=tell)], Cluster('local:1', pathlib.Path({str(tmp_path)!r}))))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert parent.stdout is not None
    assert parent.stdout.readline() == "begun\n"
    worker = int(parent.stdout.readline())
    nanny = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (worker, nanny)), 20)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:1", "no Dask scheduler answers there"),
        ("nonsense://x", "no Dask scheduler answers there"),
        ("tcp://127.0.0.1", "no Dask scheduler answers there .*missing port"),
        ("two words", "no Dask scheduler answers there"),
        ("http://127.0.0.1:1", "no Dask scheduler answers there"),
        ("tls://127.0.0.1:1", "no Dask scheduler answers there .*TLS"),
        ("missing.json", "no Dask scheduler answers there"),
        ("list.json", "no Dask scheduler answers there .*--scheduler-file"),
        ("text.json", "no Dask scheduler answers there .*--scheduler-file"),
        ("gone.json", "no Dask scheduler answers there"),
        ("local:0", "takes a number of workers, 1 to 1024"),
        ("local:many", "takes a number of workers, 1 to 1024"),
        ("local:²", "takes a number of workers, 1 to 1024"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(address: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no client is made, which would say so again half a minute later, with a traceback."""
    monkeypatch.setattr("classifiers.cluster._PATIENCE", 0.5)
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("a client"))
    for name, text in (("list", "[1]"), ("text", "none"), ("gone", '{"address": "tcp://127.0.0.1:1"}')):
        Path(f"{name}.json").write_text(text)
    with pytest.raises(ClassifierError, match=words) as caught:
        check(address)
    assert "\n" not in caught.value.message


def test_a_workers_address_is_not_a_schedulers(three: Processes) -> None:
    with closing(Client(three.address, set_as_default=False)) as client:
        client.wait_for_workers(1, timeout=60)
        worker = next(iter(client.scheduler_info()["workers"]))
    with pytest.raises(ClassifierError, match="it is a worker"):
        check(worker)
    check(three.address)
    check(str(three.file))


def test_without_dask_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClassifierError, match=r"needs distributed.*pip install 'ganfer\[cluster\]'"):
        check("local:2")


def test_what_a_worker_says_of_itself_is_weighed(tmp_path: Path) -> None:
    """A folder that keeps its locks to each machine, stale renames, other versions; and what is only worth a word."""

    class Worker:
        class state:  # noqa: N801
            nthreads = 1

    (tmp_path / "word").write_text("second")
    met = greet(str(tmp_path / "word"), Worker())
    assert met["locks"] is False, "nobody holds the lock"
    with pytest.raises(StorageError, match="a lock held here is not seen there"):
        remarks("tcp://w", tmp_path, "first", met)
    good = {**met, "locks": True}
    assert remarks("tcp://w", tmp_path, "first", good) == []
    with pytest.raises(StorageError, match="a file renamed here is not seen there at once"):
        remarks("tcp://w", tmp_path, "first", {**good, "word": "first"})
    for name in ("torch", "ganfer"):
        with pytest.raises(ClassifierError, match=rf"has .*'{name}': '0.0'.* and its results would differ"):
            remarks("tcp://w", tmp_path, "first", {**good, "versions": {**versions(), name: "0.0"}})
        assert versions()[name] != "0.0"
    odd = remarks("tcp://w", tmp_path, None, {**good, "word": None, "locks": None, "threads": 8, "processor": "other"})
    assert [any(word in note for note in odd) for word in ("travel through Dask", "--nworkers 8", "processor")] == [
        True
    ] * 3
