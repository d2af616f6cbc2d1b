"""The server as a whole: bounds, time, newer models, metrics, a clean end."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families
from serving import SIZE, Bright, config, encoded, faces, scene, server_of, source_of, write_model

from classifiers import Classifier, load_classifier
from ganfer.errors import GanferError
from ganfer.live.geometry import Face
from ganfer.serve.backend import OnnxPredictor
from ganfer.serve.photos import Eyes
from ganfer.serve.server import Server

PICTURE = encoded(scene())


class Held(Bright):
    """A detector that waits until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()

    def detect(self, image: np.ndarray) -> list[Face]:
        self.entered.set()
        assert self.go.wait(60)
        return super().detect(image)


@contextlib.contextmanager
def held_server(model_file: Path, **settings: object) -> Iterator[tuple[Server, str, Held]]:
    """A server whose detector waits; it is let go at the end in any case."""
    held = Held()
    server = Server(lambda: [source_of("expression", model_file)], Eyes(held), config(**settings), device="cpu")
    with server.background() as listening:
        try:
            yield server, listening.url, held
        finally:
            held.go.set()


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def posted(url: str, answers: list[httpx.Response]) -> threading.Thread:
    """A picture on its way in a thread of its own."""
    thread = threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/analyze", content=PICTURE, timeout=60)))
    thread.start()
    return thread


def test_beyond_its_bound_a_server_says_when_to_come_back(model_file: Path) -> None:
    answers: list[httpx.Response] = []
    with held_server(model_file, queue=8) as (_, url, held):  # room for one picture
        first = posted(url, answers)
        assert held.entered.wait(60)
        refused = httpx.post(f"{url}/analyze", content=PICTURE)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "limit is 1" in refused.json()["error"]
        crop = {"instances": faces(1).tolist()}  # crops have a queue of their own
        assert httpx.post(f"{url}/v1/models/expression:predict", json=crop).status_code == 200
        many = {"instances": faces(9).tolist()}
        too_many = httpx.post(f"{url}/v1/models/expression:predict", json=many)
        assert (too_many.status_code, "limit is 8" in too_many.json()["error"]) == (413, True)
        held.go.set()
        first.join(60)
        assert httpx.post(f"{url}/analyze", content=PICTURE).status_code == 200
        assert 'ganfer_rejected_total{reason="busy"} 1.0' in httpx.get(f"{url}/metrics").text
    assert answers[0].status_code == 200


def test_a_request_that_takes_too_long_is_given_up(model_file: Path) -> None:
    with held_server(model_file, timeout=2) as (_, url, held):
        late = httpx.post(f"{url}/analyze", content=PICTURE, timeout=60)
        assert late.status_code == 503
        assert "No result within 2 seconds" in late.json()["error"]
        assert "retry-after" in late.headers
        held.go.set()
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as slow:  # says 100 bytes, sends 4
            slow.sendall(f"POST /analyze HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nabcd".encode())
            assert b" 408 " in slow.recv(4096).split(b"\r\n")[0]
        assert httpx.get(f"{url}/v2/health/ready").status_code == 200


def test_what_is_in_flight_is_finished_before_the_end(model_file: Path) -> None:
    answers: list[httpx.Response] = []
    with held_server(model_file) as (server, url, held):
        thread = posted(url, answers)
        assert held.entered.wait(60)
        server.stop()
        host, port = url.removeprefix("http://").split(":")

        def closed() -> bool:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                return True
            return False

        wait_for(closed)
        held.go.set()
        thread.join(60)
    assert answers[0].status_code == 200
    assert len(answers[0].json()["faces"]) == 1


