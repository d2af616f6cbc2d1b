"""Files on disk: atomic writing, and weights in one safetensors file that explains and checks itself."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from classifiers.errors import ClassifierError

FORMAT = "classifiers-1"
# What torch.load(weights_only=True) raises for files that aren't torch's: its reader trusts the stream's structure.
UNREADABLE = (RuntimeError, OSError, EOFError, ValueError, LookupError, AttributeError, struct.error, UnpicklingError)


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside `path` under a temporary name, flush to disk, rename: a reader sees the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ClassifierError(
            f"{path}: cannot be written ({error.strerror}); check the space and rights there"
        ) from error


def json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the names' order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_weights(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    """Write tensors and card into one safetensors file; returns the SHA-256 of the file."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "card": json.dumps(card), "tensors_sha256": tensors_digest(plain)}
    data = save(plain, metadata=metadata)
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest()


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of a file from `save_weights`; ClassifierError when it is missing, foreign or damaged."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise ClassifierError(f"{path}: no such classifier; train one first") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ClassifierError(f"{path}: damaged or not a safetensors file ({error}); train or copy it again") from None
    if metadata.get("format") != FORMAT:
        raise ClassifierError(f"{path}: a safetensors file, but not a classifier of this package ({FORMAT})")
    if tensors_digest(tensors) != metadata.get("tensors_sha256"):
        raise ClassifierError(
            f"{path}: the weights don't match their checksum, the file is damaged; train or copy it again"
        )
    return tensors, json.loads(metadata["card"])


def save_history(folder: Path, history: list[dict[str, float]]) -> None:
    """history.csv: one row per validation."""
    if not history:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomic(folder / "history.csv", text.getvalue().encode())
