"""The routes: what a page is told, who may decide, what is never shown, and nonsense of all kinds."""

import errno
import io
import json
import random

import httpx
import numpy as np
import pytest
from PIL import Image
from tiny import NAMES
from walls import label, review_server

from ganfer.data.imageset import read_set
from ganfer.generate.batch import read_batch
from ganfer.review.blind import BlindTest, blind_figures
from ganfer.review.decisions import log_of
from ganfer.serve.server import Listening
from ganfer.workspace import Run, Workspace

Reviewed = tuple[Workspace, Run]


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_wall_says_all_about_a_batch(client: httpx.Client, reviewed: Reviewed) -> None:
    batch = reviewed[1]
    about = client.get("/api/about").json()
    assert (about["reviewer"], about["faces"], about["labels"]) == ("ada", [batch.name], [])
    wall = client.get(f"/api/wall/faces/{batch.name}").json()
    assert (wall["count"], wall["classes"], wall["decisions"]) == (60, list(NAMES), [])
    assert wall["kinds"][:2] == ["kept", "blank"]
    face = client.get(f"/api/wall/faces/{batch.name}/face/7").json()
    assert (face["asked"], face["figures"]["seed"]) == (NAMES[7 % 3], "7")
    assert sum(face["probabilities"]) == pytest.approx(1, abs=1e-4)
    images = read_batch(batch).images()
    sheet = pixels(client.get(f"/api/wall/faces/{batch.name}/sheet?c=2&i=3.1n.0").content)  # 1n is 59 to base 36
    assert sheet.shape == (32, 32)
    for tile, i in zip((sheet[:16, :16], sheet[:16, 16:], sheet[16:, :16]), (3, 59, 0), strict=True):
        assert np.abs(tile.astype(int) - images[i, 0]).mean() < 12  # a JPEG of it
    large = pixels(client.get(f"/api/wall/faces/{batch.name}/picture/3.png").content)
    assert min(large.shape) >= 240
    head = client.head(f"/api/wall/faces/{batch.name}")
    assert (head.status_code, head.content) == (200, b"")


def test_decisions_are_on_the_disk_when_they_are_answered(client: httpx.Client, reviewed: Reviewed) -> None:
    batch = reviewed[1]
    names, path = read_batch(batch).file_names, f"/api/wall/faces/{batch.name}"
    told = client.post(f"{path}/decide", json={"faces": [4, 5, 4], "do": "reject"}).json()
    assert told == {"changes": [[4, -1, "ada"], [5, -1, "ada"]], "lines": 1}
    assert set(log_of(batch.path).state()) == {names[4], names[5]}
    client.post(f"{path}/decide", json={"faces": [4], "do": "label", "label": "sad"})
    kept = client.post(f"{path}/decide", json={"faces": [4], "do": "keep"}).json()
    assert kept["changes"] == [[4, NAMES.index("sad"), "ada"]]  # keeping confirms what a person said before
    log_of(batch.path).reject([names[9]], "ben")  # somebody else, by another server
    news = client.get(f"{path}/news?lines={kept['lines']}").json()
    assert [9, -1, "ben"] in news["decisions"]
    assert client.get(f"{path}/news?lines={news['lines']}").json()["decisions"] is None
    for left in ([4, 2, "ada"], [4, -1, "ada"], [4, None, ""]):
        assert client.post(f"{path}/undo", json={}).json()["changes"][0] == left
    assert client.post(f"{path}/undo", json={}).json()["changes"] == []
    assert client.get(f"{path}/people").json() == {"reviewers": {"ben": 1}, "agreement": []}
    assert client.get(f"{path}/decisions.csv").text.splitlines()[1:] == [f"{names[9]},ben,reject,"]


