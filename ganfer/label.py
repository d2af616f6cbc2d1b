"""Pseudo-label a batch: calibrated probabilities, asked against predicted class, keep or reject with the reason.

The classifier saw the training split only; its temperature and the class-wise thresholds come from validation.
"""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import Classifier
from ganfer.batch import Labels, newest_labels, read_batch, write_labels
from ganfer.classifier import open_classifier, real_only
from ganfer.config import Config
from ganfer.console import progress, say
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.sheets import contact_sheet
from ganfer.errors import DataError
from ganfer.files import atomic_path, digest_json, digest_of
from ganfer.results import Result, table
from ganfer.screen import KEPT, REASONS, classwise_thresholds, relative_entropy_to_uniform, screen, with_equal_priors
from ganfer.workspace import Run, Workspace

_CHUNK = 2048  # images in memory at a time
_SHEET = 12  # faces per class on the sheet


def labelled(batch: Run) -> bool:
    """Whether the batch has a finished labelling."""
    return newest_labels(batch) is not None


def label(workspace: Workspace, config: Config, batch_run: Run, classifier_run: Run, data: Run) -> Result:
    """Label and screen a batch; writes `labels/<run>/labels.csv` in it and refreshes its `metadata.csv`."""
    del workspace  # the labels live inside the batch's own folder
    key = {
        "config": dataclasses.asdict(config.label),
        "inputs": {"batch": batch_run.digest, "classifier": classifier_run.digest, "data": data.digest},
    }
    run = Run(batch_run.path / "labels" / f"{classifier_run.name.split('-')[0]}-{digest_json(key)[:8]}")
    with run.work("label", key) as record:
        if record.get("status") == "complete":
            return _result(run, batch_run, "was already labelled")
        images = read_set(data.path)
        names = images.class_names
        classifier = open_classifier(classifier_run, names, config)
        batch = read_batch(batch_run)
        if not len(batch):
            raise DataError(f"{batch_run.path} holds no images.", "Generate some: ganfer generate --n 500.")
        asked = np.array([names.index(name) if name in names else -1 for name in batch.asked], dtype=np.int64)

        val = real_only(images, "val")
        balanced = config.label.prior == "balanced"
        priors = learned_shares(classifier, images)

        def posterior(pixels: np.ndarray) -> np.ndarray:
            found = classifier.probabilities(pixels)
            return with_equal_priors(found, priors) if balanced else found

        thresholds = _thresholds(config, posterior(val.images), val.labels, names)
        probabilities = np.zeros((len(batch), len(names)), np.float32)
        reason = np.full(len(batch), KEPT, dtype=f"<U{max(map(len, REASONS))}")
        with progress("label", len(batch)) as advance:
            for start in range(0, len(batch), _CHUNK):
                chosen = np.arange(start, min(start + _CHUNK, len(batch)))
                pixels = batch.images(chosen)
                probabilities[chosen] = posterior(pixels)
                reason[chosen] = screen(
                    pixels, probabilities[chosen], asked[chosen], thresholds, require_match=config.label.require_match
                )
                advance(len(chosen))
        labels = Labels(run, names, probabilities.argmax(axis=1), probabilities.max(axis=1), probabilities, reason)
        write_labels(run, batch, labels)
        _write_sheet(run.path / "sheet.png", batch.images, labels)
        figures = _figures(labels, asked, thresholds, classifier_run.name, classifier.temperature)
        run.finish(digest=digest_of(run.path / "labels.csv"), figures=figures, device=str(classifier.device))
    if not labels.kept.any():
        say("No image was kept. The table below says which criterion rejected them.")
    return _result(run, batch_run, "labelled")


def learned_shares(classifier: Classifier, images: ImageSet) -> np.ndarray:
    """The class shares (K,) a classifier's probabilities assume: the training data's, unless it learned balanced."""
    settings = classifier.card.get("config", {})
    count = len(classifier.class_names)
    if settings.get("sampler") == "balanced" or settings.get("loss") in ("class-weighted", "logit-adjusted"):
        return np.full(count, 1.0 / count)
    train = images.labels[(images.split == "train") & (images.labels >= 0)]
    return np.bincount(train, minlength=count) / max(1, len(train))


def _thresholds(config: Config, probabilities: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    if config.label.min_confidence == "auto":
        balanced = config.label.prior == "balanced"
        return classwise_thresholds(probabilities, labels, config.label.beta, balanced=balanced)
    return np.full(len(names), float(config.label.min_confidence))


def _figures(
    labels: Labels, asked: np.ndarray, thresholds: np.ndarray, classifier: str, temperature: float
) -> dict[str, Any]:
    names = labels.class_names
    count = len(names)
    before = np.bincount(labels.predicted, minlength=count)
    after = np.bincount(labels.predicted[labels.kept], minlength=count)
    wanted = np.bincount(asked[asked >= 0], minlength=count)

    def by_name(counts: np.ndarray) -> dict[str, int]:
        return {name: int(n) for name, n in zip(names, counts, strict=True)}

    return {
        "labelling": {
            "classifier": classifier,
            "temperature": temperature,
            "before": {"counts": by_name(before), "entropy": relative_entropy_to_uniform(before)},
            "after": {"counts": by_name(after), "entropy": relative_entropy_to_uniform(after)},
            "thresholds": {name: float(t) for name, t in zip(names, thresholds, strict=True)},
        },
        "screen": {
            "asked": by_name(wanted) if wanted.any() else by_name(before),
            "kept": by_name(after),
            "reasons": {str(reason): n for reason, n in Counter(labels.reason.tolist()).items()},
        },
    }


def _result(run: Run, batch: Run, what: str) -> Result:
    figures = run.figures
    names = list(figures["labelling"]["before"]["counts"])
    before, after, asked = (
        figures["labelling"]["before"]["counts"],
        figures["labelling"]["after"]["counts"],
        figures["screen"]["asked"],
    )
    total, kept = sum(before.values()), sum(after.values())
    thresholds = figures["labelling"]["thresholds"]

    def share(n: int, of: int) -> str:
        return f"{n / of:.1%}" if of else "-"

    rows = [
        [n, asked[n], before[n], share(before[n], total), f"{thresholds[n]:.2f}", after[n], share(after[n], kept)]
        for n in names
    ]
    rows.append(["all", sum(asked.values()), total, "", "", kept, ""])
    entropy = [figures["labelling"][when]["entropy"] for when in ("before", "after")]
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(figures["screen"]["reasons"].items()))
    lines = [
        f"{batch.name} {what} by {figures['labelling']['classifier']}: {reasons}",
        *table(["class", "asked", "labelled", "share", "threshold", "kept", "share"], rows),
        f"entropy of the labels relative to uniform: {entropy[0]:.3f} before screening, {entropy[1]:.3f} after",
        f"in {run.path}",
    ]
    return Result("ganfer label", run.path, figures, lines)


def _write_sheet(path: Path, read: Any, labels: Labels) -> None:
    """One row per class: the kept faces with the highest confidence, so that a person can judge the labels."""
    chosen: list[int] = []
    captions: list[str] = []
    for k, name in enumerate(labels.class_names):
        mine = np.flatnonzero((labels.predicted == k) & labels.kept)
        best = mine[np.argsort(-labels.confidence[mine], kind="stable")][:_SHEET]
        chosen += best.tolist()
        captions += [f"{name} {labels.confidence[i]:.2f}" for i in best]
    if chosen:
        with atomic_path(path) as temporary:
            contact_sheet(read(chosen), columns=_SHEET, captions=captions).save(temporary, format="PNG")
