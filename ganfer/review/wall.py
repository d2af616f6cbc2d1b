"""A wall: images to look through, what is known of them, and the log of what is decided on them."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ganfer.review.decisions import Decision, Log

UNSURE = -1


@dataclass(frozen=True)
class Wall:
    """N images in the order of their set.

    names: (N,) unique, what the log calls them. kinds: what `kind` (N,) uint8 counts; the first one means "as it is".
    asked, label: (N,) int8 class the image was made or given as, and the one it has now; -1 for none. suggested: (N,)
    int8 another class to think of, -1 for none. doubt: (N,) float32, 0 none to 1. thumbs: indices -> (n, C, s, s)
    uint8. picture: index -> (C, H, W). beside: index -> the nearest real image, or None. facts: index -> what is shown
    of one image.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    kind: np.ndarray
    asked: np.ndarray
    label: np.ndarray
    suggested: np.ndarray
    doubt: np.ndarray
    log: Log
    thumbs: Callable[[np.ndarray], np.ndarray]
    picture: Callable[[int], np.ndarray]
    beside: Callable[[int], np.ndarray | None]
    facts: Callable[[int], dict[str, Any]]
    place: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.place.update({name: i for i, name in enumerate(self.names)})

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def version(self) -> str:
        """Of what the places of this wall stand for: labels made anew, or another audit, give another one."""
        digest = hashlib.sha256("\0".join(self.names).encode(errors="surrogatepass"))
        for column in (self.label, self.suggested, self.doubt):
            digest.update(column.tobytes())
        return digest.hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Everything a page needs to sort and filter all images; columns as base64 of their bytes."""
        state = self.log.state()
        side = self.thumbs(np.array([0])).shape[2:] if len(self) else (1, 1)
        return {
            "name": self.name,
            "title": self.title,
            "count": len(self),
            "classes": list(self.class_names),
            "kinds": list(self.kinds),
            "tile": [int(side[1]), int(side[0])],
            "columns": {
                "kind": _base64(self.kind.astype("<u1")),
                "asked": _base64(self.asked.astype("<i1")),
                "label": _base64(self.label.astype("<i1")),
                "suggested": _base64(self.suggested.astype("<i1")),
                "doubt": _base64(self.doubt.astype("<f4")),
            },
            "decisions": self.changes(state),
            "lines": self.log.length,
            "version": self.version,
        }

    def as_labelled(self, names: Sequence[str]) -> dict[str, str]:
        """The class that each of these images has now: the one a person gave it, else the wall's own."""
        now = self.log.newest(names)
        own = {name: self.class_names[self.label[self.place[name]]] for name in names}
        return {name: decision.label if (decision := now[name]) and decision.keep else own[name] for name in names}

    def changes(self, state: dict[str, Decision] | dict[str, Decision | None]) -> list[list[Any]]:
        """[index, label, by] of images in the wall: label -1 for a rejected one, and None, "" for one left alone."""
        index = {name: k for k, name in enumerate(self.class_names)}
        found: list[list[Any]] = []
        for name, decision in state.items():
            i = self.place.get(name)
            if i is None:
                continue
            if decision is None:
                found.append([i, None, ""])
            else:
                found.append([i, index.get(decision.label, UNSURE) if decision.keep else UNSURE, decision.by])
        return found


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def doubt_of(probabilities: np.ndarray) -> np.ndarray:
    """(N, K) to (N,) float32: 1 less the lead of the likeliest class over the second; 1 where two are equal."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities), np.float32)
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    doubt: np.ndarray = np.clip(1 - (two[:, 1] - two[:, 0]), 0, 1).astype(np.float32)
    return doubt
