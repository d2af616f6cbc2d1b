"""Files on disk: atomic writing, and weights in one safetensors file that explains and checks itself."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import struct
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from classifiers.errors import ClassifierError, StorageError

FORMAT = "classifiers-1"
_SEAL = b"ganfer-sealed-1\n"
_MAX_CARD = 64 << 20
_MAX_PICKLE = 32 << 20  # names and shapes; those of the largest published networks take 1 MB
# What torch.load(weights_only=True) raises for files that aren't torch's: its reader trusts the stream's structure.
UNREADABLE = (
    *(RuntimeError, OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, MemoryError, OverflowError),
    AssertionError,
    *(struct.error, UnpicklingError, zipfile.BadZipFile),
)


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
        raise StorageError(f"{path}: cannot be written ({error.strerror}); check the space and rights there") from error


def remove_parts(folder: Path) -> None:
    """Remove what killed processes left of files in a folder that one process alone writes to."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


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


def make_folder(path: Path) -> None:
    """Make a folder with those above it. ClassifierError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClassifierError(f"{path}: cannot be made ({error.strerror}); choose another folder") from error


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
    return tensors, _parse_card(metadata.get("card"), path)


def _parse_card(text: str | None, file: Path) -> dict[str, Any]:
    """The card as JSON wrote it; ClassifierError unless it is an object."""
    if text is None or len(text) > _MAX_CARD:
        raise ClassifierError(f"{file}: the weights have no usable card; train or copy it again")
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        card = None
    if not isinstance(card, dict):
        raise ClassifierError(f"{file}: the classifier's card is not a JSON object; train or copy it again")
    for key, kind in (("config", dict), ("history", list), ("validation", dict), ("train_counts", dict)):
        if card.get(key) is not None and not isinstance(card[key], kind):
            raise ClassifierError(f"{file}: the card's {key} is no {kind.__name__}; train or copy it again")
    return card


def seal(data: bytes) -> bytes:
    """Data behind their SHA-256, for files whose own format would let a flipped bit pass."""
    return _SEAL + hashlib.sha256(data).digest() + data


def unseal(data: bytes) -> bytes:
    """What `seal` was given; ValueError when it is not that any more. Files without a seal come back as they are."""
    if not data.startswith(_SEAL):
        return data
    digest, content = data[len(_SEAL) : len(_SEAL) + 32], data[len(_SEAL) + 32 :]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("it does not match its checksum")
    return content


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The tensors of a file from elsewhere (.safetensors, or torch.save's), on the CPU; nothing in it is run.

    ClassifierError when it cannot be read, or when it would unpack to more than its own size.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_packing(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of an odd file is in its error too
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, *UNREADABLE) as error:
        reason = " ".join(str(error).split())[:160]
        raise ClassifierError(f"{path}: can't be read as weights ({reason})") from None
    state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
    return {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _check_packing(path: Path) -> None:
    """torch.save stores its entries uncompressed, its pickle is small beside the numbers: anything else is a bomb."""
    if not zipfile.is_zipfile(path):
        return  # the format before torch 1.6 has no compression
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ClassifierError(f"{path}: its entries are compressed, as torch.save's never are; not opened")
    pickles = sum(entry.file_size for entry in entries if entry.filename.endswith(".pkl"))
    if sum(entry.file_size for entry in entries) > path.stat().st_size or pickles > _MAX_PICKLE:
        raise ClassifierError(f"{path}: its parts are larger than the file or than any weights' are; not opened")


def save_history(folder: Path, history: list[dict[str, float]]) -> None:
    """history.csv: one row per validation."""
    if not history:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomic(folder / "history.csv", text.getvalue().encode())
