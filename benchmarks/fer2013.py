"""The whole job on FER2013 with one generator after the other: does better quality turn into more accuracy?

    python benchmarks/fer2013.py fer2013.tar.xz --workspace DIR [--minutes 30]
    python benchmarks/fer2013.py fer2013.tar.xz --workspace DIR --thin 100 --generators resgan --arms all --seeds 5
    python benchmarks/fer2013.py fer2013.tar.xz --workspace DIR --thin 100 --pool removed --gan-pool --arms default,...
    python benchmarks/fer2013.py fer2013.tar.xz --workspace DIR --full          # for a GPU: the full recipes

The archive holds class folders under train/ and test/ (the public test serves as the test split). Duplicates of
validation and test images are dropped from training first; `--thin` then leaves a long tail of that imbalance. The
classic DCGAN (unconditional), ganfer's DCGAN and resgan are trained for the same time, on the same data and with the
same labeller. Measured of each: `ganfer quality` of as many faces per class; how often a referee sees the class asked
for, beside held-back real images; and, with `--arms`, the experiment (`ganfer retrain`) with faces that `ganfer label
--fill` screened. The referee is another network than guide and labeller, trained on the same training split. `--pool
removed` adds what thinning took away as a pool without labels (see fer2013_pool.py), and `--gan-pool` a generator that
learned from it as well. Everything resumes where it was and what is done is not done again, so that arms and a pool can
be added to a workspace whose other arms are trained. Figures, without any picture, go to results/fer2013_NAME.json; the
grids to look at stay in the workspace.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fer2013_pool import OF_POOL, add_removed, print_pool, told_of_pool
from gan_common import RESULTS, environment
from PIL import Image

from classifiers import Classifier, load_classifier, train
from ganfer.classifier.train import real_only, samples
from ganfer.config import Config, load_config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.thin import long_tail
from ganfer.experiment.arms import ARMS
from ganfer.experiment.comparisons import mean_level
from ganfer.experiment.fitted import cross_fitted, fit_biases
from ganfer.experiment.retrain import retrain
from ganfer.experiment.trainings import stored_trained
from ganfer.generate.batch import read_batch
from ganfer.label.fill import fill
from ganfer.label.stage import label
from ganfer.pipeline import Project
from ganfer.results import Result
from ganfer.runtime.console import progress
from ganfer.statistics.verdict import measure
from ganfer.workspace import Run

GENERATORS = {  # short config, full config
    "classic": ("dcgan-classic", "dcgan-classic"),
    "dcgan": ("fer2013-cpu", "dcgan-48"),
    "resgan": ("resgan-cpu", "resgan-48"),
}
PER_CLASS = {False: 300, True: 2000}  # faces measured per class
REFEREE = "fer2013-compact-cpu"
METRICS = ("balanced_accuracy", "accuracy", "macro_f1")


def settings(options: argparse.Namespace, generator: str) -> Config:
    """The generator's config, at the common time, with the common classifier."""
    short, full = GENERATORS[generator.removesuffix(OF_POOL)]
    common: dict[str, Any] = {
        "gan.steps": 10_000_000,
        "gan.minutes": options.minutes,
        "gan.snapshot_every": options.snapshots,
        "gan.pool": generator.endswith(OF_POOL),
        "classifier.model": "compact" if options.full else "compact-small",
        "classifier.epochs": options.epochs,
        "retrain.arms": options.arms or "quick",
        "retrain.seeds": options.seeds,
        "retrain.ratios": options.ratios,
        "retrain.weights": options.weights,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in common.items()]
    return load_config(full if options.full else short, [*overrides, *options.set])


def prepared(options: argparse.Namespace) -> Project:
    """The workspace: data without leaks, thinned if asked for, and the labeller."""
    project = Project(options.workspace, settings(options, "dcgan"))
    if options.thin and options.enlarge_test:
        project.add(enlarged(options))
        project.check(drop=True)
        have = read_set(project.needs.data().path).counts("train")
        project.thin(counts={name: min(n, have[name]) for name, n in tail(options).items()})
    else:
        project.add(options.archive)
        project.check(drop=True)
        if options.thin:
            project.thin(imbalance=options.thin)
    project.needs.classifier()
    if options.pool:
        add_removed(project)
    return project


