"""What all routes share: models, eyes, threads, and how a request's body comes in within its limits."""

import asyncio
import functools
import json
import os
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NoReturn, ParamSpec, TypeVar

import numpy as np
from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from ganfer.config import ServeConfig
from ganfer.serve.errors import Busy, Refused
from ganfer.serve.metrics import Metrics
from ganfer.serve.pixels import from_encoded
from ganfer.serve.store import Image, ModelStore, Served
from ganfer.serve.weighing import WORKING_PIXELS, weigh

P = ParamSpec("P")
R = TypeVar("R")

_SMALL = 64 * 1024  # bytes of JSON that are parsed faster than handed to a thread
_PACKED = ("gzip", "x-gzip", "deflate")
_BODIES = 16  # bodies of the largest size that may be in memory at once


class Answer(JSONResponse):
    """JSON in ASCII, so that whatever a client sent can be named in it; no cache keeps it."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Intake:
    """One request's body on its way into a batch."""

    def __init__(self, service: "Service") -> None:
        self.body = b""
        self.ended = threading.Event()  # nobody waits for a result any more; threads look at it between two steps
        self._service = service
        self._counted = True
        service.arriving += 1

    def arrived(self) -> None:
        """The request has submitted its images, or ended: nobody needs to wait for it."""
        if self._counted:
            self._counted = False
            self._service.arriving -= 1
            self._service.store.nudge()


class Unpacker:
    """A compressed body, unpacked as it arrives, never further than its limit: a bomb ends one byte past it."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding, self._left = encoding, limit
        self._stream = zlib.decompressobj(wbits=47)  # gzip or zlib, by its own header

    def __call__(self, chunk: bytes | None) -> bytes:
        """The next plain bytes; None says that nothing follows. Refused (400) when damaged, one byte past the limit
        for the caller to refuse."""
        if chunk is None:
            if not self._stream.eof or self._stream.unused_data:
                raise Refused(400, f"The {self._encoding} body is cut short or has something behind it.")
            return b""
        try:
            plain = self._stream.decompress(chunk, self._left + 1)
        except zlib.error as error:
            raise Refused(400, f"The body is no {self._encoding} ({str(error)[:60]}).") from error
        self._left -= len(plain)
        return plain


@asynccontextmanager
async def _until_gone(request: Request) -> AsyncIterator[None]:
    """Ends the block with ClientDisconnect as soon as the client hangs up: nobody reads what it would compute."""
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone or task.uncancel():
            raise
        raise ClientDisconnect from None
    finally:
        watcher.cancel()


class Service:
    """The server's parts."""

    def __init__(self, config: ServeConfig, metrics: Metrics) -> None:
        self.config, self.metrics = config, metrics
        self.arriving = 0
        self.store: ModelStore
        self._body_bytes = 0
        cores = max(2, os.cpu_count() or 2)
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="work")
        self._eyes = ThreadPoolExecutor(cores, thread_name_prefix="look")  # so that crops need not wait for pictures
        self._working_pixels = 0
        self._room_again = asyncio.Event()
        metrics.body_bytes.set_function(lambda: self._body_bytes)

    @property
    def max_body(self) -> int:
        """Bytes a request's body may have."""
        return int(self.config.max_upload_mb * 1e6)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Work for a thread, of milliseconds: decoding crops, parsing much."""
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def look(self, pixels: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Work for a thread, of longer: decoding and searching pictures, of `pixels` by their headers.

        It begins once all that is being decoded stays within `WORKING_PIXELS`; its share is given back when the thread
        is done, also where nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        while self._working_pixels and self._working_pixels + pixels > WORKING_PIXELS:
            self._room_again.clear()
            await self._room_again.wait()
        self._working_pixels += pixels

        def give_back() -> None:
            self._working_pixels -= pixels
            self._room_again.set()

        future = self._eyes.submit(functools.partial(function, *args, **kwargs))
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(give_back))
        return await asyncio.wrap_future(future)

    async def images(self, intake: Intake, found: np.ndarray | list[bytes], served: Served) -> np.ndarray:
        """(N, C, S, S) uint8: as they are, or decoded once their headers say that they may be."""
        served.batcher.check_count(len(found))
        if isinstance(found, np.ndarray):
            return found
        weight = await self.run(weigh, found)
        return await self.look(weight, from_encoded, found, served.shape, "image", intake.ended.is_set)

    @asynccontextmanager
    async def intake(self, request: Request) -> AsyncIterator[Intake]:
        """Read the body, within the limits of size, memory and time; the time covers all that is done with it."""
        intake = Intake(self)
        held = 0
        chunks = []
        reading = True
        try:
            async with asyncio.timeout(self.config.timeout):
                unpack = self._unpacker(request)
                async for packed in request.stream():
                    chunk = unpack(packed)
                    held += len(chunk)
                    self._body_bytes += len(chunk)
                    self._check_size(held)
                    chunks.append(chunk)
                chunks.append(unpack(None))
                reading = False
                intake.body = b"".join(chunks)
                chunks.clear()
                async with _until_gone(request):
                    yield intake
        except TimeoutError:
            self.metrics.rejected.labels("timeout").inc()
            limit = f"{self.config.timeout:g} seconds"
            if reading:
                raise Refused(408, f"The request did not arrive within {limit}.") from None
            raise Refused(503, f"No result within {limit}; the server is busy.", retry_after=5) from None
        finally:
            intake.ended.set()
            intake.arrived()
            self._body_bytes -= held

    async def classify(self, intake: Intake, served: Served, images: Sequence[Image]) -> np.ndarray:
        """Calibrated probabilities, float32 (N, K). The last thing a request asks of the models."""
        intake.arrived()
        try:
            return await served.probabilities(images)
        except Busy:
            self.metrics.rejected.labels("busy").inc()
            raise

    async def json(self, body: bytes) -> dict[str, Any]:
        """A body as a JSON object. Refused (400) when it is none."""
        value = parse_json(body) if len(body) <= _SMALL else await self.run(parse_json, body)
        if not isinstance(value, dict):
            raise Refused(400, "The body must be a JSON object.")
        return value

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)
        self._eyes.shutdown(wait=True)

    def _unpacker(self, request: Request) -> Callable[[bytes | None], bytes]:
        """Turns what arrives into the body; called with None at the end. Refused for sizes and encodings not taken."""
        length = request.headers.get("content-length", "0")
        self._check_size(int(length) if length.isdecimal() and len(length) < 20 else 0)
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return lambda chunk: chunk or b""
        if encoding not in _PACKED:
            raise Refused(415, f"Content-Encoding {encoding[:20]!r}: send the body plain, or as gzip or deflate.")
        return Unpacker(encoding, self.max_body)

    def _check_size(self, size: int) -> None:
        if size > self.max_body:
            self.metrics.rejected.labels("size").inc()
            raise Refused(413, f"The body is larger than {self.config.max_upload_mb:g} MB. Send a smaller image.")
        if self._body_bytes > _BODIES * self.max_body:
            self.metrics.rejected.labels("busy").inc()
            raise Busy("Too many uploads at once.", 1)


def parse_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no nesting beyond reason. Refused (400) with the place of the mistake."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError as error:
        raise Refused(400, "The body is nested too deeply.") from error
    except ValueError as error:
        raise Refused(400, f"The body is not JSON: {str(error)[:120]}.") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def floats(values: np.ndarray) -> Any:
    """Probabilities as plain floats of seven digits, which is what float32 holds."""
    return np.round(values.astype(np.float64), 7).tolist()
