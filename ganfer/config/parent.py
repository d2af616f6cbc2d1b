"""Which network a parent is, told from its name and header alone: defaults depend on it before anything is opened."""

import json
from pathlib import Path
from typing import Any

NETWORKS = ("dcgan", "resgan", "stylegan2")
_LONGEST = 10_000_000  # bytes of a safetensors header


def network_of(parent: str) -> str:
    """The network of a run (by its name or card) or of a file; what is not ganfer's own is a StyleGAN2."""
    path = Path(parent)
    if "://" in parent or not (path.exists() or path.name.startswith(NETWORKS)):
        return "stylegan2"  # to be downloaded
    if not path.exists() or path.is_dir():
        card = _card(path / "card.json")
        if card is None:  # a workspace: its newest GAN's
            cards = sorted(path.glob("gans/*/card.json"), key=lambda file: file.stat().st_mtime)
            card = _card(cards[-1]) if cards else None
        return _network(card) or next((name for name in NETWORKS if path.name.startswith(name)), "resgan")
    return _network(_header(path)) or "stylegan2"


def _network(card: Any) -> str | None:
    spec = card.get("spec") if isinstance(card, dict) else None
    network = spec.get("network") if isinstance(spec, dict) else None
    return network if network in NETWORKS else None


def _card(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # what is wrong with it is said where it is opened


def _header(file: Path) -> Any:
    """The card in a safetensors file of ganfer's; None in any other."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length < min(_LONGEST, file.stat().st_size):
                return None
            return json.loads(json.loads(stream.read(length))["__metadata__"]["card"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
