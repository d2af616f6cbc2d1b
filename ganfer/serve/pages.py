"""What people look at: the live page and its files, drawn emoji, the list of models, the API's pages, metrics."""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image
from starlette.staticfiles import StaticFiles

from ganfer.live.emoji import colour, emoji
from ganfer.runtime.text import for_page
from ganfer.serve.errors import Refused
from ganfer.serve.metrics import CONTENT_TYPE
from ganfer.serve.photos import Eyes
from ganfer.serve.schemas import JSON_ERRORS, named
from ganfer.serve.service import Answer, Service
from ganfer.version import __version__

STATIC = Path(__file__).parent / "static"
_EMOJI_SIZE = 128
_DAY = 86_400


def router(service: Service, eyes: Eyes) -> APIRouter:
    """The page at /, /models, /metrics, /emoji."""
    api = APIRouter()

    @api.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse((STATIC / "page.html").read_text(encoding="utf-8"))

    @api.get("/models", tags=["Server"], summary="The models served", responses={200: named("Models")})
    async def models() -> Answer:
        served = [
            {
                "name": model.name,
                "version": model.version,
                "note": model.source.note,
                "class_names": model.class_names,
                "size": model.predictor.size,
                "channels": model.predictor.channels,
            }
            for model in service.store.models
        ]
        names = dict.fromkeys(name for model in service.store.models for name in model.class_names)
        about = {
            "colours": {name: "#{:02x}{:02x}{:02x}".format(*colour(name)) for name in names},
            "detector": eyes.detector.name if eyes.detector else "unavailable",
            "attention": eyes.landmarker is not None,
            "max_upload_mb": service.config.max_upload_mb,
        }
        return Answer({"models": served, **about})

    prometheus: dict[int | str, dict[str, Any]] = {
        200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    }

    @api.get("/metrics", tags=["Server"], summary="Prometheus metrics", responses=prometheus, response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    picture: dict[int | str, dict[str, Any]] = {
        200: {"description": "A face", "content": {"image/png": {"schema": {"type": "string"}}}}
    }

    @api.get(
        "/emoji/{expression}.png",
        tags=["Server"],
        summary="A drawn face of an expression",
        responses={**picture, 404: JSON_ERRORS[404]},
        response_class=Response,
    )
    async def drawn(expression: str) -> Response:
        known = {name for model in service.store.models for name in model.class_names}
        if expression not in known:
            raise Refused(404, f"No model here knows {expression[:40]!r}.")
        png = await service.run(_png, expression)
        return Response(png, media_type="image/png", headers={"Cache-Control": f"public, max-age={_DAY}"})

    return api


def add_documents(app: FastAPI) -> None:
    """`/docs`: the API for people, written from the OpenAPI description; nothing on it comes from elsewhere."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_docs(app.openapi()))


@cache
def _png(expression: str) -> bytes:
    """A drawn emoji, PNG with transparency."""
    out = io.BytesIO()
    Image.fromarray(emoji(expression, _EMOJI_SIZE)).save(out, "PNG")
    return out.getvalue()


def _with_code(text: str) -> Markup:
    """Words between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _docs(description: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("ganfer.serve"), autoescape=True, finalize=for_page, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["with_code"] = _with_code
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            entry = {"method": method.upper(), "path": path, **_readable(operation)}
            groups.setdefault(operation["tags"][0], []).append(entry)
    return environment.get_template("docs.html.jinja").render(
        groups=groups, schemas=description["components"]["schemas"], version=__version__
    )


def _readable(operation: dict[str, Any]) -> dict[str, Any]:
    """What of an operation is shown: words, parameters, bodies, answers."""
    body = operation.get("requestBody", {}).get("content", {})
    return {
        "id": operation["operationId"],
        "summary": operation["summary"],
        "description": operation.get("description", "").split("\n\n"),
        "parameters": operation.get("parameters", []),
        "bodies": [(kind, _schema_name(content)) for kind, content in body.items()],
        "answers": [
            (status, answer["description"], [_schema_name(content) for content in answer.get("content", {}).values()])
            for status, answer in sorted(operation["responses"].items())
        ],
    }


def _schema_name(content: dict[str, Any]) -> str:
    return str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]
