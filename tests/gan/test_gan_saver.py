"""Resume points written beside the training are those of the moment they were asked for."""

import io
import threading

import numpy as np
import pytest
import torch

from classifiers.files import unseal
from ganfer.errors import GanferError
from ganfer.gan import checkpoint
from ganfer.gan.checkpoint import Saver
from ganfer.gan.loop import Training
from ganfer.gan.train import train_gan
from ganfer.metrics.kid import mmd2, mmd2_on


class Changing:
    """A state whose tensor and history go on changing."""

    def __init__(self) -> None:
        self.weights, self.history = torch.zeros(3), [{"step": 0}]

    def content(self) -> dict[str, object]:
        return {"generator": {"w": self.weights}, "history": self.history, "pair": (self.weights, 1)}


def test_a_state_is_written_as_it_was(tmp_path, monkeypatch):
    gate, write = threading.Event(), checkpoint.write_bytes
    monkeypatch.setattr(checkpoint, "write_bytes", lambda path, data: (gate.wait(30), write(path, data)))
    state, saver = Changing(), Saver(tmp_path / "checkpoint.pt", aside=True)
    saver.save(state)  # type: ignore[arg-type]
    state.weights.fill_(9)
    state.history[0]["step"] = 9
    assert not saver.path.exists(), "the training does not wait for the disk"
    gate.set()
    saver.wait()
    content = torch.load(io.BytesIO(unseal(saver.path.read_bytes())), weights_only=True)
    assert content["generator"]["w"].tolist() == [0, 0, 0]
    assert content["history"] == [{"step": 0}]


def test_a_disk_that_fills_up_is_not_passed_over(tmp_path, monkeypatch):
    def full(path: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    saver = Saver(tmp_path / "checkpoint.pt", aside=True)
    saver.save(Changing())  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space left"):
        saver.save(Changing())  # type: ignore[arg-type]
    saver.wait()


def test_a_training_that_breaks_off_has_written_its_last_resume_point(workspace, data, make_config, monkeypatch):
    waited: list[int] = []
    monkeypatch.setattr(Saver, "wait", lambda self: waited.append(1))

    def broken(self: Training, *_: object) -> None:
        waited.clear()
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(Training, "_step", broken)
    with pytest.raises(torch.AcceleratorError):
        train_gan(workspace, make_config(), data)
    assert waited


def test_a_training_that_saves_aside_resumes_like_any_other(workspace, data, make_config, monkeypatch):
    init = Training.__init__

    def aside(self: Training, *args: object) -> None:
        init(self, *args)  # type: ignore[arg-type]
        self.saver = Saver(self.saver.path, aside=True)

    monkeypatch.setattr(Training, "__init__", aside)
    run, asked = Training.train, []

    def interrupted(self: Training, stop: object) -> None:
        run(self, lambda: asked.append(1) is None and len(asked) == 5)

    monkeypatch.setattr(Training, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_gan(workspace, make_config(), data)
    (path,) = workspace.root.glob("gans/*/checkpoint.pt")
    assert torch.load(io.BytesIO(unseal(path.read_bytes())), weights_only=True)["step"] == 5
    monkeypatch.undo()
    assert train_gan(workspace, make_config(), data).figures["steps"] == 12


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), torch.AcceleratorError])
def test_a_gpu_that_cannot_take_a_state_does_not_call_it_damaged(workspace, data, make_config, monkeypatch, error):
    """Its user would be told to remove a sound resume point."""

    class Cut(Exception):
        pass

    def cut(*_: object) -> None:
        raise Cut

    error = error if isinstance(error, Exception) else error("CUDA error: an illegal memory access")

    def refuse(*_: object) -> None:
        raise error

    config = make_config(gan__steps=3, gan__snapshot_every=2)
    monkeypatch.setattr(Training, "export", cut)
    with pytest.raises(Cut):
        train_gan(workspace, config, data)
    monkeypatch.setattr(checkpoint, "resume_optimizer", refuse)
    with pytest.raises((GanferError, torch.AcceleratorError)) as caught:
        train_gan(workspace, config, data)
    assert "damaged" not in str(caught.value)
    assert "cannot be read" not in str(caught.value)


def test_kid_on_a_device_is_kid():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 12)).astype(np.float32), rng.normal(0.3, 1, (30, 12)).astype(np.float32)
    assert mmd2_on(x, y, "cpu") == mmd2(x, y)
