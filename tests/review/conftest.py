"""A server of review on a small labelled batch, in this process."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from walls import labelled_workspace, review_server

from ganfer.serve.server import Listening
from ganfer.workspace import Run, Workspace


@pytest.fixture
def reviewed(tmp_path: Path) -> tuple[Workspace, Run]:
    return labelled_workspace(tmp_path / "work", 60)


@pytest.fixture
def listening(reviewed: tuple[Workspace, Run]) -> Iterator[Listening]:
    with review_server(reviewed[0], "ada").background() as listening:
        yield listening


@pytest.fixture
def client(listening: Listening) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=listening.url, timeout=60) as client:
        yield client
