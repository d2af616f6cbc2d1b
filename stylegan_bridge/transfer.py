"""Results on their way to the CPU while the device goes on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def to_host(*tensors: Tensor) -> Callable[[], list[Tensor]]:
    """Begin to copy tensors of one device to the CPU; the returned function waits until they are there."""
    if tensors[0].device.type != "cuda":
        arrived = [tensor.cpu() for tensor in tensors]
        return lambda: arrived
    pinned = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for target, tensor in zip(pinned, tensors, strict=True):
        target.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> list[Tensor]:
        copied.synchronize()
        return pinned

    return wait
