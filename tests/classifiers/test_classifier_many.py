"""Trainings side by side are exactly those one by one; folds keep classes even and groups whole."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars, quick
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers import ClassifierError, Job, crossval, tasks, train, train_many
from classifiers.errors import StorageError
from classifiers.files import read_weights
from classifiers.folds import _inner_validation, assign_folds
from classifiers.many import dealt
from classifiers.processes import Local, scratch_beside
from classifiers.scheduler import Place, Task, run
from classifiers.state import RESUME, Run
from classifiers.training import Advance, step_by_step
from classifiers.turns import rounds


def test_side_by_side_is_bit_for_bit_one_by_one_and_a_failure_loses_nothing(tmp_path: Path) -> None:
    """Three seeds and one impossible job on two workers: the three are exactly what `train` makes of them."""
    data, val = bars(40), bars(20, seed=1)
    config = quick(epochs=2, augment="light")
    jobs = [Job(config, data, val, NAMES, tmp_path / f"many-{seed}", seed) for seed in range(3)]
    bad = Job(config, data, bars(6, size=20), NAMES, tmp_path / "bad", 9)
    with pytest.raises(ClassifierError, match=r"1 of 4 trainings failed .*bad: validation images: are 20x20") as caught:
        train_many([*jobs[:1], bad, *jobs[1:]], workers=2, device="cpu")
    assert "\n" not in caught.value.message
    results = train_many(jobs, workers=2, device="cpu")
    assert [result.already_done for result in results] == [True] * 3
    for seed, result in enumerate(results):
        alone = train(config, data, val, NAMES, tmp_path / f"alone-{seed}", seed=seed, device="cpu")
        a, b = (read_weights(r.folder / "model.safetensors")[0] for r in (result, alone))
        assert all(torch.equal(a[k], b[k]) for k in a)
        assert result.card["temperature"] == alone.card["temperature"]


def test_one_worker_needs_no_process_and_finishes_the_rest_after_a_failure(tmp_path: Path) -> None:
    config = quick(epochs=1)
    bad = Job(config, bars(9), bars(6, size=20), NAMES, tmp_path / "bad")
    good = Job(config, bars(9), bars(6), NAMES, tmp_path / "good")
    threads = torch.get_num_threads()
    with pytest.raises(ClassifierError, match="1 of 2 trainings failed"):
        train_many([bad, good], workers=1, device="cpu")
    assert (tmp_path / "good" / "model.safetensors").exists()
    assert torch.get_num_threads() == threads


def test_in_turns_is_bit_for_bit_one_by_one_and_a_failure_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three trainings of one process, two at a time, and one that its watcher breaks off at its first validation."""
    data, val, device = bars(40), bars(20, seed=1), torch.device("cpu")
    config = quick(epochs=2, augment="light", dropout=0.3)

    def broken(row: dict[str, float], total: int) -> None:
        raise ValueError("broken off")

    known, begin = weakref.WeakSet[Run](), Run.__init__

    def remembered(run: Run, *given: object) -> None:
        known.add(run)
        begin(run, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "__init__", remembered)

    each = [
        partial(step_by_step, config, data, val, NAMES, tmp_path / f"turn-{seed}", seed=seed, device="cpu",
                watch=broken if seed == 1 else None)
        for seed in range(4)
    ]  # fmt: skip
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    ended: dict[int, Any] = {}
    for after in rounds(each, device, at_once=2):
        ended |= dict(after)
        assert len(known) <= 2, "a training that has ended, or failed, holds no memory"
    assert torch.equal(torch.rand(1), expected), "the caller's random numbers go on where they were"
    assert str(ended.pop(1)) == "broken off"
    assert sorted(ended) == [0, 2, 3]
    for seed in ended:
        alone = train(config, data, val, NAMES, tmp_path / f"alone-{seed}", seed=seed, device="cpu")
        a, b = (read_weights(folder / "model.safetensors")[0] for folder in (tmp_path / f"turn-{seed}", alone.folder))
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_trainings_are_dealt_out_evenly_the_longest_first() -> None:
    steps = [5, 9, 1, 4, 3]
    assert dealt([0, 1, 2, 3, 4], steps, 2) == [[1, 4], [0, 3, 2]]
    assert dealt([2], steps, 8) == [[2]]


