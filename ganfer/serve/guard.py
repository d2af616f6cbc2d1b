"""Who may ask: the token, other sites' pages, and what browsers may do with the answers."""

import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganfer.serve.service import Answer

COOKIE = "ganfer-token"  # with the port behind it: browsers send cookies to every port of a machine
OPEN_PATHS = ("/v2/health/live", "/v2/health/ready")  # an orchestrator's probes carry no token and learn nothing

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,  # nothing is loaded from, and nothing sent to, another place
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOCKED = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/page.css">
<title>ganfer: token needed</title></head><body><main class="locked">
<h1>This page needs its token</h1><p>Open the link that <code>ganfer serve</code> printed when it started.
It ends in <code>?token=…</code></p></main></body></html>"""


def is_loopback(host: str) -> bool:
    """Whether an address, as a URL or `--host` writes it, is this machine's own."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware. With a token, everything but the health probes needs it; without, only this machine may ask.

    The token comes as `Authorization: Bearer TOKEN`, or once as `/?token=TOKEN`, which leaves it in a cookie. A page of
    another site is refused in both cases, and so is a foreign name that was made to point to this machine.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response = self._refusal(scope)
        target = response or self.app

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await target(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that may not pass; None for one that may."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.token is None and not is_loopback(_hostname(host)):
            return Answer(
                {"error": f"{host[:80]!r} is not this machine's own address. Start the server with a token."}, 403
            )
        origin = headers.get("origin")
        foreign = origin is not None and _netloc(origin) != host
        reads = scope["method"] in ("GET", "HEAD")
        if foreign or (headers.get("sec-fetch-site") == "cross-site" and not reads):
            return Answer({"error": "Pages of other sites may not ask this server."}, 403)
        if self.token is None or scope["path"] in OPEN_PATHS or scope["path"].startswith("/static/"):
            return None
        return self._without_token(scope, headers)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        assert self.token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._right(given.strip()):
            return None
        name, value = self._cookie(scope)
        if hmac.compare_digest(_cookie(headers.get("cookie", ""), name).encode("utf-8", "replace"), value.encode()):
            return None
        if scope["path"] == "/":
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if self._right(asked):
                response: Response = RedirectResponse("/", 303)
                secure = scope.get("scheme") == "https"
                response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure)
                return response
            return HTMLResponse(_LOCKED, 401)
        error = {"error": "The token is missing or wrong. Send it as 'Authorization: Bearer TOKEN'."}
        return Answer(error, 401, headers={"WWW-Authenticate": "Bearer"})

    def _cookie(self, scope: Scope) -> tuple[str, str]:
        """Name and value of this port's cookie. The value is no token: another port's server that is sent it cannot
        use it as one, nor does a cookie of another port count here."""
        port = (scope.get("server") or ("", 0))[1]
        value = hmac.new((self.token or "").encode(), f"{COOKIE}:{port}".encode(), "sha256").hexdigest()
        return f"{COOKIE}-{port}", value

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), (self.token or "").encode())


def _hostname(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if ":" in host else host


def _netloc(origin: str) -> str:
    """`host:port` of an origin; empty for `null` and for what is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _cookie(header: str, name: str) -> str:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""
