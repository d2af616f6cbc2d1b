"""The page of a measured batch, made from its `quality.json` alone, and its short form for the terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ganfer.classifier.sections import facts_panel, stat_of
from ganfer.page import svg
from ganfer.page.blocks import (
    Block,
    Cell,
    Code,
    Face,
    FaceClass,
    Faces,
    Items,
    Legend,
    Panel,
    Panels,
    Row,
    Section,
    Stat,
)
from ganfer.page.numbers import ABSENT, count, points, with_interval
from ganfer.page.sheet import Headline, Sheet, render_sheet
from ganfer.results import table

Results = Mapping[str, Any]
Sides = Mapping[str, Mapping[str, float]]
_MANIFOLD = {
    "coverage": ("Coverage", "of the held-back real images, the share that has a face among its nearest neighbours"),
    "precision": ("Precision", "of the faces, the share that lies among real images"),
    "recall": ("Recall", "of the real images, the share that lies among the faces"),
    "density": ("Density", "how deep among real images the faces lie; about 100% is real-like, more is typical"),
}
_TOGETHER = "all classes"


def quality_page(results: Results) -> str:
    """The whole page as HTML."""
    sections = (
        _manifold_section(results),
        _distance_section(results),
        _faces_section(results),
        _copies_section(results),
        _diversity_section(results),
        _cas_section(results),
        _run_section(results),
    )
    faces = sum(counts["faces"] for counts in results["counts"].values())
    about = [
        f"{count(faces)} {'kept ' if results['faces'] == 'kept' else ''}faces",
        f"{count(sum(counts['held_back'] for counts in results['counts'].values()))} held-back real images",
        f"features of {results['classifier']}",
        str(results["run"].get("started") or "")[:10],
    ]
    note = (
        "Real images: what the same number of held-back ones reaches against others. "
        "Further down, brackets hold 95% intervals."
    )
    sheet = Sheet(
        results["title"],
        _sentence(results),
        [fact for fact in about if fact],
        _headlines(results),
        note,
        [section for section in sections if section],
        "The same figures are in quality.json and per_class.csv, every face's nearest training image in faces.csv.",
    )
    return render_sheet(sheet)


def quality_lines(results: Results) -> list[str]:
    """A row per class, then copies, the scores of trained classifiers and the notes."""
    rows = []
    for name, group in results["groups"].items():
        diversity = results["diversity"].get(name)
        rows.append(
            [
                _TOGETHER if name == "all" else name,
                count(group["num_images"]),
                _beside(group, "fid", "{:.2f}", 1),
                _beside(group, "kid", "{:.3f}", 1),
                *(_beside(group, figure, "{:.0f}", 100) for figure in ("precision", "recall", "coverage")),
                f"{100 * diversity['ratio']:.0f}" if diversity and diversity["ratio"] is not None else ABSENT,
            ]
        )
    head = ["class", "n", "FID", "KID", "precision %", "recall %", "coverage %", "diversity %"]
    lines = [results["title"], _sentence(results), ""]
    if rows:
        lines += [*table(head, rows), "in brackets: as many held-back real images, against the same ones", ""]
    lines.append(_copies_words(results["copies"]))
    if results["cas"]:
        cas = results["cas"]
        lines += [_cas_words(cas), f"of the faces that classifier of real images recognises {_recognised(cas)}"]
    return [*lines, "", *(f"Note: {note}" for note in results["notes"])]


# --- the head ---------------------------------------------------------------------------------------------------------


def _main(results: Results) -> tuple[str, Any] | None:
    """All classes together, else the only class that was measured."""
    groups = results["groups"]
    if not groups:
        return None
    name = "all" if "all" in groups else next(iter(groups))
    return name, groups[name]


def _sentence(results: Results) -> str:
    main = _main(results)
    if main is None:
        return "There are too few faces, or too few held-back real images, to compare them."
    name, group = main
    what = "the faces" if name == "all" else f"the faces of {name}"
    text = f"At {count(group['num_images'])} images on each side"
    if "coverage" in group:
        reached = _ratio(group["coverage"])
        text += f", {what} cover {points(group['coverage']['faces']['mean'])}% of the real ones"
        text += f" ({points(reached)}% of what real images reach)" if reached is not None else ""
    else:
        text += f", {what} lie at a classifier-feature FID of {group['fid']['faces']['mean']:.2f}"
    copies = results["copies"]
    found = "no copy" if not copies["count"] else f"{count(copies['count'])} of {count(copies['of'])} are copies"
    return f"{text}; {found} of a training image{'' if copies['count'] else ' was found'}."


def _ratio(sides: Sides) -> float | None:
    real = sides["real"]["mean"]
    return sides["faces"]["mean"] / real if real else None


def _headlines(results: Results) -> list[Headline]:
    tiles = []
    main = _main(results)
    if main is not None:
        group = main[1]
        for figure in ("coverage", "recall"):
            if figure in group:
                mean = points(group[figure]["faces"]["mean"])
                tiles.append(Headline(_MANIFOLD[figure][0], mean, "%", _real(group[figure], points, "%")))
        fid = group["fid"]
        tiles.append(Headline("FID, classifier features", _plain(fid["faces"]["mean"]), "", _real(fid, _plain)))
    copies = results["copies"]
    would = f"real images: {points(copies['held_back_share'])}%"
    tiles.append(Headline("Copies", points(copies["share"]), "%", would))
    if results["cas"]:
        made, real = (results["cas"][f"trained_on_{what}"]["balanced_accuracy"] for what in ("synthetic", "real"))
        tiles.append(
            Headline("Train on faces, test on real", points(made["mean"]), "%", f"real images: {points(real['mean'])}%")
        )
    return tiles


def _plain(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _real(sides: Sides, write: Callable[[float], str], unit: str = "") -> str:
    return f"real images: {write(sides['real']['mean'])}{unit}"


def _beside(group: Results, figure: str, form: str, factor: float) -> str:
    if figure not in group:
        return ABSENT
    made, real = (form.format(factor * group[figure][side]["mean"]) for side in ("faces", "real"))
    return f"{made} ({real})"


def _copies_words(copies: Results) -> str:
    interval = with_interval(copies["share"], copies["low"], copies["high"])
    of_pool = copies.get("of_pool")
    whose = "training images" if of_pool is None else "training images and of the pool's images"
    return (
        f"copies of {whose}: {count(copies['count'])} of {count(copies['of'])} ({interval} %), "
        f"of held-back real images {points(copies['held_back_share'])} % would count as such"
        f"{'' if of_pool is None else f'; {count(of_pool)} of the copies repeat an image of the pool'}"
    )


def _cas_words(cas: Results) -> str:
    made, real = (cas[f"trained_on_{what}"]["balanced_accuracy"] for what in ("synthetic", "real"))
    return (
        f"trained on faces, tested on real: balanced accuracy {with_interval(*_values(made))} %, "
        f"trained on as many real images {with_interval(*_values(real))} %"
    )


def _recognised(cas: Results) -> str:
    """Both over the classes that have faces: often the rare ones alone, which are harder than the others."""
    seen, real = cas["faces_recognised"], cas["trained_on_real"]
    levels = [real[name]["mean"] for name in seen if name in real and name != "balanced_accuracy"]
    beside = f", of held-back real images of these {points(sum(levels) / len(levels))} %" if levels else ""
    return f"{with_interval(*_values(seen['balanced_accuracy']))} % per class{beside}"


def _values(estimate: Mapping[str, float]) -> tuple[float, float, float]:
    return estimate["mean"], estimate["low"], estimate["high"]


# --- the sections -----------------------------------------------------------------------------------------------------


def _legend() -> Legend:
    return Legend(
        [(svg.marker("circle", "second"), "the faces"), (svg.marker("diamond", "first"), "held-back real images")]
    )


def _both(made: Mapping[str, float] | None, real: Mapping[str, float] | None) -> tuple[Stat, Stat]:
    return stat_of(made), stat_of(real)


def _two(made: Stat, real: Stat, scale: svg.Scale) -> Any:
    """The faces above, the real images below, in one strip."""
    return svg.strip(
        svg.grid(scale, height=28),
        svg.estimate(made, scale, y=9, shape="circle", tone="second"),
        svg.estimate(real, scale, y=20, shape="diamond", tone="first"),
        height=28,
    )


def _manifold_section(results: Results) -> Section | None:
    panels = []
    for figure, (title, meaning) in _MANIFOLD.items():
        groups = {name: group for name, group in results["groups"].items() if figure in group}
        if not groups:
            continue
        stats = {name: _both(group[figure].get("faces"), group[figure].get("real")) for name, group in groups.items()}
        scale = svg.nice_scale(
            [s.mean for pair in stats.values() for s in pair if s.mean is not None], include=(0.0, 1.0)
        )
        rows = [
            Row(
                _TOGETHER if name == "all" else name,
                [Cell(with_interval(s.mean, s.low, s.high)) for s in pair],
                _two(*pair, scale),
                note=f"{count(groups[name]['num_images'])} on each side",
            )
            for name, pair in stats.items()
        ]
        columns = ("Faces, %", "Real, %")
        panels.append(Panel(title, "Class", columns, rows, title, svg.axis(scale), note=meaning))
    if not panels:
        return None
    lead = (
        "In the features of a classifier that learned from the training split. Few faces in many places show as "
        "coverage and recall below the real ones; images that are no faces show as low precision and density."
    )
    return Section("manifold", "Fidelity and coverage", lead, [_legend(), Panels(panels)])


def _distance_section(results: Results) -> Section | None:
    blocks: list[Block] = []
    named = {"Classifier features": results["groups"], "Inception features, as published": results["inception"] or {}}
    for title, groups in named.items():
        rows = []
        for name, group in groups.items():
            cells = [Cell(_distance(group["fid"][side], "{:.2f}")) for side in ("faces", "real")]
            cells += [Cell(_distance(group["kid"][side], "{:.3f}")) for side in ("faces", "real")]
            rows.append(Row(_TOGETHER if name == "all" else name, cells, note=f"{count(group['num_images'])} each"))
        if rows:
            columns = ("FID", "FID, real", "KID", "KID, real")
            blocks.append(Panel(title, "Class", columns, rows))
    if not blocks:
        return None
    lead = (
        "Distances between the faces and held-back real images; the real columns are real images against real images "
        "at the same number. FID is biased upwards at few images, in both columns alike. KID is not: real images lie "
        "around 0."
    )
    return Section("distances", "Distance to real images", lead, blocks)


def _distance(estimate: Mapping[str, float], form: str) -> str:
    mean, low, high = (form.format(value).replace("-", "−") for value in _values(estimate))
    return f"{mean} [{low}, {high}]"


def _faces_section(results: Results) -> Section | None:
    classes = []
    for name, shown in results["pictures"].items():
        groups = [("Generated", "synthetic", shown["faces"]), ("Real, held back", "real", shown["real"])]
        known = [(title, kind, [Face(png, "") for png in pngs]) for title, kind, pngs in groups if pngs]
        classes.append(FaceClass(name, known))
    if not classes:
        return None
    lead = "Drawn at random, not chosen: generated faces of each class beside real ones that no model has learned from."
    return Section("faces", "Faces", lead, [Faces(classes)])


def _copies_section(results: Results) -> Section:
    copies, pairs = results["copies"], results["pairs"]
    shown: dict[str, list[Mapping[str, Any]]] = {}
    for pair in pairs:
        shown.setdefault("Copies" if pair["copy"] else "The most alike that are none", []).append(pair)
    classes = [
        FaceClass(
            title,
            [
                (
                    "Generated",
                    "synthetic",
                    [Face(p["face"], f"{100 * p['likeness']:.0f}%") for p in found],
                ),
                (
                    "Nearest training image" if copies.get("of_pool") is None else "Nearest training or pool image",
                    "real",
                    [Face(p["training"], p["nearest"].rpartition("/")[2]) for p in found],
                ),
            ],
        )
        for title, found in shown.items()
    ]
    rule = copies["rule"]
    lead = (
        f"{_copies_words(copies)[0].upper()}{_copies_words(copies)[1:]}. The similarity to the nearest training image "
        f"is {100 * copies['likeness']:.0f}% at the median, that of held-back real images "
        f"{100 * copies['held_back_likeness']:.0f}%. A copy is at least 85% similar, or above "
        f"{100 * rule['likeness']:.0f}% and much closer to one training image than to all others. "
        "ganfer label keeps copies out of training."
    )
    return Section("copies", "Copies of training images", lead, [Faces(classes)] if classes else [])


def _diversity_section(results: Results) -> Section | None:
    found = {name: each for name, each in results["diversity"].items() if each["ratio"] is not None}
    if not found:
        return None
    stats = {name: Stat(each["ratio"], each["low"], each["high"]) for name, each in found.items()}
    scale = svg.nice_scale([value for stat in stats.values() for value in stat.known], include=(0.0, 1.0))
    rows = [
        Row(
            name,
            [
                Cell(with_interval(stats[name].mean, stats[name].low, stats[name].high)),
                Cell(f"{each['faces']:.3f}"),
                Cell(f"{each['real']:.3f}"),
            ],
            svg.strip(svg.grid(scale, reference=1.0), svg.estimate(stats[name], scale, tone="second")),
            note=f"{count(each['num_images'])} each",
        )
        for name, each in found.items()
    ]
    columns = ("Of real, %", "Faces", "Real")
    panel = Panel("Diversity", "Class", columns, rows, "Of real", svg.axis(scale), caption_hidden=True)
    lead = (
        f"The mean {results['distance']} between faces of one class, over that of as many real images of the class. At "
        "100%, the dashed line, the faces differ from each other as real ones do; far below it they repeat themselves."
    )
    return Section("diversity", "Diversity", lead, [panel])


def _cas_section(results: Results) -> Section | None:
    cas = results["cas"]
    if not cas:
        return None
    names = [name for name in results["class_names"] if name in cas["trained_on_real"]]

    def panel(title: str, first: str, second: str, note: str, only: Sequence[str]) -> Panel:
        pairs = {name: _both(cas[first].get(name), cas[second].get(name)) for name in only}
        scale = svg.nice_scale([v for pair in pairs.values() for stat in pair for v in stat.known], include=(0.0, 1.0))
        rows = [
            Row(
                f"{name} *" if name not in cas["replaced"] else name,
                [Cell(with_interval(s.mean, s.low, s.high)) for s in pair],
                _two(*pair, scale),
            )
            for name, pair in pairs.items()
        ]
        return Panel(title, "Class", ("Faces, %", "Real, %"), rows, "Recall", svg.axis(scale), note=note)

    seen = [name for name in names if name in cas["faces_recognised"]]
    panels = [
        panel(
            "Train on faces, test on real",
            "trained_on_synthetic",
            "trained_on_real",
            f"recall on held-back real images, after {count(cas['images'])} training images each",
            names,
        ),
        panel(
            "Train on real, test on faces",
            "faces_recognised",
            "trained_on_real",
            "share recognised by the classifier that learned from real images",
            seen,
        ),
    ]
    lead = (
        "A classifier that learned from the faces alone, and one that learned from as many real images, both tested on "
        "held-back real images. The gap between the two is what the faces lack."
    )
    if len(cas["replaced"]) < len(names):
        lead += " Classes with * have too few faces: both classifiers learned them from the same real images."
    return Section("cas", "What a classifier learns from them", lead, [_legend(), Panels(panels)])


def _run_section(results: Results) -> Section:
    run = results["run"]
    blocks: list[Block] = [Items(results["notes"])] if results["notes"] else []
    if run.get("command"):
        blocks.append(Code("The command", run["command"]))
    versions = ", ".join(f"{name} {version}" for name, version in (run.get("versions") or {}).items())
    facts = [
        ("Batch", results["batch"]),
        ("Classifier", results["classifier"]),
        ("Interval", f"95%, {results['halvings']} random halvings of the held-back real images"),
        ("Machine", run.get("machine", "")),
        ("Versions", versions),
    ]
    blocks.append(facts_panel("Settings", facts))
    return Section("run", "How it was measured", "", blocks)
