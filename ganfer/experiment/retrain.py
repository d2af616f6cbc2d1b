"""Train the same classifier with and without the synthetic faces, paired seeds, equal steps; say what changed.

`prepare` checks and plans, the plan's stages are trained one after the other, `read` chooses on validation and then
looks at the test split once, and `findings` make of it `results.json` and the page of `ganfer.report`.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from ganfer.classifier.early import refuse_seen
from ganfer.config import Config
from ganfer.errors import ConfigError
from ganfer.experiment.arms import chosen_arms
from ganfer.experiment.best import keep_best, write_best_card
from ganfer.experiment.board import track_experiment
from ganfer.experiment.budget import budget_of, together
from ganfer.experiment.ceiling import is_thinned, say_ceiling
from ganfer.experiment.cleaned import installed
from ganfer.experiment.faces import faces_notes, several_batches, turns_notes
from ganfer.experiment.findings import experiment_results
from ganfer.experiment.fresh import fresh_notes
from ganfer.experiment.fresh import plan_lines as fresh_lines
from ganfer.experiment.history import uses_notes
from ganfer.experiment.plan import plan_of
from ganfer.experiment.prepare import Inputs, Prepared, folds_of, inputs_of, prepared, start_of
from ganfer.experiment.read import read
from ganfer.experiment.retrieval import has_pool, pool_notes
from ganfer.experiment.starts import start_notes
from ganfer.experiment.trainings import train_together
from ganfer.experiment.ways import refuse
from ganfer.report import read_results, terminal_summary, write_report
from ganfer.results import Result
from ganfer.review.effect import people_notes, people_said
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.tracking import Tracked, tracked
from ganfer.workspace import Run, Workspace


def plan_lines(config: Config, workspace: Workspace | None = None, data: Run | None = None) -> list[str]:
    """What `retrain` will train, in words, and how long that takes where an earlier record tells."""
    if config.retrain.batches and workspace is not None and not config.retrain.folds:  # which refuse them
        newest = workspace.latest("synthetic", data=data.digest) if data else None
        several_batches(workspace, config.retrain.batches, config.retrain.seeds, newest)
    if config.retrain.keep == "ensemble" and config.retrain.seeds == 1:
        raise ConfigError("retrain.keep = 'ensemble' and one seed.", "Give --seeds 2 or more, or keep a single model.")
    thinned = None if data is None else is_thinned(data)
    pooled = has_pool(config, workspace, data)
    arms = chosen_arms(config.retrain.arms, thinned=thinned, pooled=pooled, start=config.retrain.pretrained)
    if workspace is not None:
        start_of(workspace, config)
        if config.retrain.folds:
            refuse_seen(workspace, config.retrain.pretrained or "none", "retrain.pretrained")
        if config.retrain.folds or folds_of(config, arms):
            refuse_seen(workspace, config.classifier.pretrained, "classifier.pretrained")
    refuse(config.retrain, config.classifier)
    plan = plan_of(config.retrain, arms, loss=config.classifier.loss)
    folds = folds_of(config, arms)
    count, lines = plan.count + folds, plan.lines(config.classifier.model)
    if folds:
        lines.append(f"for the arm clean, {folds} folds of the training images")
    elif not installed() and {"cheap", "all"} & set(config.retrain.arms.replace(" ", "").split(",")):
        lines.append("without the arm clean, which needs cleanlab: pip install 'ganfer[clean]'")
    if workspace is not None:
        lines += fresh_lines(workspace, config, data)
    lines += budget_of(config, count, workspace, data).lines()
    if config.retrain.folds:
        lines.append(f"in {config.retrain.folds} folds: {config.retrain.folds * count} trainings in all")
    return lines


def retrain(workspace: Workspace, config: Config, data: Run, batch_run: Run) -> Result:
    """Run the experiment and write its report; an interrupted one goes on with the trainings that are missing."""
    return retrain_together([inputs_of(workspace, config, data, batch_run)])[0]


def retrain_together(asked: Sequence[Inputs]) -> list[Result]:
    """Several experiments of one plan, stage by stage together, so that many cores are never left waiting."""
    with ExitStack() as held:
        begun, tracks = [], []
        for inputs in asked:
            record = held.enter_context(inputs.run.work("retrain"))
            track = held.enter_context(tracked(inputs.run, inputs.config, "retrain"))
            if record.get("status") == "complete":
                say(f"{inputs.run.name} was already done.")
            else:
                begun.append(prepared(inputs))
                tracks.append(track)
                track.start({**(inputs.run.key or {}).get("config", {}), "batch": inputs.batch.name})
        if begun:
            for line in together([each.budget for each in begun]).lines():
                say(line)
        _train(begun)
        for each, track in zip(begun, tracks, strict=True):
            _report(each, track)
    return [report_result(inputs.run) for inputs in asked]


def _train(begun: Sequence[Prepared]) -> None:
    """Every stage of the plans, the first of all together, then the second of all."""
    for number in range(max((len(each.plan.stages) for each in begun), default=0)):
        train_together(
            [(e.trainings, e.choices.made(e.plan.stages[number])) for e in begun if number < len(e.plan.stages)]
        )
        if number == 0:  # as soon as can be: a hopeless experiment may be stopped here
            for each in begun:
                told = [arm for arm in each.plan.arms if arm.role in ("baseline", "ceiling")]
                folders = {arm.name: each.choices.final(arm).folder for arm in told}
                say_ceiling(each.trainings, folders, each.material, each.inputs.config.retrain.resamples)


def _report(found: Prepared, track: Tracked) -> None:
    """Read what was trained, and write it down."""
    inputs, experiment = found.inputs, read(found)
    run, config, data, batch, labels = inputs.run, inputs.config, inputs.data, inputs.batch, inputs.labels
    results = experiment_results(run, config, data, found.images, experiment, batch, labels)
    results["classifiers"] = keep_best(run, config, experiment, found.trainings, results["recommendation"]["arm"])
    assert run.key is not None
    results["data"]["notes"] += [
        *faces_notes(batch, labels),
        *turns_notes(found.material.turns, [labelling for _, labelling in inputs.several]),
        *start_notes(found.trainings, experiment.folders),
        *pool_notes(found.material, inputs.workspace, data),
        *fresh_notes(found.material),
        *uses_notes(inputs.workspace, run, data, run.key),
    ]
    people = people_said(batch, labels, found.images.class_names)
    results |= people
    results["data"]["notes"] += people_notes(people)
    page = write_report(run.path, results)
    write_best_card(run, data, results, distilled=config.retrain.keep == "distilled")
    track_experiment(track, config, results, experiment)
    figures = {"verdict": results["verdict"], "page": str(page)}
    digest = digest_of(run.path / "results.json")
    run.finish(digest=digest, figures=figures, device=experiment.outcomes[0].trained[0].device)


def report_result(run: Run) -> Result:
    """The result of a finished experiment, from its `results.json`."""
    results = read_results(run.path)
    page = run.path / "index.html"
    lines = [*terminal_summary(results), "", f"report: {page.resolve()}"]
    return Result("ganfer retrain", run.path, results, lines)
