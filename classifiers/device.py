"""Devices and precision through Fabric: which GPU is this process's, and how float32 is computed there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from classifiers.errors import ClassifierError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def resolve_device(name: str) -> torch.device:
    """'auto' is a CUDA device, else Apple's, else the CPU. Raises ClassifierError for one that isn't there.

    Under torchrun 'auto' and 'cuda' are this process's own GPU (LOCAL_RANK), elsewhere the first.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return _own_gpu()
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ClassifierError(f"device '{name}': unknown; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ClassifierError(f"device '{name}': {torch.cuda.device_count()} CUDA device(s) here; use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ClassifierError(f"device '{name}': not available here; use auto or cpu")
    return _own_gpu() if device.type == "cuda" and device.index is None else device


def _own_gpu() -> torch.device:
    """One GPU per process on this machine, by turns where there are fewer of them."""
    place = os.environ.get("LOCAL_RANK", "0")
    return torch.device("cuda", int(place) % torch.cuda.device_count() if place.isdigit() else 0)


def device_of(worker: int, device: str) -> str:
    """The device of a worker: with several GPUs each takes the next, where none was chosen by its number."""
    if resolve_device(device).type != "cuda" or ":" in device:
        return device
    return f"cuda:{worker % torch.cuda.device_count()}"


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` as what is used there: bfloat16 on CUDA that has it in hardware, else float16; 32 bit elsewhere."""
    if precision == "auto":
        if device.type != "cuda":
            return "32-true"
        return "bf16-mixed" if has_bf16(device) else "16-mixed"
    if precision == "16-mixed" and device.type == "cpu":
        raise ClassifierError("precision '16-mixed' needs a GPU; use 32-true or bf16-mixed on a CPU")
    return precision


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is in the hardware: of a GPU since Ampere, of a processor with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.version.hip) or torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def computes_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network computes in this precision; in 32 bit where the device has no other."""
    if precision == "bf16-mixed" and has_bf16(device):
        return torch.autocast(device.type, torch.bfloat16)
    if precision == "16-mixed" and device.type == "cuda":
        return torch.autocast(device.type, torch.float16)
    return nullcontext()


@contextmanager
def libraries_as_before() -> Iterator[None]:
    """What a training asks of the libraries (`prepare`) is taken back behind the block: distances want all of float32,
    and a search for the fastest algorithm pays where shapes stay the same."""
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before[0]
        torch.set_float32_matmul_precision(before[1])


def prepare(device: torch.device) -> None:
    """What a training on CUDA wants of the libraries: shapes that stay the same are worth a search for the fastest
    algorithm, and products of 32-bit matrices may take TF32 (10 bits of mantissa), as convolutions do anyway."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


def check_processes(device: torch.device, here: int) -> None:
    """ClassifierError where torchrun runs more processes on this machine than there are GPUs to train on."""
    if device.type == "cuda" and here > torch.cuda.device_count():
        raise ClassifierError(
            f"torchrun runs {here} processes here, and they see {torch.cuda.device_count()} GPU(s): start as many as "
            "there are GPUs (--nproc-per-node)"
        )


def quiet_fabric(**settings: Any) -> Fabric:
    """Fabric, which else tells its own name of the precision at every training."""
    from lightning_fabric import Fabric  # late: it loads torch's compiler, two seconds that prediction needn't pay

    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        return Fabric(**settings)
    finally:
        logger.setLevel(before)


def make_fabric(device: str, precision: str, *, unused_parameters: bool = False) -> Fabric:
    """A launched Fabric: one device by name, or, under torchrun, all that torchrun gives this job.

    unused_parameters: some parameters get no gradient in some steps, for which several processes must look.
    """
    from lightning_fabric.strategies import DDPStrategy

    place = resolve_device(device)
    precision = resolve_precision(precision, place)
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    where: dict[str, Any] = {"devices": [place.index or 0] if place.type == "cuda" else 1}
    if world > 1:
        check_processes(place, local)
        strategy = DDPStrategy(find_unused_parameters=unused_parameters)
        where = {"devices": local, "num_nodes": world // local, "strategy": strategy}
    fabric = quiet_fabric(accelerator=place.type, precision=precision, **where)
    prepare(place)  # before: else Fabric tells everybody to do so
    fabric.launch()
    return fabric