def on_a_failing_gpu(place: Place, flag: str) -> int:
    """Fails as a kernel does, the first time, and says which process it ran in."""
    if Path(flag).exists():
        Path(flag).write_text(str(os.getpid()))
        Path(flag).rename(f"{flag}-seen")
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")
    return os.getpid()


def test_a_worker_whose_gpu_failed_is_replaced_and_its_task_begun_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    with closing(Local(1, scratch=tmp_path)) as engine:
        found = [value for _, value in run([Task("one", on_a_failing_gpu, (str(flag),)) for _ in range(2)], engine)]
    first = int((tmp_path / "flag-seen").read_text())
    assert len(set(found)) == 1
    assert first not in found


def always_on_a_failing_gpu(place: Place) -> None:
    """Fails as what was made of a kernel's failure."""
    try:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")
    except RuntimeError as error:
        raise ClassifierError("it cannot be") from error


def test_a_task_whose_gpu_fails_every_time_says_so_and_what_may_help(tmp_path: Path) -> None:
    with closing(Local(1, scratch=tmp_path)) as engine, pytest.raises(ClassifierError) as caught:
        list(tasks.results([Task("one", always_on_a_failing_gpu)], engine))
    assert caught.value.message.startswith("one: its GPU failed; if it fails again, set CLASSIFIERS_CUDA_GRAPHS=off")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_worker_that_is_killed_in_the_middle_of_a_training_changes_nothing(tmp_path: Path) -> None:
    data, val = bars(40), bars(20, seed=1)
    config = quick(epochs=8, checkpoint_seconds=0.0)
    jobs = [Job(config, data, val, NAMES, tmp_path / f"many-{seed}", seed) for seed in range(2)]
    killed: list[int] = []

    @contextmanager
    def progress(description: str, total: int) -> Iterator[Advance]:
        def kill_one(n: int = 1, note: str = "") -> None:
            done.append(n)
            if not killed and (tmp_path / "many-1" / RESUME).is_file():
                killed.extend(children()[:1])
                os.kill(killed[0], signal.SIGKILL)

        done: list[int] = []
        yield kill_one
        assert sum(done) == total, "steps that are done again are not counted twice"

    results = train_many(jobs, workers=2, device="cpu", progress=progress)
    assert killed
    for seed, result in enumerate(results):
        alone = train(config, data, val, NAMES, tmp_path / f"alone-{seed}", seed=seed, device="cpu")
        a, b = (read_weights(r.folder / "model.safetensors")[0] for r in (result, alone))
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert children() == []
    assert not list(tmp_path.glob(".arrays-*"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_control_c_ends_a_script_without_a_main_guard_and_all_of_its_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from bars_data import NAMES, bars, quick\n"
        "from classifiers import Job, train_many\n"
        "print('begun', flush=True)\n"
        "jobs = [Job(quick(epochs=9999), bars(40), bars(20), NAMES, str(seed), seed) for seed in range(2)]\n"
        "train_many(jobs, workers=2, device='cpu')\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("[01]")):  # a training has begun
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert said == "begun\n"
    assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert errors.count("Traceback") == 1, "the workers are not told, and say nothing"
    while left := [pid for pid in Path("/proc").glob("[0-9]*") if group_of(pid) == process.pid]:
        assert time.monotonic() - began < 20, left
    assert not list(tmp_path.glob(".arrays-*"))


def group_of(folder: Path) -> int:
    """The group of a process that runs, 0 of one that has ended."""
    try:
        state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return 0
    return 0 if state == "Z" else int(group)


def children() -> list[int]:
    """The processes of loky that this one has."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"popen_loky" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def test_what_killed_calls_left_goes_and_the_arrays_lie_beside_the_trainings(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = tmp_path / f".arrays-{platform.node()}-{gone.pid}-abc"
    others = [tmp_path / f".arrays-{platform.node()}-{os.getpid()}-abc", tmp_path / ".arrays-elsewhere-1-abc"]
    for folder in (dead, *others):
        folder.mkdir()
    with scratch_beside([tmp_path / "a", tmp_path / "b"]) as scratch:
        assert scratch.parent == tmp_path
        assert not dead.exists()
        assert all(folder.exists() for folder in others)
    assert not scratch.exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"), scratch_beside([tmp_path / "file" / "a"]):
        pass


def test_two_jobs_cannot_share_a_folder(tmp_path: Path) -> None:
    job = Job(quick(), bars(9), bars(6), NAMES, tmp_path)
    with pytest.raises(ClassifierError, match="two trainings want this folder"):
        train_many([job, job], device="cpu")


def test_crossval_predicts_every_image_out_of_its_fold(tmp_path: Path) -> None:
    samples, groups = bars(90), np.arange(90) // 6
    result = crossval(quick(epochs=8), samples, NAMES, tmp_path, folds=3, groups=groups, device="cpu", workers=1)
    assert result.grouped
    assert all(len(set(result.fold[groups == group])) == 1 for group in range(15))
    assert np.bincount(result.fold).tolist() == [30, 30, 30]
    assert result.overall.accuracy > 0.85
    assert result.overall.num_images == 90
    low, high = result.interval["accuracy"]
    assert low <= result.mean["accuracy"] <= high
    assert result.mean["accuracy"] == pytest.approx(np.mean([fold.accuracy for fold in result.per_fold]))
    for k, training in enumerate(result.trainings):
        assert sum(training.card["train_counts"].values()) == 54, "60 outside the fold, of which a tenth validates"
        inside = result.fold == k
        alone = training.load("cpu").probabilities(samples.images[inside])
        assert np.allclose(result.probabilities[inside], alone)
    assert json.loads((tmp_path / "crossval.json").read_text())["folds"] == 3
    assert np.array_equal(np.load(tmp_path / "out_of_fold.npz")["probabilities"], result.probabilities)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_groups_are_never_torn_apart(folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 20, 120)
    groups[:20] = np.arange(20)
    labels = rng.integers(0, 3, 120)
    fold = assign_folds(labels, folds, NAMES, groups=groups, seed=seed)
    assert set(fold) == set(range(folds))
    for group in range(20):
        assert len(set(fold[groups == group])) == 1
    outside = fold != 0
    inner = _inner_validation(labels[outside], groups[outside], seed)
    assert 0 < inner.sum() < outside.sum()
    assert not set(groups[outside][inner]) & set(groups[outside][~inner])


def test_random_folds_are_stratified_and_repeat_by_seed() -> None:
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    fold = assign_folds(labels, 5, NAMES, seed=4)
    for k in range(5):
        assert np.bincount(labels[fold == k]).tolist() == [12, 6, 2]
    assert np.array_equal(fold, assign_folds(labels, 5, NAMES, seed=4))
    assert not np.array_equal(fold, assign_folds(labels, 5, NAMES, seed=5))


@pytest.mark.parametrize(
    ("folds", "groups", "message"),
    [
        (1, None, "folds = 1: must lie between 2 and the 9 images"),
        (4, None, "folds = 4: flat has only 3 images"),
        (3, np.array([0] * 5 + [1] * 4), "only 2 groups"),
        (3, np.zeros(5), "5 groups for 9 images"),
    ],
)
def test_impossible_folds_are_refused(folds: int, groups: np.ndarray | None, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        assign_folds(np.arange(9) % 3, folds, NAMES, groups=groups)
