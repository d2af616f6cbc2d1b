"""Other ways to bring something in, for a workspace that `fer2013.py --thin 100 --pool removed` has filled.

    python benchmarks/fer2013_ways.py --workspace DIR [--only labeller,transfer] [--quick]
    python benchmarks/fer2013_ways.py --table                     # what is recorded, for docs/fer2013.md

Each way ends in an experiment (`ganfer retrain`) on the same splits, seeds and steps as that of `fer2013.py`, whose
trainings without faces are found again. In the order of expected gain:

- `labeller`: pool and faces labelled by a classifier that was trained for rare classes (logit adjustment).
- `transfer`: real common faces with a rare class's expression (`ganfer generate --from-faces`), by that classifier.
- `generators`: faces of three residual GANs, labelled by it; every generator has two seeds.
- `real-priors`, `real-last`, `own-norms`, `mixed`, `fresh`: how a classifier learns from the faces of `labeller`.

A way of learning goes on from three seeds to all while its interval on validation leaves the target open. `--quick`
leaves out the arms that do not rebalance; without it the same command adds them. What is recorded is not done again,
and everything resumes. Figures, without any picture, go to results/fer2013_ways.json after every way.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fer2013 import METRICS, _change, _interval, _row, _rows, experiment, settings
from fer2013_pool import print_pool, told_of_pool, under_other_shares
from gan_common import RESULTS, environment

from ganfer.classifier.train import real_only
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.experiment.retrain import retrain
from ganfer.experiment.trainings import stored_trained
from ganfer.label.fill import fill
from ganfer.label.labels import newest_labels
from ganfer.label.stage import label
from ganfer.pipeline import Project
from ganfer.results import Result
from ganfer.statistics.verdict import Measured, changes, measure
from ganfer.workspace import Run, Workspace

OUT = RESULTS / "fer2013_ways.json"
TARGET = 0.02  # balanced accuracy over the best arm without faces
FEW_SEEDS = 3
REAL, REAL_FEW = "original,oversample,logit-adjusted,deferred-sampling", "original,logit-adjusted"
PLAIN_ARMS = ("synthetic", "pool")  # those that --quick leaves out
NEW = ("synthetic", "synthetic+best", "pool", "pool+best")  # arms that are told of
SOURCES = ("happy", "neutral")  # real faces whose expression is changed
RARE = {"disgust": 200, "fear": 150, "surprise": 150}  # into these
REFINE = 50  # steps of the search for a real face's latent
TO = 1500  # real and synthetic images per class
FIXED = {"full": False, "minutes": 25.0, "snapshots": 500, "epochs": 12, "arms": "", "ratios": "", "weights": ""}
SHARED = {"gan.guide_epochs": 12, "retrain.workers": 1, "workers": 1}
VALIDATIONS = 8  # of each training, as the arms of fer2013.py came to have, so that these are found again


def config(options: argparse.Namespace, changed: Mapping[str, Any] | None = None) -> Config:
    """The settings of `fer2013.py`, and what is changed of them."""
    values = {**SHARED, **(changed or {})}
    given = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    return settings(argparse.Namespace(**{**vars(options), **FIXED, "set": given}), "resgan")


def run_of(result: Result) -> Run:
    """The folder that a command wrote."""
    assert result.path is not None
    return Run(result.path)


def data_of(options: argparse.Namespace) -> Run:
    """The thinned set. SystemExit where the workspace has none."""
    data = Workspace(options.workspace).active_data
    if data is None or "thin" not in data.name:
        raise SystemExit(f"{options.workspace} holds no thinned set: run fer2013.py --thin 100 --pool removed before.")
    return data


def rare_labeller(options: argparse.Namespace) -> Run:
    """A classifier of the labeller's recipe that learned as if all classes were equally common."""
    changed = {"classifier.loss": "logit-adjusted"}
    return run_of(Project(options.workspace, config(options, changed)).train_classifier())


def generator(options: argparse.Namespace, seed: int = 0) -> Run:
    """The residual GAN of fer2013.py, or one of another seed, which may have less time."""
    changed = {"seed": seed, "gan.minutes": options.other_minutes} if seed else {}
    return run_of(Project(options.workspace, config(options, changed)).train_gan())


def screened(options: argparse.Namespace, gan: Run, labeller: Run) -> Run:
    """Faces of a GAN, drawn until this labeller has kept as many of each class as were asked for."""
    project = Project(options.workspace, config(options))
    data, drawn = data_of(options), run_of(project.generate(gan=gan.name, to=TO))
    batch = fill(project.workspace, project.config, drawn, labeller, data)
    label(project.config, batch, labeller, data)
    return batch


