"""Train the same classifier with and without the synthetic faces, paired seeds, equal steps; say what changed.

The data's path: training split and kept synthetic faces -> `tuning` (how many, on validation) -> `arms` ->
`trainings` (many at a time, chosen on validation) -> one look at the test split per trained model -> `verdict` ->
`findings` -> `results.json` and the page of `ganfer.report`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from classifiers.config import TrainConfig
from classifiers.parts import total_steps
from ganfer.classifier.train import real_only
from ganfer.config import Config
from ganfer.data.imageset import read_set
from ganfer.experiment.arms import REBALANCING, Arm, Material, Outcome, TrainingData, chosen_arms
from ganfer.experiment.board import write_hparams
from ganfer.experiment.budget import Budget, budget_of
from ganfer.experiment.comparisons import LEVEL, Selection, mean_level
from ganfer.experiment.faces import kept_faces, refuse_other_data, unscreened_faces
from ganfer.experiment.findings import Experiment, experiment_results
from ganfer.experiment.preflight import Leaks, leaks_of, refuse_too_few
from ganfer.experiment.trainings import Trainings
from ganfer.experiment.tuning import (
    REBALANCED,
    folder_of,
    ratios_of,
    trainings_of,
    tune,
    tune_rebalanced,
    weights_of,
)
from ganfer.label.labels import newest_labels
from ganfer.report import read_results, terminal_summary, write_report
from ganfer.results import Result
from ganfer.review.effect import decisions_input, people_notes, people_said
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.workspace import Run, Workspace


def plan_lines(config: Config, workspace: Workspace | None = None, data: Run | None = None) -> list[str]:
    """What `retrain` will train, in words, and how long that takes where an earlier record tells."""
    settings = config.retrain
    arms = chosen_arms(settings.arms)
    names = ", ".join(arm.name for arm in arms)
    lines = [f"train {config.classifier.model} with {settings.seeds} seed(s) in each arm: {names}"]
    ratios, weights = ratios_of(settings), weights_of(settings)
    if ratios:
        lines.append(f"before that, find the ratio of synthetic faces on validation: {settings.ratios}")
    if weights:
        lines.append(f"and their weight: {settings.weights}")
    budget = budget_of(config, number_of_trainings(config), workspace, data)
    return [*lines, *budget.lines()]


def number_of_trainings(config: Config) -> int:
    """Trainings of an experiment, at most: arms and candidates, times the seeds."""
    return (len(chosen_arms(config.retrain.arms)) + trainings_of(config.retrain)) * config.retrain.seeds


def retrain(workspace: Workspace, config: Config, data: Run, batch_run: Run) -> Result:
    """Run the experiment and write its report; an interrupted one goes on with the trainings that are missing."""
    arms = chosen_arms(config.retrain.arms)
    labels_run = newest_labels(batch_run)
    assert labels_run is not None, "the pipeline labels the batch first"
    refuse_other_data(batch_run, labels_run, data)
    key = {
        "config": {"retrain": _identity(config), "classifier": dataclasses.asdict(config.classifier)},
        "inputs": {
            "data": data.digest,
            "batch": batch_run.digest,
            "labels": labels_run.digest,
            **decisions_input(batch_run),
        },
        "seed": config.seed,
    }
    run = workspace.run("reports", "retrain", key)
    with run.work("retrain") as record:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return report_result(run)
        images = read_set(data.path)
        val, test = (real_only(images, split).labelled() for split in ("val", "test"))
        refuse_too_few(test)
        kept = kept_faces(batch_run, labels_run, images, soft_labels=config.retrain.soft_labels)
        leaks = leaks_of(workspace, config, data, images)
        real = images.of("train").labelled()
        if config.retrain.drop_leaks:
            real, val = leaks.without(real), leaks.without(val)
        unscreened = unscreened_faces(batch_run, labels_run, images, kept.counts(), config.seed)
        material = Material(real, kept, unscreened, config.retrain.weight, config.seed)
        trainings = Trainings(run, val, test, _seeds(config), device=config.device, workers=config.retrain.workers)
        budget = budget_of(config, number_of_trainings(config), workspace, data, real=real, val=val)
        for line in budget.lines():
            say(line)
        experiment = _experiment(config, arms, material, trainings, leaks, budget)
        results = experiment_results(run, config, data, images, experiment, batch_run, labels_run)
        people = people_said(batch_run, labels_run, images.class_names)
        results |= people
        results["data"]["notes"] += people_notes(people)
        page = write_report(run.path, results)
        if config.classifier.tensorboard:
            write_hparams(run.path, config, results)
        figures = {"verdict": results["verdict"], "page": str(page)}
        digest = digest_of(run.path / "results.json")
        run.finish(digest=digest, figures=figures, device=experiment.outcomes[0].trained[0].device)
    return report_result(run)


def _experiment(
    config: Config, arms: Sequence[Arm], material: Material, trainings: Trainings, leaks: Leaks, budget: Budget
) -> Experiment:
    """Choose on validation, train every arm, then look at the test split.

    Trainings that wait for no choice go together, so that a machine with many cores is never left waiting.
    """
    recipe = _recipe(config.classifier, material)
    plain = [arm for arm in arms if arm.role in ("baseline", "cheap")]
    data = {arm.name: arm.build(material, recipe) for arm in plain}
    folders = {arm.name: arm.name for arm in plain}
    tuned = tune(trainings, material, recipe, config.retrain, LEVEL, along=data)
    best = ""
    if any(arm.name == REBALANCED for arm in arms):
        best = best_of(validated(trainings, data), REBALANCING)
        tuned = tune_rebalanced(trainings, tuned, best, recipe, config.retrain, LEVEL)
    for arm in arms:
        if arm.name not in data:
            candidate = tuned.candidate(arm)
            data[arm.name] = arm.build(dataclasses.replace(candidate.material, best=best), recipe)
            folders[arm.name] = folder_of(arm, candidate, best)
    found = validated(trainings, {folders[name]: prepared for name, prepared in data.items()})
    means = {arm.name: found[folders[arm.name]] for arm in arms}
    cheap = [arm.name for arm in arms if arm.role == "cheap"]
    selection = Selection(best_of(means, cheap), best_of(means, REBALANCING), means)
    steps = total_steps(recipe, len(material.real))
    outcomes = [Outcome(arm, data[arm.name], steps, trainings.look(folders[arm.name])) for arm in arms]
    return Experiment(outcomes, folders, trainings.val, trainings.test, selection, tuned, leaks, budget)


def validated(trainings: Trainings, wanted: Mapping[str, TrainingData]) -> dict[str, float]:
    """The mean balanced accuracy on validation over the seeds, of trainings that are made where they are missing."""
    found = trainings.train(wanted)
    return {name: mean_level(trainings.val, probabilities.argmax(axis=2)) for name, probabilities in found.items()}


def best_of(means: Mapping[str, float], names: Sequence[str]) -> str:
    """The one of these names that is best on validation; "" where none of them was trained."""
    return max((name for name in names if name in means), key=lambda name: means[name], default="")


def _recipe(config: TrainConfig, material: Material) -> TrainConfig:
    """The common settings: the same number of steps in every arm, and of validations, from which weights are chosen.

    An arm with twice the images passes half as often over them, and would otherwise be validated half as often.
    """
    steps = total_steps(config, len(material.real))
    most = len(material.real) + len(material.kept)
    passes = steps * min(config.batch_size, most) // most
    return dataclasses.replace(config, steps=steps, validations=max(1, min(config.validations, passes)))


def _identity(config: Config) -> dict[str, object]:
    """The settings that change what comes out; how many trainings run side by side does not."""
    return {name: value for name, value in dataclasses.asdict(config.retrain).items() if name != "workers"}


def _seeds(config: Config) -> list[int]:
    return [config.seed + i for i in range(config.retrain.seeds)]


def report_result(run: Run) -> Result:
    """The result of a finished experiment, from its `results.json`."""
    results = read_results(run.path)
    page = run.path / "index.html"
    lines = [*terminal_summary(results), "", f"report: {page.resolve()}"]
    return Result("ganfer retrain", run.path, results, lines)
