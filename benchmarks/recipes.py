"""The earlier projects' classifiers, repeated config by config against their figures; what is recorded is skipped.

    python benchmarks/recipes.py --fer fer2013.tar.xz --ck ckplus48.zip --embarrassed embarrassed.zip [NAME ...]

Every config is run through ganfer itself: data added, classifier trained, kept by validation, measured once on the
test split (for FER2013 the public test; the six-expression configs report validation as the earlier project did, and
the test beside it; CK+48 goes over ten folds, at random and by subject). `--short` cuts every training to a few minutes
of two CPU cores, which proves that a config runs and learns and reaches no bar; the record says so. An interrupted
training resumes with the same command. Results: benchmarks/results/recipes.json, or recipes_short.json. `--cost` only
measures the pace of some steps and says how long the whole training would take here (recipes_cost.json). `--seeds 3`
trains two more seeds and adds the ensemble's figures; `--answers FOLDER` keeps what each network says of validation and
test, for an ensemble of several recipes or machines (recipes_together.py). `--merge` adds what other machines or nights
have recorded; `--table` prints all of it, `--docs` puts it into docs/earlier-projects.md.
"""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fer2013_minutes import pace_of
from recipe_records import COST, DOCS, FULL, RESULTS, SHORT, merge, rows, table, wilson, write_table

from classifiers import crossval, evaluate
from classifiers.parts import total_steps, validation_steps
from ganfer.classifier.opened import open_classifier
from ganfer.classifier.train import real_only, samples
from ganfer.config import load_config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import GanferError
from ganfer.pipeline import Project
from ganfer.runtime.console import progress
from ganfer.workspace import Run

SIX = ("angry", "fear", "happy", "sad", "surprise", "neutral")


@dataclass(frozen=True)
class Recipe:
    """A config, the data it is for, what an earlier project reached with it, and what it has to reach.

    `bars` maps a figure ("test accuracy", "test recall angry") to its bar; `short` holds the overrides of --short.
    """

    config: str
    sources: tuple[str, ...]
    theirs: str
    bars: dict[str, float]
    short: dict[str, Any]
    tta: str = "flip"
    classes: tuple[str, ...] = ()
    size: int = 48
    folds: int = 0
    note: str = ""


def fer6(config: str, theirs: str, bar: float, **short: Any) -> Recipe:
    """A config on the six expressions without disgust."""
    overrides = {key.replace("__", "."): value for key, value in short.items()}
    return Recipe(config, ("fer",), theirs, {"val accuracy": bar}, overrides, "none", SIX)


def happy_angry(config: str, bars: dict[str, float], note: str = "") -> Recipe:
    """A config on two expressions at 32 pixels; short enough for a CPU as it is."""
    theirs = "accuracy 0.75, angry recall 0.49"
    return Recipe(config, ("fer",), theirs, bars, {}, "none", ("happy", "angry"), 32, note=note)


def ck(config: str, theirs: float) -> Recipe:
    """A config on CK+48 over ten folds."""
    short = {"classifier.epochs": 4, "folds": 2, "data.size": 24}
    bars = {"random folds accuracy": theirs}
    return Recipe(config, ("ck",), f"accuracy {theirs} over random folds", bars, short, folds=10)


def fer7(config: str, theirs: str, bar: float, tta: str = "flip", note: str = "", **short: Any) -> Recipe:
    """A config on all of FER2013."""
    overrides = {key.replace("__", "."): value for key, value in short.items()}
    return Recipe(config, ("fer",), theirs, {"test accuracy": bar}, overrides, tta, note=note)


_STEPS: dict[str, Any] = {"classifier__steps": 200, "classifier__batch_size": 64}
_SMALL: dict[str, Any] = {**_STEPS, "data__size": 32}
_TINY: dict[str, Any] = {"classifier__steps": 200, "classifier__batch_size": 32, "data__size": 24}

