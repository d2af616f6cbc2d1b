"""Open a generator's file, tell what is inside, write it as safetensors. The bytes tell the format."""

from __future__ import annotations

import hashlib
import mmap
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from stylegan_bridge.config import GeneratorConfig
from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.checkpoint import Checkpoint, check_tensors
from stylegan_bridge.readers.discriminator import Judged, find_discriminator
from stylegan_bridge.readers.nvidia_tf import is_nvidia_tf, read_nvidia_tf
from stylegan_bridge.readers.nvidia_torch import is_nvidia_torch, read_nvidia_torch
from stylegan_bridge.readers.rosinality import is_rosinality, read_rosinality
from stylegan_bridge.readers.safe_pickle import load_pickle
from stylegan_bridge.readers.torch_format import LEGACY_HEADER, load_legacy_torch, load_torch_zip
from stylegan_bridge.readers.values import as_array, check_shared

if TYPE_CHECKING:
    import torch

    from stylegan_bridge.generator import Generator

StrPath = str | os.PathLike[str]

KNOWN_FORMATS = (
    "NVIDIA's PyTorch or TensorFlow pickles of StyleGAN2, rosinality's .pt, and the safetensors that convert writes"
)
_OTHER_FILES: tuple[tuple[bytes, str], ...] = (
    (b"<", "a web page or XML, as a failed download leaves it; fetch it again"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself; run git lfs pull"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"ustar", "a tar archive"),
)


@dataclass(frozen=True)
class Info:
    """What a generator's file holds."""

    path: str
    format: str
    sha256: str
    num_bytes: int
    config: GeneratorConfig
    num_parameters: int
    has_w_avg: bool
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        c = self.config
        classes = f"conditional, {c.c_dim} classes" if c.c_dim else "unconditional"
        lines = [
            f"{self.path}: StyleGAN2 generator ({self.format}, {self.num_bytes / 1e6:.1f} MB)",
            f"  images      {c.img_channels} x {c.resolution} x {c.resolution}, {classes}",
            f"  latents     z {c.z_dim}, w {c.num_ws} x {c.w_dim}, {c.mapping_layers} mapping layers",
            f"  synthesis   {c.architecture}, {'/'.join(map(str, c.channels))} features, "
            f"{'float16 in ' + str(c.num_fp16_res) + ' blocks on CUDA' if c.num_fp16_res else 'float32'}",
            f"  parameters  {self.num_parameters:,}",
            f"  sha256      {self.sha256}",
            *(f"  note        {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def inspect(path: StrPath) -> Info:
    """What is inside a generator's file; loads no torch. BridgeError if it is not a StyleGAN2 generator.

    Example: `inspect("faces.pkl").config.resolution`.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    return Info(
        path=str(path),
        format=checkpoint.format,
        sha256=sha256_of(path),
        num_bytes=path.stat().st_size,
        config=checkpoint.config,
        num_parameters=checkpoint.config.num_parameters,
        has_w_avg="mapping.w_avg" in checkpoint.tensors,
        notes=checkpoint.notes,
        provenance=checkpoint.provenance,
    )


def load_generator(path: StrPath, device: str | torch.device = "cpu", *, precision: str = "auto") -> Generator:
    """A generator with the file's weights on `device`, ready to sample.

    `precision`: "auto" runs the network's own float16 layers on CUDA, "float32" none.

    Example: `load_generator("faces.pkl").sample(range(8))`.
    """
    import torch

    from stylegan_bridge.generator import Generator

    path = Path(path)
    checkpoint = read_checkpoint(path)
    check_memory(checkpoint.config, path)
    try:
        target = torch.device(device)
        with torch.device("meta"):
            generator = Generator(checkpoint.config, precision=precision)
        tensors = {
            name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in checkpoint.tensors.items()
        }
        generator.has_w_avg = "mapping.w_avg" in tensors
        tensors.setdefault("mapping.w_avg", torch.zeros(checkpoint.config.w_dim))
        generator.load_state_dict(tensors, strict=True, assign=True)
        generator.requires_grad_(False)
        return generator.to(device=target)
    except torch.OutOfMemoryError as error:
        raise BridgeError(f"{path} does not fit into the memory of {device}; use another device") from error
    except (RuntimeError, AssertionError) as error:  # no CUDA in this torch: an AssertionError
        raise BridgeError(f"{path} cannot be put on device {str(device)!r}: {str(error).splitlines()[0]}") from error


def convert(path: StrPath, out: StrPath) -> Path:
    """Write the generator of any format as safetensors with a JSON card beside it; returns the file's path.

    Example: `convert("faces.pkl", "faces.safetensors")`.
    """
    path, out = Path(path), Path(out)
    if out.suffix != ".safetensors":
        raise BridgeError(f"{out} must end in .safetensors; that is what convert writes")
    from stylegan_bridge.readers.native import write_native

    checkpoint = read_checkpoint(path)
    provenance = checkpoint.provenance or {
        "converted_from": path.name,
        "format": checkpoint.format,
        "sha256": sha256_of(path),
    }
    try:
        write_native(checkpoint, out, provenance)
    except OSError as error:
        raise BridgeError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a generator; every failure is one line that begins with the file's name."""
    try:
        with np.errstate(all="ignore"):  # what a damaged file's numbers overflow to is found by the check
            checkpoint = _read(path)
            check_tensors(checkpoint)
    except BridgeError as error:
        raise BridgeError(f"{path}: {error}") from error
    except OSError as error:
        raise BridgeError(f"{path}: cannot be read: {error.strerror or error}") from error
    return checkpoint


def read_discriminator(path: StrPath) -> Judged:
    """The discriminator beside the generator in a training snapshot, or why there is none; nothing in it is run.

    BridgeError for what cannot be read.

    Example: `read_discriminator("faces.pkl").tensors`.
    """
    path = Path(path)
    try:
        _check_file(path)
        with open(path, "rb") as stream:
            head = stream.read(64)
            if _is_safetensors(head, os.fstat(stream.fileno()).st_size):
                return Judged(None, "the file holds no discriminator")
            content = _unpickle(stream, head)
        return find_discriminator(content)
    except BridgeError as error:
        raise BridgeError(f"{path}: {error}") from error
    except OSError as error:
        raise BridgeError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_tensors(path: StrPath) -> dict[str, np.ndarray]:
    """The tensors of any network's state dict in a file that torch.save wrote, by name; arrays may be read-only.

    BridgeError when it is another kind of file, or asks for what a state dict has no need of; nothing in it is run.

    Example: `read_tensors("backbone.pth")["features.0.weight"]`.
    """
    try:
        content = _read_torch(Path(path))
        if type(content) is not dict:
            raise BridgeError("holds no weights of a network")
        check_shared(content.values())
        found = {name: as_array(value) for name, value in content.items() if type(name) is str}
        arrays = {name: array for name, array in found.items() if array is not None}
        if not arrays or len(arrays) < len(content):
            raise BridgeError("holds no weights of a network")
    except BridgeError as error:
        raise BridgeError(f"{path}: {error}") from error
    except OSError as error:
        raise BridgeError(f"{path}: cannot be read: {error.strerror or error}") from error
    return arrays


def _read_torch(path: Path) -> Any:
    """What a pickle, or one of torch.save's containers, holds."""
    _check_file(path)
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise BridgeError("is empty; the download or the copy failed")
        return _unpickle(stream, stream.read(64))


def _unpickle(stream: BinaryIO, head: bytes) -> Any:
    buffer = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    if head.startswith(LEGACY_HEADER):
        return load_legacy_torch(buffer)
    if head.startswith(b"PK\x03\x04") and _is_zip(stream):
        return load_torch_zip(buffer, stream)
    if head.startswith(b"PK"):
        raise BridgeError("is a zip archive that is cut short, or that torch did not write")
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return load_pickle(buffer, load_legacy_torch)
    raise BridgeError(f"is {_name_other(head)}, not a network; known are {KNOWN_FORMATS}")


def _is_zip(stream: BinaryIO) -> bool:
    try:
        return zipfile.is_zipfile(stream)
    except zipfile.BadZipFile:  # it says so of archives that claim to span several disks
        return False


def _check_file(path: Path) -> None:
    """Nothing that reading would wait for or never end: a folder, a pipe, a device."""
    if path.is_dir():
        raise BridgeError("is a folder, where a network file is wanted")
    if path.exists() and not path.is_file():
        raise BridgeError("is no ordinary file, where a network file is wanted")


def _read(path: Path) -> Checkpoint:
    _check_file(path)
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise BridgeError("is empty; the download or the copy failed")
        head = stream.read(64)
        if _is_safetensors(head, size):
            from stylegan_bridge.readers.native import read_native

            return read_native(path)
        content = _unpickle(stream, head)
    return _interpret(content)


_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Checkpoint]], ...] = (
    (is_nvidia_tf, read_nvidia_tf),
    (is_nvidia_torch, read_nvidia_torch),
    (is_rosinality, read_rosinality),
)


