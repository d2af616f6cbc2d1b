"""The classifier that an experiment leaves for every other command: the recommended arm's, with fitted biases."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.biases import save_with_biases
from ganfer.cards.model import write_model_card
from ganfer.classifier.model_card import classifier_facts, measures
from ganfer.config import Config
from ganfer.experiment.arms import ARMS, Outcome, Trained
from ganfer.experiment.comparisons import mean_level
from ganfer.experiment.findings import Experiment
from ganfer.experiment.fitted import fit_biases
from ganfer.experiment.trainings import Trainings
from ganfer.runtime.files import read_object
from ganfer.workspace import Run

FOLDER = "best"


def keep_best(
    run: Run, config: Config, experiment: Experiment, trainings: Trainings, recommended: str
) -> dict[str, Any]:
    """Keep the recommended arm's classifier below the report; which folders hold the classifiers, relative to it.

    Of its seeds the one that is best on validation, with class biases fitted there; with `retrain.keep` all of them, or
    one net distilled from them.
    """
    outcomes = {outcome.arm.name: outcome for outcome in experiment.outcomes}
    labels, outcome = experiment.val.labels, outcomes[recommended]
    folder = experiment.folders[recommended]
    trained = _of_network(outcomes, recommended)
    order = np.argsort([-mean_level(experiment.val, [each.validation.argmax(axis=1)]) for each in trained])
    target = run.path / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    note = {"arm": recommended, "from": run.name}
    found: dict[str, Any] = {
        "before": _relative(run, trainings.folder(experiment.folders["original"], trainings.seeds[0]))
    }
    after = next((name for name in ("synthetic", "synthetic+best", "distilled+synthetic") if name in outcomes), None)
    if after:
        found["after"] = _relative(run, trainings.folder(experiment.folders[after], trainings.seeds[0]))
    if config.retrain.keep == "distilled":
        source, model = _distilled(trainings, outcome, folder)
        _write(source, target, model, labels, note)
    else:
        best = int(order[0])
        _write(trainings.folder(folder, trainings.seeds[best]), target, trained[best], labels, note)
    found["best"] = FOLDER
    if config.retrain.keep == "ensemble":
        found["ensemble"] = []
        for i in order.tolist():
            member = target / f"seed-{trainings.seeds[i]}"
            _write(trainings.folder(folder, trainings.seeds[i]), member, trained[i], labels, note)
            found["ensemble"].append(_relative(run, member))
    return found


def write_best_card(run: Run, data: Run, results: Mapping[str, Any], *, distilled: bool) -> None:
    """The model card of the kept classifier: its arm's figures on the test split, over the seeds, with intervals; with
    class biases fitted on validation, as the classifier has them."""
    recommended = results["recommendation"]["arm"]
    arm, fitted = (
        next(arm for arm in part["arms"] if arm["name"] == recommended) for part in (results, results["equal_shares"])
    )
    card = read_object(run.path / FOLDER / "card.json", "Remove the report and run the command again.")
    faces = sum(arm["synthetic_counts"].values())
    whose = "one net distilled from them" if distilled else "the seed that is best on validation"
    notes = (
        f"The figures are the mean over {len(results['settings']['seeds'])} seeds of the arm {recommended}, each with "
        f"class biases fitted on validation; the weights are those of {whose}, with such biases.",
        *([f"{faces:,} of its training images are synthetic."] if faces else []),
    )
    facts = classifier_facts(f"{run.name} best", card, data.name, measures(fitted["metrics"], "test"), notes=notes)
    write_model_card(run.path / FOLDER, facts)


def _of_network(outcomes: Mapping[str, Outcome], arm: str) -> tuple[Trained, ...]:
    """The models as they were trained: those of the original where an arm only moves their thresholds."""
    return outcomes["original" if ARMS[arm].after == "free" else arm].trained


def _write(source: Path, target: Path, model: Trained, labels: np.ndarray, note: dict[str, Any]) -> None:
    fitted = fit_biases(labels, model.validation)
    save_with_biases(source, target, slope=fitted.slope, shifts=fitted.shifts, note=note)


def _distilled(trainings: Trainings, outcome: Outcome, folder: str) -> tuple[Path, Trained]:
    """One net that learned what the arm's models say together of its own training images."""
    images = outcome.data.images
    teacher = trainings.ensemble(folder, images.images)
    taught = dataclasses.replace(images, soft_labels=teacher)
    data = dataclasses.replace(
        outcome.data, images=taught, turns=(), fresh=(), head=None
    )  # the teacher spoke of these images
    name = f"{folder}-distilled"
    return trainings.one(name, data, trainings.seeds[0])


def _relative(run: Run, folder: Path) -> str:
    return folder.relative_to(run.path).as_posix()
