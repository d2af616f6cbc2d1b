"""Train the same classifier with and without the synthetic faces, paired seeds, equal steps; say what changed.

The data's path: training split and kept synthetic faces -> `select` (how many, on validation) -> `arms` ->
`trainings` (many at a time, chosen on validation) -> one look at the test split per trained model -> `verdict` and
`rule` -> `findings` -> `results.json`, the classifier `best` and the page of `ganfer.report`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from classifiers.config import TrainConfig
from classifiers.parts import total_steps
from ganfer.classifier.train import real_only
from ganfer.config import Config
from ganfer.data.imageset import read_set
from ganfer.experiment.arms import REBALANCING, Arm, Build, Material, Outcome, TrainingData, chosen_arms
from ganfer.experiment.best import keep_best
from ganfer.experiment.board import write_hparams
from ganfer.experiment.budget import Budget, budget_of
from ganfer.experiment.ceiling import held_back, is_thinned, say_ceiling
from ganfer.experiment.comparisons import LEVEL, mean_level, selected
from ganfer.experiment.faces import alike, faces_notes, kept_faces, refuse_other_data, several_batches, unscreened_faces
from ganfer.experiment.findings import Experiment, experiment_results
from ganfer.experiment.fitted import mean_of_cross_fitted, with_fitted_biases
from ganfer.experiment.history import uses_notes
from ganfer.experiment.preflight import Leaks, leaks_of, refuse_too_few
from ganfer.experiment.select import (
    folder_of,
    ratios_of,
    select,
    select_rebalanced,
    trainings_of,
    tries_of,
    weights_of,
)
from ganfer.experiment.trainings import Trainings
from ganfer.label.labels import newest_labels
from ganfer.report import read_results, terminal_summary, write_report
from ganfer.results import Result
from ganfer.review.effect import decisions_input, people_notes, people_said
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.workspace import Run, Workspace

RULE = 3  # of the verdict; a report made under another is made anew, from the same trainings


def plan_lines(config: Config, workspace: Workspace | None = None, data: Run | None = None) -> list[str]:
    """What `retrain` will train, in words, and how long that takes where an earlier record tells."""
    settings = config.retrain
    arms = chosen_arms(settings.arms, thinned=None if data is None else is_thinned(data))
    names = ", ".join(arm.name for arm in arms)
    lines = [f"train {config.classifier.model} with {settings.seeds} seed(s) in each arm: {names}"]
    ratios, weights = ratios_of(settings), weights_of(settings)
    if ratios:
        lines.append(f"before that, find the ratio of synthetic faces on validation: {settings.ratios}")
    if weights:
        lines.append(f"and their weight: {', '.join(f'{weight:g}' for weight in weights)}")
    budget = budget_of(config, number_of_trainings(config, data), workspace, data)
    return [*lines, *budget.lines()]


def number_of_trainings(config: Config, data: Run | None = None) -> int:
    """Trainings of an experiment, at most: arms and candidates, times the seeds."""
    arms = chosen_arms(config.retrain.arms, thinned=None if data is None else is_thinned(data))
    trained = sum(arm.after != "free" for arm in arms)
    return (trained + trainings_of(config.retrain)) * config.retrain.seeds + (config.retrain.keep == "distilled")


def retrain(workspace: Workspace, config: Config, data: Run, batch_run: Run) -> Result:
    """Run the experiment and write its report; an interrupted one goes on with the trainings that are missing."""
    arms = chosen_arms(config.retrain.arms, thinned=is_thinned(data))
    labels_run = newest_labels(batch_run)
    assert labels_run is not None, "the pipeline labels the batch first"
    refuse_other_data(batch_run, labels_run, data)
    several = _several(workspace, config, data)
    key = {
        "config": {"retrain": _identity(config), "classifier": dataclasses.asdict(config.classifier)},
        "inputs": {
            "data": data.digest,
            "batch": batch_run.digest,
            "labels": labels_run.digest,
            **decisions_input(batch_run),
        },
        **({"batches": [labels.digest for _, labels in several]} if several else {}),
        "seed": config.seed,
        "rule": RULE,
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
        turns = alike([kept_faces(*pair, images) for pair in several], config.seed) if several else ()
        kept = turns[0] if turns else kept
        leaks = leaks_of(workspace, config, data, images)
        real = images.of("train").labelled()
        unscreened = unscreened_faces(batch_run, labels_run, images, kept.counts(), config.seed)
        taken = held_back(data, images) if any(arm.name == "oracle" for arm in arms) else None
        material = Material(real, kept, unscreened, config.retrain.weight, config.seed, held_back=taken, turns=turns)
        trainings = Trainings(run, val, test, _seeds(config), device=config.device, workers=config.retrain.workers)
        budget = budget_of(config, number_of_trainings(config, data), workspace, data, real=real, val=val)
        for line in budget.lines():
            say(line)
        experiment = _experiment(config, arms, material, trainings, leaks, budget)
        results = experiment_results(run, config, data, images, experiment, batch_run, labels_run)
        results["classifiers"] = keep_best(run, config, experiment, trainings, results["recommendation"]["arm"])
        results["data"]["notes"] += [
            *faces_notes(batch_run, labels_run),
            *uses_notes(workspace, run, data, key),
        ]
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


def _several(workspace: Workspace, config: Config, data: Run) -> list[tuple[Run, Run]]:
    """The batches that the seeds take turns with, and their labellings; empty for the newest alone."""
    settings = config.retrain
    pairs = []
    for batch in several_batches(workspace, settings.batches, settings.seeds) if settings.batches else []:
        labels = newest_labels(batch)
        assert labels is not None, "asked for before"
        refuse_other_data(batch, labels, data)
        pairs.append((batch, labels))
    return pairs


def _experiment(
    config: Config, arms: Sequence[Arm], material: Material, trainings: Trainings, leaks: Leaks, budget: Budget
) -> Experiment:
    """Choose on validation, train every arm, then look at the test split.

    Trainings that wait for no choice go together, so that a machine with many cores is never left waiting.
    """
    recipe = _recipe(config.classifier, material)
    tries = tries_of(config.retrain)
    first = {arm.name: settings_of(arm, tries) for arm in arms if not arm.faces and not arm.after}
    built = {name: build(material, recipe) for settings in first.values() for name, build in settings.items()}
    choice = select(trainings, material, recipe, config.retrain, LEVEL, along=built)
    means = validated(trainings, built)
    folders = {name: best_of(means, list(settings)) for name, settings in first.items()}
    say_ceiling(trainings, folders, material, config.retrain.resamples)
    best = ""
    if any(arm.after == "best" for arm in arms):
        best = best_of(means, [folders[name] for name in REBALANCING if name in folders])
        choice = select_rebalanced(trainings, choice, best, recipe, config.retrain, LEVEL)
    if any(arm.after == "teacher" for arm in arms):
        material = dataclasses.replace(material, teacher=trainings.ensemble("original", material.real.images))
    for arm in arms:
        if arm.after == "teacher":
            later = {name: build(material, recipe) for name, build in settings_of(arm, tries).items()}
            folders[arm.name] = best_of(validated(trainings, later), list(later))
            built |= later
        elif arm.faces:
            candidate = choice.candidate(arm)
            folders[arm.name] = folder_of(arm, candidate, best)
            built[folders[arm.name]] = arm.build(dataclasses.replace(candidate.material, best=best), recipe)
    found = validated(trainings, {name: built[name] for name in folders.values()})
    steps = total_steps(recipe, len(material.real))
    outcomes: list[Outcome] = []
    validation: dict[str, float] = {}
    for arm in arms:
        if arm.after == "free":
            fitted = with_fitted_biases(outcomes[0], arm, trainings.val)
            outcomes.append(fitted)
            validation[arm.name] = mean_of_cross_fitted(outcomes[0], trainings.val)
            folders[arm.name] = folders[outcomes[0].arm.name]
            continue
        outcomes.append(Outcome(arm, built[folders[arm.name]], steps, trainings.look(folders[arm.name])))
        validation[arm.name] = found[folders[arm.name]]
    return Experiment(
        outcomes, folders, trainings.val, trainings.test, selected(validation), choice, leaks, budget, material
    )


def settings_of(arm: Arm, tries: int) -> dict[str, Build]:
    """The folders and builds of the settings that validation chooses from."""
    other = {arm.name + arm.other[0]: arm.other[1]} if arm.other and tries > 1 else {}
    return {arm.name: arm.build, **other}


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
