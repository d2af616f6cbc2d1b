"""Drawing the same pixels again on the same GPU: no choice of algorithm by speed, no TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Deterministic convolutions and full float32 products on CUDA while the block runs; nothing elsewhere."""
    if device.type != "cuda":
        yield
        return
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
