"""The page of a search for settings, made from its `results.json` alone, and its short form for the terminal."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.classifier.sections import command_blocks, facts_panel
from ganfer.page import svg
from ganfer.page.blocks import Block, Cell, Code, Details, Diagram, Diagrams, Panel, Row, Section
from ganfer.page.charts import Line, chart
from ganfer.page.numbers import ABSENT, count, duration, points
from ganfer.page.sheet import Headline, Sheet, render_sheet
from ganfer.results import table

_SHOWN = 30  # trials in the page's table before the rest opens on request
_LISTED = 10  # and on the terminal
_NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "nll": "Log loss",
    "ece": "ECE",
}


def tuning_page(results: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    best, counts = results["best"], results["counts"]
    tiles = [
        Headline(_NAMES[name], _figure(name, best["figures"].get(name)), "" if name == "nll" else "%")
        for name in (results["metric"], *(n for n in _NAMES if n != results["metric"] and n != "ece"))
    ]
    sections = [_best_section(results), _course_section(results), _importance_section(results)]
    sections += [_trials_section(results), _run_section(results)]
    done = f"{count(counts['complete'])} trials trained to the end"
    if counts["stopped_early"]:
        done += f", {count(counts['stopped_early'])} stopped early"
    if counts["impossible"]:
        done += f", {count(counts['impossible'])} impossible"
    note = (
        "All on validation, where the best of many trials is optimistic. Measure the best settings on the test "
        "split once: train them, then ganfer evaluate."
    )
    sheet = Sheet(
        results["title"],
        f"Trial {best['number']} is the best of {done}: {_words(results, best['value'])} on validation.",
        [f"sampler: {results['settings']['sampler']}", f"{len(results['space']['search'])} settings searched"],
        tiles,
        note,
        [section for section in sections if section],
        "The same figures are in results.json and trials.csv, the best settings in best.toml.",
    )
    return render_sheet(sheet)


def tuning_lines(results: Mapping[str, Any]) -> list[str]:
    """The best trials as a table, and the best settings as they can be given to any command."""
    names = list(results["space"]["search"])
    ranked = _ranked(results)[:_LISTED]
    rows = [
        [trial["number"], _figure(results["metric"], trial["value"]), *(_value(trial["params"].get(n)) for n in names)]
        for trial in ranked
    ]
    counts = results["counts"]
    lines = [
        results["title"],
        f"{counts['complete']} trials complete, {counts['stopped_early']} stopped early, "
        f"{counts['impossible']} impossible",
        "",
        *table(["trial", _NAMES[results["metric"]] + ("" if results["metric"] == "nll" else ", %"), *names], rows, ""),
        "",
        "The best, for any command:",
    ]
    config = results["best"]["config"]
    return lines + [f"  --set classifier.{name}={json.dumps(value)}" for name, value in config.items()]


def _best_section(results: Mapping[str, Any]) -> Section:
    config = results["best"]["config"]
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in config.items() if value is not None)
    lead = "What differs from the defaults; best.toml holds the same for --config."
    return Section("best", "The best settings", lead, [Code("[classifier]", text)])


def _course_section(results: Mapping[str, Any]) -> Section | None:
    complete = [trial for trial in results["trials"] if trial["value"] is not None]
    if len(complete) < 2:
        return None
    pick = min if results["lower_is_better"] else max
    values = [(float(trial["number"]), trial["value"]) for trial in complete]
    best: list[tuple[float, float]] = [values[0]]
    for number, value in values[1:]:  # a staircase: the best holds until a better one comes
        best += [(number, best[-1][1]), (number, pick(best[-1][1], value))]
    label = f"Best figure so far, from {_words(results, best[0][1])} to {_words(results, best[-1][1])}"
    drawn = chart(
        [Line("best so far", best), Line("each trial", values, dots=True)],
        x_label="trial",
        label=label,
        percent=results["metric"] != "nll",
    )
    title = Diagram(
        f"{_NAMES[results['metric']]} on validation", "nats" if results["metric"] == "nll" else "%", drawn, None
    )
    lead = "A line that no longer moves means that more trials of this space will gain little."
    return Section("course", "Progress of the search", lead, [Diagrams([title])])


def _importance_section(results: Mapping[str, Any]) -> Section | None:
    importance = results["importance"]
    if not importance:
        return None
    largest = max(importance.values()) or 1.0
    rows = [
        Row(name, [Cell(f"{100 * share:.0f}%")], svg.single_bar(share, largest, cls="bar real"))
        for name, share in sorted(importance.items(), key=lambda item: -item[1])
    ]
    panel = Panel("Importance", "Setting", ("Share",), rows, "Share", caption_hidden=True)
    lead = "How much of the differences between trials each setting explains (fANOVA); a rough guess with few trials."
    return Section("importance", "Which settings matter", lead, [panel])


def _trials_section(results: Mapping[str, Any]) -> Section:
    ranked = _ranked(results)
    rest = [trial for trial in results["trials"] if trial["value"] is None]
    blocks: list[Block] = [_trial_panel(results, ranked[:_SHOWN], "Trials, best first")]
    if ranked[_SHOWN:]:
        blocks.append(Details(f"{len(ranked) - _SHOWN} more", [_trial_panel(results, ranked[_SHOWN:], "The others")]))
    if rest:
        rows = [Row(f"Trial {t['number']}", [Cell(_reason(results, t)), Cell(_settings(t["params"]))]) for t in rest]
        panel = Panel("Not trained to the end", "Trial", ("Why", "Settings"), rows, is_text=True)
        blocks.append(Details(f"{len(rest)} not trained to the end", [panel]))
    return Section("trials", "Every trial", "Figures are of the validation split.", blocks)


def _trial_panel(results: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], caption: str) -> Panel:
    names = list(results["space"]["search"])
    metric = results["metric"]
    rows = []
    for trial in trials:
        cells = [Cell(_figure(metric, trial["value"])), *(Cell(_value(trial["params"].get(name))) for name in names)]
        cells.append(Cell(duration(trial["figures"].get("seconds"))))
        rows.append(Row(f"Trial {trial['number']}", cells))
    title = _NAMES[metric] + ("" if metric == "nll" else ", %")
    return Panel(caption, "Trial", (title, *names, "Time"), rows, caption_hidden=True)


def _run_section(results: Mapping[str, Any]) -> Section:
    run, settings = results["run"], results["settings"]
    blocks = command_blocks(run)
    facts = [
        ("Study", settings["study"]),
        ("Sampler", settings["sampler"]),
        ("Early stopping of trials", "median of the others" if settings["pruning"] else "none"),
        ("Seed", str(settings["seed"])),
        ("Machine", run.get("machine")),
    ]
    searched = [(name, _spec(spec)) for name, spec in results["space"]["search"].items()]
    lead = "The same command goes on with the study; a larger --trials adds to it."
    return Section(
        "run", "How to go on", lead, [*blocks, facts_panel("Search space", searched), facts_panel("Study", facts)]
    )


def _ranked(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    complete = [trial for trial in results["trials"] if trial["value"] is not None]
    sign = 1 if results["lower_is_better"] else -1
    return sorted(complete, key=lambda trial: (sign * trial["value"], trial["number"]))


def _spec(spec: Mapping[str, Any]) -> str:
    if "low" not in spec:
        return ", ".join(_value(value) for value in spec["values"])
    extra = " (logarithmic)" if spec["log"] else f" in steps of {spec['step']:g}" if spec["step"] else ""
    return f"{spec['low']:g} to {spec['high']:g}{extra}"


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in params.items())


def _reason(results: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    if trial["problem"]:
        return str(trial["problem"])
    last = trial["last"]
    return (
        f"stopped after {10 * last['part']}% at {_words(results, last['value'])}" if last["value"] is not None else ""
    )


def _words(results: Mapping[str, Any], value: float) -> str:
    metric = results["metric"]
    return f"{_NAMES[metric].lower()} {_figure(metric, value)}" + ("" if metric == "nll" else "%")


def _figure(metric: str, value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}" if metric == "nll" else points(value)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
