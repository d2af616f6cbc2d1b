"""Where and how the arithmetic runs: device and precision through Lightning Fabric, and words for it in records."""

import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from lightning_fabric import Fabric
from torch import Tensor

from classifiers.device import check_processes, has_bf16, prepare, quiet_fabric
from ganfer.errors import GanferError
from ganfer.runtime import ranks
from ganfer.runtime.signals import Ended

_ASKING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_FABRIC_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def resolve_device(device: str) -> torch.device:
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `mps` as a torch device. GanferError for one that isn't there.

    Every process takes its own GPU, by turns where there are fewer of them.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    if device == "mps":
        if torch.backends.mps.is_available():
            return torch.device("mps")
        raise GanferError("--device mps: this torch or this machine has no Apple GPU.", "Use --device cpu.")
    if device == "cuda":
        if torch.cuda.is_available():
            return torch.device("cuda", ranks.place_here() % torch.cuda.device_count())
        built = "no CUDA GPU was found" if torch.version.cuda else "this torch was built without CUDA"
        raise GanferError(
            f"--device cuda: {built}.", "Use --device cpu, or install a GPU driver and a CUDA build of torch."
        )
    raise GanferError(f"--device {device!r} is unknown.", "Known: auto, cpu, cuda, mps.")


def wide_float(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's GPUs, which have nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` as the precision used on the device: bf16 on CUDA that has it in hardware, else fp32; `fastest` likewise,
    where nothing is measured."""
    if precision in ("auto", "fastest"):
        return "bf16" if device.type == "cuda" and has_bf16(device) else "fp32"
    if precision == "fp16" and device.type != "cuda":
        raise GanferError("precision fp16 needs a CUDA GPU.", "Use precision fp32 (or bf16).")
    return precision


def make_fabric(device: str = "auto", precision: str = "auto") -> Fabric:
    """A launched Fabric: one device, or under torchrun all of the job's. GanferError for what isn't there."""
    place = resolve_device(device)
    kind = _FABRIC_PRECISION[resolve_precision(precision, place)]
    if ranks.count() > 1:
        ranks.start()
        here = ranks.count_here()
        check_processes(place, here)
        fabric = quiet_fabric(
            accelerator=place.type, devices=here, num_nodes=ranks.count() // here, strategy="ddp", precision=kind
        )
    else:
        fabric = quiet_fabric(
            accelerator=place.type, devices=[place.index or 0] if place.type == "cuda" else 1, precision=kind
        )
    prepare(place)  # before: else Fabric tells everybody to do so
    fabric.launch()
    return fabric


def mean_(tensor: Tensor) -> Tensor:
    """The tensor's mean over all processes, in place."""
    if ranks.count() > 1:
        torch.distributed.all_reduce(tensor)
        tensor.div_(ranks.count())
    return tensor


def describe(device: torch.device) -> str:
    """The device in words, as records carry it: the GPU's name, or the processor's with the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def drawn_on(device: torch.device) -> str:
    """The device as a face's file carries it: bit for bit is promised on the same kind of processor or model of GPU."""
    return f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextmanager
def graceful_stop() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a question the loop asks between steps; a second one interrupts at once.

    Yields the function that answers whether to stop. Outside the main thread signals are left alone.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    received = 0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if asked.is_set():
            raise KeyboardInterrupt if number == signal.SIGINT else Ended(number)
        received = number
        asked.set()

    before = {n: signal.signal(n, ask) for n in _ASKING if signal.getsignal(n) != signal.SIG_IGN}
    try:
        yield asked.is_set
    except KeyboardInterrupt as interrupted:  # the loop's own, once it has saved its state
        if received in (0, signal.SIGINT) or isinstance(interrupted, Ended):
            raise
        raise Ended(received) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
