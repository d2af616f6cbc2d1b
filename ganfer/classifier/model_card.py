"""A classifier's model card, from the card in its weights and the figures that were measured."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganfer.cards.model import Measure, ModelFacts
from ganfer.statistics.intervals import confusion_estimates
from ganfer.statistics.verdict import Estimate

#: The Hub's names of the figures.
_KINDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "macro_f1": "f1"}
_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy (macro recall)", "macro_f1": "macro F1"}
_RESAMPLES = 1000
_WHERE = (
    "Figures are of images like those it learned from, at most. Faces of other people, cameras and poses are harder; "
    "measure it on your own: ganfer evaluate FOLDER."
)
_TORCH = (
    "from classifiers import load_classifier",
    "",
    'model = load_classifier("model.safetensors")',
    "probabilities = model.probabilities(images)  # (N, C, H, W) uint8 face crops",
)
_ONNX = (
    "import onnxruntime",
    "",
    'session = onnxruntime.InferenceSession("model.onnx")',
    '(probabilities,) = session.run(None, {"images": images})  # (N, C, H, W) uint8 face crops',
)


def validation_estimates(validation: Mapping[str, Any], names: Sequence[str], seed: int) -> dict[str, Estimate]:
    """The figures of a training's validation with their intervals, from its confusion matrix."""
    return confusion_estimates(np.array(validation["confusion"]), names, beta=1.0, resamples=_RESAMPLES, seed=seed)


def measures(table: Mapping[str, Any], split: str) -> list[Measure]:
    """What a model card tells of a table of figures with mean, low and high."""
    found = []
    for name, kind in _KINDS.items():
        value = table.get(name)
        value = dataclasses.asdict(value) if isinstance(value, Estimate) else value
        if value and value.get("mean") is not None:
            found.append(Measure(kind, _NAMES[name], value["mean"], value.get("low"), value.get("high"), split))
    return found


def classifier_facts(
    name: str, card: Mapping[str, Any], data: str, results: Sequence[Measure], *, onnx: bool = False,
    notes: Sequence[str] = (),
) -> ModelFacts:  # fmt: skip
    """What a classifier's card says. card: the one in its weights. data: the name of what it learned from."""
    classes, size = [str(each) for each in card["class_names"]], card.get("size", "")
    kind = "grey" if card.get("channels") == 1 else "colour"
    config = card.get("config") or {}
    told = ("epochs", "steps", "batch_size", "optimizer", "lr", "loss", "sampler", "augment", "mixup", "cutmix", "ema")
    return ModelFacts(
        name=name,
        task="image-classification",
        summary=(
            f"A classifier of {len(classes)} facial expressions ({', '.join(classes)}) for square {kind} face crops of "
            f"{size} x {size} pixels; its confidences are calibrated on validation images."
        ),
        class_names=classes,
        data=data,
        counts=card.get("train_counts") or {},
        results=results,
        use=_ONNX if onnx else _TORCH,
        made=(
            ("architecture", card.get("architecture", "")),
            ("parameters", card.get("parameters", "")),
            ("training", {key: config[key] for key in told if config.get(key) is not None}),
            ("seed", card.get("seed", "")),
            ("steps", card.get("steps", "")),
            ("temperature", card.get("temperature", "")),
            ("versions", card.get("versions", {})),
        ),
        library="onnx" if onnx else "ganfer",
        notes=(*(str(note) for note in card.get("notes") or ()), *notes, _WHERE),
    )


def starter_facts(card: Mapping[str, Any]) -> ModelFacts:
    """What the model card of the classifier that comes with ganfer says. card: its `card.json`."""
    figures, trained = card["figures"], card["trained_on"]
    table = {
        name: {"mean": figures[name], "low": low, "high": high} for name, (low, high) in figures["intervals"].items()
    }
    size = card["input"]["size"]
    return ModelFacts(
        name="ganfer's starter",
        task="image-classification",
        summary=f"{card['intended_use']} It takes square grey face crops of {size} x {size} pixels.",
        class_names=card["class_names"],
        data=trained["data"],
        counts=trained["images"],
        results=measures(table, figures["split"]),
        use=_TORCH,
        made=(
            ("architecture", card["architecture"]),
            ("parameters", card["parameters"]),
            ("command", card["made"]["command"]),
            ("versions", card["made"]["versions"]),
        ),
        licence="mit",
        notes=(card["limits"], card["licence"]),
        not_for=card["not_for"],
    )
