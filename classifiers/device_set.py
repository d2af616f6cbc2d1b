"""Training images on the device, or read from where they are, a batch ahead of the loop."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classifiers.memory import free_bytes, is_out_of_memory
from classifiers.streams import on, to_read


class DeviceSet:
    """Training images (N, C, H, W) uint8 and targets (N, K) float32, on the device.

    Images that don't fit in half its free memory, and memory maps on a CPU, stay where they are and are read per batch:
    the next one by a thread, while the device computes, into one of two pinned buffers and from there, on a stream of
    its own, to the device.
    """

    def __init__(self, images: np.ndarray, targets: np.ndarray, device: torch.device) -> None:
        self._device, self._host = device, images
        self._targets = torch.from_numpy(targets).to(device)
        self._images = on_device(images, device)
        self._reader: ThreadPoolExecutor | None = None
        self._ahead: tuple[np.ndarray, Future[tuple[Tensor, torch.cuda.Event]]] | None = None
        self._buffers: list[_Pinned] = []

    def take(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) uint8 and targets (B, K) at `index` (B,), on the device."""
        where = to_device(torch.from_numpy(index), self._device)
        if self._images is not None:
            return self._images[where], self._targets[where]
        if self._device.type != "cuda":
            pixels = torch.from_numpy(np.ascontiguousarray(self._host[index]))
            return pixels.to(self._device), self._targets[where]
        ahead, self._ahead = self._ahead, None
        if ahead is not None and np.array_equal(ahead[0], index):
            sent, copied = ahead[1].result()
            here = torch.cuda.current_stream(self._device)
            here.wait_event(copied)
            sent.record_stream(here)  # its memory is the other stream's, which must not reuse it too early
            return sent, self._targets[where]
        return self._sent(index, self._free_buffer(len(index)))[0], self._targets[where]

    def prefetch(self, index: np.ndarray) -> None:
        """Begin to read the batch that is taken next, where that takes time the device need not wait for."""
        if self._images is not None or self._device.type != "cuda":
            return
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="batches")
            self._aside = to_read(self._device)
        self._ahead = index, self._reader.submit(self._sent_aside, index, self._free_buffer(len(index)))

    def _free_buffer(self, size: int) -> _Pinned:
        """The buffer that was sent longest ago, its copy done."""
        if len(self._buffers) < 2 or len(self._buffers[0].pixels) < size:
            self._buffers = [*self._buffers[-1:], _Pinned((size, *self._host.shape[1:]))]
        else:
            self._buffers.append(self._buffers.pop(0))
        return self._buffers[-1]

    def _sent_aside(self, index: np.ndarray, buffer: _Pinned) -> tuple[Tensor, torch.cuda.Event]:
        with on(self._aside, self._device):
            return self._sent(index, buffer)

    def _sent(self, index: np.ndarray, buffer: _Pinned) -> tuple[Tensor, torch.cuda.Event]:
        """The batch on its way to the device, through the buffer, and the event of its arrival."""
        part = buffer.free()[: len(index)]
        np.take(self._host, index, axis=0, out=part.numpy(), mode="clip")  # other modes copy once more
        sent = part.to(self._device, non_blocking=True)
        return sent, buffer.sent(torch.cuda.current_stream(self._device))


class _Pinned:
    """A pinned buffer for uint8 images of this shape, and the event of its last copy to the device."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._copied: torch.cuda.Event | None = None

    def sent(self, stream: torch.cuda.Stream) -> torch.cuda.Event:
        """Its copy to the device has just been begun on this stream."""
        self._copied = torch.cuda.Event()
        self._copied.record(stream)
        return self._copied

    def free(self) -> Tensor:
        """The pixels, once their last copy is done."""
        if self._copied is not None and not self._copied.query():
            self._copied.synchronize()
        return self.pixels


def on_device(images: np.ndarray, device: torch.device) -> Tensor | None:
    """The whole array there; None where it doesn't fit in half the free memory, or cannot be shared with a CPU."""
    if device.type == "cpu":
        # torch shares the array's memory, and wants to be allowed to write there
        return torch.from_numpy(images) if images.flags.writeable else None
    if images.nbytes > free_bytes(device) // 2:
        return None
    try:
        return torch.from_numpy(np.array(images)).to(device)
    except RuntimeError as error:  # another process was quicker to take the memory
        if not is_out_of_memory(error):
            raise
        return None


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device; on CUDA from pinned memory, so that the loop needn't wait."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def on_host(part: Any) -> Any:
    """Tensors, in dicts, lists and plain tuples, copied to the CPU in new containers; a GPU is waited for once."""
    places = set[torch.device]()
    found = _copied(part, places)
    for place in places:
        torch.cuda.current_stream(place).synchronize()
    return found


def _copied(part: Any, places: set[torch.device]) -> Any:
    if isinstance(part, Tensor):
        if part.device.type != "cuda":
            return part.detach().to("cpu", copy=True)
        places.add(part.device)
        pinned = torch.empty_like(part, device="cpu", pin_memory=True, requires_grad=False)
        return pinned.copy_(part.detach(), non_blocking=True)
    if isinstance(part, dict):
        made = copy(part)  # with what a state dict says of itself
        made.update((key, _copied(value, places)) for key, value in part.items())
        return made
    if isinstance(part, list | tuple):
        return type(part)(_copied(value, places) for value in part)
    return part
