"""One trained classifier for the tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from bars_data import NAMES, bars, quick

from classifiers import TrainResult, train


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are quickest, and bit-identical, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    folder = tmp_path_factory.mktemp("trained")
    return train(quick(epochs=8), bars(96), bars(48, seed=1), NAMES, folder, device="cpu")
