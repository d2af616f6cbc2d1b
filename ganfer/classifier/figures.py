"""From probabilities to `results.json`: every figure with its interval, calibration, stress, and the faces to show."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers import Evaluation, Predictor
from classifiers import evaluate as classifier_figures
from classifiers.calibration import reliability
from classifiers.robustness import CONDITIONS, stress
from ganfer.classifier.opened import Opened
from ganfer.classifier.selective import selective_figures
from ganfer.classifier.subject import Subject
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.data.provenance import png_base64
from ganfer.runtime.console import progress
from ganfer.runtime.seeding import stream
from ganfer.statistics.intervals import PER_CLASS, confusion_by_subject, confusion_estimates
from ganfer.statistics.verdict import Estimate
from ganfer.workspace import Run

FORMAT = 1
LEVEL = 0.95  # of every interval
FACES = 6  # right and wrong predictions shown of each class
_OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "f_beta")


@dataclass(frozen=True)
class Measurement:
    """What was measured, by what, and the answers: probabilities (N, K) in the order of the images' classes."""

    subject: Subject
    predictor: Predictor
    chosen: tuple[Opened, ...]
    probabilities: np.ndarray
    thresholds: np.ndarray | None
    notes: tuple[str, ...] = ()


def evaluation_results(run: Run, config: Config, measurement: Measurement) -> dict[str, Any]:
    """Everything the page shows, as plain JSON values."""
    subject, settings = measurement.subject, config.evaluate
    images, names, probabilities = subject.images, subject.images.class_names, measurement.probabilities
    labels = images.labels
    figures = classifier_figures(probabilities, labels, names, beta=settings.beta)
    table = confusion_estimates(
        np.array(figures.confusion),
        names,
        beta=settings.beta,
        resamples=settings.resamples,
        seed=config.seed,
        by_subject=confusion_by_subject(labels, probabilities.argmax(axis=1), images.group, len(names)),
    )
    chosen = measurement.chosen
    who = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} classifiers as one"
    selective = None
    if measurement.thresholds is not None:
        selective = selective_figures(probabilities, labels, measurement.thresholds, names, LEVEL)
    return {
        "format": FORMAT,
        "title": f"{who} on {subject.name}",
        "data": {"name": subject.name, "digest": subject.digest, "class_names": list(names), "images": len(labels)},
        "classifiers": [_card(each) for each in chosen],
        "settings": {
            "tta": settings.tta,
            "beta": settings.beta,
            "confidence_level": LEVEL,
            "resamples": settings.resamples,
            "temperature": measurement.predictor.temperature,
        },
        "figures": {name: bounds(table[name]) for name in _OVERALL},
        "ece": figures.ece,
        "nll": figures.nll,
        "per_class": {name: _per_class(name, figures, table) for name in names},
        "confusion": figures.confusion,
        "report": figures.report(),
        "reliability": _bins(probabilities, labels),
        "selective": selective,
        "stress": _stress(measurement, config) if settings.stress else None,
        "curves": [{"name": each.name, "history": each.classifier.card.get("history", [])} for each in chosen],
        "faces": faces(images, probabilities, seed=config.seed),
        "notes": [*figures.notes, *measurement.notes],
        "run": {name: run.record.get(name, "") for name in ("command", "stage", "machine", "versions", "started")}
        | {"device": str(chosen[0].classifier.device)},
    }


def bounds(estimate: Estimate) -> dict[str, float]:
    """An estimate as plain values."""
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}


def _card(chosen: Opened) -> dict[str, Any]:
    card = chosen.classifier.card
    known = ("architecture", "parameters", "size", "channels", "seed", "steps", "best_step", "seconds", "temperature")
    facts = {name: card[name] for name in known if name in card}
    return {"name": chosen.name, "digest": chosen.classifier.digest, **facts}


def _per_class(name: str, figures: Evaluation, table: dict[str, Estimate]) -> dict[str, Any]:
    found = {figure: bounds(table[f"{figure}:{name}"]) if f"{figure}:{name}" in table else None for figure in PER_CLASS}
    if figures.per_class[name]["precision"] is None:
        found["precision"] = None  # never predicted: there is nothing to be precise about
    return {**found, "support": figures.per_class[name]["support"]}


def _bins(probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    return [
        {"confidence": confidence, "accuracy": accuracy, "count": round(share * len(labels))}
        for _, share, confidence, accuracy in reliability(probabilities, labels)
    ]


def _stress(measurement: Measurement, config: Config) -> list[dict[str, Any]]:
    """Accuracy under each condition, the images as they are first."""
    predictor, images = measurement.predictor, measurement.subject.images
    labels = predictor.columns(images.class_names)[images.labels]
    tta: Any = config.evaluate.tta
    with progress("stress", 1 + sum(map(len, CONDITIONS.values()))) as advance:
        rows = stress(
            predictor, np.asarray(images.images), labels, tta=tta, seed=config.seed, watch=lambda _: advance(1)
        )
    return [row.to_json() for row in rows]


def faces(images: ImageSet, probabilities: np.ndarray, *, seed: int, each: int = FACES) -> dict[str, Any]:
    """Per class, the mistakes it was surest of and right predictions drawn at random: base64 PNG and words."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rng = stream(seed, "faces")
    found: dict[str, Any] = {}
    for k, name in enumerate(images.class_names):
        mine = np.flatnonzero(images.labels == k)
        wrong = mine[predicted[mine] != k]
        wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:each]
        right = rng.permutation(mine[predicted[mine] == k])[:each]
        found[name] = {
            group: [
                {
                    "png": png_base64(np.asarray(images.images[i])),
                    "predicted": images.class_names[predicted[i]],
                    "confidence": float(confidence[i]),
                    "true_confidence": float(probabilities[i, k]),
                    "id": str(images.ids[i]),
                }
                for i in chosen
            ]
            for group, chosen in (("wrong", wrong), ("right", right))
        }
    return found
