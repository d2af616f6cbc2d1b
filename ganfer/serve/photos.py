"""`POST /analyze`: a plain picture in, the faces with their expressions out. Nothing of a picture is kept."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from python_multipart import MultipartParser
from python_multipart.multipart import parse_options_header

from ganfer.live.attention import looking
from ganfer.live.crop import crop_face
from ganfer.live.detect import Detector, WholeImage
from ganfer.live.geometry import Face
from ganfer.live.mesh import Landmarker
from ganfer.live.pictures import Picture
from ganfer.serve.errors import Busy, Refused
from ganfer.serve.pictures import measure, open_upload
from ganfer.serve.schemas import JSON_ERRORS, named, picture_body
from ganfer.serve.service import Answer, Intake, Service, floats
from ganfer.serve.store import Served

_COST = 8  # a picture to be searched takes about the time of this many face images
_MAX_FACES = 200  # the surest ones of a crowd
_MAX_PARTS = 100  # of a form
_MAX_GAZES = 12  # faces whose landmarks are looked for; each takes some ten milliseconds

_ANALYZE = """Find the faces of a picture and read their expressions.

Send the file itself as the body, or as a form with a file (`curl -F image=@photo.jpg`). JPEG, PNG, WebP, GIF (its first
frame), BMP, TIFF; turned by its EXIF orientation. Boxes and landmarks are in pixels of the upright picture."""


@dataclass(frozen=True)
class Eyes:
    """What looks at pictures. detector: None where it could not be opened, `why` says the reason; ready crops need
    none. landmarker: also tells where people look, or None. min_face: narrower faces are left out, pixels."""

    detector: Detector | None
    landmarker: Landmarker | None = None
    why: str = ""
    min_face: float = 0.0

    def whole(self) -> "Eyes":
        """For pictures that are one face already."""
        return Eyes(WholeImage(), self.landmarker)


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture with its faces. gazes: of the first faces {yaw, pitch, closed}, or None where no landmarks are found;
    the others were not looked at."""

    picture: Picture
    faces: Sequence[Face]
    gazes: Sequence[dict[str, float] | None] = ()


def router(service: Service, eyes: Eyes) -> APIRouter:
    """The route /analyze."""
    api = APIRouter(tags=["Pictures"])
    room = _Room(service)

    @api.post(
        "/analyze",
        summary="Faces and expressions of a picture",
        description=_ANALYZE,
        responses={200: named("Analysis"), **JSON_ERRORS},
        openapi_extra=picture_body(),
    )
    async def analyze(
        request: Request,
        models: Annotated[
            str | None, Query(description="models to ask, comma-separated; the first of the server when left out")
        ] = None,
        faces: Annotated[
            Literal["find", "whole"], Query(description="whole: the picture is one face already")
        ] = "find",
        gaze: Annotated[
            bool, Query(description="also where each face looks, where the server runs with --attention")
        ] = False,
    ) -> Answer:
        look = eyes.whole() if faces == "whole" else eyes
        if look.detector is None:
            raise Refused(503, f"This server finds no faces. {eyes.why} Ready crops are read with ?faces=whole.")
        if gaze and eyes.landmarker is None:
            raise Refused(400, "This server does not know gazes. Start it with --attention.")
        with ExitStack() as held:
            serving = [held.enter_context(service.store.get(name)) for name in _asked(models)]
            held.enter_context(room)
            async with service.intake(request) as intake:
                content_type = request.headers.get("content-type", "")
                return await _analyze(service, intake, content_type, serving, look, gaze)

    return api


