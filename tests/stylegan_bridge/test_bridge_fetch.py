"""Downloads against a local server that misbehaves: each ends whole and checked, or in one line with nothing lost."""

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stylegan_bridge import KNOWN_NETWORKS, BridgeError, fetch, fetching
from stylegan_bridge.known import KnownNetwork

CONTENT = bytes(i * i % 251 for i in range(200_000))
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; the attributes say how it misbehaves."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag = '"one"'
        self.ranges: list[str | None] = []
        self.cuts: list[int] = []  # after how many bytes each of the next answers breaks off
        self.statuses: list[int] = []  # errors to answer first
        self.redirect: str | None = None
        self.supports_range = True
        self.says_length = True
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models/net.pkl"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        if server.redirect is not None and "moved" not in self.path:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        first = 0
        wanted = self.headers.get("Range")
        if wanted and server.supports_range and self.headers.get("If-Range") == server.etag:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if first >= len(server.content):
                self.send_error(416)
                return
        self.send_response(206 if first else 200)
        self.send_header("ETag", server.etag)
        body = server.content[first:]
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        time.sleep(server.delay)
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(fetching, "CHUNK", 1 << 14)
    monkeypatch.setenv("GANFER_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def leftovers(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p != path and not p.name.endswith((".json", ".lock")))


def test_a_download_is_cached_under_its_own_name(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(server.url, progress=lambda here, total: seen.append((here, total)))
    assert path.read_bytes() == CONTENT
    assert path.name.endswith("-net.pkl")
    assert path.is_relative_to(tmp_path / "cache")
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [here for here, _ in seen] == sorted(here for here, _ in seen)
    assert json.loads((path.parent / f"{path.name}.json").read_text())["sha256"] == DIGEST
    assert leftovers(path) == []
    assert fetch(server.url, sha256=DIGEST.upper()) == path
    assert len(server.ranges) == 1  # the second time nothing is asked for
    assert fetching.is_cached(server.url)
    assert not fetching.is_cached(server.url + "?other")
    assert not fetching.is_cached("ffhq-256")


def test_two_addresses_with_one_name_do_not_meet(server: Server) -> None:
    assert fetch(server.url) != fetch(server.url.replace("models", "others"))


def test_a_cut_connection_is_taken_up_where_it_broke(server: Server) -> None:
    server.cuts = [70_000, 50_000, 0]
    path = fetch(server.url, sha256=DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-", "bytes=120000-", "bytes=120000-"]


def test_a_later_run_takes_up_what_an_earlier_one_left(server: Server) -> None:
    server.cuts = [70_000] + [0] * 10
    with pytest.raises(BridgeError, match="70,000 bytes are kept") as error:
        fetch(server.url)
    assert "\n" not in str(error.value)
    server.cuts, server.ranges = [], []
    assert fetch(server.url).read_bytes() == CONTENT
    assert server.ranges == ["bytes=70000-"]


def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server) -> None:
    server.cuts = [70_000] + [0] * 10
    with pytest.raises(BridgeError):
        fetch(server.url)
    server.cuts, server.etag, server.content = [], '"two"', CONTENT[::-1]
    assert fetch(server.url).read_bytes() == CONTENT[::-1]


def test_a_server_that_cannot_resume_is_begun_anew(server: Server) -> None:
    server.supports_range = False
    server.cuts = [70_000]
    assert fetch(server.url).read_bytes() == CONTENT


def test_a_whole_part_is_not_fetched_again(server: Server) -> None:
    """The process ended between the last byte and the renaming."""
    path = fetch(server.url)
    os.replace(path, f"{path}.part")
    record = {"url": server.url, "total": len(CONTENT), "validator": server.etag}
    Path(f"{path}.part.json").write_text(json.dumps(record))
    server.ranges = []
    assert fetch(server.url).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_without_a_length_the_end_of_the_answer_counts(server: Server) -> None:
    server.says_length = False
    assert fetch(server.url, sha256=DIGEST).read_bytes() == CONTENT


def test_a_wrong_digest_is_dropped(server: Server) -> None:
    with pytest.raises(BridgeError, match=f"gave a file of sha256 {DIGEST}, wanted is {'0' * 64}"):
        fetch(server.url, sha256="0" * 64)
    networks = next(Path(os.environ["GANFER_CACHE"]).iterdir())
    assert [p.name for p in networks.iterdir() if not p.name.endswith(".lock")] == []


def test_the_first_download_is_what_later_ones_are_held_to(server: Server) -> None:
    path = fetch(server.url)
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(BridgeError, match="publisher may have changed it"):
        fetch(server.url)
    assert not path.exists()


def test_a_cached_file_of_another_digest_is_not_handed_out(server: Server) -> None:
    path = fetch(server.url)
    with pytest.raises(BridgeError, match="remove the file to download it again"):
        fetch(server.url, sha256="1" * 64)
    assert path.read_bytes() == CONTENT


def test_redirects_are_followed_but_not_anywhere(server: Server) -> None:
    server.redirect = server.url.replace("net.pkl", "moved.pkl")
    assert fetch(server.url).read_bytes() == CONTENT
    server.redirect = "ftp://127.0.0.1/moved.pkl"
    with pytest.raises(BridgeError, match="redirects"):
        fetch(server.url + "?again")


def test_https_is_not_left_for_http() -> None:
    request = fetching.urllib.request.Request("https://example.org/a")
    with pytest.raises(BridgeError, match="unprotected http://example.org"):
        fetching._NoDowngrade().redirect_request(request, None, 302, "Found", {}, "http://example.org/b")  # type: ignore[arg-type]


def test_endless_redirects_end(server: Server) -> None:
    server.redirect = server.url
    with pytest.raises(BridgeError, match="302"):
        fetch(server.url)


def test_answers_that_are_errors(server: Server) -> None:
    server.statuses = [404]
    with pytest.raises(BridgeError, match="answers 404"):
        fetch(server.url)
    server.statuses = [503, 429]
    assert fetch(server.url).read_bytes() == CONTENT
    server.statuses = [500] * 10
    with pytest.raises(BridgeError, match="answers 500"):
        fetch(server.url + "?x")
    assert len(server.statuses) == 10 - fetching.MAX_FRUITLESS_TRIES


def test_no_network(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(BridgeError, match="cannot be fetched: .*refused.* Check the network") as error:
        fetch(server.url)
    assert "\n" not in str(error.value)


def test_an_endless_answer_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 100_000)
    server.says_length = False
    with pytest.raises(BridgeError, match="more than any network"):
        fetch(server.url)


def test_too_little_space_is_said_before_the_download(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BridgeError, match="MB are free in .*GANFER_CACHE"):
        fetch(server.url)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_meanwhile(server: Server) -> None:
    target = fetching.cache_dir() / "networks" / fetching._file_name(server.url)
    target.parent.mkdir(parents=True)
    Path(f"{target}.part").symlink_to("/dev/full")
    with pytest.raises(BridgeError, match="no space left"):
        fetch(server.url)
    assert not target.exists()


def test_a_cache_that_cannot_be_written(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANFER_CACHE", str(tmp_path / "file"))
    with pytest.raises(BridgeError, match="cannot write to"):
        fetch(server.url)


def _fetch_in_process(url: str, queue: Any) -> None:
    queue.put(str(fetch(url)))


def test_two_processes_download_once(server: Server) -> None:
    server.delay = 0.3
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_fetch_in_process, args=(server.url, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    paths = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(paths) == 1
    assert Path(paths.pop()).read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_known_names_show_their_licence(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOWN_NETWORKS, "test-faces", KnownNetwork(server.url, 256, "test faces", "for tests only"))
    said: list[str] = []
    assert fetch("test-faces", announce=said.append).read_bytes() == CONTENT
    assert said[0] == f"test-faces: test faces. for tests only. From {server.url}"
    assert "trusted on first sight" in said[1]
    assert DIGEST in said[1]
    assert fetch("test-faces", announce=said.append).read_bytes() == CONTENT
    assert len(said) == 4
    assert "is as it was on first sight (20" in said[3]  # trust is announced once, and then that it was kept
    assert DIGEST in said[3]
    with pytest.raises(BridgeError, match="did you mean test-faces"):
        fetch("test-face")


def test_a_file_that_changed_since_first_sight_is_refused(server: Server, tmp_path: Path) -> None:
    path = fetch(server.url)
    record = path.with_name(path.name + ".json")
    seen = json.loads(record.read_text())
    assert (seen["sha256"], seen["first_sight"][:2]) == (DIGEST, "20")
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(BridgeError, match=f"wanted is {DIGEST}, which it had on first sight; it was changed"):
        fetch(server.url)
    path.unlink()
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(BridgeError, match=f"wanted is {DIGEST}; it was dropped.* remove .*{record.name}"):
        fetch(server.url)
    server.content = CONTENT
    assert fetch(server.url).read_bytes() == CONTENT
    assert json.loads(record.read_text()) == seen
    record.unlink()  # a cache of before: the file that is there is what is seen first
    said: list[str] = []
    fetch(server.url, announce=said.append)
    assert "trusted on first sight" in said[0]
    assert json.loads(record.read_text())["sha256"] == DIGEST


def test_a_pinned_file_is_compared_whatever_its_record_says(server: Server) -> None:
    path = fetch(server.url, sha256=DIGEST)
    path.write_bytes(b"x")
    with pytest.raises(BridgeError, match=f"wanted is {DIGEST}; it was changed; remove the file"):
        fetch(server.url, sha256=DIGEST)


def test_every_known_network_states_its_terms() -> None:
    assert {"ffhq", "ffhq-256", "ffhq-512", "ffhq-1024"} <= set(KNOWN_NETWORKS)
    for name, network in KNOWN_NETWORKS.items():
        assert network.url.startswith("https://"), name
        assert len(network.licence) > 20, name
        assert str(network.resolution) in network.description, name


def test_a_file_is_handed_back_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(CONTENT)
    assert fetch(path, sha256=DIGEST) == path
    with pytest.raises(BridgeError, match="another file or damaged"):
        fetch(path, sha256="0" * 64)
    for absent in ("gone.pkl", "folder/gone", tmp_path / "gone.pt"):
        with pytest.raises(BridgeError, match="does not exist"):
            fetch(absent)
    for address in ("file:///etc/passwd", "ftp://example.org/x.pkl"):
        with pytest.raises(BridgeError, match="only http and https"):
            fetch(address)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANFER_CACHE", str(tmp_path / "own"))
    assert fetching.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("GANFER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fetching.cache_dir() == tmp_path / "xdg" / "ganfer"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert fetching.cache_dir() == Path.home() / ".cache" / "ganfer"
