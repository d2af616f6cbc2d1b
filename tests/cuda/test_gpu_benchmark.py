"""benchmarks/gpu.py runs every goal, says what it leaves out, and goes on where it stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gpu(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu

    return gpu


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_goal_runs_on_tiny_sizes(gpu, tmp_path):
    """In one process, to load torch once."""
    program = "import json, gpu; from pathlib import Path\n" + (
        "print(json.dumps({name: gpu.one(name, gpu.DRY, Path(), Path('work')) for name in gpu.GOALS}))"
    )
    paths = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, cwd=tmp_path,
        capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert list(figures) == list(gpu.GOALS)
    assert not [name for name, found in figures.items() if "left_out" in found]
    assert 0 <= figures["fer2013"]["recipe"]["figures"]["test accuracy"] <= 1
    assert figures["fer2013"]["recipe"]["counts"]["test"] == dict.fromkeys(gpu.EXPRESSIONS, 6)
    assert figures["training"]["ratio_to_2_workers"] > 0
    assert figures["dcgan"]["ratio"] > 0
    assert figures["ten seeds"]["ratio"] > 0
    assert figures["drawing"]["faces_per_second_width_4"] > 0
    assert figures["gan"]["steps"] == 8
    assert figures["snapshots"]["kid"]["ratio"] > 0
    assert set(figures["experiment"]["arms"]) >= {"original", "synthetic"}
    assert figures["retrain"]["trainings"] == 2


def test_a_goal_that_fails_costs_itself_alone_and_a_finished_one_is_kept(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "RESULT", tmp_path / "gpu.json")
    monkeypatch.setattr(gpu, "machine", lambda: {"device": "Fake H100"})
    asked = []

    def answer(name: str, seconds: float, shared: Path, work: Path, dry: bool) -> dict[str, object]:
        asked.append(name)
        return {"error": "it fell over"} if name == "dcgan" and len(asked) < 5 else {"figures": {"ratio": 1}}

    monkeypatch.setattr(gpu, "_in_a_process", answer)
    known = gpu.run_goals(["blockers", "dcgan", "drawing"], 40, tmp_path, tmp_path, False)
    assert known["goals"]["dcgan"]["error"] == "it fell over"
    assert json.loads(gpu.RESULT.read_text()) == known
    again = gpu.run_goals(["blockers", "dcgan", "drawing"], 40, tmp_path, tmp_path, False)
    assert asked == ["blockers", "dcgan", "drawing", "dcgan"]
    assert again["machine"]["device"] == "Fake H100"
    assert gpu.run_goals(["stylegan2"], 0.1, tmp_path, tmp_path, False)["goals"].keys() == again["goals"].keys(), (
        "no time left"
    )


def test_the_goals_fit_into_the_time(gpu):
    assert sum(goal.minutes for goal in gpu.GOALS.values()) <= 40