def by_labeller(options: argparse.Namespace) -> dict[str, Any]:
    """Pool and faces, labelled by a classifier that recognises rare classes."""
    labeller = rare_labeller(options)
    batch, project = screened(options, generator(options), labeller), Project(options.workspace, config(options))
    return {
        "labeller": labeller.figures,
        "pool": told_of_pool(project, labeller.name),
        "pool under other shares": under_other_shares(project, labeller.name),
        **compared(options, [batch], f"{REAL},synthetic,synthetic+best,pool,pool+best"),
    }


def by_transfer(options: argparse.Namespace) -> dict[str, Any]:
    """Faces of common classes with rare expressions; what that takes is trained before."""
    labeller, gan = rare_labeller(options), generator(options)
    own = config(options, {"encoder.steps": options.encoder_steps, "transfer.refine": REFINE})
    project = Project(options.workspace, own)
    batch = run_of(project.generate(classes=RARE, from_faces=SOURCES, gan=gan.name))
    label(own, batch, labeller, data_of(options))
    kinds = ("judges", "identities", "encoders")
    helpers = {run.name: run for kind in kinds for run in project.workspace.runs(kind) if run.complete}
    return {
        "transfer": {**batch.figures, "minutes": _minutes(batch)},
        "helpers": {name: {"minutes": _minutes(run), **run.figures} for name, run in helpers.items()},
        **compared(options, [batch], f"{REAL},synthetic,synthetic+best"),
    }


def by_generators(options: argparse.Namespace) -> dict[str, Any]:
    """Faces of several GANs, with two seeds each; how far their gains lie apart."""
    labeller = rare_labeller(options)
    gans = [generator(options, seed) for seed in range(options.number)]
    batches = [screened(options, gan, labeller) for gan in gans]
    arms, seeds = f"{REAL_FEW},synthetic,synthetic+best", 2 * options.number
    told = compared(options, batches, arms, seeds=seeds)
    told["spread"] = spread(told["arms"], told["selection"]["best_without"], options.number)
    facts = ("steps", "images", "best_step", "kid")
    told["gans"] = {gan.name: {"minutes": _minutes(gan), **{k: gan.figures.get(k) for k in facts}} for gan in gans}
    return told


