"""This package's own format: safetensors with the layout as JSON in its header, and in a card beside it for people."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stylegan_bridge.config import GeneratorConfig
from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.checkpoint import MAX_TENSORS, Checkpoint

FORMAT = "ganfer-stylegan2"
VERSION = 1
_KEY = "stylegan_bridge"
_DTYPES = ("F16", "F32", "F64")


def read_native(path: Path) -> Checkpoint:
    """A generator from safetensors that `write_native` wrote; the arrays are copies."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            names = list(file.keys()) if _KEY in metadata else []
            for name in names:
                if len(names) > MAX_TENSORS or (kind := file.get_slice(name).get_dtype()) not in _DTYPES:
                    raise BridgeError(
                        f"the safetensors file holds {len(names)} tensors, more than any generator; refused"
                        if len(names) > MAX_TENSORS
                        else f"{name[:80]!r} is of type {kind}; weights are {', '.join(_DTYPES)}"
                    )
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise BridgeError(f"the safetensors file is damaged or cut short ({error})") from error
    if _KEY not in metadata:
        raise BridgeError(
            "the safetensors file has no generator's card in its header; convert the original file instead"
        )
    try:
        card = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise BridgeError("the generator's card is not JSON; the file is damaged") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT or not isinstance(card.get("config"), dict):
        raise BridgeError("the generator's card is not one of a StyleGAN2 generator")
    if type(card.get("version")) is not int or card["version"] != VERSION:
        found = card["version"] if type(card.get("version")) is int else "?"
        raise BridgeError(f"the generator's card is of version {found}, this program reads {VERSION}")
    notes = card.get("notes")
    notes = tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list) else ()
    provenance = card.get("provenance")
    config = GeneratorConfig.from_dict(card["config"])
    return Checkpoint(FORMAT, config, tensors, notes, provenance if isinstance(provenance, dict) else {})


def write_native(checkpoint: Checkpoint, path: Path, provenance: dict[str, Any]) -> None:
    """Write `path` and `path` with .json, each under a temporary name first; float32, contiguous."""
    card = {
        "format": FORMAT,
        "version": VERSION,
        "config": checkpoint.config.to_dict(),
        "notes": list(checkpoint.notes),
        "provenance": provenance,
    }
    tensors = {name: np.array(t, dtype=np.float32, order="C") for name, t in checkpoint.tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        weights, text = Path(folder, "weights"), Path(folder, "card")
        save_file(tensors, weights, metadata={_KEY: json.dumps(card)})
        text.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        os.replace(text, path.with_suffix(".json"))
        os.replace(weights, path)