RECIPES = (
    happy_angry("happy-angry", {"test accuracy": 0.90, "test recall angry": 0.85}),
    happy_angry("happy-angry-small", {}, "the earlier project's network itself"),
    fer6("fer6-fnn", "a baseline without a figure", 0.0),
    fer6("fer6-cnn", "val accuracy 0.554", 0.554, classifier__steps=400),
    fer6("fer6-cnn-sgd", "val accuracy 0.553", 0.553, classifier__steps=400),
    fer6("fer6-vgg16", "val accuracy 0.603", 0.603, **_SMALL),
    Recipe(
        "eight-classes", ("fer", "embarrassed"), "accuracy 0.6453", {"test accuracy": 0.68}, {"classifier.steps": 200}
    ),
    ck("ck48-resnet18", 0.97452),
    ck("ck48-vgg19", 0.99185),
    fer7("fer2013-compact-cpu", "", 0.65, classifier__epochs=3),
    fer7("fer2013-compact-hour", "", 0.70, **_STEPS),
    fer7("fer2013-compact-minute", "", 0.715, **_STEPS),
    fer7("fer2013-compact", "0.7328 on the private test (Khaireddin & Chen 2021)", 0.725, "ten-crop", **_STEPS),
    fer7("fer2013-vgg16", "accuracy 0.70, F 0.632 (with ExpW)", 0.705, "ten-crop", **_SMALL),
    fer7("fer2013-resnet18", "accuracy 0.65 by ResNet152", 0.65, **_TINY),
    fer7("fer2013-resnet152", "accuracy 0.65", 0.68, **_TINY),
    fer7(
        "fer2013-resnet152-pretrained", "accuracy 0.48", 0.68, **_TINY,
        note="needs torchvision's ImageNet weights, or their file as classifier.pretrained",
    ),
)  # fmt: skip

_PROBE = 16  # steps whose pace is measured

BY_NAME = {recipe.config: recipe for recipe in RECIPES}


def main() -> None:
    """Run what isn't recorded, one after the other; a config that can't run here is said and passed over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="configs to run; all when none is named")
    parser.add_argument("--fer", type=Path, help="FER2013: class folders below train/ and test/, or fer2013.csv")
    parser.add_argument("--ck", type=Path, help="CK+48")
    parser.add_argument("--embarrassed", type=Path, help="the eighth class")
    parser.add_argument("--workspace", type=Path, default=Path("recipes-work"))
    parser.add_argument("--short", action="store_true", help="minutes instead of hours, for a machine without a GPU")
    parser.add_argument("--cost", action="store_true", help="measure how long the whole trainings would take")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of a recipe, whose ensemble is measured")
    parser.add_argument("--answers", type=Path, help="folder for what each network says of validation and test")
    parser.add_argument("--again", action="store_true", help="run, or with --merge replace, what is recorded")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="add the results in these files, --again replaces"
    )
    parser.add_argument("--table", action="store_true", help="print what is recorded")
    parser.add_argument("--docs", action="store_true", help="write what is recorded into docs/earlier-projects.md")
    options = parser.parse_args()
    if options.merge:
        print("\n".join(merge(options.merge, options.out or RESULTS / FULL, known=set(BY_NAME), again=options.again)))
    if options.table:
        print("\n".join(table(rows(RECIPES))))
    if options.docs:
        write_table(DOCS, table(rows(RECIPES)))
    if options.merge or options.table or options.docs:
        return
    out = options.out or RESULTS / (COST if options.cost else SHORT if options.short else FULL)
    results: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    sources = {"fer": options.fer, "ck": options.ck, "embarrassed": options.embarrassed}
    if unknown := set(options.names) - set(BY_NAME):
        raise SystemExit(f"no recipe {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}")
    for recipe in RECIPES:
        if options.names and recipe.config not in options.names:
            continue
        if recipe.config in results and not options.again:
            print(f"{recipe.config}: recorded")
            continue
        if missing := [name for name in recipe.sources if not sources[name]]:
            print(f"{recipe.config}: needs --{' --'.join(missing)}")
            continue
        try:
            if options.cost:
                results[recipe.config] = cost(recipe, sources, options.workspace)
            else:
                choice = {"short": options.short, "seeds": options.seeds, "answers": options.answers}
                results[recipe.config] = run(recipe, sources, options.workspace, **choice)
        except GanferError as error:
            print(f"{recipe.config}: {error}")
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{recipe.config}: {results[recipe.config].get('figures', results[recipe.config])}", flush=True)


def prepared(recipe: Recipe, sources: dict[str, Path], root: Path, changes: dict[str, Any]) -> Project:
    """The workspace of its data, with the recipe's settings."""
    config = load_config(recipe.config, {"data.size": recipe.size, **changes})
    project = Project(root / f"{'-'.join(recipe.sources)}-{len(recipe.classes) or 'all'}-{config.data.size}", config)
    if project.workspace.active_data is None:
        for i, source in enumerate(recipe.sources):
            project.add(sources[source], classes=recipe.classes, merge=i > 0)
    return project


