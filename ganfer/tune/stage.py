"""`ganfer tune`: the study as a stage of the workspace, its tables, its page, and the best settings as a config.

The data's path: training split -> trials, judged on the validation split -> the study's database -> trials.csv,
best.toml and the page. The test split is not read; the best settings are measured on it once, by `ganfer evaluate`.
"""

import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from classifiers import TrainConfig
from classifiers.scheduler import cores, opened
from classifiers.start import require_there, start_name
from ganfer.classifier.early import check_device, check_training
from ganfer.classifier.train import identity
from ganfer.config import Config
from ganfer.errors import GanferError
from ganfer.page.node import read_results
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_of, write_csv, write_json, write_text
from ganfer.tracking import Tracked, figures_of, tracked
from ganfer.tune.page import tuning_lines, tuning_page
from ganfer.tune.space import Choice, Space, load_space
from ganfer.tune.study import LOWER_IS_BETTER, Search, finished, open_study, require_optuna, sampler_name
from ganfer.tune.trial import FIGURES, Splits
from ganfer.workspace import Run, Workspace

if TYPE_CHECKING:
    import optuna

FORMAT = 1
_RANKED_ENOUGH = 8  # finished trials before the settings' importance is estimated


def plan_lines(config: Config, search: Sequence[str]) -> list[str]:
    """What `tune` will search, in words."""
    space = load_space(config.tune.space, search, config.classifier)
    base, how = space.base(config.classifier), sampler_name(space, config.tune)
    number = min(config.tune.trials, len(space.grid())) if how == "grid" else config.tune.trials
    names = ", ".join(space.specs)
    return [f"{number} trials of {base.model} ({how}), each a training judged on validation, over {names}"]


def check_search(workspace: Workspace, config: Config, search: Sequence[str]) -> None:
    """What can be told of the trials before any work: the starting weights and, where one model is searched, whether it
    takes them and its options."""
    space = load_space(config.tune.space, search, config.classifier)
    base = space.base(config.classifier)
    for start in _starts(space, base):
        if "model" in space.specs:
            require_there(start)
        else:
            settings = dataclasses.replace(base, pretrained=start)
            check_training(dataclasses.replace(config, classifier=settings), workspace)
    check_device(config)


def _searched_starts(space: Space) -> dict[str, list[str]]:
    """Searched weights by their content, which the space has by their paths; nothing where none are searched."""
    searched = space.specs.get("pretrained")
    return {"starts": [start_name(str(value)) for value in searched.values]} if isinstance(searched, Choice) else {}


def _starts(space: Space, base: TrainConfig) -> list[str]:
    """The weights that trials start from."""
    searched = space.specs.get("pretrained")
    return [str(value) for value in searched.values] if isinstance(searched, Choice) else [base.pretrained]


