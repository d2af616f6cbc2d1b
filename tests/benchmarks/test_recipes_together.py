"""benchmarks/recipes_together.py: several recipes' networks as an ensemble, from what they said."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import recipes_together

    return recipes_together


def said(*shares: float, labels: tuple[int, ...] = (1, 1), ways: tuple[str, ...] = ("flip",)) -> dict[str, np.ndarray]:
    """Two classes; shares: the second's probability per image."""
    probabilities = np.array([[1 - share, share] for share in shares], np.float16)
    found = {f"{split} {way}": probabilities for split in ("val", "test") for way in ways}
    return found | {f"{split} labels": np.array(labels) for split in ("val", "test")}


def test_probabilities_are_averaged_and_not_votes(together: ModuleType) -> None:
    sure, doubting, other = said(0.9, 0.4), said(0.45, 0.45), said(0.4, 0.8)
    record = together.together({"sure": sure, "doubting": doubting, "other": other})["flip"]
    assert [record[name]["test"][0] for name in ("sure", "doubting", "other", "together")] == [0.5, 0.0, 0.5, 1.0]
    low, high = record["together"]["val"][1]
    assert 0 < low < high == pytest.approx(1.0)


def test_only_ways_that_all_have_are_measured(together: ModuleType) -> None:
    record = together.together({"a": said(0.9, 0.9, ways=("ten-crop", "flip")), "b": said(0.1, 0.9)})
    assert list(record) == ["flip"]


def test_networks_of_different_images_are_refused(together: ModuleType) -> None:
    with pytest.raises(SystemExit, match="different val images"):
        together.together({"a": said(0.9, 0.9), "b": said(0.9, 0.9, labels=(1, 0))})


@pytest.mark.parametrize("content", [None, b"no archive", b"PK\x03\x04 broken"])
def test_a_file_of_something_else_is_named(together: ModuleType, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "a.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit, match=r"a\.npz cannot be read"):
        together.read(file)


def test_answers_without_labels_are_refused(together: ModuleType, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"test flip": np.zeros((2, 2))})
    with pytest.raises(SystemExit, match="has no test labels, val labels"):
        together.read(tmp_path / "a.npz")
