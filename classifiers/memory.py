"""Memory: that of a GPU which runs out, in whatever words torch, cuDNN or cuBLAS say it, and a processor's, kept."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

_WORDS = (  # of libraries that cannot get their workspace: plain RuntimeErrors
    "ALLOC_FAILED",  # cuBLAS, cuFFT, cuSOLVER, and cuDNN until 8
    "ALLOCATION_FAILED",  # cuDNN since 9
    "unable to find an engine to execute this computation",  # torch, where every plan of cuDNN's lacked its workspace
    "out of memory",
)


_KEPT = 1 << 30  # bytes of freed memory, and of a block that is taken from it
_THRESHOLDS = (-1, -3)  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_OF_DASK = ("MALLOC_TRIM_THRESHOLD_", "65536")  # which its nannies give every worker, whoever starts it


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch could help against this error."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def is_of_the_gpu(error: BaseException) -> bool:
    """Whether a GPU is to blame, by its memory or else, and not the file whose tensors were sent there."""
    return isinstance(error, torch.AcceleratorError) or is_out_of_memory(error)


def is_dead(error: BaseException | None) -> bool:
    """Whether a kernel failed behind an error: the GPU answers nobody of this process any more, and only a new process
    can use it.

    What fails first is often the next call of cuBLAS, cuDNN or the driver, in words of its own, so the GPU is asked.
    """
    behind = list(_behind(error))
    if not any(isinstance(one, RuntimeError) and not is_out_of_memory(one) for one in behind):
        return False
    if not torch.cuda.is_initialized():
        return any(isinstance(one, torch.AcceleratorError) and not is_out_of_memory(one) for one in behind)
    try:
        here = torch.cuda.current_device()
        for number in range(torch.cuda.device_count()):
            if number == here or torch.cuda.memory_reserved(number):  # asking others would make a context there
                torch.cuda.synchronize(number)
    except RuntimeError:
        return True
    return False


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was raised from or beside."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def let_go(error: BaseException | None) -> None:
    """Of what the frames behind an error hold: networks, images and recordings. Its lines stay."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()


def free_bytes(device: torch.device) -> int:
    """What can still be allocated there; 4 GiB where the device does not say."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 4 << 30


@contextmanager
def kept(device: torch.device) -> Iterator[None]:
    """On a processor, memory that tensors free is kept for the next ones while the block runs, and given back then."""
    libc = _keeping_libc() if device.type == "cpu" else None
    try:
        yield
    finally:
        if libc is not None:
            libc.malloc_trim(0)


@cache
def _keeping_libc() -> ctypes.CDLL | None:
    """glibc, told to keep what is freed; None elsewhere, and where the user has told it something else.

    By itself it gives large blocks back to the system at once, which then fills every page of the next step's with
    zeros anew: a tenth of the time of a step of `compact`.
    """
    told = any(name.startswith("MALLOC_") and (name, value) != _OF_DASK for name, value in os.environ.items())
    told |= "GLIBC_TUNABLES" in os.environ
    if told or not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    if not all(hasattr(libc, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")):
        return None
    for option in _THRESHOLDS:
        libc.mallopt(option, _KEPT)
    return libc


class Statistics:
    """Batch norm's running statistics, kept so that a pass that ran out of memory leaves nothing of it behind."""

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        self.present = bool(norms)
        alike: dict[torch.dtype, list[Tensor]] = {}
        for buffer in (b for norm in norms for b in norm.buffers()):
            alike.setdefault(buffer.dtype, []).append(buffer)
        self._pairs = [(own, [buffer.clone() for buffer in own]) for own in alike.values()]

    @torch.no_grad()
    def keep(self) -> None:
        """Remember them as they are."""
        for own, kept in self._pairs:
            torch._foreach_copy_(kept, own)

    @torch.no_grad()
    def put_back(self) -> None:
        """Make them what they were."""
        for own, kept in self._pairs:
            torch._foreach_copy_(own, kept)
