"""From the outcomes of an experiment's arms to `results.json`: figures, intervals, verdict, faces, how it was made."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from classifiers.calibration import ece, reliability
from ganfer import verdict
from ganfer.arms import Outcome
from ganfer.batch import read_batch, read_labels
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.data.provenance import png_base64
from ganfer.seeding import stream
from ganfer.verdict import Estimate, Measured
from ganfer.workspace import Run

FORMAT = 1
LEVEL = 0.95  # of every interval
_FACES = 6  # of each kind per class


def experiment_results(
    run: Run, config: Config, data: Run, images: ImageSet, outcomes: Sequence[Outcome], batch: Run, labels: Run
) -> dict[str, Any]:
    """Everything the report shows, as plain JSON values. The first outcome is the baseline of every comparison."""
    names, settings = images.class_names, config.retrain
    truth = images.labels[images.split == "test"]
    measured = [
        verdict.measure(truth, _predictions(outcome), names, resamples=settings.resamples, seed=config.seed)
        for outcome in outcomes
    ]
    changes = {
        outcome.arm.name: verdict.changes(arm, measured[0], LEVEL)
        for outcome, arm in zip(outcomes[1:], measured[1:], strict=True)
    }
    deciding = next((o.arm.name for o in outcomes[1:] if o.arm.synthetic), outcomes[1].arm.name)
    word, sentence = verdict.verdict(
        changes[deciding], what=_subject(deciding), margin=settings.margin, accuracy_margin=settings.accuracy_margin
    )
    return {
        "format": FORMAT,
        "title": f"{config.classifier.model} on {data.name}, with and without synthetic faces",
        "verdict": {"word": word, "sentence": sentence, "arm": deciding, "baseline": outcomes[0].arm.name},
        "data": {
            "name": data.name,
            "digest": images.digest,
            "class_names": list(names),
            **{split: images.counts(split) for split in ("train", "val", "test")},
            "notes": _notes(images, outcomes),
        },
        "arms": [_arm(outcome, arm, truth, names) for outcome, arm in zip(outcomes, measured, strict=True)],
        "comparisons": [
            {
                "arm": arm,
                "baseline": outcomes[0].arm.name,
                "metric": metric,
                "change": change.mean,
                "low": change.low,
                "high": change.high,
                "word": verdict.word(change, settings.margin),
            }
            for arm, table in changes.items()
            for metric, change in table.items()
        ],
        **labels.figures,
        "faces": _faces(images, batch, labels, config.seed),
        "settings": {
            "seeds": [config.seed + i for i in range(settings.seeds)],
            "steps": outcomes[0].steps,
            "confidence_level": LEVEL,
            "resamples": settings.resamples,
            "margin": settings.margin,
            "accuracy_margin": settings.accuracy_margin,
        },
        "run": _run_facts(run, outcomes),
    }


def _subject(arm: str) -> str:
    return "The synthetic faces" if arm == "synthetic" else f"The arm {arm}"


def _predictions(outcome: Outcome) -> np.ndarray:
    """(S, N) int64, one row per seed."""
    return np.stack([trained.probabilities.argmax(axis=1) for trained in outcome.trained])


def _arm(outcome: Outcome, measured: Measured, truth: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    figures = verdict.estimates(measured, LEVEL)
    predictions = _predictions(outcome)
    support = np.bincount(truth, minlength=len(names))
    per_class = {
        name: {
            **{figure: _bounds(figures.get(f"{figure}:{name}")) for figure in verdict.PER_CLASS},
            "support": int(support[k]),
        }
        for k, name in enumerate(names)
    }
    images = outcome.data.images
    synthetic = images.select(np.flatnonzero(images.source == "synthetic"))
    return {
        "name": outcome.arm.name,
        "title": outcome.arm.title,
        "description": outcome.arm.description,
        "train_counts": images.counts(),
        "synthetic_counts": synthetic.counts(),
        "metrics": {name: figures[name].to_json() for name in verdict.OVERALL},
        "per_class": per_class,
        "confusion": sum(confusion_matrix(truth, row, labels=np.arange(len(names))) for row in predictions).tolist(),
        "steps": outcome.steps,
        "seconds": round(sum(trained.seconds for trained in outcome.trained), 1),
        "calibration": _calibration(outcome, truth),
    }


def _bounds(estimate: Estimate | None) -> dict[str, float | None]:
    """Mean and interval, all None for a class without test images."""
    if estimate is None:
        return {"mean": None, "low": None, "high": None}
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}


def _calibration(outcome: Outcome, truth: np.ndarray) -> dict[str, Any]:
    """Expected calibration error over all seeds' test predictions, and the bins of the reliability diagram."""
    probabilities = np.concatenate([trained.probabilities for trained in outcome.trained])
    labels = np.tile(truth, len(outcome.trained))
    return {
        "temperature": float(np.mean([trained.temperature for trained in outcome.trained])),
        "ece": ece(probabilities, labels),
        "bins": [
            {"confidence": confidence, "accuracy": accuracy, "count": round(share * len(labels))}
            for _, share, confidence, accuracy in reliability(probabilities, labels)
        ],
    }


def _notes(images: ImageSet, outcomes: Sequence[Outcome]) -> list[str]:
    notes = [
        f"{name} has no test image: nothing can be said about it." for name, n in images.counts("test").items() if not n
    ]
    notes += [
        f"{name} has {n} test images: a recall measured on them is uncertain by up to ±{98 / n**0.5:.0f} points."
        for name, n in images.counts("test").items()
        if 0 < n < 100
    ]
    if all(outcome.arm.synthetic for outcome in outcomes[1:]):
        notes.append(
            "No cheap alternative was compared (--arms original,oversample,logit-adjusted,synthetic): drawing the rare "
            "classes more often may bring the same."
        )
    if len(outcomes[0].trained) < 3:
        notes.append(f"Only {len(outcomes[0].trained)} seed(s) per arm: what a training's luck brings is poorly known.")
    return notes


def _faces(images: ImageSet, batch_run: Run, labels_run: Run, seed: int) -> Mapping[str, Any]:
    """A few real and kept synthetic training faces per class, drawn at random (not picked), for the page."""
    batch, labels = read_batch(batch_run), read_labels(labels_run, images.class_names)
    rng = stream(seed, "report faces")
    faces: dict[str, Any] = {}
    for k, name in enumerate(images.class_names):
        real = np.flatnonzero((images.labels == k) & (images.split == "train") & (images.source == "real"))
        drawn = np.flatnonzero((labels.predicted == k) & labels.kept)
        some_real = np.sort(rng.permutation(real)[:_FACES])
        some_drawn = np.sort(rng.permutation(drawn)[:_FACES])
        pixels = batch.images(some_drawn)
        faces[name] = {
            "real": [{"png": png_base64(images.images[i]), "caption": name} for i in some_real],
            "synthetic": [
                {"png": png_base64(pixels[j]), "caption": f"{name} {labels.confidence[i]:.2f}"}
                for j, i in enumerate(some_drawn)
            ],
        }
    return faces


def _run_facts(run: Run, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    record = run.record
    return {
        **{name: record.get(name) for name in ("command", "stage", "machine", "versions", "started", "seconds")},
        "device": outcomes[0].trained[0].device,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "times": [
            {"stage": f"train {outcome.arm.name}", "seconds": round(sum(t.seconds for t in outcome.trained), 1)}
            for outcome in outcomes
        ],
    }
