"""What came of the trainings: everything is chosen on validation first, then every arm looks at the test split once."""

from classifiers.parts import total_steps
from ganfer.experiment.arms import Arm, Outcome
from ganfer.experiment.comparisons import selected
from ganfer.experiment.findings import Experiment
from ganfer.experiment.fitted import mean_of_cross_fitted, with_fitted_biases
from ganfer.experiment.prepare import Prepared


def read(found: Prepared) -> Experiment:
    """The outcomes of an experiment whose stages are trained, in the order of its arms."""
    plan, choices, trainings = found.plan, found.choices, found.trainings
    finals = {arm.name: choices.final(_network(arm, plan.arms[0])) for arm in plan.arms}
    folders = {name: choices.folder(planned) for name, planned in finals.items()}
    levels = choices.levels(list(folders.values()))
    validation = {name: levels[folder] for name, folder in folders.items()}
    for arm in plan.arms:
        if arm.after == "free":
            folder = folders[arm.name]
            validation[arm.name] = mean_of_cross_fitted(trainings.validated([folder])[folder], trainings.val)
    selection, settings = selected(validation), choices.selected()
    # from here on nothing is chosen any more
    steps = total_steps(found.recipe, len(found.material.real))
    outcomes: list[Outcome] = []
    for arm in plan.arms:
        if arm.after == "free":
            outcomes.append(with_fitted_biases(outcomes[0], arm, trainings.val))
        else:
            outcomes.append(Outcome(arm, choices.data(finals[arm.name]), steps, trainings.look(folders[arm.name])))
    return Experiment(
        outcomes, folders, trainings.val, trainings.test, selection, settings, found.leaks, found.budget,
        found.material,
    )  # fmt: skip


def _network(arm: Arm, original: Arm) -> Arm:
    """The arm whose models an arm uses: the original's, where it only moves their thresholds."""
    return original if arm.after == "free" else arm
