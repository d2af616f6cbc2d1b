"""A finished classifier with its class biases moved: the same network, its last layer's bias changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from classifiers.cards import FITTED
from classifiers.files import read_weights
from classifiers.prediction import WEIGHTS, load_classifier, write_folder


def save_with_biases(
    source: str | Path, target: str | Path, *, slope: float, shifts: np.ndarray, note: dict[str, Any] | None = None
) -> bool:
    """Write the classifier in `source` to the folder `target` so that its probabilities are softmax(slope · log p +
    shifts) of what they were.

    With p = softmax(z / T) that is the temperature T / slope and, on the logits z, the biases shifts · T / slope.
    False, and the classifier as it was, where the last layer has no bias. note: further entries of the card. With the
    biases, the card says that the probabilities are those of equally common classes (`prior`: balanced), and what was
    added, so that a training which goes on from there can take it away.
    """
    classifier = load_classifier(source, "cpu")
    tensors, card = read_weights(Path(source) / WEIGHTS)
    temperature = classifier.temperature / slope
    last = [name for name, module in classifier.model.named_modules() if isinstance(module, nn.Linear)]
    key = f"{last[-1]}.bias" if last else ""
    moved = key in tensors and tensors[key].shape == shifts.shape
    if moved:
        biases = np.asarray(shifts) * temperature
        tensors[key] = tensors[key] + tensors[key].new_tensor(biases)
        before = np.asarray(card.get(FITTED) or np.zeros_like(biases))
        card = {**card, "temperature": temperature, "prior": "balanced", FITTED: (before + biases).tolist()}
    card = {**card, **(note or {})}
    write_folder(Path(target), tensors, card)
    return moved
