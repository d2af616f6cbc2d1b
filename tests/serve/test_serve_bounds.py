"""What a request may take: pixels before decoding, bytes as they unpack, and nothing once its client is gone."""

import asyncio
import base64
import gzip
import io
import json
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import Bright, config, encoded, faces, scene, server_of, source_of, write_model

from ganfer.classifier.catalogue import ServedModel
from ganfer.serve import pixels, weighing
from ganfer.serve.errors import Refused
from ganfer.serve.metrics import Metrics
from ganfer.serve.photos import Eyes
from ganfer.serve.pictures import measure
from ganfer.serve.server import Server
from ganfer.serve.service import Service
from ganfer.serve.store import ModelStore
from ganfer.serve.weighing import weigh


def png_header(width: int, height: int, depth: int = 16) -> bytes:
    """A PNG that promises its size and has one row of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_crops_of_many_pixels_are_refused_before_any_is_decoded(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*given: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(pixels, "decode_chunk", decode)
    for images in ([png_header(8900, 8900)], [png_header(4000, 3000)] * 5, [png_header(30_000, 30_000)]):
        rows = [{"b64": b64(image)} for image in images]
        answers = [
            client.post("/v1/models/expression:predict", json={"instances": rows}),
            client.post(
                "/v2/models/expression/infer",
                json={"inputs": [{"name": "images", "shape": [len(images)], "datatype": "BYTES",
                                  "data": [row["b64"] for row in rows]}]},
            ),
        ]  # fmt: skip
        for answer in answers:
            assert answer.status_code == 413, answer.text
            assert "50 megapixels together" in answer.json()["error"]


def test_a_picture_is_weighed_by_its_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes a PNG to look for its orientation; a kilobyte holds a megapixel."""

    def load(self: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert measure(png_header(6000, 5000)) == 30_000_000
    with pytest.raises(Refused, match="12000 x 12000 pixels"):
        measure(png_header(12_000, 12_000))


def test_texts_among_pixels_are_refused_before_numpy_makes_them_all_as_long(client: httpx.Client) -> None:
    rows = ["a" * 10_000, *[""] * 10_000]  # 400 MB as an array
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="must be numbers"):
            pixels.from_lists(rows, (1, 16, 16), "instances")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    deep: list[object] = [1]
    for _ in range(50):
        deep = [deep]
    for wrong in (rows, [[1, True]], [[[1, "2"]]], deep):
        assert client.post("/v1/models/expression:predict", json={"instances": wrong}).status_code == 400


