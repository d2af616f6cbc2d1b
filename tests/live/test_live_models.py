"""The detector's network: from a file, or downloaded once from a server on this machine and held to its digest."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ganfer.errors import GanferError
from ganfer.live import models
from ganfer.live.models import LANDMARKER, YUNET, ModelFile, model_path

CONTENT = b"a network" * 1000


class Server(ThreadingHTTPServer):
    asked = 0


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("GANFER_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def known(server: Server, sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> ModelFile:
    return dataclasses.replace(YUNET, url=f"http://127.0.0.1:{server.server_port}/net.onnx", sha256=sha256)


def test_it_is_downloaded_once_and_says_so(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model_path(known(server))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache")
    assert capsys.readouterr().err.count("Downloading the YuNet face detector") == 1
    assert model_path(known(server)) == path
    assert server.asked == 1
    assert capsys.readouterr().err == ""


def test_another_file_is_refused_with_the_way_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(GanferError, match="--detector-model FILE") as failure:
        model_path(known(server, sha256="0" * 64))
    assert "\n" not in str(failure.value)
    assert not [path for path in (tmp_path / "cache").rglob("*.onnx") if path.is_file()]


def test_a_file_of_the_users_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "say", lambda text: pytest.fail("nothing is downloaded"))
    (tmp_path / "mine.task").write_bytes(b"mine")
    assert model_path(LANDMARKER, tmp_path / "mine.task") == tmp_path / "mine.task"
    with pytest.raises(GanferError, match="is no file. Give the MediaPipe face landmarker with --landmarker"):
        model_path(LANDMARKER, tmp_path / "none.task")


def test_the_files_that_are_known_are_these(yunet_file: Path, landmarker_file: Path) -> None:
    for one, path in ((YUNET, yunet_file), (LANDMARKER, landmarker_file)):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == one.sha256
        assert one.url.startswith("https://")
        assert one.url.endswith(path.name)
