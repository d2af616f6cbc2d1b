"""A campaign's resume point on disk: tensors and facts in one safetensors file, whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_bridge.errors import BridgeError

#: Between two resume points: a batch of small images takes less time than its file.
SAVE_SECONDS = 20.0


@dataclass(frozen=True)
class Snapshot:
    """`facts` are plain JSON values."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]


class Saver:
    """Writes snapshots of one request to `path`, now and then; with no path, nothing."""

    def __init__(self, path: Path | None, request: Mapping[str, Any]) -> None:
        self.path, self._request = path, json.dumps(request, sort_keys=True)
        self._saved = time.monotonic()

    def load(self) -> Snapshot | None:
        """What was saved of the same request; None if nothing. BridgeError for a damaged file or another request's."""
        if self.path is None or not self.path.exists():
            return None
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.path), framework="pt") as stored:
                metadata = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
            if metadata.get("sha256", digest := _digest(tensors, metadata["facts"])) != digest:
                raise ValueError("it does not match its checksum")
            facts = json.loads(metadata["facts"])
            if not isinstance(facts, dict):
                raise ValueError("its facts are no object")
        except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
            raise BridgeError(f"{self.path} is damaged ({error}); remove it to begin anew") from error
        if metadata.get("request") != self._request:
            raise BridgeError(f"{self.path} belongs to another steering; remove it or give another file")
        return Snapshot(facts, tensors)

    def save(self, snapshot: Callable[[], Snapshot]) -> None:
        """Write a snapshot if the last one is old enough."""
        if self.path is None or time.monotonic() - self._saved < SAVE_SECONDS:
            return
        from safetensors.torch import save_file

        taken = snapshot()
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in taken.tensors.items()}
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            facts = json.dumps(taken.facts)
            metadata = {"facts": facts, "request": self._request, "sha256": _digest(tensors, facts)}
            save_file(tensors, temporary, metadata=metadata)
            os.replace(temporary, self.path)
        except OSError as error:
            raise BridgeError(f"cannot write {self.path}: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)
        self._saved = time.monotonic()


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """SHA-256 over the facts and every tensor's name and bytes; safetensors itself has no checksum."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
