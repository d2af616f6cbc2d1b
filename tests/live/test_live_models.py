"""The networks: the detector's in the package, the landmarker's downloaded once; each held to its digest."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganfer.errors import GanferError
from ganfer.live import models
from ganfer.live.detect import open_detector
from ganfer.live.models import LANDMARKER, YUNET, Download

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


def known(server: Server, sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> Download:
    return dataclasses.replace(LANDMARKER, url=f"http://127.0.0.1:{server.server_port}/net.task", sha256=sha256)


def test_it_is_downloaded_once_and_says_so(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = known(server).file()
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache")
    assert capsys.readouterr().err.count("Downloading the MediaPipe face landmarker") == 1
    assert known(server).file() == path
    assert server.asked == 1
    assert capsys.readouterr().err == ""


def test_another_file_is_refused_with_the_way_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(GanferError, match="--landmarker-model FILE") as failure:
        known(server, sha256="0" * 64).file()
    assert "\n" not in str(failure.value)
    assert not [path for path in (tmp_path / "cache").rglob("*.task") if path.is_file()]


def test_a_file_of_the_users_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "say", lambda text: pytest.fail("nothing is downloaded"))
    (tmp_path / "mine.task").write_bytes(b"mine")
    for known_file in (LANDMARKER, YUNET):
        assert known_file.file(tmp_path / "mine.task") == tmp_path / "mine.task"
    with pytest.raises(GanferError, match="is no file. Give the MediaPipe face landmarker with --landmarker"):
        LANDMARKER.file(tmp_path / "none.task")


def test_the_downloaded_file_is_the_known_one(landmarker_file: Path) -> None:
    assert hashlib.sha256(landmarker_file.read_bytes()).hexdigest() == LANDMARKER.sha256
    assert LANDMARKER.url.startswith("https://")
    assert LANDMARKER.url.endswith(landmarker_file.name)


def test_the_detector_comes_with_its_licence_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("no network is asked"))
    assert YUNET.file() == YUNET.path
    assert open_detector().detect(np.zeros((80, 80, 3), np.uint8)) == []
    assert "Shiqi Yu" in (YUNET.path.parent / "LICENSE.txt").read_text()


@pytest.mark.parametrize("left", [b"", b"another network", None])
def test_a_damaged_installation_is_said(tmp_path: Path, left: bytes | None) -> None:
    broken = dataclasses.replace(YUNET, path=tmp_path / "net.onnx")
    if left is not None:
        broken.path.write_bytes(left)
    with pytest.raises(GanferError, match=r"missing or damaged. Install ganfer again, or .* --detector-model FILE"):
        broken.file()
