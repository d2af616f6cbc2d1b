"""benchmarks/gpu.py runs every goal, says what it leaves out, and goes on where it stopped."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

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
    assert json.loads(json.dumps(figures)) == figures
    import gpu_fer2013

    assert 0 <= figures["fer2013"]["recipe"]["figures"]["test accuracy"] <= 1
    assert figures["fer2013"]["recipe"]["counts"]["test"] == dict.fromkeys(gpu_fer2013.EXPRESSIONS, 6)
    assert figures["training"]["ratio_to_16_workers"] > 0
    verdicts = [target.verdict(figures[name]) for name, goal in gpu.GOALS.items() for target in goal.targets]
    assert {verdict["verdict"] for verdict in verdicts} <= {"met", "missed"}, verdicts
    assert figures["dcgan"]["ratio"] > 0
    assert figures["ten seeds"]["ratio"] > 0
    assert figures["drawing"]["faces_per_second_width_16"] > 0
    assert figures["gan"]["steps"] == 8
    assert figures["snapshots"]["kid"]["ratio"] > 0
    assert set(figures["experiment"]["arms"]) >= {"original", "synthetic"}
    assert figures["retrain"]["trainings"] == 2
    assert figures["stylegan2"]["ratio"] > 0


@pytest.fixture
def asked(gpu, monkeypatch):
    """The goals that were run, each with its seconds; `answers` says what comes of one."""
    seen: list[tuple[str, float]] = []
    monkeypatch.setattr(gpu, "machine", lambda: {"device": "Fake H100"})

    def answer(name: str, seconds: float, *rest: object) -> dict[str, object]:
        seen.append((name, seconds))
        return answers.get(name, {"figures": {"ratio": 1.5, "faces_per_second_width_16": 60_000, "scenarios": 15}})

    answers: dict[str, dict[str, object]] = {}
    monkeypatch.setattr(gpu, "_in_a_process", answer)
    return SimpleNamespace(seen=seen, answers=answers)


def names(asked) -> list[str]:
    return [name for name, _ in asked.seen]


def test_a_goal_that_fails_costs_itself_alone_and_a_finished_one_is_kept(gpu, asked, tmp_path):
    file = tmp_path / "out" / "gpu.json"
    wanted = ["blockers", "dcgan", "gan", "ten seeds", "snapshots"]
    asked.answers |= {"dcgan": {"error": "it fell over"}, "gan": {"left_out": "no FER2013"}}
    asked.answers["snapshots"] = {"unfinished": "not over in 60 s"}
    known = gpu.run_goals(wanted, 40, tmp_path, tmp_path, False, result=file)
    assert json.loads(file.read_text()) == known
    assert known["goals"]["dcgan"]["error"] == "it fell over"
    (target,) = known["goals"]["ten seeds"]["targets"]
    assert target == {"figure": "ratio", "wanted": "<= 2", "found": 1.5, "verdict": "met"}
    asked.answers["dcgan"] = {"figures": {"ratio": 1.5}}
    again = gpu.run_goals(wanted, 40, tmp_path, tmp_path, False, result=file)
    assert names(asked) == [*wanted, "dcgan", "gan", "snapshots"], "what failed, lacked its data or was cut off"
    assert again["goals"]["dcgan"]["targets"][0]["verdict"] == "missed"
    assert again["machine"]["device"] == again["goals"]["dcgan"]["card"] == "Fake H100"
    gpu.run_goals(["blockers"], 40, tmp_path, tmp_path, False, result=file, again=True)
    assert names(asked)[-1] == "blockers", "named, it is measured again"
    said = gpu.table(again)
    assert "ten seeds: ratio 1.5 (<= 2: met) [Fake H100" in said
    assert "gan: left out: no FER2013" in said
    assert "training: not run yet" in said
    file.write_text("{")
    with pytest.raises(SystemExit, match="damaged"):
        gpu.run_goals(["blockers"], 40, tmp_path, tmp_path, False, result=file)


def test_calls_of_ten_minutes_begin_only_what_will_be_over(gpu, asked, tmp_path, monkeypatch, capsys):
    """But for goals that go on later, and the first one, which will not have more time in another call."""
    clock = [0.0]
    monkeypatch.setattr(gpu.time, "monotonic", lambda: clock[0])
    answer = gpu._in_a_process

    def slow(name: str, seconds: float, *rest: object) -> dict[str, object]:
        clock[0] += min(seconds, {"retrain": 300.0, "gan": 400.0}.get(name, 100.0))
        return {"unfinished": "kept"} if name == "gan" and seconds < 200 else answer(name, seconds)

    monkeypatch.setattr(gpu, "_in_a_process", slow)
    file = tmp_path / "gpu.json"
    for _ in range(4):
        gpu.run_goals(list(gpu.GOALS), 9.5, tmp_path, tmp_path, False, result=file)
    first = names(asked)[: names(asked).index("retrain")]
    assert first[:4] == ["blockers", "training", "fer2013", "ten seeds"]
    assert "not begun, for lack of time: retrain" in capsys.readouterr().err
    known = json.loads(file.read_text())["goals"]
    assert [name for name in gpu.GOALS if "figures" not in known[name]] == []
    asked.seen.clear()
    gpu.run_goals(["retrain"], 2, tmp_path, tmp_path, False, result=file, again=True)
    assert asked.seen == [("retrain", 120.0)]


def test_a_goal_whose_time_is_up_is_asked_to_save_before_it_is_ended(gpu, tmp_path):
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], 'w').write('saved'), sys.exit(1)))\n"
        "open(sys.argv[1] + '.begun', 'w')\ntime.sleep(60)"
    )
    file = tmp_path / "state"
    child = subprocess.Popen([sys.executable, "-c", program, str(file)], start_new_session=True, text=True)
    while not Path(f"{file}.begun").is_file():
        time.sleep(0.01)
    assert not gpu._ended(child, 0.05)
    assert file.read_text() == "saved"
    assert child.poll() is not None
    child = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True, text=True)
    assert gpu._ended(child, 60)


def test_the_goals_fit_into_the_time_and_name_their_targets(gpu):
    assert sum(goal.minutes for goal in gpu.GOALS.values()) <= 40
    assert all(goal.minutes < 9.5 for goal in gpu.GOALS.values())
    assert [name for name, goal in gpu.GOALS.items() if goal.data] == ["fer2013", "gan", "experiment", "paces"]
    assert [name for name, goal in gpu.GOALS.items() if not goal.targets] == ["snapshots", "experiment", "paces"]


def test_packages_that_are_missing_are_named(gpu, monkeypatch):
    assert gpu.missing_packages() == []
    there = gpu.metadata.distributions()
    without = [found for found in there if found.metadata["Name"].lower() not in ("lpips", "opencv-python")]
    headless = SimpleNamespace(metadata={"Name": "opencv_python-headless"})
    monkeypatch.setattr(gpu.metadata, "distributions", lambda: [*without, headless])
    assert gpu.missing_packages() == ["lpips"]
