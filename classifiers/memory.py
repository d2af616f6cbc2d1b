"""Memory that runs out on a GPU, in whatever words torch, cuDNN or cuBLAS say it."""

from __future__ import annotations

import torch

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
