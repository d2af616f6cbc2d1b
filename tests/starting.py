"""A stand-in for the classifier that comes with ganfer: tiny, untrained, with a card like the real one's."""

from functools import cache
from pathlib import Path

import pytest
from serving import NAMES, SIZE, write_model

from ganfer.classifier import starter
from ganfer.runtime.files import write_json


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put one in the starter's place; returns its weights."""
    file = write_model(folder / "starter", seed=5)
    recalls = dict(zip(NAMES, (0.6, 0.9, 0.4), strict=True))
    card = {
        "class_names": list(NAMES),
        "input": {"size": SIZE, "channels": 1},
        "trained_on": {"data": "FER2013", "digest": "of-fer2013"},
        "figures": {
            "split": "FER2013's public test",
            "accuracy": 0.671,
            "per_class": {name: {"recall": recall} for name, recall in recalls.items()},
        },
        "thresholds": {"beta": 0.5, "confidence": dict.fromkeys(NAMES, 0.0)},
    }
    write_json(file.with_name("card.json"), card)
    monkeypatch.setattr(starter, "FILE", file)
    monkeypatch.setattr(starter, "CARD", file.with_name("card.json"))
    monkeypatch.setattr(starter, "card", cache(starter.card.__wrapped__))  # what it remembers ends with the test
    return file