class _Room:
    """Bounds how many pictures are in work or wait: each is entered like a context."""

    def __init__(self, service: Service) -> None:
        self._service, self._inside = service, 0
        self._limit = max(1, service.config.queue // _COST)

    def __enter__(self) -> None:
        if self._inside >= self._limit:
            self._service.metrics.rejected.labels("busy").inc()
            raise Busy(f"{self._inside} pictures wait already, the limit is {self._limit}.", 1)
        self._inside += 1

    def __exit__(self, *failure: object) -> None:
        self._inside -= 1


async def _analyze(
    service: Service, intake: Intake, content_type: str, serving: Sequence[Served], eyes: Eyes, gaze: bool
) -> Answer:
    began = time.perf_counter()
    data = await service.run(_picture_bytes, intake.body, content_type)
    working = await service.run(measure, data)
    seen = await service.look(working, _look, data, eyes, gaze, intake.ended.is_set)
    found = time.perf_counter()
    service.metrics.faces.inc(len(seen.faces))
    scores = await _classify(service, intake, serving, seen)
    spent = {"total": _ms(time.perf_counter() - began), "detect": _ms(found - began)}
    (height, width), (across, down) = seen.picture.image.shape[:2], seen.picture.scale
    entries = [_entry(seen, index, serving, scores) for index in range(len(seen.faces))]
    size = {"width": round(width * across), "height": round(height * down)}
    return Answer({**size, "faces": entries, "milliseconds": spent})


def _asked(models: str | None) -> list[str | None]:
    """Model names of the query; None for the server's first. Each once."""
    if models is None:
        return [None]
    return list(dict.fromkeys(name.strip() for name in models.split(",")))


def _look(data: bytes, eyes: Eyes, gaze: bool, ended: Callable[[], bool]) -> Seen:
    """Decode and search: the part that takes the time. ended: whether nobody waits any more, asked between the two."""
    if ended():
        raise Refused(400, "The client went away.")
    picture = open_upload(data)
    if ended():
        raise Refused(400, "The client went away.")
    assert eyes.detector is not None
    found = eyes.detector.detect(picture.image)
    found = [face for face in found if face.box[2] * picture.scale[0] >= eyes.min_face][:_MAX_FACES]
    if not gaze or eyes.landmarker is None:
        return Seen(picture, found)
    return Seen(picture, found, [_gaze(eyes.landmarker, picture, face) for face in found[:_MAX_GAZES]])


def _gaze(landmarker: Landmarker, picture: Picture, face: Face) -> dict[str, float] | None:
    """Where a face looks, degrees from the camera to the picture's right and up, and how closed its eyes are, 0..1."""
    mesh = landmarker.look(picture.image, face)
    if mesh is None:
        return None
    yaw, pitch = looking(mesh).tolist()
    return {"yaw": round(yaw, 2), "pitch": round(pitch, 2), "closed": round(float(mesh.closed), 4)}


async def _classify(service: Service, intake: Intake, serving: Sequence[Served], seen: Seen) -> list[np.ndarray]:
    """Per model, probabilities float32 (faces, K)."""
    scores = []
    for served in serving:
        channels, size, _ = served.shape
        crops = await service.run(_crops, seen, size, channels)
        scores.append(await service.classify(intake, served, crops))
    return scores


def _crops(seen: Seen, size: int, channels: int) -> list[np.ndarray]:
    return [crop_face(seen.picture.image, face, size, channels) for face in seen.faces]


def _entry(seen: Seen, index: int, serving: Sequence[Served], scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """One face as the answer has it."""
    face, (across, down) = seen.faces[index], seen.picture.scale
    points = None if face.landmarks is None else np.round(face.landmarks * (across, down), 1).tolist()
    models = {}
    for served, rows in zip(serving, scores, strict=True):
        row = floats(rows[index])
        best = int(rows[index].argmax())
        names = served.class_names
        models[served.name] = {
            "label": names[best], "confidence": row[best], "scores": dict(zip(names, row, strict=True)),
        }  # fmt: skip
    x, y, width, height = map(float, face.box)
    box = [round(side, 1) for side in (x * across, y * down, width * across, height * down)]
    entry = {"box": box, "detection": round(float(face.score), 4), "landmarks": points, "models": models}
    return {**entry, "gaze": seen.gazes[index]} if index < len(seen.gazes) else entry


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _picture_bytes(body: bytes, content_type: str) -> bytes:
    """The picture of a request: the body, or the first file of a form. Refused (400) for a form without one."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return body
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise Refused(400, "The form has no boundary.")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except Exception as error:  # the parser has its own errors and, on odd input, others
        raise Refused(400, f"The form cannot be read ({str(error)[:80]}).") from error
    if not parts.files:
        raise Refused(400, "The form has no file. Send one: curl -F image=@photo.jpg")
    return parts.files[0]


class _Parts:
    """Collects the files of a form, in memory."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self._field, self._value = b"", b""
        self._begun = 0
        self._is_file = False
        self._data: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._header_end,
            "on_part_data": lambda data, start, end: self._data.append(bytes(data[start:end])),
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._begun += 1
        if self._begun > _MAX_PARTS:
            raise ValueError(f"it has more than {_MAX_PARTS} parts")
        self._is_file, self._data = False, []

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._is_file = b"filename" in parse_options_header(self._value)[1]
        self._field, self._value = b"", b""

    def _end(self) -> None:
        if self._is_file:
            self.files.append(b"".join(self._data))