def cost(recipe: Recipe, sources: dict[str, Path], root: Path) -> dict[str, Any]:
    """The hours of the whole training here, by the pace of a few of its steps and of a validation."""
    project = prepared(recipe, sources, root, {})
    images, config = read_set(project.needs.data().path), project.config.classifier
    real, val = (samples(real_only(images, split)) for split in ("train", "val"))
    share = config.progressive or 0.0
    pace = pace_of(config, real, val, images.class_names, share, probe=_PROBE)
    steps = total_steps(config, len(real))
    seconds = (
        steps * (share * pace.small + (1 - share) * pace.full)
        + len(validation_steps(config, len(real))) * pace.validation
    )
    return {"hours": round(seconds / 3600, 2), "steps": steps, "measured_steps": _PROBE, **vars(pace), **_machine()}


def run(
    recipe: Recipe,
    sources: dict[str, Path],
    root: Path,
    *,
    short: bool,
    also: dict[str, Any] | None = None,
    seeds: int = 1,
    answers: Path | None = None,
) -> dict[str, Any]:
    """Train and measure a recipe in the workspace of its data; returns the record. also: other settings. seeds: so many
    trainings, whose ensemble is measured beside the first. answers: folder for what each network says."""
    changes = (dict(recipe.short) if short else {}) | (also or {})
    folds = changes.pop("folds", recipe.folds)
    tta = "none" if short and recipe.short else recipe.tta
    project = prepared(recipe, sources, root, changes)
    config = project.config
    images = read_set(project.needs.data().path)
    if folds:
        kept = _over_folds(project, images, recipe.config, folds, tta)
    else:
        others = (prepared(recipe, sources, root, {**changes, "seed": config.seed + i}) for i in range(1, seeds))
        kept = _trained([project, *others], images, tta, answers and answers / recipe.config)
    reached = {name: kept["figures"][name] >= bar for name, bar in recipe.bars.items()}
    return {
        **kept,
        "theirs": recipe.theirs, "bars": recipe.bars, "reached": reached, "note": recipe.note,
        "shortened": (recipe.short if short else {}) | (also or {}), "tta": tta, "seed": config.seed,
        "counts": {split: images.counts(split) for split in ("train", "val", "test")}, **_machine(),
    }  # fmt: skip


