"""MLflow: a file in the workspace, a real server on the loopback, and a server that goes away in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mlflow", reason="needs MLflow (extra mlflow or test)")
from tiny import add_set, fast_config, tiny_set

from ganfer.pipeline import Project
from ganfer.tracking import Interval, TrackedRun
from ganfer.tracking.mlflow import MlflowTracker, _named
from ganfer.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and SQLAlchemy's own


def run_of(folder: Path, **more: object) -> TrackedRun:
    (folder / "classifiers" / "compact-1").mkdir(parents=True, exist_ok=True)
    return TrackedRun("compact-1", "train classifier", folder / "classifiers" / "compact-1", folder, **more)  # type: ignore[arg-type]


def test_it_says_nothing_by_itself(tmp_path):
    """In a process of its own, where MLflow sets up its loggers and makes its database."""
    code = f"""
from pathlib import Path
from ganfer.tracking.mlflow import MlflowTracker
from ganfer.tracking import TrackedRun
folder = Path({str(tmp_path)!r})
tracker = MlflowTracker()
tracker.start(TrackedRun("one", "evaluate", folder / "evaluations" / "one", folder))
tracker.end("finished")
"""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_file_of_the_workspace_holds_all_of_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "a work space"
    tracker = MlflowTracker()
    known = tracker.start(run_of(root))
    tracker.params({"gan.steps": 5, "name": "x\x1b"})
    tracker.metrics({"loss": 0.5}, 1)
    tracker.metrics({"loss": 0.25}, 2)
    tracker.metrics({"test/accuracy": Interval(0.5, 0.4, 0.6)}, None)
    tracker.picture("samples", np.zeros((8, 8, 1), np.uint8), 2)
    tracker.note("alarm", "collapse", 2)
    (root / "report.html").write_text("<p>")
    tracker.artefact(root / "report.html")
    child = MlflowTracker()
    child.start(TrackedRun("original", "retrain", root / "reports", root, parent=known))
    child.end("finished")
    tracker.end("stopped")

    again = MlflowTracker()
    assert again.start(run_of(root, known=known, step=1)) == known
    again.params({"gan.steps": 6})  # is there, and stays
    for step in (2, 3):
        again.metrics({"loss": 0.5 / step}, step)
    again.metrics({"test/accuracy": Interval(0.5, 0.4, 0.6)}, None)
    again.end("finished")
    client = again._client
    found = client.get_run(known)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"gan.steps": "5", "name": "x\\x1b"}
    assert [(p.step, p.value) for p in client.get_metric_history(known, "loss")] == [(1, 0.5), (2, 0.25), (3, 0.5 / 3)]
    names = ("test/accuracy", "test/accuracy.low", "test/accuracy.high")
    assert [found.data.metrics[name] for name in names] == [0.5, 0.4, 0.6]
    assert len(client.get_metric_history(known, "test/accuracy")) == 1
    assert found.data.tags["alarm"] == "step 2: collapse"
    assert {each.path for each in client.list_artifacts(known)} >= {"report.html", "images"}
    assert (root / "mlflow.db").is_file()
    assert list((root / "mlflow-artifacts").rglob("report.html"))
    (inner,) = client.search_runs([found.info.experiment_id], f"tags.`mlflow.parentRunId` = '{known}'")
    assert inner.info.run_name == "original"
    assert not Path("mlruns").exists()


def test_a_run_that_a_server_does_not_know_is_begun_anew(tmp_path):
    tracker = MlflowTracker()
    assert (
        tracker.start(run_of(tmp_path, known="0123456789abcdef0123456789abcdef")) != "0123456789abcdef0123456789abcdef"
    )
    tracker.end("finished")


def test_names_are_what_mlflow_takes():
    assert _named("recall/happy") == "recall/happy"
    assert _named("recall/ärger+x") == "recall/_e4rger_2bx"
    assert _named("a:b") != _named("a;b")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server of its own on a free port of the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path / "server"
    home.mkdir()
    call = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    call += ["--backend-store-uri", f"sqlite:///{home}/server.db", "--artifacts-destination", str(home / "files")]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    log = (home / "log").open("wb")
    process = subprocess.Popen(call, cwd=home, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (home / "log").read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


@pytest.mark.long
def test_a_real_server_shows_a_training_and_may_go_away(server, tmp_path, capsys, monkeypatch):
    address, process = server
    workspace = Workspace(tmp_path / "w")
    add_set(workspace, tiny_set((24, 24, 12)))
    where = {"tracking__to": "mlflow", "tracking__uri": address, "tracking__experiment": "faces"}
    result = Project(workspace, fast_config(classifier__epochs=2, **where)).train_classifier()
    assert "WARNING" not in capsys.readouterr().err
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address)
    (run,) = client.search_runs([client.get_experiment_by_name("faces").experiment_id])
    assert run.info.run_name == result.path.name
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics
    assert metrics["validation/accuracy.low"] <= metrics["validation/accuracy"] <= metrics["validation/accuracy.high"]
    assert "card.json" in {each.path for each in client.list_artifacts(run.info.run_id)}
    assert not (workspace.root / "mlflow.db").exists()

    told = MlflowTracker.metrics

    def then_the_server_dies(self, values, step):
        told(self, values, step)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    monkeypatch.setattr(MlflowTracker, "metrics", then_the_server_dies)
    began = time.monotonic()
    lost = Project(workspace, fast_config(classifier__epochs=3, **where)).train_classifier()
    assert (lost.path / "model.safetensors").is_file()
    said = capsys.readouterr().err
    assert said.count("WARNING: mlflow does not track") == 1
    assert time.monotonic() - began < 120
