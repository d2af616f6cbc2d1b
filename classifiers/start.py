"""Start a training from a classifier that this package has trained, on other images or other classes (fine-tuning).

All weights but the head's are taken over, the head's for classes of the same name. So is the normalisation of the
images, which the weights belong to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from classifiers.cards import fitted_biases, read_card
from classifiers.config import TrainConfig
from classifiers.errors import ClassifierError
from classifiers.files import FORMAT, read_weights
from classifiers.models import ImageClassifier, create_model
from classifiers.prediction import WEIGHTS

STARTS = "it starts from"
_HEAD = "head."
_WORDS = ("none", "imagenet")  # which name no file, whatever lies in the working folder


def own_file(source: str) -> Path | None:
    """The weights of one of this package's classifiers: a folder that holds them, or the file. None: they are not its.

    ClassifierError for a folder without a classifier.
    """
    path = Path(source)
    if source in _WORDS:
        return None
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
    """Of the tensors, as the file says; whoever reads them compares it. ClassifierError for a file that is none."""
    try:
        with safe_open(str(source), framework="pt") as file:
            return str((file.metadata() or {}).get("tensors_sha256", ""))
    except (SafetensorError, OSError, ValueError) as error:
        raise ClassifierError(f"{source}: can't be read as weights ({error}); train or copy it again") from None


def start_name(source: str) -> str:
    """Starting weights by their content, wherever they lie: what tells trainings apart that start from others."""
    own, path = own_file(source), Path(source)
    if own:
        return start_digest(own)
    if source in _WORDS or not path.is_file():
        return source
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def placed(config: TrainConfig) -> TrainConfig:
    """The settings for a process that may be at work in another folder: starting weights by their whole path."""
    path = Path(config.pretrained)
    if config.pretrained in _WORDS or not path.exists():
        return config
    return replace(config, pretrained=str(path.absolute()))


def require_there(source: str) -> None:
    """ClassifierError where starting weights cannot be seen, as by a cluster's worker on another machine."""
    if source not in _WORDS and not Path(source).exists():
        raise ClassifierError(
            f"pretrained = '{source}': no such file or folder; look at the path (the workers of a cluster must see it, "
            "too)"
        )


def check_start(source: Path, config: TrainConfig, shape: tuple[int, int] | None = None) -> None:
    """ClassifierError unless a network of these settings can start there; shape: channels and side of its images."""
    _, facts = read_weights(source)
    card, architecture = read_card(facts, source), config.model
    if card.architecture != architecture:
        raise ClassifierError(
            f"pretrained = '{source}': these are weights of {card.architecture}, and model is {architecture}; set the "
            "one or the other"
        )
    if shape is None:
        return
    kinds = {1: "grey", 3: "colour"}
    if card.channels != shape[0]:
        raise ClassifierError(
            f"pretrained = '{source}': it was trained on {kinds.get(card.channels, 'other')} images, and these are "
            f"{kinds[shape[0]]}; add the data with as many channels (data.channels), or name another one"
        )
    options = model_options(config)
    other = options.get("batch_norm") != card.options.get("batch_norm")
    if card.size != shape[1] or other:  # most networks take any size; those with dense layers do not
        with torch.random.fork_rng(devices=[]):
            take_over(create_model(architecture, 2, *shape, **options), source, ("", " "))


def model_options(config: TrainConfig) -> dict[str, Any]:
    """The architecture's options that were set, as `create_model` takes them."""
    options = {"dropout": config.dropout, "batch_norm": config.batch_norm}
    return {key: value for key, value in options.items() if value is not None}


def take_over(model: ImageClassifier, source: Path, names: Sequence[str]) -> str:
    """Load what a classifier of the same architecture knows; returns in words what starts anew.

    ClassifierError where weights do not fit: another architecture, another number of channels, or, in networks that end
    in dense layers, another size.
    """
    weights, facts = read_weights(source)
    card = read_card(facts, source)
    own, theirs = model.state_dict(), card.class_names
    body = {name: value for name, value in own.items() if not name.startswith(_HEAD)}
    if wrong := [n for n, value in body.items() if n not in weights or weights[n].shape != value.shape]:
        raise ClassifierError(
            f"pretrained = '{source}': {len(wrong)} tensors don't fit, the first is {wrong[0]}; it was trained as "
            f"{card.architecture} on {card.channels} channel(s) of {card.size} pixels"
        )
    if bad := [n for n, value in weights.items() if value.is_floating_point() and not bool(value.isfinite().all())]:
        raise ClassifierError(f"pretrained = '{source}': {bad[0]} holds NaN or infinite values; name another one")
    taken = {name: weights[name] for name in body}
    head = {name: value.clone() for name, value in own.items() if name.startswith(_HEAD)}
    given = {n: weights[n] for n, value in head.items() if n in weights and weights[n].shape[1:] == value.shape[1:]}
    for name, value in given.items():  # biases that were fitted afterwards are not what it has learned
        fitted = value.new_tensor(fitted_biases(facts, source))
        if name.endswith(".bias") and value.shape == fitted.shape:
            given[name] = value - fitted
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
    counts = [n for n in (facts.get("train_counts") or {}).values() if isinstance(n, int)]
    told = f"{STARTS} {source}, trained on {sum(counts):,} images of {', '.join(theirs)}"
    return told + (f"; new to it: {', '.join(new)}" if new else "")
