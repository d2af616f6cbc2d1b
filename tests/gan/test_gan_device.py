"""What a GAN's training and drawing ask of a device, as far as a processor can tell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_tiny import tiny_images

from ganfer.errors import GanferError
from ganfer.gan import ada, batches
from ganfer.gan.train import train_gan
from ganfer.runtime.device import drawn_on, resolve_device, resolve_precision, wide_float
from ganfer.runtime.memory import NamingTheSetting
from stylegan_bridge.exact import exact


def test_memory_that_runs_out_names_the_setting(workspace, data, make_config, monkeypatch):
    from ganfer.gan import loop

    def full(*args: object, **kwargs: object) -> None:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr(loop, "update_average", full)
    with pytest.raises(GanferError, match=r"gan\.batch_size = 8 with gan\.base_channels = 4 is too much") as caught:
        train_gan(workspace, make_config(), data)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert train_gan(workspace, make_config(), data).figures["steps"] == 12, "the same command goes on"


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), NamingTheSetting("x", "y"):
        raise RuntimeError("shapes cannot be multiplied")


def test_a_set_larger_than_the_device_gives_the_same_batches(monkeypatch):
    labels = np.arange(30) % 3
    images = tiny_images(labels)

    def made() -> batches.Batches:
        return batches.Batches(images, labels, 3, balance=0.5, latent_dim=4, batch_size=8, flip=True, seed=1,
                               device=torch.device("cpu"))  # fmt: skip

    there = made()
    monkeypatch.setattr(batches, "on_device", lambda images, device: None)
    elsewhere = made()
    assert elsewhere.images is None
    for step in range(3):
        a, b = there.draw(step), elsewhere.draw(step)
        assert torch.equal(a.real, b.real)
        assert torch.equal(a.z, b.z)


@pytest.mark.parametrize("processes", [1, 8])
def test_augmentation_adapts_to_all_images_of_a_step(processes, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setattr(ada, "mean_", lambda lead: lead)  # what the others saw
    state, own = ada.fresh_ada(torch.device("cpu")), 64 // processes
    for _ in range(60):
        ada.adapt(state, torch.ones(own), torch.zeros(own), target=0.6, paired=False)
    first = int(np.ceil(np.log(0.4) / np.log(ada.MEMORY)))  # the lead has to pass the target first
    expected = (60 - first - 1) * 64 / ada.RAMP
    assert float(state[0]) == pytest.approx(expected, rel=0.1)


def test_several_processes_agree_now_and_then(workspace, data, make_config, monkeypatch):
    """An agreement is a wait for the slowest: one in ten steps, and then all stop together."""
    from ganfer.gan import loop
    from ganfer.runtime import ranks

    asked: list[tuple[float, ...]] = []

    def from_leader(*values: float) -> tuple[float, ...]:
        asked.append(values)
        return values

    monkeypatch.setattr(loop.ranks, "from_leader", from_leader)
    monkeypatch.setattr(loop.ranks, "count", lambda: 2)
    training = object.__new__(loop.Training)
    training.state = type("State", (), {"step": 0})()  # type: ignore[assignment]
    training._agreed, training._snapshot_seconds = None, 0.0
    training._seconds_before, training._began = 0.0, 0.0
    stopped = []
    for step in range(1, 31):
        training.state.step = step
        stopped.append(training._agree(step >= 13))
    assert len(asked) == 1 + 30 // loop.AGREE_EVERY
    assert stopped.index(True) == 19, "the first agreement after the leader was asked"
    assert ranks.count() == 2


def test_drawing_on_a_gpu_is_deterministic_and_without_tf32():
    def seen() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        return cudnn.enabled, cudnn.deterministic, cudnn.benchmark, torch.get_float32_matmul_precision()

    before = seen()
    with exact(torch.device("cpu")):
        assert seen() == before
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(ValueError, match="out of it"), exact(torch.device("cuda")):
            assert seen() == (True, True, False, "highest")
            raise ValueError("out of it")
        assert seen() == (*before[:3], "high")
    finally:
        torch.set_float32_matmul_precision(str(before[3]))


def test_a_face_says_which_gpu_drew_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert drawn_on(torch.device("cuda", 2)) == "cuda: NVIDIA H100"
    assert drawn_on(torch.device("cpu")) == "cpu"


def test_devices_are_this_process_own_or_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("cuda") == torch.device("cuda", 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(GanferError, match="no Apple GPU"):
        resolve_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("mps") == torch.device("mps")
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    assert (wide_float(torch.device("mps")), wide_float(torch.device("cpu"))) == (torch.float32, torch.float64)
    with pytest.raises(GanferError, match="fp16 needs a CUDA GPU"):
        resolve_precision("fp16", torch.device("mps"))


@pytest.mark.parametrize(
    ("platform", "given", "expected"), [("darwin", "", "1"), ("darwin", "0", "0"), ("linux", "", "None")]
)
def test_what_apples_gpus_lack_runs_on_the_processor(platform, given, expected):
    """Torch reads the variable when it is loaded, so ganfer sets it before."""
    program = f"import os, sys; sys.platform = {platform!r}; import ganfer; assert 'torch' not in sys.modules; "
    program += "print(os.environ.get('PYTORCH_ENABLE_MPS_FALLBACK'))"
    environment = {k: v for k, v in os.environ.items() if k != "PYTORCH_ENABLE_MPS_FALLBACK"}
    environment |= {"PYTORCH_ENABLE_MPS_FALLBACK": given} if given else {}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == expected


def test_the_grid_of_a_snapshot_is_drawn_in_one_call(workspace, data, make_config, monkeypatch):
    from ganfer.gan import snapshots
    from ganfer.gan.sampling import GanGenerator

    calls, sample = [], GanGenerator.sample
    monkeypatch.setattr(GanGenerator, "sample", lambda self, *a: (calls.append(len(a[0])), sample(self, *a))[1])
    result = train_gan(workspace, make_config(gan__steps=6), data)
    assert calls.count(3 * snapshots.GRID_COLUMNS) == 1
    assert len(calls) == 2, "and the judged ones in another"
    assert json.loads((result.path / "record.json").read_text())["status"] == "complete"
