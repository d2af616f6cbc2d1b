"""What an experiment has before its first training: checked images, the material of its arms, and the plan."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from classifiers.config import TrainConfig
from classifiers.parts import total_steps
from classifiers.start import check_start, own_file, start_digest
from ganfer.classifier.early import image_shape
from ganfer.classifier.train import identity as classifier_identity
from ganfer.classifier.train import real_only
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import ConfigError
from ganfer.experiment import ways
from ganfer.experiment.arms import Arm, chosen_arms
from ganfer.experiment.budget import Budget, budget_of
from ganfer.experiment.ceiling import held_back, is_thinned
from ganfer.experiment.cleaned import out_of_fold
from ganfer.experiment.faces import (
    alike,
    kept_faces,
    plausible_faces,
    refuse_other_data,
    several_batches,
    unscreened_faces,
)
from ganfer.experiment.fresh import with_fresh
from ganfer.experiment.material import Material
from ganfer.experiment.original import alike_in_all
from ganfer.experiment.plan import Plan, plan_of, ratios_of
from ganfer.experiment.preflight import Leaks, leaks_of, refuse_too_few
from ganfer.experiment.ratios import portions_of
from ganfer.experiment.retrieval import has_pool, pool_faces, pool_input
from ganfer.experiment.select import Choices
from ganfer.experiment.trainings import Trainings, seeds_of
from ganfer.label.labels import newest_labels
from ganfer.review.decisions import decisions_digest
from ganfer.review.effect import decisions_input
from ganfer.workspace import Run, Workspace

RULE = 6  # of verdict and recommendation; a report made under another is made anew, from the same trainings


@dataclass(frozen=True)
class Inputs:
    """What is asked: a batch and its labels, on these data; several: batches the seeds take turns with. run: where."""

    arms: list[Arm]

    workspace: Workspace
    config: Config
    data: Run
    batch: Run
    labels: Run
    several: list[tuple[Run, Run]]
    run: Run


@dataclass(frozen=True)
class Prepared:
    """An experiment that may begin. recipe: the settings that all arms have in common."""

    inputs: Inputs
    images: ImageSet
    leaks: Leaks
    material: Material
    recipe: TrainConfig
    plan: Plan
    budget: Budget
    trainings: Trainings
    choices: Choices


def inputs_of(workspace: Workspace, config: Config, data: Run, batch: Run) -> Inputs:
    """What the experiment rests on, and the folder that this names. DataError for faces of other data."""
    labels = newest_labels(batch)
    assert labels is not None, "the pipeline labels the batch first"
    pooled = has_pool(config, workspace, data)
    arms = chosen_arms(config.retrain.arms, thinned=is_thinned(data), pooled=pooled, start=config.retrain.pretrained)
    refuse_other_data(batch, labels, data)
    several = _several(workspace, config, data, batch)
    key: dict[str, Any] = {
        "config": {"retrain": identity(config), "classifier": classifier_identity(config.classifier)},
        "inputs": {
            "data": data.digest,
            "batch": batch.digest,
            "labels": labels.digest,
            **decisions_input(batch),
            **start_inputs(workspace, config),
        },
        **({"batches": [labels.digest + decisions_digest(run.path) for run, labels in several]} if several else {}),
        **pool_input(arms, workspace, data),
        "seed": config.seed,
        "rule": RULE,
    }
    return Inputs(arms, workspace, config, data, batch, labels, several, workspace.run("reports", "retrain", key))


def identity(config: Config) -> dict[str, object]:
    """The settings that change what comes out; how many trainings run side by side does not."""
    settings = ways.identity(dataclasses.asdict(config.retrain))
    if not settings["fresh"]:
        del settings["fresh"]  # as it was before there was the setting
    return settings


def prepared(inputs: Inputs) -> Prepared:
    """Read, check and plan. DataError for data that can show nothing, or where the screen kept no face."""
    workspace, config, data, settings = inputs.workspace, inputs.config, inputs.data, inputs.config.retrain
    images = read_set(data.path)
    val, test = (real_only(images, split).labelled() for split in ("val", "test"))
    refuse_too_few(test)
    kept = kept_faces(inputs.batch, inputs.labels, images, soft_labels=settings.soft_labels)
    several = inputs.several
    every = [kept_faces(*pair, images, soft_labels=settings.soft_labels) for pair in several]
    turns = alike(every, config.seed) if every else ()
    kept = turns[0] if turns else kept
    leaks = leaks_of(workspace, config, data, images)
    real = images.of("train").labelled()
    unscreened = unscreened_faces(inputs.batch, inputs.labels, images, kept.counts(), config.seed)
    taken = held_back(data, images) if any(arm.name == "oracle" for arm in inputs.arms) else None
    pool = pool_faces(inputs.arms, workspace, data, images, soft_labels=settings.soft_labels)
    material = Material(
        real, kept, unscreened, settings.weight, config.seed, held_back=taken, turns=turns, pool=pool,
        way=ways.parsed(settings.way, "retrain.way"),
        start=str(Path(settings.pretrained).resolve()), plausible=_plausible(inputs, images, len(real)),
        out_of_fold=cache(partial(out_of_fold, inputs.run, config, real)),
    )  # fmt: skip
    recipe = _recipe(config.classifier, material)
    material = with_fresh(workspace, config, data, several or [(inputs.batch, inputs.labels)], material, recipe)
    portions = portions_of(material, ratios_of(settings))
    asked = [each.asked for each in portions if each.asked is not None]
    plan = plan_of(settings, inputs.arms, asked, config.classifier.loss)
    trainings = Trainings(
        inputs.run, val, test, seeds_of(config),
        device=config.device, workers=settings.workers, cluster=config.cluster,
    )  # fmt: skip
    choices = Choices(plan, portions, material, recipe, trainings, settings.resamples)
    budget = budget_of(config, plan.count + folds_of(config, inputs.arms), workspace, data, real=real, val=val)
    return Prepared(inputs, images, leaks, material, recipe, plan, budget, trainings, choices)


def start_inputs(workspace: Workspace, config: Config) -> dict[str, str]:
    """What an experiment's key says of the weights that the arm `pretrained` starts from: nothing without it."""
    start = start_of(workspace, config)
    return {"pretrained": start_digest(start)} if start else {}