def tune(workspace: Workspace, config: Config, data: Run, search: Sequence[str] = ()) -> Result:
    """Search until the study holds `tune.trials` finished trials; the same command again goes on with it.

    Writes `studies/<run>/`: study.db, trials.csv, best.toml, results.json and the page. ConfigError for a search space
    that cannot be, GanferError when Optuna or the database is missing.
    """
    require_optuna()
    settings = config.tune
    space = load_space(settings.space, search, config.classifier)
    base = space.base(config.classifier)
    how = sampler_name(space, settings)
    key: dict[str, Any] = {
        "config": {
            "space": space.to_json(),
            "classifier": identity(base),
            "tune": {"metric": settings.metric, "sampler": how, "pruning": settings.pruning},
        },
        "inputs": {"data": data.digest, **_searched_starts(space)},
        "seed": config.seed,
    }
    run = workspace.run("studies", space.name, key)
    with ExitStack() as held:
        held.enter_context(run.work("tune"))
        track = held.enter_context(tracked(run, config, "tune"))
        study = held.enter_context(open_study(f"ganfer-{run.name}", run.path, space, settings))
        track.start(key["config"])
        before = len(finished(study))
        splits = Splits.read(data.path)
        alone = settings.workers == 1
        threads = 1 if config.cluster else None if alone else max(1, cores() // settings.workers)
        workers = None if alone and config.cluster else settings.workers
        with progress("tune", max(settings.trials, before)) as advance:
            advance(before)
            work = Search(study, space, settings, base, run.path / "trials", config.seed, advance)
            from classifiers.device import resolve_device

            gpu = not config.cluster and resolve_device(config.device).type == "cuda"
            with opened(workers, threads or 1, [run.path / "trials"], cluster=config.cluster, gpu=gpu) as engine:
                work.run(engine, splits, config.device, threads)
        say(f"{len(finished(study)) - before} trials added to the {before} that were there.")
        results = _results(run, config, data, space, base, study)
        write_json(run.path / "results.json", results)
        write_csv(run.path / "trials.csv", *_table(results))
        write_text(run.path / "best.toml", best_toml(results))
        write_text(run.path / "index.html", tuning_page(results))
        _tell(track, results)
        figures = {name: results[name] for name in ("metric", "best", "counts", "importance", "settings")}
        run.finish(digest=digest_of(run.path / "results.json"), figures=figures, device=config.device)
    return tuning_result(run)


def _tell(track: Tracked, results: dict[str, Any]) -> None:
    """The best trial's figures, and a run per trial within this one."""
    track.metrics(figures_of({"best": results["best"]["figures"]}) | {"trials": float(len(results["trials"]))})
    track.artefacts("index.html", "trials.csv", "best.toml")
    for trial in results["trials"]:
        with track.nested(f"trial-{trial['number']}", trial["params"] | {"state": trial["state"]}) as inner:
            inner.metrics(figures_of(trial["figures"]))


def tuning_result(run: Run) -> Result:
    """What a finished study says."""
    page, best = run.path / "index.html", run.path / "best.toml"
    lines = [
        *tuning_lines(read_results(run.path)),
        "",
        f"Train it: ganfer train classifier --config {best}",
        f"Page: {page}",
    ]
    return Result("ganfer tune", run.path, {**run.figures, "config": str(best), "page": str(page)}, lines)


def best_toml(results: dict[str, Any]) -> str:
    """The best trial's settings as a config for every command: what differs from the defaults."""
    best, metric = results["best"], results["metric"]
    lines = [
        f"# Trial {best['number']} of {results['title']}: validation {metric.replace('_', ' ')} {best['value']:.4f}.",
        "",
        "[classifier]",
        *(f"{name} = {json.dumps(value)}" for name, value in best["config"].items() if value is not None),
    ]
    return "\n".join(lines) + "\n"


def _results(
    run: Run, config: Config, data: Run, space: Space, base: TrainConfig, study: "optuna.Study"
) -> dict[str, Any]:
    from optuna.trial import TrialState

    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    complete = [trial for trial in done if trial.state == TrialState.COMPLETE]
    if not complete:
        problems = [str(trial.user_attrs["problem"]) for trial in done if "problem" in trial.user_attrs]
        why = problems[0] if problems else "none was finished in time"
        raise GanferError(f"No trial was trained to its end ({why}).", "Give --trials or --minutes more room.")
    best = study.best_trial
    chosen = dataclasses.replace(base, **best.params)
    differing = {
        f.name: getattr(chosen, f.name)
        for f in dataclasses.fields(chosen)
        if getattr(chosen, f.name) != f.default and f.name != "tensorboard"
    }
    lower = config.tune.metric in LOWER_IS_BETTER
    return {
        "format": FORMAT,
        "title": f"{base.model} on {data.name}, search space {space.name}",
        "metric": config.tune.metric,
        "lower_is_better": lower,
        "best": {
            "number": best.number,
            "value": best.value,
            "params": best.params,
            "config": differing,
            "figures": best.user_attrs.get("figures", {}),
        },
        "counts": {
            "complete": len(complete),
            "stopped_early": sum(t.state == TrialState.PRUNED and "problem" not in t.user_attrs for t in done),
            "impossible": sum("problem" in t.user_attrs for t in done),
            "interrupted": sum(t.state == TrialState.FAIL for t in done),
        },
        "trials": [_trial(trial) for trial in done if trial.state != TrialState.FAIL],
        "importance": _importance(study, len(complete)),
        "space": space.to_json(),
        "settings": {
            "sampler": sampler_name(space, config.tune),
            "pruning": config.tune.pruning,
            "seed": config.seed,
            "study": study.study_name,
        },
        "run": {name: run.record.get(name, "") for name in ("command", "machine", "versions", "started")},
    }


def _trial(trial: Any) -> dict[str, Any]:
    figures = trial.user_attrs.get("figures", {})
    problem = trial.user_attrs.get("problem", "")
    state = "complete" if trial.state.name == "COMPLETE" else "impossible" if problem else "stopped early"
    last = max(trial.intermediate_values.items(), default=(0, None))
    return {
        "number": trial.number,
        "state": state,
        "value": trial.value if state == "complete" else None,
        "params": trial.params,
        "figures": figures,
        "last": {"part": last[0], "value": last[1]},
        "problem": problem,
    }


def _importance(study: "optuna.Study", complete: int) -> dict[str, float]:
    """How much of the metric's variance each setting explains (fANOVA, Hutter et al. 2014); empty with few trials."""
    import optuna
    from optuna.trial import TrialState

    # of those trained to the end, from which fANOVA takes its figures: a stopped one has a value as well
    values = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if complete < _RANKED_ENOUGH or len(values) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _table(results: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    names = list(results["space"]["search"])
    columns = ["trial", "state", *names, *FIGURES, "seconds", "problem"]
    rows = [
        {
            "trial": trial["number"],
            "state": trial["state"],
            **{name: trial["params"].get(name, "") for name in names},
            **{name: trial["figures"].get(name, "") for name in (*FIGURES, "seconds")},
            "problem": trial["problem"],
        }
        for trial in results["trials"]
    ]
    return columns, rows
