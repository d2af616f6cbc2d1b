"""The application: routes, limits, errors and metrics put together."""

import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifiers.tasks import end_if_dead
from ganfer.serve import inference, pages, photos, tfserving
from ganfer.serve.errors import Refused
from ganfer.serve.guard import Guard
from ganfer.serve.metrics import Metrics
from ganfer.serve.schemas import SCHEMAS
from ganfer.serve.service import Answer, Service
from ganfer.version import __version__

_ABOUT = """Facial expressions as a service, on this machine.

Classifiers are asked through TensorFlow Serving's REST API or the Open Inference Protocol v2 (ready face crops), or
through `/analyze` (whole pictures). An error is `{"error": "what is wrong and what to do"}`."""


def create_app(service: Service, eyes: photos.Eyes, token: str | None = None) -> FastAPI:
    """The application around a service whose models are loaded. token: what every request has to bring, or None."""
    app = FastAPI(title="ganfer", version=__version__, description=_ABOUT, docs_url=None, redoc_url=None)
    for router in (
        tfserving.router(service),
        inference.router(service),
        photos.router(service, eyes),
        pages.router(service, eyes),
    ):
        app.include_router(router)
    pages.add_documents(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    handle_errors(app)
    app.add_middleware(Head)
    app.add_middleware(Guard, token=token)
    app.add_middleware(_Count, metrics=service.metrics)
    return app


def handle_errors(app: FastAPI) -> None:
    """Every error leaves as one line of JSON."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Answer:
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
        return Answer({"error": error.message}, error.status, headers=headers)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Answer:
        known = {404: f"No page {request.url.path[:80]!r}. See /docs.", 405: f"{request.method} is not for this page."}
        return Answer({"error": known.get(error.status_code, error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Answer:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first.get("loc", ()))
        return Answer({"error": f"{where}: {first.get('msg', 'is not valid')}."}, 400)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Answer:
        return Answer({"error": "The client went away."}, 400)  # nobody reads it

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Answer:
        end_if_dead(error, 1)  # who supervises the server starts it anew; it could answer nobody
        return Answer({"error": "The server failed; its log says why."}, 500)


class Head:
    """ASGI middleware: HEAD is answered as GET is, less the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                if message.get("more_body"):
                    return
                message = {**message, "body": b""}
            await send(message)

        asked = {**scope, "method": "GET"}
        await self.app(asked, receive, without_body)
        scope["route"] = asked.get("route")


class _Count:
    """ASGI middleware: how many requests, how long, by route. The route is a template, never what a client wrote."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with self.metrics.in_flight.track_inprogress():
                await self.app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
            self.metrics.requests.labels(route, method, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - began)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description of the API; the framework's own answer to a wrong parameter (422) does not occur here."""
    if app.openapi_schema is None:
        description = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
        for methods in description["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        description["components"] = {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        }
        app.openapi_schema = description
    return app.openapi_schema