def tail(options: argparse.Namespace) -> dict[str, int]:
    """Images per class of the long tail, from the training split without leaks."""
    return long_tail(read_set(whole(options).needs.data().path).counts("train"), options.thin)


def whole(options: argparse.Namespace) -> Project:
    """A workspace of its own that holds the set before it was thinned."""
    project = Project(options.workspace / "whole", settings(options, "dcgan"))
    project.add(options.archive)
    project.check(drop=True)
    return project


def enlarged(options: argparse.Namespace) -> Path:
    """Folders in which half of the training images that thinning would take away are test images: more of them tell
    more, and the other half is left for the oracle."""
    folder = options.workspace / "enlarged"
    if (folder / "complete").is_dir():
        return folder / "complete"
    images, counts = read_set(whole(options).needs.data().path), tail(options)
    rng = np.random.default_rng(0)
    split = np.where(images.split == "test", "test", "train")  # validation is drawn again, out of training
    for code, name in enumerate(images.class_names):
        members = np.flatnonzero((images.split == "train") & (images.labels == code))
        split[rng.permutation(members)[: (len(members) - counts[name]) // 2]] = "test"
    for i, picture in enumerate(np.asarray(images.images)):
        where = folder / "parts" / str(split[i]) / images.class_names[images.labels[i]]
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.squeeze()).save(where / f"{i:06d}.png")
    return (folder / "parts").rename(folder / "complete")


def referee(options: argparse.Namespace, data: ImageSet) -> Classifier:
    """The classifier that has no part in making or choosing faces; given, or trained (the recipe of 20 minutes)."""
    if options.referee:
        return load_classifier(options.referee)
    recipe = load_config(REFEREE).classifier
    where = options.workspace / "referee"
    sets = (samples(data.of("train")), samples(real_only(data, "val")))
    return train(recipe, *sets, data.class_names, where, seed=77, progress=progress).load()


def generators(options: argparse.Namespace) -> list[str]:
    """Their names in order, each followed by the same with the pool where that is asked for."""
    names = options.generators.split(",")
    return [name + with_pool for name in names for with_pool in (("", OF_POOL) if options.gan_pool else ("",))]


def told_by(options: argparse.Namespace, generator: str, base: Project, judge: Classifier) -> dict[str, Any]:
    """One generator's training, quality and experiment."""
    workspace, config = base.workspace, settings(options, generator)
    project = Project(workspace, config)
    trained = project.train_gan()
    data, labeller, gan = project.needs.data(), project.needs.classifier(), _run(trained)
    images = read_set(data.path)
    names, each, knows = images.class_names, PER_CLASS[options.full], config.gan.conditional
    asked = {"classes": dict.fromkeys(names, each)} if knows else {"n": each * len(names)}
    drawn = _run(project.generate(gan=gan.name, **asked))
    measured = project.quality(drawn.name)
    found = {
        "gan": {name: gan.figures.get(name) for name in ("steps", "images", "images_per_second", "best_step", "kid")},
        "gan_minutes": round(gan.record["seconds"] / 60, 1),
        "quality": {name: value for name, value in measured.figures.items() if name not in ("notes", "page")},
        "referee": asked_and_seen(judge, drawn, images) if knows else None,
    }
    if options.arms:
        wanted = {"to": options.to} if knows else {"n": options.to * len(names)}
        batch = _run(project.generate(gan=gan.name, **wanted))
        batch = fill(workspace, config, batch, labeller, data) if knows else batch
        labelled = label(config, batch, labeller, data)
        found["labelling"] = labelled.figures
        report = retrain(workspace, config, data, batch)
        found["experiment"] = experiment(report)
        found["experiment"]["ensemble"] = ensemble(_run(report), report.figures, images)
    return found


def _run(result: Result) -> Run:
    assert result.path is not None
    return Run(result.path)


def asked_and_seen(judge: Classifier, batch_run: Run, data: ImageSet) -> dict[str, Any]:
    """How often the referee sees the class asked for, and the true class of held-back real images; per class."""
    names, batch = data.class_names, read_batch(batch_run)
    assert tuple(judge.class_names) == names, "a referee of the same classes"
    asked = np.array([names.index(name) for name in batch.asked])
    held = real_only(data, "val")
    seen, true = (judge.logits(images).argmax(axis=1) for images in (batch.images(), np.asarray(held.images)))
    return {
        name: {
            "faces": round(float((seen[asked == k] == k).mean()), 4),
            "real": round(float((true[held.labels == k] == k).mean()), 4),
            "real_images": int((held.labels == k).sum()),
        }
        for k, name in enumerate(names)
    }


def experiment(report: Result) -> dict[str, Any]:
    """The verdict, the arms and the comparisons of a report."""
    results = report.figures
    print(report)
    arm_parts = ("name", "train_counts", "synthetic_counts", "steps", "metrics", "per_class")
    assert report.path is not None
    return {
        "verdict": results["verdict"],
        "counts": results["data"]["train"],
        "test": results["data"]["test"],
        "selection": results["selection"],
        "tuning": results.get("tuning"),
        "equal_shares": results["equal_shares"],
        "exchange": results.get("exchange"),
        "arms": [{name: arm[name] for name in arm_parts} for arm in results["arms"]],
        "comparisons": results["comparisons"],
        "seeds": results["settings"]["seeds"],
        "minutes": round(Run(report.path).record["seconds"] / 60, 1),
    }


def ensemble(run: Run, results: Mapping[str, Any], data: ImageSet) -> dict[str, Any]:
    """The arm without faces whose seeds together are best on validation, as one classifier with fitted biases, of those
    that lose no accuracy there (against the original's mean; all arms, where each loses some).

    The change is against the mean of the original's seeds, with an interval over the test images; the luck of the seeds
    in the ensemble is not in it.
    """
    val, test = real_only(data, "val").labelled(), real_only(data, "test").labelled()
    models = {
        arm["name"]: [stored_trained(run.path, arm["folder"], seed) for seed in results["settings"]["seeds"]]
        for arm in results["arms"]
        if ARMS[arm["name"]].role in ("baseline", "cheap") and ARMS[arm["name"]].after != "free"
    }
    said = {name: np.mean([each.validation for each in trained], axis=0) for name, trained in models.items()}
    guesses = {name: cross_fitted(each, val.labels) for name, each in said.items()}
    level = {name: mean_level(val, [each]) for name, each in guesses.items()}
    right = {name: float((each == val.labels).mean()) for name, each in guesses.items()}
    least = float(np.mean([each.validation.argmax(axis=1) == val.labels for each in models["original"]]))
    best = max([name for name in level if right[name] >= least] or level, key=lambda name: level[name])
    together = np.mean([each.probabilities for each in models[best]], axis=0)
    decided = fit_biases(val.labels, said[best])(together).argmax(axis=1)
    plain = np.stack([each.probabilities.argmax(axis=1) for each in models["original"]])
    one, many = (measure(test.labels, rows, test.class_names, resamples=10_000) for rows in (decided[None], plain))
    found: dict[str, Any] = {
        "arm": best,
        "models": len(models[best]),
        "validation": level,
        "validation_accuracy": right,
    }
    for metric in METRICS:
        own, change = one.resampled[metric][0], one.resampled[metric][0] - many.resampled[metric].mean(axis=0)
        for what, mean, draws in (
            ("", float(one.plain[metric][0]), own),
            ("_change", float(one.plain[metric][0] - many.plain[metric].mean()), change),
        ):
            low, high = np.quantile(draws, [0.025, 0.975])
            found[metric + what] = {"mean": mean, "low": float(low), "high": float(high)}
    return found


# --- what is recorded, as Markdown ------------------------------------------------------------------------------------


def print_tables(record: dict[str, Any]) -> None:
    """Quality, what the referee sees, and the experiments."""
    told = record["generators"]
    titles = ("images seen", "KID of pixels' textures", "FID (real)", "KID × 1000 (real)", "coverage (real)")
    _rows(("generator", *titles, "precision", "recall", "copies (real)", "train on it, test on real (real)"))
    for name, one in told.items():
        group, cas, copies = one["quality"]["groups"]["all"], one["quality"]["cas"], one["quality"]["copies"]
        cells = [f"{one['gan']['images']:,}", f"{one['gan']['kid']:.3f}", _beside(group["fid"], 1, 2)]
        cells += [_beside(group["kid"], 1000, 1), _beside(group["coverage"], 100, 1)]
        cells += [f"{100 * group[metric]['faces']['mean']:.1f}" for metric in ("precision", "recall")]
        cells += [f"{copies['count']} of {copies['of']:,} ({100 * copies['held_back_share']:.1f}%)"]
        pair = {"faces": cas["trained_on_synthetic"], "real": cas["trained_on_real"]} if cas else None
        cells += [_beside({k: v["balanced_accuracy"] for k, v in pair.items()}, 100, 1) if pair else "–"]
        _row(name, cells)
    classes = list(record["train"])
    print(
        "\nAsked for, and seen by the referee, in % (the referee's recall of held-back real images in the last row)\n"
    )
    _rows(("generator", *classes))
    for name, one in told.items():
        if one["referee"]:
            _row(name, [f"{100 * one['referee'][c]['faces']:.0f}" for c in classes])
            real = one["referee"]
    _row("real", [f"{100 * real[c]['real']:.0f}" for c in classes])
    print("\nFID (real) by class\n")
    _rows(("generator", *classes))
    for name, one in told.items():
        groups = one["quality"]["groups"]
        _row(name, [_beside(groups[c]["fid"], 1, 1) if c in groups else "–" for c in classes])
    if "pool" in record:
        print_pool(record["pool"])
    for name, one in told.items():
        if "experiment" in one:
            print_experiment(name, one["experiment"])


def print_experiment(name: str, found: dict[str, Any]) -> None:
    """Arms and comparisons of one experiment."""
    seeds = len(found["arms"][0]["metrics"]["accuracy"]["per_seed"])
    print(f"\n{name}, {seeds} seeds, {found['minutes']} min: {found['verdict']['sentence']}\n")
    rare = min(found["counts"], key=lambda c: int(found["counts"][c]))
    changes = {(c["arm"], c["baseline"], c["metric"]): c for c in found["comparisons"]}
    titles = ("balanced accuracy", "accuracy", "macro-F1", f"recall of {rare}", "balanced accuracy against original")
    _rows(("arm", "faces added", *titles))
    for arm in found["arms"]:
        metrics = [_interval(arm["metrics"][m]) for m in METRICS]
        recall = _interval(arm["per_class"][rare]["recall"])
        against = _change(changes.get((arm["name"], "original", METRICS[0])))
        _row(arm["name"], [f"{sum(arm['synthetic_counts'].values()):,}", *metrics, recall, against])
    print()
    _rows(("change of", "against", *METRICS, *found["counts"]))
    for name, baseline in dict.fromkeys((c["arm"], c["baseline"]) for c in found["comparisons"]):
        if "synthetic" in name:
            measured = (*METRICS, *(f"recall:{c}" for c in found["counts"]))
            _row(name, [baseline, *(_change(changes.get((name, baseline, m))) for m in measured)])
    if as_one := found.get("ensemble"):
        words = ", ".join(f"{m} {_interval(as_one[m])}, change {_change(as_one[m + '_change'])}" for m in METRICS)
        print(f"\n{as_one['models']} seeds of {as_one['arm']} as one, with fitted biases: {words}")
    if equal := found.get("equal_shares"):
        print(f"\nWith class biases fitted on validation, against {equal['best']}:\n")
        _rows(("arm", *(f"{m}{what}" for m in METRICS[:2] for what in ("", ", change"))))
        for row in equal["arms"]:
            moved = row["change"] or {}
            shown = ((_interval(row["metrics"][m]), _change(moved.get(m))) for m in METRICS[:2])
            _row(row["name"], [cell for pair in shown for cell in pair])
    for what, points in (found["tuning"] or {}).items():
        if isinstance(points, list):
            tried = (f"{p['ratio']} × weight {p['weight']:g}: {_interval(p)}{' chosen' * p['chosen']}" for p in points)
            print(f"\n{what}, balanced accuracy on validation: {'; '.join(tried)}")


def _change(found: dict[str, float] | None) -> str:
    if found is None:
        return "–"
    mean = found.get("change", found.get("mean", float("nan")))
    return f"{100 * mean:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"


def _interval(estimate: dict[str, float]) -> str:
    return f"{100 * estimate['mean']:.1f} [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"


def _beside(pair: dict[str, dict[str, float]], factor: float, digits: int) -> str:
    faces, real = (factor * pair[side]["mean"] for side in ("faces", "real"))
    return f"{faces:.{digits}f} ({real:.{digits}f})"


def _rows(titles: tuple[str, ...]) -> None:
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")


def _row(name: str, cells: list[str]) -> None:
    print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Run what is missing, writing the record after every generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="FER2013 as class folders below train/ and test/")
    parser.add_argument("--workspace", type=Path, default=Path("fer-work"))
    parser.add_argument("--generators", default=",".join(GENERATORS))
    parser.add_argument("--full", action="store_true", help="the full recipes, for a GPU")
    parser.add_argument("--thin", type=float, default=0, help="imbalance to thin the training images to")
    parser.add_argument("--enlarge-test", action="store_true", help="half of what --thin takes away is tested on")
    parser.add_argument("--minutes", type=float, default=25, help="training time of each generator")
    parser.add_argument("--snapshots", type=int, default=500, help="steps between snapshots")
    parser.add_argument("--epochs", type=int, default=8, help="passes of the classifiers")
    parser.add_argument("--referee", type=Path, help="a trained classifier to ask instead of training one")
    parser.add_argument("--arms", default="", help="arms of the experiment; without, only the faces are measured")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--to", type=int, default=3000, help="real and synthetic images per class, for the experiment")
    parser.add_argument("--ratios", default="")
    parser.add_argument("--weights", default="")
    parser.add_argument("--pool", choices=["removed"], help="what --thin takes away is a pool without labels")
    parser.add_argument("--gan-pool", action="store_true", help="after each generator, one that learned from the pool")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="other settings")
    parser.add_argument("--table", action="store_true", help="print what is recorded, for docs/fer2013.md")
    options = parser.parse_args()
    if options.pool and not options.thin:
        parser.error("--pool removed needs --thin")
    if options.gan_pool and not options.pool:
        parser.error("--gan-pool needs --pool removed")
    name = f"fer2013_{f'imbalance{options.thin:g}' if options.thin else 'natural'}{'_full' if options.full else ''}"
    out = RESULTS / f"{name}.json"
    if options.table:
        print_tables(json.loads(out.read_text()))
        return

    base = prepared(options)
    data = read_set(base.needs.data().path)
    judge = referee(options, data)
    common = {
        "train": data.counts("train"),
        "val": data.counts("val"),
        "test": data.counts("test"),
        "labeller": base.needs.classifier().figures,
        "referee": {"model": judge.card["architecture"], **_validated(judge, data)},
    }
    if options.pool:
        common["pool"] = told_of_pool(base, base.needs.classifier().name)
    shown = {k: str(v) for k, v in vars(options).items() if k not in ("archive", "workspace", "referee", "generators")}
    for generator in generators(options):
        told = told_by(options, generator, base, judge)
        told |= {"options": shown, "machine": environment(str(judge.device))}
        result: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {"generators": {}}
        result |= common
        result["generators"][generator] = told
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"written: {out}", flush=True)


def _validated(judge: Classifier, data: ImageSet) -> dict[str, float]:
    held = real_only(data, "val")
    return {"validation_accuracy": float((judge.logits(np.asarray(held.images)).argmax(1) == held.labels).mean())}


if __name__ == "__main__":
    main()
