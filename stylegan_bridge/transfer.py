"""To the device and back while it goes on: nothing here waits but the function that `to_host` returns."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device; from the CPU to CUDA by way of pinned memory, so that nobody waits."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(*tensors: Tensor) -> Callable[[], list[Tensor]]:
    """Begin to copy tensors of one device to the CPU; the returned function waits until they are there."""
    if tensors[0].device.type != "cuda":
        arrived = [tensor.cpu() for tensor in tensors]
        return lambda: arrived
    pinned = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for target, tensor in zip(pinned, tensors, strict=True):
        target.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(tensors[0].device))  # which need not be the current GPU

    def wait() -> list[Tensor]:
        copied.synchronize()
        return pinned

    return wait
