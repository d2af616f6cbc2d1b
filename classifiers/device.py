"""Devices and precision through Fabric, and image sets that live on the device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from classifiers.errors import ClassifierError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def resolve_device(name: str) -> torch.device:
    """'auto' is the first CUDA device, else Apple's, else the CPU. Raises ClassifierError for one that isn't there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ClassifierError(f"device '{name}': unknown; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ClassifierError(f"device '{name}': {torch.cuda.device_count()} CUDA device(s) here; use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ClassifierError(f"device '{name}': not available here; use auto or cpu")
    return device


def make_fabric(device: str, precision: str) -> Fabric:
    """A launched Fabric: one device by name, or, under torchrun, all that torchrun gives this job."""
    from lightning_fabric import Fabric  # late: it loads torch's compiler, two seconds that prediction needn't pay

    place = resolve_device(device)
    if precision == "auto":
        # on a CPU bf16 was slower than 32 bit for these small networks, also where the processor has it
        bf16 = place.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16-mixed" if bf16 else "16-mixed" if place.type == "cuda" else "32-true"
    if precision == "16-mixed" and place.type == "cpu":
        raise ClassifierError("precision '16-mixed' needs a GPU; use 32-true or bf16-mixed on a CPU")
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    where: dict[str, Any] = {"devices": [place.index or 0] if place.type == "cuda" else 1}
    if world > 1:
        where = {"devices": local, "num_nodes": world // local, "strategy": "ddp"}
    fabric = Fabric(accelerator=place.type, precision=precision, **where)
    fabric.launch()
    return fabric


class DeviceSet:
    """Training images (N, C, H, W) uint8 and targets (N, K) float32, on the device.

    Images that don't fit in half its free memory, and memory maps on a CPU, stay where they are and are read per batch.
    """

    def __init__(self, images: np.ndarray, targets: np.ndarray, device: torch.device) -> None:
        self._device, self._host = device, images
        self._targets = torch.from_numpy(targets).to(device)
        self._images: Tensor | None = None
        if device.type == "cpu":
            if images.flags.writeable:  # torch shares the array's memory, and wants to be allowed to write there
                self._images = torch.from_numpy(images)
        elif images.nbytes <= _free_bytes(device) // 2:
            self._images = torch.from_numpy(np.array(images)).to(device)

    def take(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) uint8 and targets (B, K) at `index` (B,), on the device."""
        where = self._move(torch.from_numpy(index))
        if self._images is not None:
            return self._images[where], self._targets[where]
        return self._move(torch.from_numpy(np.ascontiguousarray(self._host[index]))), self._targets[where]

    def _move(self, tensor: Tensor) -> Tensor:
        """To the device; on CUDA from pinned memory, so that the loop needn't wait."""
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return 4 << 30
