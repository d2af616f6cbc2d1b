"""The classifier as a stage of the workspace: trained on the training split, chosen and calibrated on validation."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifiers import Classifier, Samples, TrainConfig, train
from classifiers.start import start_name
from ganfer.cards.dataset import CARD
from ganfer.cards.model import write_model_card
from ganfer.classifier.model_card import classifier_facts, measures, validation_estimates
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.tracking import figures_of, tracked
from ganfer.workspace import Run, Workspace


def train_classifier(workspace: Workspace, config: Config, data: Run) -> Result:
    """Train and calibrate on the data's train and val splits; the test split is not looked at."""
    settings = identity(config.classifier)
    key = {"config": settings, "inputs": {"data": data.digest}, "seed": config.seed}
    run = workspace.run("classifiers", config.classifier.model.replace(":", "-"), key)
    with run.work("train classifier") as record, tracked(run, config, "train classifier") as track:
        if record.get("status") == "complete":
            return _result(run, "was already trained")
        images = read_set(data.path)
        trained = train(
            config.classifier,
            samples(images.of("train")),
            samples(real_only(images, "val")),
            images.class_names,
            run.path,
            seed=config.seed,
            device=config.device,
            progress=progress,
            curves=track.curves,
        )
        for note in trained.notes:
            say(note)
        classifier = trained.load(config.device)
        figures = {
            "model": config.classifier.model,
            "steps": trained.steps,
            "validation": {
                name: trained.validation[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece")
            },
            "temperature": classifier.temperature,
            "per_class": trained.validation["per_class"],
        }
        table = validation_estimates(trained.validation, images.class_names, config.seed)
        write_model_card(run.path, classifier_facts(run.name, trained.card, data.name, measures(table, "validation")))
        track.start({"classifier": dataclasses.asdict(config.classifier), "seed": config.seed})
        track.metrics(figures_of({name: dataclasses.asdict(value) for name, value in table.items()}, "validation"))
        track.artefacts(CARD, "card.json", "curves.png", "history.csv")
        learned_from = {"name": data.name, "kind": data.figures.get("kind", "")}  # told still when the data are gone
        run.finish(digest=classifier.digest, figures=figures, device=str(classifier.device), learned_from=learned_from)
    return _result(run, "trained")


def identity(config: TrainConfig) -> dict[str, Any]:
    """The settings as a key has them: starting weights by their content, so that the same ones are found below another
    path, and others below the same path are another training."""
    return {**dataclasses.asdict(config), "pretrained": start_name(config.pretrained)}


def samples(images: ImageSet, weights: np.ndarray | None = None, synthetic: np.ndarray | None = None) -> Samples:
    """An image set as the `classifiers` package takes it. Unlabelled images are left out.

    synthetic: (N,) bool, which images count as synthetic; none: those whose source says so.
    """
    synthetic = np.asarray(images.source == "synthetic", bool) if synthetic is None else synthetic
    known = np.flatnonzero(images.labels >= 0)
    if len(known) < len(images):
        images = images.select(known)
        weights = None if weights is None else weights[known]
        synthetic = synthetic[known]
    return Samples(np.asarray(images.images), images.labels, weights, images.soft_labels, synthetic)


def real_only(images: ImageSet, split: str) -> ImageSet:
    """The images of val or test; refuses a synthetic one, which would make every figure measured there worthless."""
    chosen = images.of(split)
    wrong = np.flatnonzero(chosen.source != "real")
    if len(wrong):
        raise DataError(
            f"The {split} split holds {len(wrong)} synthetic image(s), the first is {chosen.ids[wrong[0]]}.",
            "Synthetic images belong in training only; remove them and add the data again.",
        )
    if not len(chosen):
        raise DataError(f"The {split} split is empty.", "Add data with more images, or set data.val_fraction.")
    return chosen


def with_fresh(found: Samples, sets: Sequence[ImageSet]) -> Samples:
    """The samples with sets of images that stand in the place of the last ones in the later passes."""
    if not sets:
        return found
    soft = None
    if found.soft_labels is not None:
        soft = np.stack([np.eye(found.soft_labels.shape[1], dtype=np.float32)[one.labels] for one in sets])
        for place, one in enumerate(sets):
            soft[place] = soft[place] if one.soft_labels is None else one.soft_labels
    return dataclasses.replace(found, fresh=np.stack([one.images for one in sets]), fresh_soft_labels=soft)


def _result(run: Run, what: str) -> Result:
    figures = run.figures
    scores = figures["validation"]
    lines = [
        f"{run.name} {what}: validation accuracy {scores['accuracy']:.1%}, "
        f"balanced accuracy {scores['balanced_accuracy']:.1%}",
        f"calibration error {scores['ece']:.1%} at temperature {figures['temperature']:.2f}",
        f"in {run.path}",
    ]
    return Result("ganfer train classifier", run.path, figures, lines)


def training_prior(classifier: Classifier, images: ImageSet) -> np.ndarray:
    """The class shares (K,) that a classifier's probabilities assume: those of its training data, to a power.

    The power is 0 where it learned as if classes were equally common, or had its biases fitted so (`best`), 1/2 with
    the square-root sampler, and what the logit adjustment leaves.
    """
    train = images.labels[(images.split == "train") & (images.labels >= 0)]
    counts = np.bincount(train, minlength=len(classifier.class_names)).astype(float)
    power = _prior_left(classifier.card)
    shares = np.where(counts > 0, np.maximum(counts, 1.0) ** power, 0.0 if power else 1.0)
    return np.asarray(shares / (shares.sum() or 1.0))


def _prior_left(card: Mapping[str, Any]) -> float:
    """How much of the training data's class shares is left in a classifier's probabilities, as a power of them."""
    settings = card.get("config", {})
    loss, sampler = settings.get("loss"), settings.get("sampler")
    late = settings.get("defer", 0) > 0 and loss == "ldam"  # class weights in the last part of the steps
    if card.get("prior") == "balanced" or sampler == "balanced" or loss == "class-weighted" or late:
        return 0.0
    if settings.get("refit", 0) > 0:  # a new head, classes drawn equally often
        return 0.0
    left = 0.5 if sampler == "root" else 1.0
    return left - float(settings.get("logit_tau", 1.0)) if loss == "logit-adjusted" else left