def start_of(workspace: Workspace, config: Config) -> Path | None:
    """The weights that the arm `pretrained` starts from. ConfigError or ClassifierError where it could not."""
    if not config.retrain.pretrained:
        return None
    source = own_file(config.retrain.pretrained)
    if source is None:
        raise ConfigError(
            f"retrain.pretrained = {config.retrain.pretrained!r} is no classifier of ganfer's.",
            "Name the folder of one, like ../other-work/classifiers/RUN.",
        )
    check_start(source, config.classifier, image_shape(workspace, config))
    return source


def folds_of(config: Config, arms: Sequence[Arm]) -> int:
    """Trainings that the plan does not list: those of the folds behind the arm `clean`."""
    return config.audit.folds if any(arm.name == "clean" for arm in arms) else 0


def _plausible(inputs: Inputs, images: ImageSet, most: int) -> tuple[ImageSet, ...]:
    """The plausible faces of every generator, where an arm asks for them."""
    if not any(arm.name == "distilled+synthetic" for arm in inputs.arms):
        return ()
    pairs = inputs.several or [(inputs.batch, inputs.labels)]
    return alike_in_all([plausible_faces(*pair, images, most, inputs.config.seed) for pair in pairs])


def _several(workspace: Workspace, config: Config, data: Run, newest: Run) -> list[tuple[Run, Run]]:
    """The batches that the seeds take turns with, and their labellings; empty for the newest alone."""
    settings = config.retrain
    pairs = []
    for batch in several_batches(workspace, settings.batches, settings.seeds, newest) if settings.batches else []:
        labels = newest_labels(batch)
        assert labels is not None, "asked for before"
        refuse_other_data(batch, labels, data)
        pairs.append((batch, labels))
    return pairs


def _recipe(config: TrainConfig, material: Material) -> TrainConfig:
    """The common settings: the same number of steps in every arm, and of validations, from which weights are chosen.

    An arm with twice the images passes half as often over them, and would otherwise be validated half as often.
    """
    steps = total_steps(config, len(material.real))
    most = len(material.real) + len(material.kept)
    passes = steps * min(config.batch_size, most) // most
    return dataclasses.replace(config, steps=steps, validations=max(1, min(config.validations, passes)))
