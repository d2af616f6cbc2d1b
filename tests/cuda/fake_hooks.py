"""Builds and loads fake_hooks.cpp, once per version of torch. It stays loaded: use a process of its own."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

_SOURCE = Path(__file__).with_name("fake_hooks.cpp")


def why_not() -> str:
    """Why there can be no stand-in here; empty where there can."""
    if shutil.which("g++") is None:
        return "needs g++, to build the stand-in for the CUDA driver"
    return "" if torch.version.cuda else "needs a CUDA build of torch; a GPU is not needed"


def choose(kind: str) -> None:
    """Which GPU autograd is told of: cuda or mps."""
    ctypes.CDLL(str(_library())).choose(kind == "mps")


def install() -> None:
    """Replace the device guards and the hooks of this process."""
    ctypes.CDLL(str(_library())).install()
    torch._C._ensureCUDADeviceGuardSet = lambda: None  # a fake-tensor mode would put another guard there


@cache
def _library() -> Path:
    """The hooks, built."""
    root = Path(torch.__file__).parent
    name = hashlib.sha256(_SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"fake-cuda-{os.getuid()}" / f"{name}.so"
    if not library.is_file():
        library.parent.mkdir(mode=0o700, exist_ok=True)
        made = library.with_suffix(f".{os.getpid()}.so")
        options = ["-O1", "-std=c++20", "-shared", "-fPIC", f"-I{root}/include", f"-L{root}/lib"]
        subprocess.run(["g++", *options, str(_SOURCE), "-o", str(made), "-ltorch_cpu", "-lc10"], check=True)
        made.replace(library)
    return library
