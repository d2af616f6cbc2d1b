"""Memory that runs out on a GPU, in whatever words torch, cuDNN or cuBLAS say it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WORDS = (  # of libraries that cannot get their workspace: plain RuntimeErrors
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "MPS backend out of memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch could help against this error."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def free_bytes(device: torch.device) -> int:
    """What can still be allocated there; 4 GiB where the device does not say."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 4 << 30


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
