"""Start a training from a classifier that this package has trained, on other images or other classes (fine-tuning).

All weights but the head's are taken over, the head's for classes of the same name. So is the normalisation of the
images, which the weights belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from classifiers.errors import ClassifierError
from classifiers.files import FORMAT, read_weights
from classifiers.models import ImageClassifier, create_model
from classifiers.prediction import WEIGHTS

_HEAD = "head."


def own_file(source: str) -> Path | None:
    """The weights of one of this package's classifiers: a folder that holds them, or the file. None: they are not its.

    ClassifierError for a folder without a classifier.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise ClassifierError(f"pretrained = '{source}': there is no {WEIGHTS} in this folder; name a classifier's")
        return path / WEIGHTS
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            return path if (file.metadata() or {}).get("format") == FORMAT else None
    except (SafetensorError, OSError, ValueError):
        return None  # whoever reads it says what is wrong


def start_digest(source: Path) -> str:
    """Of the tensors, as the file says; whoever reads them compares it."""
    with safe_open(str(source), framework="pt") as file:
        return str((file.metadata() or {}).get("tensors_sha256", ""))


def check_start(source: Path, architecture: str, shape: tuple[int, int] | None = None) -> None:
    """ClassifierError unless a network of this architecture can start there; shape: channels and side of its images."""
    _, card = read_weights(source)
    theirs = card.get("architecture")
    if theirs != architecture:
        raise ClassifierError(
            f"pretrained = '{source}': these are weights of {theirs}, and model is {architecture}; set the one or the "
            "other"
        )
    if shape is None:
        return
    kinds = {1: "grey", 3: "colour"}
    if card.get("channels") != shape[0]:
        raise ClassifierError(
            f"pretrained = '{source}': it was trained on {kinds.get(card.get('channels', 0), 'other')} images, and "
            f"these are {kinds[shape[0]]}; add the data with as many channels (data.channels), or name another one"
        )
    if card.get("size") != shape[1]:  # most networks take any size; those with dense layers do not
        with torch.random.fork_rng(devices=[]):
            take_over(create_model(architecture, 2, *shape, **card.get("model_options", {})), source, ("", " "))


def take_over(model: ImageClassifier, source: Path, names: Sequence[str]) -> str:
    """Load what a classifier of the same architecture knows; returns in words what starts anew.

    ClassifierError where weights do not fit: another architecture, another number of channels, or, in networks that end
    in dense layers, another size.
    """
    weights, card = read_weights(source)
    own, theirs = model.state_dict(), list(card.get("class_names", []))
    body = {name: value for name, value in own.items() if not name.startswith(_HEAD)}
    if wrong := [n for n, value in body.items() if n not in weights or weights[n].shape != value.shape]:
        raise ClassifierError(
            f"pretrained = '{source}': {len(wrong)} tensors don't fit, the first is {wrong[0]}; it was trained as "
            f"{card.get('architecture')} on {card.get('channels')} channel(s) of {card.get('size')} pixels"
        )
    taken = {name: weights[name] for name in body}
    head = {name: value.clone() for name, value in own.items() if name.startswith(_HEAD)}
    given = {n: weights[n] for n, value in head.items() if n in weights and weights[n].shape[1:] == value.shape[1:]}
    known: Sequence[str] = ()
    if given.keys() != head.keys():
        pass  # another kind of head
    elif list(names) == theirs:
        known, head = names, given
    elif all(len(head[name]) == len(names) and len(given[name]) == len(theirs) for name in given):  # a row per class
        known = [name for name in names if name in theirs]
        for name, rows in given.items():
            for label in known:
                head[name][list(names).index(label)] = rows[theirs.index(label)]
    model.load_state_dict({**taken, **head})
    new = [name for name in names if name not in known]
    return f"it starts from {source}" + (f"; new to it: {', '.join(new)}" if new else "")
