"""Train the same classifier with and without the synthetic faces, paired seeds, equal steps; say what changed.

`prepare` checks and plans, the plan's stages are trained one after the other, `read` chooses on validation and then
looks at the test split once, and `findings` make of it `results.json` and the page of `ganfer.report`.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from ganfer.config import Config
from ganfer.experiment.arms import chosen_arms
from ganfer.experiment.best import keep_best
from ganfer.experiment.board import write_hparams
from ganfer.experiment.budget import budget_of, together
from ganfer.experiment.ceiling import is_thinned, say_ceiling
from ganfer.experiment.faces import faces_notes
from ganfer.experiment.findings import experiment_results
from ganfer.experiment.history import uses_notes
from ganfer.experiment.plan import plan_of
from ganfer.experiment.prepare import Inputs, Prepared, inputs_of, prepared
from ganfer.experiment.read import read
from ganfer.experiment.trainings import train_together
from ganfer.report import read_results, terminal_summary, write_report
from ganfer.results import Result
from ganfer.review.effect import people_notes, people_said
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.workspace import Run, Workspace


def plan_lines(config: Config, workspace: Workspace | None = None, data: Run | None = None) -> list[str]:
    """What `retrain` will train, in words, and how long that takes where an earlier record tells."""
    arms = chosen_arms(config.retrain.arms, thinned=None if data is None else is_thinned(data))
    plan = plan_of(config.retrain, arms)
    lines = [*plan.lines(config.classifier.model), *budget_of(config, plan.count, workspace, data).lines()]
    if config.retrain.folds:
        lines.append(f"in {config.retrain.folds} folds: {config.retrain.folds * plan.count} trainings in all")
    return lines


def retrain(workspace: Workspace, config: Config, data: Run, batch_run: Run) -> Result:
    """Run the experiment and write its report; an interrupted one goes on with the trainings that are missing."""
    return retrain_together([inputs_of(workspace, config, data, batch_run)])[0]


def retrain_together(asked: Sequence[Inputs]) -> list[Result]:
    """Several experiments of one plan, stage by stage together, so that many cores are never left waiting."""
    with ExitStack() as held:
        begun = []
        for inputs in asked:
            record = held.enter_context(inputs.run.work("retrain"))
            if record.get("status") == "complete":
                say(f"{inputs.run.name} was already done.")
            else:
                begun.append(prepared(inputs))
        if begun:
            for line in together([each.budget for each in begun]).lines():
                say(line)
        _train(begun)
        for each in begun:
            _report(each)
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


def _report(found: Prepared) -> None:
    """Read what was trained, and write it down."""
    inputs, experiment = found.inputs, read(found)
    run, config, data, batch, labels = inputs.run, inputs.config, inputs.data, inputs.batch, inputs.labels
    results = experiment_results(run, config, data, found.images, experiment, batch, labels)
    results["classifiers"] = keep_best(run, config, experiment, found.trainings, results["recommendation"]["arm"])
    assert run.key is not None
    results["data"]["notes"] += [*faces_notes(batch, labels), *uses_notes(inputs.workspace, run, data, run.key)]
    people = people_said(batch, labels, found.images.class_names)
    results |= people
    results["data"]["notes"] += people_notes(people)
    page = write_report(run.path, results)
    if config.classifier.tensorboard:
        write_hparams(run.path, config, results)
    figures = {"verdict": results["verdict"], "page": str(page)}
    digest = digest_of(run.path / "results.json")
    run.finish(digest=digest, figures=figures, device=experiment.outcomes[0].trained[0].device)


def report_result(run: Run) -> Result:
    """The result of a finished experiment, from its `results.json`."""
    results = read_results(run.path)
    page = run.path / "index.html"
    lines = [*terminal_summary(results), "", f"report: {page.resolve()}"]
    return Result("ganfer retrain", run.path, results, lines)