def by_learning(changed: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The faces of `by_labeller`, learned from in another way; with all seeds only while the target is open."""
    batch = screened(options, generator(options), rare_labeller(options))
    for seeds in sorted({min(FEW_SEEDS, options.seeds), options.seeds}):
        told = compared(options, [batch], f"{REAL_FEW},synthetic+best", seeds=seeds, changed=changed)
        if told["validation"]["synthetic+best"]["balanced_accuracy"]["high"] < TARGET:
            break
    return {**told, "learning": dict(changed)}


WAYS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "labeller": by_labeller,
    "transfer": by_transfer,
    "generators": by_generators,
    **{way: partial(by_learning, {"retrain.way": way}) for way in ("real-priors", "real-last", "own-norms", "mixed")},
    "fresh": partial(by_learning, {"retrain.fresh": 3}),
}


def arms_of(arms: str, *, quick: bool) -> str:
    """The arms of a way, without those that do not rebalance where it has to be quick."""
    return ",".join(arm for arm in arms.split(",") if not (quick and arm in PLAIN_ARMS))


def compared(
    options: argparse.Namespace, batches: Sequence[Run], arms: str, *, seeds: int = 0,
    changed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The experiment with the faces of these labelled batches: what `fer2013.py` tells of one, and validation."""
    own = {
        "retrain.arms": arms_of(arms, quick=options.quick),
        "retrain.seeds": seeds or options.seeds,
        "retrain.batches": ",".join(batch.name for batch in batches) if len(batches) > 1 else "",
        "classifier.validations": VALIDATIONS,
        **(changed or {}),
    }
    data, project = data_of(options), Project(options.workspace, config(options, own))
    report = retrain(project.workspace, project.config, data, batches[0])
    told = experiment(report)
    told["quick"] = own["retrain.arms"] != arms
    told["comparisons"] = [c for c in told["comparisons"] if c["metric"] in METRICS or "recall:" in c["metric"]]
    told["validation"] = on_validation(run_of(report), report.figures, read_set(data.path), len(batches))
    told["labelling"] = {}
    for batch in batches:
        labels = newest_labels(batch, data)
        assert labels is not None
        told["labelling"][batch.name] = {**labels.figures, "fill": batch.figures.get("fill", {}).get("classes")}
    return told


def on_validation(run: Run, results: Mapping[str, Any], data: ImageSet, generators: int) -> dict[str, Any]:
    """The change of each new arm on validation against the best arm without faces, with 95% intervals."""
    val, base = real_only(data, "val").labelled(), results["selection"]["best_without"]
    seeds, found = results["settings"]["seeds"], dict[str, Measured]()
    for arm in results["arms"]:
        said = [stored_trained(run.path, arm["folder"], seed).validation.argmax(axis=1) for seed in seeds]
        turns = np.arange(len(seeds)) % generators if generators > 1 and "synthetic" in arm["name"] else None
        found[arm["name"]] = measure(val.labels, np.stack(said), val.class_names, resamples=2000, generators=turns)
    moved = {name: changes(found[name], found[base], among=list(found.values())) for name in NEW if name in found}
    return {name: {metric: table[metric].bounds() for metric in METRICS} for name, table in moved.items()}


def spread(arms: Sequence[Mapping[str, Any]], base: str, generators: int) -> dict[str, Any]:
    """The change of balanced accuracy by generator (seeds take turns with them), and its deviation between them."""
    seeds = {arm["name"]: np.array(arm["metrics"][METRICS[0]]["per_seed"]) for arm in arms}
    found = {}
    for name in NEW:
        if name in seeds:
            change = seeds[name] - seeds[base]
            means = [float(change[k::generators].mean()) for k in range(generators)]
            found[name] = {"by_generator": means, "deviation": float(np.std(means, ddof=1))}
    return found


def _minutes(run: Run) -> float:
    return round(run.record["seconds"] / 60, 1)


def print_ways(record: Mapping[str, Mapping[str, Any]]) -> None:
    """Every way's arms with faces or pool, against the best arm without; then what is told of a single way."""
    titles = ("seeds", "on validation", *METRICS[:2], "recall of the rarest", *(f"{m}, change" for m in METRICS[:2]))
    _rows(("way", "arm", "images added", *titles, "with fitted biases", "change"))
    for way, told in record.items():
        rows_of(way, told)
    for way, told in record.items():
        print(f"\n{way}: {told['verdict']['sentence']} {told['verdict'].get('beside', '')}")
        for batch, labels in told["labelling"].items():
            print(f"{batch}: kept {labels['screen']['kept']}; {labels['screen']['reasons']}")
        for part in ("pool under other shares", "transfer", "helpers", "gans", "spread"):
            if part in told:
                print(f"{part}: {json.dumps(told[part])}")
        if "pool" in told:
            print_pool(told["pool"])


def rows_of(way: str, told: Mapping[str, Any]) -> None:
    """A way's arms, each a row."""
    base, counts = told["selection"]["best_without"], told["counts"]
    rare = min(counts, key=lambda c: int(counts[c]))
    moved = {(c["arm"], c["baseline"], c["metric"]): c for c in told["comparisons"]}
    equal = {row["name"]: row for row in told["equal_shares"]["arms"]}
    for arm in told["arms"]:
        name = arm["name"]
        if name not in (*NEW, base):
            continue
        added = sum(arm["train_counts"].values()) - sum(counts.values())
        val = told["validation"].get(name)
        fitted = equal[name]
        cells = [name, f"{added:,}", str(len(told["seeds"])), _change(val and val[METRICS[0]])]
        cells += [*(_interval(arm["metrics"][m]) for m in METRICS[:2]), _interval(arm["per_class"][rare]["recall"])]
        cells += [_change(moved.get((name, base, m))) for m in METRICS[:2]]
        _row(way, [*cells, _interval(fitted["metrics"][METRICS[0]]), _change((fitted["change"] or {}).get(METRICS[0]))])


def done(told: Mapping[str, Any] | None, *, quick: bool) -> bool:
    """Whether a way is recorded, with all the arms that are asked for."""
    return told is not None and (quick or not told["quick"])


def main() -> None:
    """Do what is missing, writing the record after every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("fer-work"))
    parser.add_argument("--only", default=",".join(WAYS), help="ways, comma-separated")
    parser.add_argument("--quick", action="store_true", help="without the arms that do not rebalance")
    parser.add_argument("--other-minutes", type=float, default=25.0, help="training time of each other generator")
    parser.add_argument("--number", type=int, default=3, help="generators")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--encoder-steps", type=int, default=1500)
    parser.add_argument("--table", action="store_true", help="print what is recorded, for docs/fer2013.md")
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(",")]
    if unknown := [name for name in names if name not in WAYS]:
        parser.error(f"--only: no way {unknown[0]!r}; there are {', '.join(WAYS)}")
    record: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}
    if options.table:
        print_ways(record)
        return
    for name in names:
        if done(record.get(name), quick=options.quick):
            print(f"{name} is recorded already.")
            continue
        began, shown = time.monotonic(), {k: str(v) for k, v in vars(options).items() if k not in ("workspace", "only")}
        told = WAYS[name](options)
        minutes = round((time.monotonic() - began) / 60, 1)
        record[name] = {**told, "way_minutes": minutes, "options": shown, "machine": environment()}
        OUT.write_text(json.dumps({k: record[k] for k in WAYS if k in record}, indent=1) + "\n", encoding="utf-8")
        print(f"written: {OUT} ({name}, {minutes} min)", flush=True)


if __name__ == "__main__":
    main()
