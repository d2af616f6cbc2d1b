"""Which device a process takes, what happens when its memory runs out, and in which precision a network computes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from bars_data import NAMES, bars, quick
from torch import Tensor, nn

from classifiers import (
    ClassifierError,
    TrainConfig,
    load_classifier,
    many,
    prediction,
    processes,
    sharing,
    state,
    train,
)
from classifiers import backward as gradients
from classifiers import device as devices
from classifiers.files import read_weights
from classifiers.memory import is_out_of_memory
from classifiers.models import ImageClassifier
from classifiers.parts import Order, resume_optimizer
from classifiers.tasks import Task, run, silent


@pytest.fixture
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)


@pytest.mark.usefixtures("eight_gpus")
def test_every_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert devices.resolve_device("auto") == devices.resolve_device("cuda") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert devices.resolve_device("auto") == devices.resolve_device("cuda") == torch.device("cuda", 3)
    assert devices.resolve_device("cuda:5") == torch.device("cuda", 5)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # each process is shown one
    assert devices.resolve_device("auto") == torch.device("cuda", 0)


@pytest.mark.usefixtures("eight_gpus")
def test_workers_are_spread_over_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [many.device_of(n, "auto") for n in (0, 1, 7, 8)] == ["cuda:0", "cuda:1", "cuda:7", "cuda:0"]
    assert many.device_of(5, "cuda:2") == "cuda:2"
    assert many.device_of(5, "cpu") == "cpu"
    monkeypatch.setattr(many, "cores", lambda: 16)
    assert many._default_workers("cuda", 1) == 14
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert many._default_workers("cuda", 1) == 10
    monkeypatch.setattr(many, "cores", lambda: 1)
    assert many._default_workers("cuda", 1) == 1


_FAULTS = """
import resource, torch
from classifiers.memory import kept
def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [torch.ones(2_000_000) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
outside = faults(4)
with kept(torch.device("cpu")):
    faults(2)
    inside = faults(4)
print(outside, inside)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed memory back at once")
@pytest.mark.parametrize(("trim", "told"), [("", False), ("0", True), ("65536", False)], ids=["none", "user", "Dask"])
def test_a_training_keeps_the_memory_that_its_steps_free(trim: str, told: bool) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUN"))}
    paths = {"PYTHONPATH": str(Path(__file__).parents[2]), **({"MALLOC_TRIM_THRESHOLD_": trim} if trim else {})}
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS], env=plain | paths, capture_output=True, text=True, check=True
    )
    outside, inside = map(int, done.stdout.split())
    assert (inside < outside / 2) != told, "what the user has told malloc stays"


def gone(pid: int) -> bool:
    with suppress(OSError):
        os.kill(pid, 0)
        return False
    return True


