"""The application of `ganfer review`: pages, walls, decisions, the blind test, the workspace's past."""

import re
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

import ganfer.serve
from ganfer.errors import GanferError
from ganfer.review import past
from ganfer.review.blind import BlindTest, summary
from ganfer.review.desk import Desk
from ganfer.review.effect import agreements, by_reviewer
from ganfer.review.exchange import csv_text
from ganfer.review.thumbs import png, sheet
from ganfer.review.wall import Wall
from ganfer.serve.app import Head, handle_errors
from ganfer.serve.errors import Refused
from ganfer.serve.guard import Guard
from ganfer.serve.service import Answer, parse_json
from ganfer.version import __version__

STATIC = Path(__file__).parent / "static"
MAX_BODY = 4_000_000  # bytes: half a million faces in one decision
MAX_SHEET = 4000  # thumbnails in one answer
_SHOWN = 240  # pixels of a picture in focus, at least
_INDEX = re.compile(r"[0-9a-z]{1,6}(\.[0-9a-z]{1,6})*")
Seen = TypeVar("Seen", Wall, BlindTest)
_PAGES = {"/": "wall.html", "/labels": "wall.html", "/experiment": "experiment.html", "/blind": "blind.html"}


def create_app(desk: Desk, token: str | None = None) -> FastAPI:
    """The application around a workspace. token: what every request has to bring, or None."""
    app = FastAPI(title="ganfer review", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    for path, file in _PAGES.items():
        app.add_api_route(path, _page(file), methods=["GET"])
    _add_walls(app, desk)
    _add_blind(app, desk)
    _add_past(app, desk)
    app.mount("/static/review", StaticFiles(directory=STATIC), name="review")
    app.mount("/static", StaticFiles(directory=Path(ganfer.serve.__file__).parent / "static"), name="static")
    handle_errors(app)

    @app.exception_handler(GanferError)
    async def expected(request: Request, error: GanferError) -> Answer:
        return Answer({"error": str(error)}, 409)

    @app.exception_handler(OSError)
    async def not_written(request: Request, error: OSError) -> Answer:
        what = error.filename or desk.workspace.root
        return Answer({"error": f"{what} cannot be read or written ({error.strerror or error})."}, 507)

    app.add_middleware(Head)
    app.add_middleware(Guard, token=token)
    return app


def _page(file: str) -> Any:
    async def page() -> HTMLResponse:
        return HTMLResponse((STATIC / file).read_text(encoding="utf-8"))

    return page


def _add_walls(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/about")
    def about() -> Answer:
        return Answer(desk.about())

    @app.get("/api/wall/{kind}/{name}")
    def wall(kind: str, name: str) -> Answer:
        return Answer(desk.wall(kind, name).to_json())

    @app.get("/api/wall/{kind}/{name}/sheet")
    def thumbnails(kind: str, name: str, c: int, i: str) -> Response:
        shown = desk.wall(kind, name)
        index = _indices(i, len(shown))
        if not 1 <= c <= MAX_SHEET:
            raise Refused(400, f"c={c}: give 1 to {MAX_SHEET} columns.")
        return _kept(sheet(shown.thumbs(index), min(c, len(index))), "image/jpeg")

    @app.get("/api/wall/{kind}/{name}/face/{i}")
    def face(kind: str, name: str, i: int) -> Answer:
        shown = desk.wall(kind, name)
        return Answer(shown.facts(_place(i, shown)))

    @app.get("/api/wall/{kind}/{name}/picture/{i}.png")
    def picture(kind: str, name: str, i: int) -> Response:
        shown = desk.wall(kind, name)
        return _kept(png(shown.picture(_place(i, shown)), _SHOWN), "image/png")

    @app.get("/api/wall/{kind}/{name}/beside/{i}.png")
    def beside(kind: str, name: str, i: int) -> Response:
        shown = desk.wall(kind, name)
        pixels = shown.beside(_place(i, shown))
        if pixels is None:
            raise Refused(404, "No image beside this one.")
        return _kept(png(pixels, _SHOWN), "image/png")

    @app.get("/api/wall/{kind}/{name}/news")
    def news(kind: str, name: str, lines: int) -> Answer:
        shown = desk.wall(kind, name)
        now = shown.log.length
        changed = shown.changes(shown.log.state()) if now != lines else None
        return Answer({"lines": now, "decisions": changed, "version": shown.version})

    @app.get("/api/wall/{kind}/{name}/people")
    def people(kind: str, name: str) -> Answer:
        log = desk.wall(kind, name).log
        return Answer({"reviewers": by_reviewer(log), "agreement": agreements(log)})

    @app.get("/api/wall/{kind}/{name}/decisions.csv")
    def table(kind: str, name: str) -> Response:
        file = f'attachment; filename="decisions-{re.sub("[^A-Za-z0-9._-]", "_", name)}.csv"'
        text = csv_text(desk.wall(kind, name).log)
        return Response(text, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": file})

    @app.post("/api/wall/{kind}/{name}/decide")
    async def decide(kind: str, name: str, request: Request) -> Answer:
        body = await _json(request)
        return await run_in_threadpool(_decide, desk, kind, name, body)

    @app.post("/api/wall/{kind}/{name}/undo")
    async def undo(kind: str, name: str, request: Request) -> Answer:
        body = await _json(request)
        return await run_in_threadpool(_undo, desk, kind, name, body)


def _decide(desk: Desk, kind: str, name: str, body: dict[str, Any]) -> Answer:
    """{"faces": [index], "do": "keep", "reject" or "label", "label": class}; keep: each as the class it has now."""
    shown = _as_seen(desk.wall(kind, name), body)
    faces, do, label = body.get("faces"), body.get("do"), body.get("label")
    if not isinstance(faces, list) or not faces or not all(type(i) is int and 0 <= i < len(shown) for i in faces):
        raise Refused(400, f"faces must be a list of whole numbers from 0 to {len(shown) - 1}.")
    names = [shown.names[i] for i in dict.fromkeys(faces)]
    if do == "reject":
        shown.log.reject(names, desk.reviewer)
    elif do == "keep":
        shown.log.keep(shown.as_labelled(names), desk.reviewer)
    elif do == "label" and isinstance(label, str) and label in shown.class_names:
        shown.log.keep(dict.fromkeys(names, label), desk.reviewer)
    else:
        raise Refused(400, f"do must be keep, reject, or label with one of {', '.join(shown.class_names)}.")
    return Answer({"changes": shown.changes(shown.log.newest(names)), "lines": shown.log.length})


def _undo(desk: Desk, kind: str, name: str, body: dict[str, Any]) -> Answer:
    shown = _as_seen(desk.wall(kind, name), body)
    names = shown.log.undo(desk.reviewer)  # of an earlier audit, some may not be on this wall
    changes = shown.changes(shown.log.newest(names))
    return Answer({"changes": changes, "undone": len(names), "lines": shown.log.length})


def _as_seen(shown: Seen, body: dict[str, Any]) -> Seen:
    """The wall or the test, if it is the one that the page shows, which says whose places it means. Refused (409)
    else."""
    if body.get("version", shown.version) != shown.version:
        raise Refused(409, "There are new labels since this page was loaded. Nothing was written; look again.")
    return shown


def _add_blind(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/blind")
    def where() -> Answer:
        test = desk.blind()
        place, classes = test.next_of(desk.reviewer), list(test.class_names)
        return Answer({"place": place, "of": len(test.items), "classes": classes, "version": test.version})

    @app.get("/api/blind/{place}.png")
    def face(place: int) -> Response:
        test = desk.blind()
        item = test.items[test.order(desk.reviewer)[_item(place, test)]]
        return Response(png(item.pixels, _SHOWN), media_type="image/png")

    @app.post("/api/blind/{place}")
    async def answer(place: int, request: Request) -> Answer:
        body = await _json(request)
        return await run_in_threadpool(_answer, desk, place, body)

    @app.get("/api/blind/result")
    def result() -> Answer:
        test = desk.blind()
        if test.next_of(desk.reviewer) is not None:
            raise Refused(409, "Answer all faces first: the result would give them away.")
        return Answer(summary(test.answers()))


def _answer(desk: Desk, place: int, body: dict[str, Any]) -> Answer:
    """{"real": bool, "label": class}."""
    test = _as_seen(desk.blind(), body)
    real, label = body.get("real"), body.get("label")
    if not isinstance(real, bool) or label not in test.class_names:
        raise Refused(400, f"Give real (true or false) and label, one of {', '.join(test.class_names)}.")
    if not test.answer(desk.reviewer, _item(place, test), real=real, label=label):
        raise Refused(409, "This face was answered before; the first answer counts.")
    return Answer({"place": test.next_of(desk.reviewer)})


def _item(place: int, test: BlindTest) -> int:
    if not 0 <= place < len(test.items):
        raise Refused(404, f"There are {len(test.items)} faces in the test.")
    return place


def _add_past(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/reports")
    def reports() -> Answer:
        return Answer({"reports": past.reports(desk.workspace)})

    @app.get("/api/films")
    def films() -> Answer:
        return Answer({"films": past.films(desk.workspace)})

    @app.get("/api/films/{name}/{step}.png")
    def frame(name: str, step: int) -> Response:
        for run in desk.workspace.runs("gans"):
            if run.name == name and step in (found := past.frames(run)):
                return FileResponse(found[step], media_type="image/png")
        raise Refused(404, f"No samples of step {step} of {name[:80]!r}.")


async def _json(request: Request) -> dict[str, Any]:
    """A request's body as a JSON object. Refused for another type, for one that is too large, for what is no JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "Send JSON: Content-Type: application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, f"The body is larger than {MAX_BODY / 1e6:g} MB. Decide on fewer faces at once.")
    value = await run_in_threadpool(parse_json, body)
    if not isinstance(value, dict):
        raise Refused(400, "The body must be a JSON object.")
    return value


def _place(i: int, wall: Wall) -> int:
    if not 0 <= i < len(wall):
        raise Refused(404, f"There are {len(wall):,} images here.")
    return i


def _indices(text: str, count: int) -> np.ndarray:
    """`"a.1f.zz"`, numbers to base 36 with dots between, as (n,) int64. Refused when one is none or not there."""
    if not _INDEX.fullmatch(text):
        raise Refused(400, "i must be numbers to base 36 with dots between.")
    index = np.array([int(part, 36) for part in text.split(".")], dtype=np.int64)
    if len(index) > MAX_SHEET:
        raise Refused(400, f"At most {MAX_SHEET} images at once.")
    if index.max() >= count:
        raise Refused(404, f"There are {count:,} images here.")
    return index


def _kept(content: bytes, kind: str) -> Response:
    """A picture that the browser may keep: its address carries the wall's version."""
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=3600, immutable"})
