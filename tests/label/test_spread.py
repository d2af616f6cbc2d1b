"""Large batches in several processes: the same bits, resumed, ended by Ctrl-C, one line where it cannot be."""

import os
import pickle
import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny import add_set, fast_config, striped, tiny_set

from classifiers import ClassifierError, create_model
from classifiers.scheduler import Died, Task, results
from classifiers.tasks import Event
from ganfer.data.imageset import read_set
from ganfer.label.screener import Screener
from ganfer.pipeline import Project
from ganfer.quality.stage import _see
from ganfer.runtime import parts
from ganfer.runtime.parts import Arrays, Spread, kept_parts
from ganfer.workspace import Workspace


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 50)
    monkeypatch.setattr(parts, "LARGE", 100)
    monkeypatch.setattr(parts, "ON_CLUSTER", 100)


def read(places: Iterable[int]) -> np.ndarray:
    """Pixels that say which image they are of."""
    return np.array(list(places), np.int64)[:, None, None, None]


def shift(by: np.ndarray, flag: Path, pixels: np.ndarray) -> Arrays:
    """Adds the first number of a large array; dies once, where `flag` is."""
    if flag.is_file() and pixels[0, 0, 0, 0] == 100:
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    mapped = isinstance(by, np.memmap)
    return {
        "value": pixels[:, 0, 0, 0] + by[0],
        "pid": np.full(len(pixels), os.getpid()),
        "mapped": np.full(len(pixels), mapped),
    }


def joined(found: Iterable[Arrays]) -> Arrays:
    each = list(found)
    return {name: np.concatenate([part[name] for part in each]) for name in each[0]}


def children() -> list[str]:
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in task.read_text().split():
            line = Path(f"/proc/{pid}/cmdline")
            found += [pid] if line.is_file() and b"popen_loky" in line.read_bytes() else []
    return found


def test_parts_survive_a_death_and_an_interrupt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flag, folder = tmp_path / "flag", tmp_path / "parts"
    flag.touch()
    function, told = partial(shift, np.full(20_000, 7), flag), list[int]()

    def advance(n: int = 1, note: str = "") -> None:
        told.append(n)
        if len(told) == 5:  # at the beginning none, then four parts of five
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_parts(function, 230, read, folder, spread=Spread(2), advance=advance)
    assert children() == []
    assert not flag.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts"], "the arrays that workers map are gone"
    assert capfd.readouterr().err == "230 images go to processes of one thread each.\n"
    assert len(list(folder.iterdir())) == 4
    again: list[int] = []
    rest = kept_parts(function, 230, read, folder, spread=Spread(1), advance=lambda n=1, note="": again.append(n))
    found = joined(rest)
    assert sum(again) == 230
    assert found["value"].tolist() == list(range(7, 237))
    elsewhere = found["pid"] != os.getpid()
    assert elsewhere.sum() in (180, 200), "what was done is not done again"
    assert found["mapped"].tolist() == elsewhere.tolist()


def test_what_processes_see_is_what_one_sees(tmp_path: Path) -> None:
    """Features, probabilities, manifolds and the nearest training images, bit for bit at one thread."""
    workspace = Workspace(tmp_path / "w")
    data = add_set(workspace, tiny_set())
    config = fast_config(device="cpu", classifier__epochs=2)
    result = Project(workspace, config).train_classifier()
    run = workspace.find("classifiers", result.path.name if result.path else "")
    screener = Screener(config, run, data, read_set(data.path))
    screener.look(striped(np.zeros(3, np.int64), seed=1))  # the search is prepared, and stays behind
    pixels = striped(np.arange(110) % 3, seed=41)
    see, shown = partial(_see, screener, None), lambda places: pixels[list(places)]
    alone, spread = (
        joined(kept_parts(see, 110, shown, tmp_path / str(workers), spread=Spread(workers))) for workers in (1, 2)
    )
    assert {"features", "probabilities", "nearest", "thumbnail"} <= alone.keys() == spread.keys()
    for name, array in alone.items():
        assert array.tobytes() == spread[name].tobytes(), name
        assert array.dtype == spread[name].dtype


@pytest.mark.parametrize(
    ("spread", "count", "said"),
    [
        (Spread(2, "local:2"), 99, "The cluster is not asked about 99 images: fewer than 100 are quicker here.\n"),
        (Spread(2, "local:2", "cuda:0"), 100, "The cluster is not asked about 100 images: cuda:0 takes them here.\n"),
        (Spread(2), 99, ""),
        (Spread(2, device="mps"), 100, ""),
        (Spread(1), 100, ""),
    ],
)
def test_what_is_not_worth_it_stays_here(
    spread: Spread, count: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = joined(kept_parts(partial(shift, np.zeros(1), tmp_path), count, read, tmp_path, spread=spread))
    assert set(found["pid"]) == {os.getpid()}
    assert capsys.readouterr().err == said


class _Ends:
    """An engine whose tasks end in a given way."""

    def __init__(self, value: object) -> None:
        self.value, self.tasks = value, list[Task]()

    def slots(self) -> int:
        return 1

    def start(self, task: Task) -> None:
        self.tasks.append(task)

    def event(self) -> Event:
        return Event(self.tasks.pop(), self.value)

    def close(self) -> None: ...


def test_a_death_names_the_images_and_an_error_stays_what_it_is() -> None:
    with pytest.raises(ClassifierError, match=r"^images 0 to 50: its process died \(SIGKILL\); with fewer workers"):
        list(results([Task("images 0 to 50", read)], _Ends(Died("its process died (SIGKILL)"))))
    with pytest.raises(ZeroDivisionError):
        list(results([Task("images 0 to 50", read)], _Ends(ZeroDivisionError())))


@pytest.mark.parametrize("name", ["compact", "cnn"])
def test_networks_travel(name: str) -> None:
    model = create_model(name, 3, size=48)
    again = pickle.loads(pickle.dumps(model))
    assert [value.tolist() for value in again.state_dict().values()] == [
        v.tolist() for v in model.state_dict().values()
    ]
