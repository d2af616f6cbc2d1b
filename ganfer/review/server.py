"""Listening for `ganfer review`."""

from collections.abc import Callable

from ganfer.config import ServeConfig
from ganfer.review.app import create_app
from ganfer.review.desk import Desk
from ganfer.serve.server import Listener, Listening


class ReviewServer(Listener):
    """The server of a workspace's walls."""

    def __init__(self, desk: Desk, config: ServeConfig, *, token: str | None = None) -> None:
        super().__init__(config, token=token)
        self._desk = desk

    async def _serve(self, started: Callable[[Listening], None]) -> None:
        await self._listen(create_app(self._desk, self.token), started)
