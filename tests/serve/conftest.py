"""One server for the tests that only ask it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from serving import server_of, source_of, write_model

from classifiers import Classifier, load_classifier


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def classifier(model_file: Path) -> Classifier:
    return load_classifier(model_file, "cpu")


@pytest.fixture(scope="session")
def address(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    other = write_model(tmp_path_factory.mktemp("other"), seed=1)
    sources = [source_of("expression", model_file), source_of("before", other)]
    with server_of(sources, max_upload_mb=8).background() as listening:
        yield listening.url


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client
