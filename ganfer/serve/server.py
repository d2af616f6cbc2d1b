"""Listening: the address, the token, the loop, and a clean end."""

import asyncio
import logging
import re
import secrets
import signal
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from ganfer.classifier.catalogue import ServedModel
from ganfer.config import ServeConfig
from ganfer.errors import GanferError
from ganfer.serve.app import create_app
from ganfer.serve.guard import is_loopback
from ganfer.serve.metrics import Metrics
from ganfer.serve.photos import Eyes
from ganfer.serve.service import Service
from ganfer.serve.store import ModelStore

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,200}")


@dataclass(frozen=True)
class Listening:
    """Where a server listens. link: what a browser opens, with the token where there is one."""

    url: str
    token: str | None

    @property
    def link(self) -> str:
        return f"{self.url}/?token={self.token}" if self.token else f"{self.url}/"


class Listener(ABC):
    """A server without its application: `run` it in the foreground, or use `background` around other work."""

    def __init__(
        self,
        config: ServeConfig,
        *,
        token: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """certificate, key: PEM files, for https.

        GanferError for a token that is none, an address that is not to be had, a certificate that cannot be read.
        """
        self._config = config
        self.token = checked_token(config.host, token)
        self._tls = _tls(certificate, key)
        self._socket = _bind(config.host, config.port)
        self.listening = Listening(_url(config.host, self._socket, https=bool(self._tls)), self.token)
        self._uvicorn: uvicorn.Server | None = None
        self._stopped = False

    def run(self, started: Callable[[Listening], None] = lambda listening: None) -> None:
        """Load the models, serve until interrupted or terminated, finish what is in flight.

        `started` is called once requests are answered. Errors of loading a model are raised before that.
        """
        with _quiet_signals():
            asyncio.run(self._serve(started))

    def stop(self) -> None:
        """Ask the server to end; may be called from any thread."""
        self._stopped = True
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True

    @contextmanager
    def background(self) -> Iterator[Listening]:
        """Serve from a thread for as long as the block runs."""
        ready = threading.Event()
        failure: list[BaseException] = []

        def work() -> None:
            try:
                asyncio.run(self._serve(lambda listening: ready.set()))
            except BaseException as error:  # handed to the thread that waits
                failure.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=work, name="ganfer-serve", daemon=True)
        thread.start()
        ready.wait()
        try:
            if not failure:
                yield self.listening
        finally:
            self.stop()
            thread.join()
        if failure:
            raise failure[0]

    @abstractmethod
    async def _serve(self, started: Callable[[Listening], None]) -> None:
        """Make the application, `_listen` with it, take it down."""

    async def _listen(self, app: Any, started: Callable[[Listening], None]) -> None:
        server = uvicorn.Server(self._settings(app))
        self._uvicorn = server
        server.should_exit = self._stopped
        announce = asyncio.create_task(_announce(server, lambda: started(self.listening)))
        try:
            await server.serve(sockets=[self._socket])
            await announce
        finally:
            self._socket.close()

    def _settings(self, app: Any) -> uvicorn.Config:
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the client is told what is wrong with a form
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its failures, not its diary
        return uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, round(self._config.timeout)),
            **self._tls,
        )


class Server(Listener):
    """The server of classifiers."""

    def __init__(
        self,
        find: Callable[[], list[ServedModel]],
        eyes: Eyes,
        config: ServeConfig,
        *,
        device: str = "auto",
        token: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """find: says which models to serve, whenever asked. The rest is the listener's."""
        super().__init__(config, token=token, certificate=certificate, key=key)
        self._find, self._eyes, self._device = find, eyes, device
        self.metrics = Metrics()

    async def _serve(self, started: Callable[[Listening], None]) -> None:
        service = Service(self._config, self.metrics)
        service.store = ModelStore(
            self._find, self._config, self.metrics, device=self._device, arriving=lambda: service.arriving
        )
        try:
            await service.store.start()
            await self._listen(create_app(service, self._eyes, self.token), started)
        finally:
            self._socket.close()
            await service.store.close()
            service.close()


async def _announce(server: uvicorn.Server, started: Callable[[], None]) -> None:
    """Call `started` when the server answers; not at all when it ends before that."""
    while not server.started:
        if server.should_exit:
            return
        await asyncio.sleep(0.01)
    started()


def check_listening(
    config: ServeConfig, token: str | None = None, certificate: Path | None = None, key: Path | None = None
) -> None:
    """GanferError for what a `Listener` of the same arguments would not begin with."""
    checked_token(config.host, token)
    _tls(certificate, key)
    _bind(config.host, config.port).close()


def checked_token(host: str, token: str | None) -> str | None:
    """The token to ask for: the given one; a new one for an address that others reach; None on this machine's own."""
    if token:
        if not _TOKEN.fullmatch(token):
            raise GanferError(
                "The token is not valid.", "It needs 8 to 200 letters, digits or '-._~'. Leave it out to get one made."
            )
        return token
    return None if is_loopback(host) else secrets.token_urlsafe(24)


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket. GanferError when the address is not this machine's or the port is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise GanferError(f"--host {host}: {error.strerror or error}.", "Give an address of this machine.") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        bound.close()
        why = getattr(error, "strerror", None) or error
        raise GanferError(
            f"{host}, port {port}: {why}.", "Give another with --port, or --port 0 for any free one."
        ) from error
    return bound


def _url(host: str, bound: socket.socket, *, https: bool) -> str:
    """The address to open; a server that listens everywhere is named by this machine's name."""
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    name = f"[{name}]" if ":" in name else name
    return f"{'https' if https else 'http'}://{name}:{bound.getsockname()[1]}"


def _tls(certificate: Path | None, key: Path | None) -> dict[str, Any]:
    """uvicorn's settings for https, tried out; empty without a certificate."""
    if certificate is None and key is None:
        return {}
    if certificate is None:
        raise GanferError("--key without --certificate.", "Give both, as PEM files.")
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise GanferError(
            f"--certificate {certificate}: {error}.", "Give PEM files of a certificate and its key."
        ) from error
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key) if key else None}


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the server in order, and that is all: uvicorn raises them again when it is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number: int, frame: Any) -> None:
    del number, frame
