"""A classifier, or several as one, measured on labelled images it has not learned from.

The data's path: a split of a data set, or a folder of class folders (`evaluation.subject`) -> calibrated probabilities
-> figures (`evaluation.figures`) -> results.json, tables, plots and the page (`evaluation.files`).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import Classifier, Predictor
from ganfer.classifier.catalogue import ServedModel
from ganfer.classifier.evaluate_page import evaluation_lines
from ganfer.classifier.figures import Measurement, evaluation_results
from ganfer.classifier.files import write_evaluation
from ganfer.classifier.opened import Opened, as_one, open_found
from ganfer.classifier.selective import parse_thresholds, thresholds_for
from ganfer.classifier.subject import (
    Subject,
    files_digest,
    fitting_set,
    folder_subject,
    image_files,
    measured_part,
    source_notes,
    split_subject,
)
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.page.node import read_results
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_of
from ganfer.tracking import figures_of, tracked
from ganfer.workspace import Run, Workspace

_CHUNK = 4096  # images between two moves of the progress bar
_TOLD = ("figures", "ece", "nll", "per_class")  # to trackers
_KEPT = ("figures", "ece", "nll", "per_class", "confusion", "selective", "stress", "notes")  # in the record and --json


def evaluate(
    workspace: Workspace,
    config: Config,
    paths: Sequence[ServedModel | Path],
    data: Run | None,
    folder: Path | None = None,
) -> Result:
    """Measure the classifiers at `paths` (several: as an ensemble) on the data's split, or on a folder of classes.

    Writes `evaluations/<run>/`; the same command again finds it. DataError when sizes, ClassifierError when classes do
    not fit.
    """
    chosen = [open_found(path, config.device) for path in paths]
    predictor = as_one(chosen)
    wanted = parse_thresholds(config.evaluate.thresholds, predictor.class_names)
    files: list[Path] = []
    part: list[str] = []
    if folder is not None:
        found, others = image_files(folder)
        files, part = measured_part(folder, found)
        part += [*others, *source_notes(folder, data)]
    if folder is not None:
        digest = files_digest(folder, files)
    else:
        assert data is not None, "the pipeline brings data"
        digest, images = data.digest, fitting_set(data, predictor)
    key: dict[str, Any] = {
        "config": dataclasses.asdict(config.evaluate),
        "inputs": {"data": digest, "classifiers": [each.classifier.digest for each in chosen]},
        "seed": config.seed,
    }
    run = workspace.run("evaluations", "evaluate", key)
    with run.work("evaluate") as record, tracked(run, config, "evaluate") as track:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return evaluation_result(run)
        if folder is not None:
            subject = folder_subject(folder, files, predictor, data, config)
        else:
            assert data is not None
            subject = split_subject(data, images, config.evaluate.split)
        track.start({**key["config"], "classifiers": [each.name for each in chosen]})
        predictor, words = _calibrated(predictor, subject, config.evaluate.tta)
        names = subject.images.class_names
        probabilities = _probabilities(predictor, subject.images, config.evaluate.tta)
        thresholds = None
        if wanted is not None:
            held_out = subject.held_out
            fitted_on = None
            if held_out is not None and isinstance(wanted, float):
                fitted_on = (_probabilities(predictor, held_out, config.evaluate.tta, names), _labels(held_out, names))
            thresholds = thresholds_for(wanted, names, fitted_on)
        notes = (*part, *subject.notes, *_warnings(chosen, subject, config), *words)
        measurement = Measurement(subject, predictor, tuple(chosen), probabilities, thresholds, notes)
        results = evaluation_results(run, config, measurement)
        write_evaluation(run.path, measurement, results)
        track.metrics(figures_of({name: results.get(name) for name in _TOLD}, config.evaluate.split))
        track.artefacts("index.html", "results.json", "confusion.png")
        figures = {name: results[name] for name in _KEPT if results.get(name) is not None}
        digest = digest_of(run.path / "results.json")
        run.finish(digest=digest, figures=figures, device=str(chosen[0].classifier.device))
    return evaluation_result(run)


def evaluation_result(run: Run) -> Result:
    """What a finished evaluation says."""
    page = run.path / "index.html"
    lines = [*evaluation_lines(read_results(run.path)), "", f"Page: {page}"]
    return Result("ganfer evaluate", run.path, {**run.figures, "page": str(page)}, lines)


def _calibrated(predictor: Predictor, subject: Subject, tta: Any) -> tuple[Predictor, list[str]]:
    """The predictor with a temperature that suits ensemble and augmentation, and what there is to say about it.

    A single classifier without test-time augmentation keeps the temperature of its training.
    """
    if isinstance(predictor, Classifier) and tta == "none":
        return predictor, []
    if subject.held_out is None:
        return predictor, ["No validation images of these classes were at hand: the confidences are not recalibrated."]
    labels = _labels(subject.held_out, predictor.class_names)
    fitted = predictor.calibrated(np.asarray(subject.held_out.images), labels, tta=tta)
    return fitted, ["The temperature was fitted anew on validation images, for this combination."]


def _labels(images: ImageSet, class_names: Sequence[str]) -> np.ndarray:
    """The labels (N,) as indices into `class_names`, another order of the same classes."""
    places: np.ndarray = np.array([list(class_names).index(name) for name in images.class_names])
    return places[images.labels]


def _probabilities(
    predictor: Predictor, images: ImageSet, tta: Any, class_names: Sequence[str] | None = None
) -> np.ndarray:
    """Calibrated probabilities (N, K) float32, columns in the order of `class_names` (none: of the images')."""
    columns = predictor.columns(class_names or images.class_names)
    parts = []
    with progress("predict", len(images)) as advance:
        for start in range(0, len(images), _CHUNK):
            chunk = np.asarray(images.images[start : start + _CHUNK])
            parts.append(predictor.probabilities(chunk, tta=tta)[:, columns])
            advance(len(chunk))
    return np.concatenate(parts)


def _warnings(chosen: Sequence[Opened], subject: Subject, config: Config) -> list[str]:
    """What could make the figures too good."""
    if subject.is_folder:
        return ["If the classifier learned from images of this folder, which is not known, these figures are too good."]
    unknown = [f"{each.name} (on unknown data)" for each in chosen if not each.data_digest]
    others = [f"{each.name} (on other data)" for each in chosen if each.data_digest not in ("", subject.digest)]
    notes = []
    if unknown or others:
        who = " and ".join([*unknown, *others])
        notes.append(f"Trained elsewhere: {who}. If it learned from any of these images, the figures are too good.")
    if config.evaluate.split == "val":
        notes.append("Weights and temperature were chosen on this split, so the figures are a little too good.")
    return notes