def test_a_newer_model_is_taken_up_while_others_are_being_answered(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model")
    images = faces(2)
    server = Server(lambda: [source_of("expression", file)], Eyes(Bright()), config(reload_seconds=0.05), device="cpu")
    statuses: list[int] = []
    over = threading.Event()
    with server.background() as listening, httpx.Client(base_url=listening.url, timeout=60) as client:
        body = {"instances": images.tolist()}

        def ask() -> None:
            with httpx.Client(base_url=listening.url, timeout=60) as own:
                while not over.is_set():
                    statuses.append(own.post("/v1/models/expression:predict", json=body).status_code)

        def version() -> str:
            return str(client.get("/v1/models/expression").json()["model_version_status"][0]["version"])

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            old = version()
            write_model(tmp_path / "model", seed=5)
            wait_for(lambda: version() != old)
            wanted = load_classifier(file, "cpu").probabilities(images)
            answer = client.post("/v1/models/expression:predict", json=body).json()
            np.testing.assert_allclose(answer["predictions"], wanted, atol=2e-6)
            new = version()
            file.write_bytes(b"not a model")
            wait_for(lambda: 'outcome="failed"} 1.0' in client.get("/metrics").text)
            assert version() == new
            assert client.get(f"/v1/models/expression/versions/{old}").status_code == 404
        finally:
            over.set()
            asking.join(60)
    assert statuses
    assert set(statuses) == {200}


def test_metrics_count_requests_images_and_batches(model_file: Path) -> None:
    server = server_of([source_of("expression", model_file)])
    with server.background() as listening, httpx.Client(base_url=listening.url) as client:
        client.post("/v1/models/expression:predict", json={"instances": faces(3).tolist()})
        client.post("/analyze", content=PICTURE)
        client.get("/nobody/knows/this")
        text = client.get("/metrics").text
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["ganfer_images_total", ("model", "expression")] == 4
    assert values["ganfer_faces_total",] == 1
    assert values["ganfer_batch_images_sum", ("model", "expression")] == 4
    route = "/v1/models/{name}:predict"
    assert values["ganfer_requests_total", ("method", "POST"), ("route", route), ("status", "200")] == 1
    assert values["ganfer_requests_total", ("method", "GET"), ("route", "other"), ("status", "404")] == 1
    assert "nobody" not in text


def test_onnx_runtime_answers_as_torch_does(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra export")
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    images = faces(5)
    torch_says = load_classifier(model_file, "cpu").probabilities(images)
    onnx = OnnxPredictor(model_file, "cpu")
    np.testing.assert_allclose(onnx.probabilities(images, batch_size=2), torch_says, atol=1e-4)
    assert onnx.probabilities(images[:0]).shape == (0, 3)
    assert (onnx.logits(images).argmax(1) == torch_says.argmax(1)).all()
    monkeypatch.setattr("ganfer.serve.backend.OnnxPredictor", lambda file, device: onnx)  # an export takes seconds
    with server_of([source_of("expression", model_file)], backend="onnx").background() as listening:
        body = {"instances": images.tolist()}
        answer = httpx.post(f"{listening.url}/v1/models/expression:predict", json=body, timeout=60).json()
        np.testing.assert_allclose(answer["predictions"], torch_says, atol=1e-4)
        metadata = httpx.get(f"{listening.url}/v2/models/expression").json()
        assert metadata["platform"] == "onnxruntime_onnx"


def test_what_cannot_be_served_is_said_before_anything_runs(tmp_path: Path, model_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(GanferError, match=r"Give another with --port"):
            server_of([], port=taken.getsockname()[1])
    with pytest.raises(GanferError, match="Give an address of this machine"):
        server_of([], host="no.such.host.invalid")
    with pytest.raises(GanferError, match="--certificate"):
        Server(list, Eyes(Bright()), config(), certificate=tmp_path / "none.pem")
    with pytest.raises(GanferError, match="--key without"):
        Server(list, Eyes(Bright()), config(), key=tmp_path / "none.pem")
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(b"nothing")
    with (
        pytest.raises(Exception, match="damaged or not a safetensors file"),
        server_of([source_of("x", damaged)]).background(),
    ):
        pass


def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path, model_file: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "ganfer", "serve", "--classifier", f"mine={model_file}"]
    command += ["--detector", "none", "--port", "0", "--device", "cpu", "--json", "-w", str(tmp_path / "work")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"ganfer serves (http://127.0.0.1:\d+)/", line):
                break
        else:
            raise AssertionError(lines)
        answer = httpx.post(f"{found[1]}/analyze", content=PICTURE, timeout=60)
        assert list(answer.json()["faces"][0]["models"]) == ["mine"]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (0, "")
    figures = json.loads(out)
    assert (figures["command"], figures["images"]) == ("ganfer serve", 1)


def test_a_gpu_that_answers_nothing_more_ends_the_server(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be ready for ever, and fail every request."""
    ended: list[tuple[str, int]] = []
    monkeypatch.setattr("ganfer.serve.app.end_if_dead", lambda error, code: ended.append((str(error), code)))

    def failed(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    with server_of([source_of("expression", model_file)]).background() as listening:
        monkeypatch.setattr(Classifier, "probabilities", failed)
        images = np.zeros((1, 1, SIZE, SIZE), np.uint8)
        tensor = {"name": "images", "shape": list(images.shape), "datatype": "UINT8", "data": images.ravel().tolist()}
        answer = httpx.post(f"{listening.url}/v2/models/expression/infer", json={"inputs": [tensor]}, timeout=60)
    assert answer.status_code == 500
    assert ended == [("CUDA error: unspecified launch failure", 1)]