def test_a_page_of_old_labels_decides_nothing(
    client: httpx.Client, reviewed: Reviewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What "keep" means, and of an audit even which image a place is, changes with new labels."""
    monkeypatch.setattr("ganfer.review.desk._STILL", 0.0)
    workspace, batch = reviewed
    path = f"/api/wall/faces/{batch.name}"
    version, faces = client.get(path).json()["version"], client.get("/api/blind").json()["version"]
    told = client.post(f"{path}/decide", json={"faces": [0], "do": "keep", "version": version})
    assert told.status_code == 200
    assert client.get(f"{path}/news?lines=1").json()["version"] == version
    data = workspace.active_data
    assert data is not None
    label(batch, data, 5, "test-2")
    for what, body in (("decide", {"faces": [1], "do": "keep"}), ("undo", {})):
        answer = client.post(f"{path}/{what}", json={**body, "version": version})
        assert answer.status_code == 409
        assert "new labels since this page was loaded" in answer.json()["error"]
    assert len(log_of(batch.path).state()) == 1
    answer = client.post("/api/blind/0", json={"real": True, "label": "sad", "version": faces})
    assert (answer.status_code, blind_figures(batch)) == (409, None)
    news = client.get(f"{path}/news?lines=1").json()["version"]
    assert news != version
    assert client.get(path).json()["version"] == news
    assert client.post(f"{path}/undo", json={"version": news}).json()["changes"] == [[0, None, ""]]


def test_only_the_page_itself_may_decide(client: httpx.Client, reviewed: Reviewed) -> None:
    path = f"/api/wall/faces/{reviewed[1].name}/decide"
    body = {"faces": [0], "do": "reject"}
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        assert client.post(path, json=body, headers=headers).status_code == 403, headers
    form = client.post(path, content=json.dumps(body), headers={"Content-Type": "text/plain"})
    assert form.status_code == 415  # a form of another page can send no JSON
    assert client.get(path).status_code == 405
    assert not log_of(reviewed[1].path).path.exists()
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/static/review/wall.js").headers["content-type"].startswith("text/javascript")


def test_with_a_token_nothing_is_shown_without_it(reviewed: Reviewed) -> None:
    server = review_server(reviewed[0], "ada", token="a-token-of-a-test")
    with server.background() as guarded, httpx.Client(base_url=guarded.url) as client:
        for path in ("/api/about", f"/api/wall/faces/{reviewed[1].name}", "/api/blind", "/labels"):
            assert client.get(path).status_code == 401
        assert client.get(f"/?token={guarded.token}").status_code == 303
        assert client.get("/api/about").status_code == 200  # by the cookie


def test_no_test_image_is_ever_shown(client: httpx.Client, reviewed: Reviewed) -> None:
    workspace, batch = reviewed
    data = workspace.active_data
    assert data is not None
    images = read_set(data.path)
    shown = set()
    for i in range(60):
        answer = client.get(f"/api/wall/faces/{batch.name}/beside/{i}.png")
        near = client.get(f"/api/wall/faces/{batch.name}/face/{i}").json()["figures"].get("nearest training image")
        assert (answer.status_code == 200) == (near is not None)
        shown.add(near)
    assert shown <= {*images.ids[images.split == "train"], None}
    real = [item.name.removeprefix("val:") for item in BlindTest(batch, data, 12).items if not item.made]
    assert set(real) <= set(images.ids[images.split == "val"])


def test_the_blind_test_gives_nothing_away_before_its_end(client: httpx.Client, reviewed: Reviewed) -> None:
    workspace, batch = reviewed
    begun = client.get("/api/blind").json()
    version = begun.pop("version")
    assert begun == {"place": 0, "of": 12, "classes": list(NAMES)}
    assert client.get("/api/blind/result").status_code == 409
    files = [client.get(f"/api/blind/{k}.png") for k in range(12)]
    assert {(pixels(file.content).shape, len(file.headers)) for file in files} == {((240, 240), len(files[0].headers))}
    assert not any(Image.open(io.BytesIO(file.content)).info for file in files)  # no word of a seed in it
    place: int | None = 0
    while place is not None:
        answer = {"real": True, "label": "sad", "version": version}
        place = client.post(f"/api/blind/{place}", json=answer).json()["place"]
    assert client.post("/api/blind/3", json={"real": False, "label": "sad"}).status_code == 409
    told = client.get("/api/blind/result").json()["people"]["ada"]
    assert (told["told_apart"]["hits"], told["told_apart"]["of"]) == (6, 12)
    assert told["made_taken_for_real"]["share"] == 1
    with review_server(workspace, "ben").background() as other, httpx.Client(base_url=other.url) as ben:
        for k in range(12):
            ben.post(f"/api/blind/{k}", json={"real": k % 2 == 0, "label": "happy"})
        (pair,) = ben.get("/api/blind/result").json()["agreement"]
    assert (pair["reviewers"], pair["n"]) == (["ada", "ben"], 12)
    figures = blind_figures(batch)
    assert figures is not None
    assert set(figures["people"]) == {"ada", "ben"}


ODD: tuple[object, ...] = (
    *(None, True, -1, 0, 1, 60, 1e9, "", "sad", "happy\0", "x" * 500, {}, {"a": 1}),
    *([], [0], [-1], [60], [0.5], [True], ["0"], [[0]], [10**30]),
)


def test_nonsense_is_refused_in_one_line_and_writes_nothing(client: httpx.Client, reviewed: Reviewed) -> None:
    rng, batch = random.Random(0), reviewed[1]
    wall = f"/api/wall/faces/{batch.name}"
    for _ in range(150):
        body = {key: rng.choice(ODD) for key in ("faces", "do", "label", "real") if rng.random() < 0.7}
        path = rng.choice(
            [f"{wall}/decide", "/api/blind/99", "/api/blind/-1", f"{wall}x/decide", "/api/wall/no/no/decide"]
        )
        answer = client.post(path, json=body)
        assert 400 <= answer.status_code < 500, (path, body, answer.text)
        assert list(answer.json()) == ["error"]
    for content in (b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"faces": NaN}', b'"' + b"x" * 4_100_000 + b'"'):
        answer = client.post(f"{wall}/decide", content=content, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, content[:20]
    for tail in (
        *("sheet", "sheet?c=0&i=0", "sheet?c=1&i=", "sheet?c=1&i=-1", "sheet?c=1&i=zzzzzz", "sheet?c=a&i=0"),
        *("sheet?c=1&i=" + ".".join(["0"] * 4001), "face/60", "face/-1", "face/x", "picture/60.png", "beside/99.png"),
        *("news", "news?lines=x", "../../../../etc/passwd", "%2e%2e/x"),
    ):
        answer = client.get(f"{wall}/{tail}")
        assert 400 <= answer.status_code < 500, tail
        assert list(answer.json()) == ["error"], tail
    assert not log_of(batch.path).path.exists()


def test_a_disk_that_takes_nothing_is_said_in_one_line(
    client: httpx.Client, reviewed: Reviewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = f"/api/wall/faces/{reviewed[1].name}"
    with monkeypatch.context() as patched:
        patched.setattr("ganfer.review.journal.os.fsync", full)
        answer = client.post(f"{path}/decide", json={"faces": [0], "do": "keep"})
    assert answer.status_code == 507
    assert "cannot be read or written (No space left on device)" in answer.json()["error"]
    assert client.get(path).json()["decisions"] == []
    assert client.post(f"{path}/undo", json={}).json()["undone"] == 0


def test_what_is_undone_is_said_also_of_images_that_are_not_shown(client: httpx.Client, reviewed: Reviewed) -> None:
    log_of(reviewed[1].path).reject(["of an earlier audit"], "ada")
    undone = [client.post(f"/api/wall/faces/{reviewed[1].name}/undo", json={}).json() for _ in range(2)]
    assert [(one["undone"], one["changes"]) for one in undone] == [(1, []), (0, [])]


def test_a_damaged_log_is_said_in_one_line(client: httpx.Client, reviewed: Reviewed, listening: Listening) -> None:
    path = log_of(reviewed[1].path).path
    path.parent.mkdir(exist_ok=True)
    path.write_text("nonsense\n")
    answer = client.get(f"/api/wall/faces/{reviewed[1].name}")
    assert answer.status_code == 409
    assert "line 1, is damaged" in answer.json()["error"]
