"""The page of a cross-validation, made from its `results.json` alone, and its short form for the terminal."""

from collections.abc import Mapping
from typing import Any

from ganfer.classifier.sections import bracket, class_section, command_blocks, confusion_section, facts_panel, stat_of
from ganfer.page import svg
from ganfer.page.blocks import Block, Cell, Details, Items, Legend, Panel, Panels, Row, Section, Stat
from ganfer.page.numbers import METRICS, confidence, count, duration, points, signed, with_interval
from ganfer.page.sheet import Headline, Sheet, render_sheet
from ganfer.results import table

_TITLES = {"random": "Random folds", "group": "Folds by subject"}
_LOOKS = {"random": ("hollow", "first"), "group": ("circle", "second")}


def crossval_page(results: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    ways = results["ways"]
    quoted = "group" if "group" in ways else "random"
    best = ways[quoted]
    tiles = [
        Headline(
            f"{name}, {_TITLES[way].lower()}",
            points(found["figures"][key]["mean"]),
            "%",
            bracket(found["figures"][key]),
        )
        for way, found in reversed(ways.items())
        for key, name in (("accuracy", "Accuracy"), ("balanced_accuracy", "Balanced accuracy"))
    ]
    level = confidence(results["settings"]["confidence_level"])
    sections = [
        _fold_section(results),
        class_section(best["per_class"], best["pooled"]["beta"], best["report"]),
        confusion_section(results["data"]["class_names"], best["confusion"]),
        _run_section(results),
    ]
    note = f"Mean over the folds, in brackets its {level} interval (Student’s t; folds share training images)."
    files = "The same figures are in results.json, every prediction is in out_of_fold-*.csv."
    about = [f"{count(results['data']['images'])} images", f"{results['settings']['folds']} folds"]
    about += [f"{count(results['data']['subjects'])} subjects"] if results["data"]["subjects"] else []
    return render_sheet(Sheet(results["title"], _sentence(results), about, tiles, note, sections, files))


def crossval_lines(results: Mapping[str, Any]) -> list[str]:
    """Title, both ways side by side, and what follows from them."""
    rows = [
        [_TITLES[way], *(with_interval(*found["figures"][key].values()) for key in METRICS)]
        for way, found in results["ways"].items()
    ]
    lines = [results["title"], "", *table(["", *(f"{name}, %" for name in METRICS.values())], rows)]
    return [*lines, "", _sentence(results), *(f"Note: {note}" for note in results["notes"])]


def _sentence(results: Mapping[str, Any]) -> str:
    ways = results["ways"]
    if len(ways) == 1:
        ((way, found),) = ways.items()
        return f"{_TITLES[way]}: accuracy {with_interval(*found['figures']['accuracy'].values())}%."
    random, group = (ways[way]["figures"]["accuracy"] for way in ("random", "group"))
    gap = signed(random["mean"] - group["mean"])
    return (
        f"On people it has never seen, the classifier’s accuracy is {with_interval(*group.values())}% of the images. "
        f"Random folds, in which it may know the person, say {points(random['mean'])}% ({gap} points)."
    )


def _fold_section(results: Mapping[str, Any]) -> Section:
    ways = results["ways"]
    known = [
        value
        for found in ways.values()
        for key in METRICS
        for value in (*stat_of(found["figures"][key]).known, *(fold[key] for fold in found["folds"]))
    ]
    scale = svg.nice_scale(known)
    rows = []
    for key, name in METRICS.items():
        for way, found in ways.items():
            stat = stat_of(found["figures"][key])
            shape, tone = _LOOKS[way]
            plot = svg.strip(svg.grid(scale), svg.estimate(stat, scale, shape=shape, tone=tone))
            cells = [Cell(with_interval(stat.mean, stat.low, stat.high)), Cell(points(found["pooled"][key]))]
            rows.append(Row(name, cells, plot, note=_TITLES[way].lower()))
    columns = ("Mean over folds, %", "All images, %")
    panel = Panel("Figures", "Figure", columns, rows, "Score", svg.axis(scale), caption_hidden=True)
    legend = Legend([(svg.marker(*_LOOKS[way]), _TITLES[way]) for way in ways])
    folds = Details("Every fold", [Panels([_folds(_TITLES[way], found) for way, found in ways.items()])])
    lead = (
        "Each fold is tested by a classifier that was trained and chosen on the others. Folds by subject keep all "
        "images of a person on one side."
    )
    return Section("folds", "The folds", lead, [legend, panel, folds])


def _folds(title: str, found: Mapping[str, Any]) -> Panel:
    scale = svg.nice_scale([fold["accuracy"] for fold in found["folds"]])
    rows = []
    for k, fold in enumerate(found["folds"]):
        stat = Stat(fold["accuracy"], None, None)
        cells = [Cell(points(fold[key])) for key in METRICS] + [Cell(count(fold["images"]))]
        rows.append(Row(f"Fold {k + 1}", cells, svg.strip(svg.grid(scale), svg.estimate(stat, scale, tone="second"))))
    columns = ("Balanced, %", "Accuracy, %", "Macro-F1, %", "Images")
    return Panel(title, "Fold", columns, rows, "Accuracy", svg.axis(scale))


def _run_section(results: Mapping[str, Any]) -> Section:
    run, settings = results["run"], results["settings"]
    blocks: list[Block] = [Items(results["notes"])] if results["notes"] else []
    blocks += command_blocks(run)
    seconds = {_TITLES[way]: duration(found["seconds"]) for way, found in results["ways"].items()}
    facts = [
        ("Network", settings["model"]),
        ("Images", f"{results['data']['name']}, {'all splits' if settings['splits'] == 'all' else 'train and val'}"),
        ("Test-time augmentation", settings["tta"]),
        ("Seed", str(settings["seed"])),
        ("Machine", run.get("machine")),
        *((f"Training, {way.lower()}", words) for way, words in seconds.items()),
    ]
    return Section("run", "How to repeat it", "", [*blocks, facts_panel("Settings and machine", facts)])