def test_more_images_than_the_queue_holds_are_refused_before_any_is_looked_at(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(blobs: object) -> int:
        raise AssertionError("looked at")

    monkeypatch.setattr("ganfer.serve.service.weigh", look)
    rows = [{"b64": ""}] * 2000
    answer = client.post("/v1/models/expression:predict", json={"instances": rows})
    assert (answer.status_code, answer.json()["error"][:50]) == (
        413,
        "2000 images in one request; the limit is 1024. Sen",
    )


def test_a_form_of_thousands_of_parts_is_refused(client: httpx.Client) -> None:
    body = b"--b\r\nA:b\r\n\r\n\r\n" * 1000 + b"--b--\r\n"
    answer = client.post("/analyze", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 400
    assert "more than 100 parts" in answer.json()["error"]


def test_a_jpeg_of_hundreds_of_scans_is_refused(client: httpx.Client) -> None:
    data = encoded(scene(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    bomb = data[:-2] + scan * 100 + b"\xff\xd9"
    answers = [
        client.post("/analyze", content=bomb),
        client.post("/v1/models/expression:predict", json={"instances": [{"b64": b64(bomb)}]}),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert "scans" in answer.json()["error"]
    assert client.post("/analyze", content=data).status_code == 200


def test_what_cannot_be_weighed_is_refused_undecoded(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes an icon's picture, of any size, to look how large it is."""
    png = encoded(Image.new("RGB", (40, 40)))
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 40, 40, 0, 0, 1, 24, len(png), 22) + png
    assert Image.open(io.BytesIO(icon)).size == (40, 40)
    answers = []
    with monkeypatch.context() as patched:
        patched.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda image: pytest.fail("decoded"))
        for junk in (b"", b"x", b"\x89PNG\r\n\x1a\n", icon):
            with pytest.raises(Refused, match="image 1: unreadable"):
                weigh([encoded(scene(), "JPEG"), junk])
            answers.append(client.post("/v1/models/expression:predict", json={"instances": [{"b64": b64(junk)}]}))
    assert {answer.status_code for answer in answers} == {400}
    assert weigh([encoded(scene())]) == 200 * 150


def test_pictures_take_turns_when_together_they_are_too_large(
    monkeypatch: pytest.MonkeyPatch, model_file: Path
) -> None:
    """Of requests that would need more than the bound together, some wait; a share is given back by the thread."""
    from ganfer.serve import service as module

    monkeypatch.setattr(module, "WORKING_PIXELS", 100)
    inside, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with lock:
            inside += 60
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 60

    async def story() -> None:
        service = Service(config(), Metrics())
        await asyncio.gather(*(service.look(60, work) for _ in range(6)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(service.look(60, time.sleep, 0.2), 0.05)
        assert service._working_pixels == 60  # nobody waits, but the thread still holds its memory
        await service.look(1000, time.sleep, 0)  # larger than the bound: alone
        service.close()
        await asyncio.sleep(0.01)
        assert service._working_pixels == 0

    asyncio.run(story())
    assert most == 60


def test_decoding_ends_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    real = pixels.decode_chunk

    def decode(*given: object) -> object:
        done.append(1)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(pixels, "decode_chunk", decode)
    with pytest.raises(Refused, match="went away"):
        pixels.from_encoded([encoded(scene())] * 10, (1, 16, 16), "image", lambda: len(done) >= 2)
    assert len(done) == 2


class Slow(Bright):
    """A detector that takes its time and tells when it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: np.ndarray) -> list:  # type: ignore[type-arg]
        self.calls += 1
        time.sleep(0.1)
        return []


def test_a_client_that_hangs_up_frees_its_place(model_file: Path) -> None:
    """With one thread, requests whose clients are gone are not searched for faces."""
    slow = Slow()
    server = Server(lambda: [source_of("m", model_file)], Eyes(slow), config(queue=800), device="cpu")
    body = encoded(scene())
    with server.background() as listening:
        host, port = httpx.URL(listening.url).host, httpx.URL(listening.url).port
        head = f"POST /analyze HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for _ in range(40):
            with socket.create_connection((host, port or 80)) as connection:
                connection.sendall(head + body)
        answer = httpx.post(f"{listening.url}/analyze", content=body, timeout=30)
        assert answer.status_code == 200
    assert slow.calls < 30


def test_packed_bodies_are_unpacked_within_the_limit(client: httpx.Client) -> None:
    plain = json.dumps({"instances": faces(1)[:, 0].tolist()}).encode()
    wanted = client.post("/v1/models/expression:predict", content=plain).json()
    for name, packed in (
        ("gzip", gzip.compress(plain)),
        ("deflate", zlib.compress(plain)),
        ("GZIP", gzip.compress(plain)),
    ):
        answer = client.post("/v1/models/expression:predict", content=packed, headers={"Content-Encoding": name})
        assert answer.json() == wanted
    bomb = gzip.compress(bytes(200_000_000), 9)
    assert len(bomb) < 300_000
    answer = client.post("/v1/models/expression:predict", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    for broken in (b"x", gzip.compress(plain)[:-9], gzip.compress(plain) + b"more", b""):
        answer = client.post("/v1/models/expression:predict", content=broken, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 400, broken
    for unknown in ("br", "gzip, gzip", "zstd"):
        answer = client.post("/analyze", content=b"x", headers={"Content-Encoding": unknown})
        assert answer.status_code == 415


def test_what_public_clients_send(client: httpx.Client) -> None:
    image = encoded(scene())
    rows = {"instances": [{"b64": b64(image)}]}
    wanted = client.post("/v1/models/expression:predict", json=rows).json()
    assert client.post("/v1/models/expression:predict", json={**rows, "signature_name": ""}).json() == wanted
    wrapped = base64.encodebytes(image).decode().replace("\n", "\r\n")
    answer = client.post("/v1/models/expression:predict", json={"instances": [{"b64": wrapped}]})
    assert answer.json() == wanted
    for signature in (5, ["labels"], None, {}):
        answer = client.post("/v1/models/expression:predict", json={**rows, "signature_name": signature})
        assert answer.status_code == 400


@pytest.mark.parametrize("binary", [False, True])
def test_classification_names_the_most_probable(client: httpx.Client, binary: bool) -> None:
    given = {"name": "images", "shape": [2, 1, 16, 16], "datatype": "UINT8", "data": faces(2).ravel().tolist()}
    parameters = {"classification": 2, "binary_data": binary}
    body = {"inputs": [given], "outputs": [{"name": "probabilities", "parameters": parameters}]}
    answer = client.post("/v2/models/expression/infer", json=body)
    if binary:
        cut = int(answer.headers["inference-header-content-length"])
        described = json.loads(answer.content[:cut])["outputs"][0]
        (length,) = struct.unpack_from("<I", answer.content, cut)
        first = answer.content[cut + 4 : cut + 4 + length].decode()
    else:
        described = answer.json()["outputs"][0]
        first = described["data"][0]
    assert described["shape"] == [2, 2]
    assert described["datatype"] == "BYTES"
    score, index, name = first.split(":")
    plain = client.post("/v2/models/expression/infer", json={"inputs": [given]}).json()["outputs"]
    assert float(score) == pytest.approx(max(plain[0]["data"][:3]), abs=1e-6)
    assert plain[0]["data"][int(index)] == max(plain[0]["data"][:3])
    assert name == plain[1]["data"][0]
    for wrong in (-1, "2", True, 2**40):
        body["outputs"] = [{"name": "probabilities", "parameters": {"classification": wrong}}]
        assert client.post("/v2/models/expression/infer", json=body).status_code == 400
    body["outputs"] = [{"name": "label", "parameters": {"classification": 1}}]
    assert client.post("/v2/models/expression/infer", json=body).status_code == 400


@pytest.mark.parametrize("path", ["/", "/models", "/v1/models/expression", "/v2/health/live", "/nothing", "/metrics"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


def test_a_cookie_is_for_one_port_and_is_no_token(model_file: Path) -> None:
    token, sources = "a-token-of-a-test", [source_of("m", model_file)]
    with server_of(sources, token=token).background() as one, server_of(sources, token=token).background() as other:
        with httpx.Client(base_url=one.url) as browser:
            entered = browser.get(f"/?token={token}")
            assert entered.status_code == 303
            assert token not in entered.headers["set-cookie"]
            assert browser.get("/models").status_code == 200
            cookie = entered.headers["set-cookie"].partition(";")[0]
        port = httpx.URL(other.url).port
        renamed = cookie.replace(str(httpx.URL(one.url).port), str(port))
        for given in (cookie, renamed):
            assert httpx.get(f"{other.url}/models", headers={"Cookie": given}).status_code == 401
        bearer = {"Authorization": f"Bearer {cookie.partition('=')[2]}"}
        assert httpx.get(f"{one.url}/models", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\xff" * 100),
        lambda file: file.write_bytes(struct.pack("<Q", 10) + b'{"a":[]}  '),
        lambda file: file.unlink(),
    ],
)
def test_the_watcher_outlives_any_file(damage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    """A bad model is said once; a good one put back is served, and so are the others."""
    file, other = write_model(tmp_path / "m"), write_model(tmp_path / "o")
    good = file.read_bytes()

    async def story() -> None:
        store = ModelStore(
            lambda: [source_of("m", file), source_of("o", other)], config(reload_seconds=0.02), Metrics(), device="cpu"
        )
        await store.start()
        first = store.get("m")
        damage(file)
        await asyncio.sleep(0.15)
        assert store.get("m") is first
        file.write_bytes(good)
        write_model(tmp_path / "o", seed=4)
        newer = store.get("o")
        for _ in range(200):
            await asyncio.sleep(0.02)
            if store.get("m") is not first and store.get("o") is not newer:
                break
        assert store.get("m") is not first
        assert store.get("o") is not newer
        await store.close()

    asyncio.run(story())
    assert "now version" in capsys.readouterr().err


def test_the_watcher_outlives_a_failure_of_looking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, turns = write_model(tmp_path), iter(range(1000))

    def find() -> list[ServedModel]:
        if next(turns) in (1, 2, 4):
            raise KeyError("finished")
        return [source_of("m", file)]

    async def story() -> None:
        store = ModelStore(find, config(), Metrics(), device="cpu")
        await store.start()
        await store.refresh()
        await store.refresh()
        write_model(tmp_path, seed=5)
        before = store.get("m")
        await store.refresh()
        assert store.get("m") is not before
        await store.refresh()
        await store.close()

    asyncio.run(story())
    said = capsys.readouterr().err  # the same trouble once, not every two seconds; and again after it was over
    assert said.count("looking for newer models: KeyError") == 2


def test_the_bounds_hold_for_sixteen_bits() -> None:
    """The largest picture that is let in, of 16 bits, takes what `weighing` says."""
    image = Image.fromarray(np.zeros((500, 400), np.uint16))
    out = io.BytesIO()
    image.save(out, "PNG")
    assert weigh([out.getvalue()] * 3) == 600_000
    assert weighing.REQUEST_PIXELS < weighing.WORKING_PIXELS
