"""An interrupted campaign goes on from its checkpoint, to the very faces that it would have found."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylegan_bridge import BridgeError, PlainSpace, SteerConfig, SteerResult, steer
from stylegan_bridge.steering import campaign, state

CONFIG = SteerConfig(pool_size=16, batch_size=4, diversity_floor=0.5)
MATRIX = torch.randn(6, 3 * 8 * 8, generator=torch.Generator().manual_seed(0)) * 20


def space() -> PlainSpace:
    return PlainSpace(lambda z: (z @ MATRIX).view(-1, 3, 8, 8) + 128, 6)


def logits(images: Tensor) -> Tensor:
    """Class 1 where red is well above green, 2 where it is well below."""
    lead = (images.float()[:, 0] - images.float()[:, 1]).mean(dim=(1, 2)) / 5
    return torch.stack([torch.zeros_like(lead), lead - 2.5, -lead - 2.5], dim=1) * 4


def search(
    checkpoint: Path | None = None, progress: Callable[[int, int, int], None] | None = None, **changes: object
) -> SteerResult:
    options: dict = {"config": CONFIG, "seed": 5, "quotas": {0: 6, 1: 10, 2: 10}} | changes
    # a score without gradients, so that evolution and its random numbers take part
    return steer(space(), lambda x: logits(x.detach()), logits, checkpoint=checkpoint, progress=progress, **options)


@pytest.fixture
def saves_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SAVE_SECONDS", 0.0)


@pytest.fixture
def no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes stay where they are in place of moving along the fitted direction, so that the search has to evolve."""
    monkeypatch.setattr(campaign, "along", lambda prior, codes, *rest, **options: codes)


def interrupted_after(batches: int, checkpoint: Path) -> None:
    """Run until the resume point of so many batches is written, and be stopped before the next one is."""
    seen = 0

    def stop(target: int, kept: int, evaluations: int) -> None:
        nonlocal seen
        seen += 1
        if seen > batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(checkpoint, stop)


@pytest.mark.usefixtures("saves_always", "no_direction")
def test_it_goes_on_to_the_same_faces(tmp_path: Path) -> None:
    calls: list[tuple[int, int, int]] = []
    whole = search(progress=lambda *call: calls.append(call))
    assert {call[0] for call in calls} == {-1, 0, 1, 2}  # the pool and all three classes have batches to stop at
    assert "evolution" in whole.methods
    amid = [i for i in range(1, len(calls)) if calls[i - 1][0] == calls[i][0] == 2]  # in class 2, not at its beginning
    assert len(amid) >= 2
    for batches in (2, amid[0], amid[-1]):
        file = tmp_path / f"{batches}.safetensors"
        interrupted_after(batches, file)
        later: list[tuple[int, int, int]] = []
        resumed = search(file, lambda *call, into=later: into.append(call))
        assert later == calls[batches:]
        assert torch.equal(resumed.images, whole.images)
        assert torch.equal(resumed.codes, whole.codes)
        assert resumed.as_dict() == whole.as_dict()
        assert resumed.seeds == whole.seeds


@pytest.mark.usefixtures("saves_always")
def test_a_finished_one_is_found_again_without_drawing(tmp_path: Path) -> None:
    first = search(tmp_path / "done.safetensors")
    calls: list[int] = []
    again = search(tmp_path / "done.safetensors", lambda *call: calls.append(call[2]))
    assert torch.equal(again.images, first.images)
    assert len(calls) <= 1


@pytest.mark.usefixtures("saves_always")
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.safetensors"
    interrupted_after(3, file)
    with pytest.raises(BridgeError, match="belongs to another steering"):
        search(file, seed=6)
    with pytest.raises(BridgeError, match="belongs to another steering"):
        search(file, quotas={1: 26})
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BridgeError, match=r"c\.safetensors is damaged.*remove it") as error:
        search(file)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("saves_always")
def test_a_full_disk_is_one_line_and_leaves_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.safetensors"
    interrupted_after(3, file)
    before = file.read_bytes()

    def full(tensors: dict, path: Path, metadata: dict) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(BridgeError, match="cannot write .*No space left"):
            search(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_small_searches_write_nothing(tmp_path: Path) -> None:
    search(tmp_path / "c.safetensors", quotas={0: 6})
    assert list(tmp_path.iterdir()) == []
