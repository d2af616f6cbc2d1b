"""Drawing the same pixels again on the same GPU: no choice of algorithm by speed, no TF32."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_alone = threading.RLock()


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Deterministic convolutions and full float32 products on CUDA while the block runs; nothing elsewhere.

    One thread at a time: these are the process's settings, which the first to end would take from the others.
    """
    if device.type != "cuda":
        yield
        return
    with _alone:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                yield
        finally:
            torch.set_float32_matmul_precision(before)


def in_double(x: Tensor) -> Tensor:
    """x in float64; on the processor where it is an Apple GPU's, which has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()
