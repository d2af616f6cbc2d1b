"""NVIDIA's MPS for the workers of `train_many`: kernels of several processes then run on one GPU at the same time.

Without it a GPU takes turns between processes, and small networks leave it mostly idle. The daemon is a private one,
started where it is installed and ended with the trainings; where it does not work, the workers do without.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

log = logging.getLogger("classifiers")

CONTROL = "nvidia-cuda-mps-control"
SWITCH = "CLASSIFIERS_MPS"  # off: never
_PATIENCE = 30  # seconds for the daemon, and for a process to get a context through it
_OPENS = """
import ctypes, sys
cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
sys.exit(cuda.cuInit(0) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
"""


@contextmanager
def overlapping(workers: int) -> Iterator[dict[str, str]]:
    """The environment with which `workers` processes share the GPUs; empty where MPS isn't there or isn't needed."""
    control = shutil.which(CONTROL)
    if control is None or workers < 2 or given() or os.environ.get(SWITCH) == "off":
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        own = {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        for path in own.values():
            os.mkdir(path)
        started = _succeeds([control, "-d"], own)
        try:
            works = started and _succeeds([sys.executable, "-c", _OPENS], own)
            if not works:
                log.info("NVIDIA's MPS is installed but does not work here: the trainings take turns on the GPU")
            yield own if works else {}
        finally:
            if started:
                _succeeds([control], own, "quit -t 5\n")


def given() -> bool:
    """Whether there is somebody's daemon, which the workers find by themselves."""
    return "CUDA_MPS_PIPE_DIRECTORY" in os.environ


def _succeeds(command: list[str], environment: dict[str, str], said: str = "") -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, env=os.environ | environment, input=said, text=True, capture_output=True, timeout=_PATIENCE,
            check=False,
        )  # fmt: skip
        return done.returncode == 0
    return False
