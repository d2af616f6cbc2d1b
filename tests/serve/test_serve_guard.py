"""Who may ask: tokens, other sites, other names for this machine; and what a browser is told."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import encoded, scene, server_of, source_of

from ganfer.errors import GanferError
from ganfer.serve.guard import is_loopback
from ganfer.serve.server import checked_token

TOKEN = "a-token-of-a-test"


@pytest.fixture(scope="module")
def guarded(model_file: Path) -> Iterator[str]:
    with server_of([source_of("expression", model_file)], token=TOKEN).background() as listening:
        assert listening.link == f"{listening.url}/?token={TOKEN}"
        yield listening.url


def test_everything_but_the_probes_needs_the_token(guarded: str) -> None:
    with httpx.Client(base_url=guarded) as client:
        for path in (
            "/models",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/v1/models/expression",
            "/v2",
            "/emoji/happy.png",
        ):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "token" in answer.json()["error"]
        assert client.post("/analyze", content=encoded(scene())).status_code == 401
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/static/page.css").status_code == 200
        assert client.get("/static/../app.py").status_code in (401, 404)
        wrong = {"Authorization": "Bearer another-token", "Cookie": 'ganfer-token="; ü'}
        for name, value in wrong.items():
            assert client.get("/models", headers={name: value.encode("latin-1")}).status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/models", headers=right).status_code == 200
        assert client.post("/analyze", content=encoded(scene()), headers=right).status_code == 200


def test_the_link_lets_a_browser_in(guarded: str) -> None:
    with httpx.Client(base_url=guarded) as client:
        locked = client.get("/")
        assert locked.status_code == 401
        assert "ganfer serve" in locked.text
        assert client.get("/?token=wrong").status_code == 401
        entered = client.get(f"/?token={TOKEN}")
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "<title>ganfer live</title>" in client.get("/").text  # the client kept the cookie
        assert client.get("/models").status_code == 200


def test_other_sites_and_other_names_are_refused(client: httpx.Client, address: str) -> None:
    assert client.get("/models", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/models", headers={"Host": "127.0.0.1.evil.example:80"}).status_code == 403
    assert client.get("/models", headers={"Host": "localhost:1"}).status_code == 200
    assert client.get("/models", headers={"Host": "[::1]:8501"}).status_code == 200
    data = encoded(scene())
    assert client.post("/analyze", content=data, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post("/analyze", content=data, headers={"Origin": "null"}).status_code == 403
    assert client.post("/analyze", content=data, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/analyze", content=data, headers={"Origin": address}).status_code == 200


def test_a_browser_is_told_to_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/models", "/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "connect-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
    assert "server" not in client.get("/").headers


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("[::1]", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("example.com", False), ("", False)],
)  # fmt: skip
def test_only_this_machines_own_addresses_go_without_a_token(host: str, own: bool) -> None:
    assert is_loopback(host) is own
    made = checked_token(host, None)
    assert (made is None) is own
    if made:
        assert len(made) >= 32
        assert made != checked_token(host, None)
    assert checked_token(host, TOKEN) == TOKEN


@pytest.mark.parametrize("token", ["short", "with space in it", "semi;colon;s", "tökentökentöken"])
def test_a_token_that_would_not_travel_is_refused(token: str) -> None:
    with pytest.raises(GanferError, match="8 to 200 letters"):
        checked_token("127.0.0.1", token)