def test_no_more_trainings_share_a_gpu_than_fit_into_its_memory() -> None:
    def fit(taken: float, free: float, most: int = 10, gpus: int = 1) -> int:
        return sharing.workers_for(sharing.Need(int(taken * 2**30), int(free * 2**30), "Fake H100"), most, gpus)

    assert fit(2, 79) == 10, "the cores' number"
    assert fit(2, 16) == 4  # 0.9 of 16 GiB over 2 and a process's own 1
    assert fit(2, 16, gpus=2) == 8
    assert fit(40, 16) == 1
    one_process = sharing.Need(2 << 30, 16 << 30, "Fake H100")
    assert sharing.streams_for(one_process, 10, 1) == 6  # a process's own 1 GiB is taken once
    assert sharing.streams_for(one_process, 10, 2) == 10, "no more than there are"
    need = sharing.Need(2 * 10**9, 16 * 10**9, "Fake T4")
    assert sharing.in_words(4, need, "processes") == (
        "4 trainings at a time on the GPU of Fake T4; each takes 2.0 of 16.0 GB: taking turns on it."
    )
    assert sharing.in_words(1, None, "mps") == "1 training at a time on the GPU: one after the other."
    with closing(processes.Local(2)) as engine:
        list(run([Task("nothing", silent) for _ in range(2)], engine))
        first, second = (pid for worker in engine._workers for pid in worker._executor._processes)
        engine.limit(1)
        assert engine.slots() == 1
        assert [gone(first), gone(second)] == [False, True], "what it keeps on a GPU would be lacking there"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_known_in_all_words(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def _small_memory(monkeypatch: pytest.MonkeyPatch, most: int, words: str) -> None:
    forward = ImageClassifier.forward

    def limited(self: ImageClassifier, images: Tensor) -> Tensor:
        if len(images) > most:
            raise RuntimeError(words)
        return forward(self, images)

    monkeypatch.setattr(ImageClassifier, "forward", limited)


def test_a_batch_is_split_until_it_fits_and_the_card_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _small_memory(monkeypatch, 4, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
    result = train(quick(epochs=1), bars(32), bars(12, seed=1), NAMES, tmp_path, device="cpu")
    assert result.card["micro_batches"] == 4
    (note,) = [note for note in result.card["notes"] if "out of GPU memory" in note]
    assert "4 micro-batches, whose own statistics batch norm uses" in note
    assert note in result.notes
    with pytest.raises(RuntimeError, match="of another kind"):
        _small_memory(monkeypatch, 0, "of another kind")
        train(quick(epochs=1), bars(32), bars(12, seed=1), NAMES, tmp_path / "other", device="cpu")


def test_a_pass_that_ran_out_of_memory_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in batch norm's statistics nor in the dropout of the pass that follows."""
    real = state.Run.__init__

    def trained_in_four(name: str, *, limited: bool) -> dict[str, Tensor]:
        def raising(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            if limited and len(output) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")

        def made(self: Any, *args: Any, **kwargs: Any) -> None:
            real(self, *args, **kwargs)
            self.model.head[0].register_forward_hook(raising)  # dropout: all layers have seen the batch by then
            self.micro_batches = 1 if limited else 4

        with monkeypatch.context() as patched:
            patched.setattr(state.Run, "__init__", made)
            result = train(quick(epochs=1), bars(32), bars(12, seed=1), NAMES, tmp_path / name, device="cpu")
        assert result.card["micro_batches"] == 4
        return read_weights(tmp_path / name / "model.safetensors")[0]

    found, given = trained_in_four("found", limited=True), trained_in_four("given", limited=False)
    assert any("running_var" in name for name in given)
    assert all(torch.equal(found[name], given[name]) for name in given)


def test_why_steps_are_not_recorded_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ganfer.gan import loop

    def recorded(processes: int = 1, **settings: Any) -> tuple[bool, list[str]]:
        fabric = SimpleNamespace(world_size=processes, device=torch.device("cuda", 0))
        run: Any = SimpleNamespace(config=TrainConfig(**settings), fabric=fabric, split=None, notes=[], precision="")
        return state.Run._can_be_recorded(run), run.notes

    monkeypatch.setenv("CLASSIFIERS_CUDA_GRAPHS", "off")
    assert recorded(2, cmo=0.5) == (False, []), "nothing is recorded anyway"
    monkeypatch.delenv("CLASSIFIERS_CUDA_GRAPHS")
    assert recorded(precision="16-mixed", mixup=0.2, freeze=0.5) == (True, [])
    plain, notes = recorded(2, cmo=0.5)
    assert not plain
    assert notes == ["with several processes and cmo steps are not recorded as CUDA graphs: they run plainly"]

    training: Any = SimpleNamespace(device=torch.device("cuda", 0), batches=SimpleNamespace(images=1))
    assert loop.Training._can_be_recorded(training)
    monkeypatch.setattr(loop.ranks, "count", lambda: 2)
    assert not loop.Training._can_be_recorded(training)
    assert "not recorded as CUDA graphs, since there are several processes" in capsys.readouterr().err


def test_memory_that_runs_out_later_on_several_processes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "_tried", lambda *_, **__: None)
    fabric = SimpleNamespace(world_size=2, all_reduce=lambda x, reduce_op: x)
    run: Any = SimpleNamespace(fabric=fabric, micro_batches=1, config=SimpleNamespace(batch_size=64))
    with pytest.raises(
        ClassifierError, match="batch_size = 64 on 2 processes, in the middle.*set a smaller batch_size"
    ):
        gradients.backward(run, torch.zeros(64, 1, 4, 4), torch.ones(64, 2))


def test_a_prediction_is_halved_in_all_words_too(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier(trained.folder, "cpu")
    expected = classifier.logits(bars(10).images)
    _small_memory(monkeypatch, 3, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    assert np.allclose(classifier.logits(bars(10).images), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_a_resumed_optimiser_computes_as_this_device_wants(kind: Any) -> None:
    """A recorded step needs what a resume point of a processor has switched off."""
    saved = kind([nn.Parameter(torch.ones(3))], lr=0.5)
    wanted = {"fused": True} if kind is torch.optim.SGD else {"capturable": True, "foreach": True}
    other = kind([nn.Parameter(torch.ones(3))], lr=0.1, **wanted)
    resume_optimizer(other, saved.state_dict())
    (group,) = other.param_groups
    assert group["lr"] == 0.5
    assert {name: group[name] for name in wanted} == wanted


@pytest.mark.usefixtures("eight_gpus")
def test_more_processes_than_gpus_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "9", "LOCAL_WORLD_SIZE": "9", "LOCAL_RANK": "8"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ClassifierError, match=r"runs 9 processes here, and they see 8 GPU\(s\): start as many"):
        devices.make_fabric("cuda", "32-true")


def test_a_batch_of_the_order_is_no_copy_of_the_epoch() -> None:
    order = Order(np.arange(1000) % 5, "shuffle", 64, seed=3)
    epochs = np.concatenate([order._epoch(e) for e in range(3)])
    for step in (0, 1, 14, 15, 16, 31, 40):
        assert np.array_equal(order.batch(step), epochs[step * 64 : (step + 1) * 64])
    assert np.shares_memory(order.batch(2), order._cache[0])
    whole = Order(np.arange(10), "shuffle", 10, seed=0)
    assert np.array_equal(whole.batch(4), whole._epoch(4))


def test_a_network_predicts_in_the_precision_it_was_calibrated_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "has_bf16", lambda device: True)  # slow without it in hardware, and the same
    val = bars(36, seed=1)
    result = train(quick(epochs=4, precision="bf16-mixed"), bars(72), val, NAMES, tmp_path, device="cpu")
    classifier = result.load("cpu")
    assert (result.card["precision"], classifier.precision) == ("bf16-mixed", "bf16-mixed")
    again = classifier.calibrated(val.images, np.asarray(val.labels))
    assert again.temperature == pytest.approx(classifier.temperature, rel=1e-5)
    half = classifier.logits(val.images)
    classifier.precision = "32-true"
    whole = classifier.logits(val.images)
    assert not np.array_equal(half, whole)
    assert np.allclose(half, whole, atol=0.3)
    elsewhere = prediction.Classifier(classifier.model, NAMES, card=result.card | {"device": "cuda:0"})
    assert elsewhere.precision == "32-true", "on a device of another kind nothing is gained"


def test_small_batches_are_filled_up_to_prepared_sizes(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, seen = load_classifier(trained.folder, "cpu"), []
    expected = {n: classifier.logits(bars(12).images[:n]) for n in (1, 3, 8, 12)}
    forward = ImageClassifier.forward
    monkeypatch.setattr(ImageClassifier, "forward", lambda self, x: (seen.append(len(x)), forward(self, x))[1])
    classifier.pad_to = (1, 8)
    for n, logits in expected.items():
        found = classifier.logits(bars(12).images[:n])
        assert found.shape == logits.shape
        assert np.allclose(found, logits, atol=1e-5)
    assert seen == [1, 8, 8, 12]


_RANK = """
import sys, torch
from bars_data import NAMES, bars, quick
from classifiers import train
torch.set_num_threads(1)
config = quick(epochs=1, batch_size=12, freeze=0.9)
print(train(config, bars(48), bars(12, seed=1), NAMES, sys.argv[1], device="cpu").steps)
"""

_SMALL_RANK = """
import os, sys, torch
from bars_data import NAMES, bars, quick
from classifiers import backward, state, train
from classifiers.models import ImageClassifier
torch.set_num_threads(1)
backward._LIMITED = ("cpu",)
forward, made = ImageClassifier.forward, state.Run.__init__
def limited(self, images):
    if os.environ["RANK"] == "1" and self.training and len(images) > 3:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return forward(self, images)
def in_two(self, *args):
    made(self, *args)
    self.micro_batches = 2
for name, method in (("found", limited), ("given", forward)):
    ImageClassifier.forward = method
    if name == "given":
        state.Run.__init__ = in_two
    config = quick(epochs=1, batch_size=12, progressive=0.5)
    done = train(config, bars(48), bars(12, seed=1), NAMES, f"{sys.argv[1]}/{name}", device="cpu")
    print(done.card["micro_batches"])
"""


def _in_two_processes(program: str, folder: Path) -> list[list[str]]:
    """What each of two processes says, in words."""
    root = Path(__file__).parents[2]
    common = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{Path(__file__).parent}", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20_000 + os.getpid() % 20_000), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], env=common | {"RANK": str(n), "LOCAL_RANK": str(n)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(2)
    ]  # fmt: skip
    said = []
    for process in processes:
        out, errors = process.communicate(timeout=150)
        assert process.returncode == 0, errors[-2000:]
        said.append(out.split())
    return said


@pytest.mark.long
def test_frozen_layers_train_on_several_processes(tmp_path: Path) -> None:
    assert [words[-1] for words in _in_two_processes(_RANK, tmp_path)] == ["4", "4"]


@pytest.mark.long
def test_several_processes_split_together_where_one_lacks_memory(tmp_path: Path) -> None:
    said = _in_two_processes(_SMALL_RANK, tmp_path)
    assert [words[-2:] for words in said] == [["2", "2"], ["2", "2"]]
    found, given = (read_weights(tmp_path / name / "model.safetensors")[0] for name in ("found", "given"))
    assert all(torch.equal(found[name], given[name]) for name in found)


@pytest.mark.parametrize(
    ("module", "precision"), [("classifiers.device", "bf16-mixed"), ("ganfer.runtime.device", "bf16")]
)
def test_the_precision_is_told_by_ganfer_alone(module: str, precision: str) -> None:
    """Fabric's own logger writes to stderr, in its terms, once a training."""
    program = f"from {module} import make_fabric; make_fabric('cpu', {precision!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