def _interpret(content: Any) -> Checkpoint:
    """The generator in what a pickle held."""
    for is_mine, read in _READERS:
        if is_mine(content):
            return read(content)
    shown = "nothing of a network"
    if type(content) is dict:
        keys = [_plain(key[:20]) if type(key) is str else "a number" for key in list(content)[:4]]
        shown = f"a dict with {', '.join(keys) or 'nothing'}"
    raise BridgeError(f"holds {shown}, not a StyleGAN2 generator; known are {KNOWN_FORMATS}")


def _plain(text: str) -> str:
    """A name from a file without what a terminal would act on."""
    return repr(text)[1:-1]


def _is_safetensors(head: bytes, size: int) -> bool:
    """A length that fits into the file, then a JSON object."""
    return len(head) > 8 and head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") <= size - 8


def _name_other(head: bytes) -> str:
    stripped = head.lstrip()
    for magic, name in _OTHER_FILES:
        if stripped.startswith(magic):
            return name
    return "of an unknown format"


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def available_memory() -> int | None:
    """Bytes that this process may still take: free memory or the container's limit; None where unknown."""
    candidates = []
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            candidates += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit.isdigit():
            used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
            candidates.append(int(limit) - used)
    except (OSError, ValueError):
        pass  # not Linux, or no such control group: no estimate, and so no refusal
    return min(candidates) if candidates else None


def check_memory(config: GeneratorConfig, path: Path) -> None:
    """Refuse what would not fit, before the machine starts to swap or ends the process."""
    needed, available = config.working_bytes(), available_memory()
    if available is not None and needed > available:
        raise BridgeError(
            f"{path}: needs about {needed / 2**30:.1f} GiB of memory, {max(available, 0) / 2**30:.1f} GiB are free;"
            f" close other programs or use a network of lower resolution than {config.resolution}"
        )