def _trained(projects: Sequence[Project], images: ImageSet, tta: str, answers: Path | None) -> dict[str, Any]:
    """A training of each project, measured on validation and test; what is not the first is in the ensemble alone."""
    ways = dict.fromkeys([tta, "flip"]) if tta != "none" else [tta]
    parts = {split: images.of(split) for split in ("val", "test")}
    said: dict[str, list[dict[str, np.ndarray]]] = {way: [] for way in ways}
    runs = list[Run]()
    for project in projects:
        path = project.train_classifier().path
        assert path is not None
        runs.append(Run(path))
        classifier = open_classifier(runs[-1], images.class_names, project.config)
        for way, found in said.items():
            found.append(
                {
                    split: classifier.probabilities(np.asarray(part.images), tta=way)  # type: ignore[arg-type]
                    for split, part in parts.items()
                }
            )
    if answers:
        _keep_answers(answers, [project.config.seed for project in projects], said, parts)
    kept: dict[str, Any] = {"figures": _of_all(said[tta][:1], parts)}
    kept |= {"seconds": runs[0].record["seconds"], "steps": runs[0].figures["steps"]}
    if tta not in ("none", "flip"):
        kept["flip"] = _shares(_of_all(said["flip"][:1], parts))
    if len(runs) > 1:
        seconds = sum(run.record["seconds"] for run in runs)
        kept["ensemble"] = {"seeds": len(runs), "seconds": seconds} | {
            way: _shares(_of_all(found, parts)) for way, found in said.items()
        }
    return kept


def _keep_answers(
    stem: Path, seeds: Sequence[int], said: dict[str, list[dict[str, np.ndarray]]], parts: dict[str, ImageSet]
) -> None:
    """A file STEM-SEED.npz per network: labels, and the probabilities by split and way (N, K) as float16."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    labels = {f"{split} labels": np.asarray(part.labels) for split, part in parts.items()}
    for i, seed in enumerate(seeds):
        found = {f"{split} {way}": each[i][split].astype(np.float16) for way, each in said.items() for split in parts}
        np.savez_compressed(stem.with_name(f"{stem.name}-{seed}.npz"), **labels, **found)


def _of_all(said: Sequence[dict[str, np.ndarray]], parts: dict[str, ImageSet]) -> dict[str, Any]:
    """The figures of the mean of what several classifiers say of each split."""
    found: dict[str, Any] = {}
    for split, part in parts.items():
        found |= _figures(np.mean([each[split] for each in said], axis=0), part, split)
    return found


def _shares(figures: dict[str, Any]) -> dict[str, Any]:
    """The accuracies with their intervals."""
    return {name: value for name, value in figures.items() if " accuracy" in name and "balanced" not in name}


def _figures(probabilities: np.ndarray, images: ImageSet, split: str) -> dict[str, Any]:
    """Accuracy with Wilson's 95% interval, balanced accuracy, macro-F1 and recalls of a split."""
    found = evaluate(probabilities, images.labels, images.class_names)
    recalls = {f"{split} recall {name}": row["recall"] for name, row in found.per_class.items()}
    return {
        f"{split} accuracy": found.accuracy, f"{split} accuracy interval": wilson(found.accuracy, len(images)),
        f"{split} balanced accuracy": found.balanced_accuracy, f"{split} macro-F1": found.macro_f1,
        f"{split} NLL": found.nll, f"{split} ECE": found.ece, **recalls,
    }  # fmt: skip


def _over_folds(project: Project, images: ImageSet, name: str, folds: int, tta: str) -> dict[str, Any]:
    """All images over folds, at random and by subject."""
    config, everything = project.config, samples(images)
    figures: dict[str, Any] = {}
    seconds = 0.0
    for kind, groups in (("random", None), ("subject", images.group)):
        found = crossval(
            config.classifier, everything, images.class_names, project.workspace.root / "folds" / name / kind,
            folds=folds, groups=groups, seed=config.seed, device=config.device, tta=tta, progress=progress,  # type: ignore[arg-type]
        )  # fmt: skip
        figures |= {f"{kind} folds {key}": value for key, value in found.mean.items()}
        figures |= {f"{kind} folds {key} interval": value for key, value in found.interval.items()}
        seconds += sum(training.seconds for training in found.trainings)
    return {"figures": figures, "seconds": round(seconds, 1), "folds": folds}


def _machine() -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "machine": gpu or f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
        "load_average": os.getloadavg(), "torch": torch.__version__,
    }  # fmt: skip


if __name__ == "__main__":
    main()
