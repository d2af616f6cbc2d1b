"""FER2013 in a few minutes of two CPU cores: which network and which settings? Judged on validation alone.

    python benchmarks/fer2013_minutes.py WORKSPACE --minutes 8 [--seeds 2] [--only NAME ...] [--list]

The workspace has FER2013 (`ganfer data add`, `ganfer data check --drop`). Every candidate changes something of the
recipe `fer2013-compact-cpu`; several are joined by a plus sign, as in --only unshuffled+progressive-50. Each gets the
same seconds of training, validations included: its steps a second are measured first, on small and on full-size images,
and its number of steps follows, so that its schedule ends with the time. What the training really took is recorded
beside it, as is the load of the machine: run it on a quiet one. A distilled candidate's seconds hold its teachers'.

Recorded are accuracy and balanced accuracy on validation, plain and averaged over the mirror image, and against the
first candidate the paired difference over images and seeds with its 95% interval. The same command goes on where it
was. Writes benchmarks/results/fer2013_minutes_MINUTES.json. The test split is not read, but for --test NAME: by the
trained candidate that was chosen on validation, averaged over the mirror image, once per seed.
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fer2013_networks import register
from gan_common import RESULTS, environment
from recipe_records import wilson

from classifiers import Samples, TrainConfig, load_classifier, train
from classifiers.parts import total_steps
from classifiers.probe import precision_of
from ganfer.classifier.train import real_only, samples
from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.workspace import Workspace

_PROBE = 60  # steps whose time is measured
_SETTLED = 5  # of each size that are left out
_VALIDATIONS = 6


@dataclass(frozen=True)
class Candidate:
    """Settings in place of the recipe's. teachers: networks whose mean answer, with weight `soft`, is learned as well;
    they take `share` of the time, together."""

    settings: dict[str, Any] = field(default_factory=dict)
    teachers: int = 0
    share: float = 0.5
    soft: float = 0.5


# the first is what the others are compared with; the others in order of expected worth
CANDIDATES = {
    "float32": Candidate({"precision": "32-true"}),
    "recipe": Candidate(),  # bfloat16 where the processor is faster in it
    "unshuffled": Candidate({"model": "compact-unshuffled"}),
    "progressive-50": Candidate({"progressive": 0.5}),
    "progressive-70": Candidate({"progressive": 0.7}),
    "batch-64": Candidate({"batch_size": 64}),
    "batch-256": Candidate({"batch_size": 256}),
    "lr-2e-2": Candidate({"lr": 2e-2}),
    "lr-5e-3": Candidate({"lr": 5e-3}),
    "decay-10": Candidate({"weight_decay": 0.1}),
    "decay-2": Candidate({"weight_decay": 0.02}),
    "strong": Candidate({"augment": "strong"}),
    "cutout": Candidate({"cutout": 0.5}),
    "mixup": Candidate({"mixup": 0.2}),
    "smoothing-5": Candidate({"label_smoothing": 0.05}),
    "smoothing-20": Candidate({"label_smoothing": 0.2}),
    "ema-99": Candidate({"ema": 0.99}),
    "ema-9995": Candidate({"ema": 0.9995}),
    "averaged": Candidate({"schedule": "constant", "ema": 0.9995}),  # weights averaged along a constant rate
    "warmup-10": Candidate({"warmup": 0.1}),
    "warmup-40": Candidate({"warmup": 0.4}),
    "cosine": Candidate({"schedule": "cosine"}),
    "distilled": Candidate(teachers=3),
    "distilled-hard": Candidate(teachers=2, share=0.4, soft=0.8),
    "deep": Candidate({"model": "compact-deep"}),
    "wide-40": Candidate({"model": "compact-40"}),
    "narrow-24": Candidate({"model": "compact-24"}),
    "branches": Candidate({"model": "compact-branches"}),
    "depthwise": Candidate({"model": "compact-depthwise"}),
    "wide-stem": Candidate({"model": "compact-wide-stem"}),
    "dropout-40": Candidate({"dropout": 0.4}),
}


def candidate_of(name: str) -> Candidate:
    """A candidate by its name, or by several joined by a plus sign; ValueError for a name that is none."""
    parts = name.split("+")
    if unknown := [part for part in parts if part not in CANDIDATES]:
        raise ValueError(f"no candidate {', '.join(unknown)}; there are {', '.join(CANDIDATES)}")
    found = Candidate()
    for one in (CANDIDATES[part] for part in parts):
        rest: dict[str, Any] = (
            {} if not one.teachers else {"teachers": one.teachers, "share": one.share, "soft": one.soft}
        )
        found = dataclasses.replace(found, settings=found.settings | one.settings, **rest)
    return found


@dataclass(frozen=True)
class Pace:
    """Seconds of a step on smaller and on full-size images, and of a validation."""

    small: float
    full: float
    validation: float

    def steps(self, seconds: float, progressive: float, validations: int) -> int:
        """The steps that fill the time; `progressive` of them are the small ones."""
        each = progressive * self.small + (1 - progressive) * self.full
        return max(1, int((seconds - validations * self.validation) / each))


def pace_of(
    config: TrainConfig, real: Samples, val: Samples, names: Sequence[str], progressive: float, probe: int = _PROBE
) -> Pace:
    """Measured in a training of `probe` steps, of which `progressive` are small, that ends with one validation.

    It computes in the precision that the recipe's whole length comes to, which so short a training would not try."""
    stamps: list[float] = []
    precision = precision_of(config, np.shape(real.images)[:3], len(names), torch.device("cpu"))

    @contextmanager
    def watched(description: str, total: int) -> Iterator[Any]:
        yield lambda n=1, note="": stamps.append(time.monotonic())

    short = dataclasses.replace(config, steps=probe, validations=1, progressive=progressive, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        train(short, real, val, names, folder, device="cpu", progress=watched)
    seconds = np.diff(stamps)
    turn = round(progressive * probe)
    small, full = seconds[min(_SETTLED, turn) : turn], seconds[turn + _SETTLED : -1]
    rate = float(np.median(full))
    return Pace(float(np.median(small)) if len(small) else rate, rate, max(0.0, float(seconds[-1]) - rate))


def fitted(
    name: str, config: TrainConfig, seconds: float, data: tuple[Samples, Samples, Sequence[str]], known: dict[str, Any]
) -> TrainConfig:
    """The configuration with as many steps as fit into the time; `known` keeps what was measured under `name`."""
    real, val, names = data
    share = config.progressive or 0.0
    if name not in known:
        known[name] = dataclasses.asdict(pace_of(config, real, val, names, share))
    return dataclasses.replace(config, steps=Pace(**known[name]).steps(seconds, share, config.validations))


def trained(
    name: str, seed: int, minutes: float, data: tuple[Samples, Samples, Sequence[str]], work: Path,
    known: dict[str, Any], recipe: TrainConfig,
) -> dict[str, Any]:  # fmt: skip
    """One candidate's training, or what was found of it; its figures on validation, and its answers' hits."""
    candidate, (real, val, names) = candidate_of(name), data
    config = dataclasses.replace(recipe, **candidate.settings)
    seconds, spent = 60 * minutes, 0.0
    soft: np.ndarray | None = None
    for number in range(candidate.teachers):
        own = seconds * candidate.share / candidate.teachers
        teacher = fitted(name, config, own, data, known)
        folder = work / f"{name}-{minutes:g}-{seed}-teacher-{number}"
        done = train(teacher, real, val, names, folder, seed=1000 * (number + 1) + seed, device="cpu")
        began = time.monotonic()
        answers = done.load("cpu").probabilities(real.images, tta="flip") / candidate.teachers
        soft = answers if soft is None else soft + answers
        spent += done.seconds + time.monotonic() - began
    if soft is not None:
        hard = np.eye(len(names), dtype=np.float32)[np.asarray(real.labels)]
        mixed = (1 - candidate.soft) * hard + candidate.soft * soft
        real = dataclasses.replace(real, soft_labels=(mixed / mixed.sum(1, keepdims=True)).astype(np.float32))
    student = fitted(name, config, seconds * (1 - candidate.share * bool(candidate.teachers)), data, known)
    done = train(student, real, val, names, work / f"{name}-{minutes:g}-{seed}", seed=seed, device="cpu")
    classifier, labels = done.load("cpu"), np.asarray(val.labels)
    hits = {tta: classifier.logits(val.images, tta=tta).argmax(1) == labels for tta in ("none", "flip")}
    balanced = [float(np.mean([hit[labels == k].mean() for k in np.unique(labels)])) for hit in hits.values()]
    return {
        "accuracy": float(hits["none"].mean()), "accuracy, mirror averaged": float(hits["flip"].mean()),
        "balanced accuracy": balanced[0], "balanced accuracy, mirror averaged": balanced[1],
        "seconds": round(spent + done.seconds, 1), "steps": done.steps, "precision": done.card["precision"],
        "epochs": round(done.steps * student.batch_size / len(real), 1), "load": round(os.getloadavg()[0], 2),
        "hits": np.packbits(hits["flip"]).tobytes().hex(), "validation": len(labels),
    }  # fmt: skip


def tested(name: str, minutes: float, seeds: Iterable[str], test: Samples, work: Path) -> dict[str, Any]:
    """The public test's accuracy of a trained candidate, seed by seed, with Wilson's 95% interval."""
    found = {}
    for seed in seeds:
        classifier = load_classifier(work / f"{name}-{minutes:g}-{seed}", "cpu")
        right = classifier.logits(test.images, tta="flip").argmax(1) == np.asarray(test.labels)
        found[seed] = {
            "accuracy, mirror averaged": float(right.mean()),
            "interval": wilson(float(right.mean()), len(right)),
        }
    return found


def against(one: dict[str, Any], first: dict[str, Any]) -> dict[str, float] | None:
    """The paired difference in points, over all images of all seeds that both have, with its 95% interval."""
    seeds = sorted(set(one) & set(first))
    if not seeds:
        return None

    def hits(of: dict[str, Any]) -> np.ndarray:
        rows = [
            np.unpackbits(np.frombuffer(bytes.fromhex(of[s]["hits"]), np.uint8))[: of[s]["validation"]] for s in seeds
        ]
        return np.mean(rows, axis=0)

    change = 100 * (hits(one) - hits(first))
    half = 1.96 * float(change.std(ddof=1)) / len(change) ** 0.5
    return {"mean": round(float(change.mean()), 2), "low": round(float(change.mean()) - half, 2),
            "high": round(float(change.mean()) + half, 2), "seeds": len(seeds)}  # fmt: skip


def table(record: dict[str, Any]) -> list[str]:
    """The candidates, the best first."""
    rows = []
    for name, seeds in record["candidates"].items():
        mean = {
            key: float(np.mean([row[key] for row in seeds.values()]))
            for key in ("accuracy, mirror averaged", "seconds")
        }
        rows.append((mean["accuracy, mirror averaged"], name, mean["seconds"], record["against the first"].get(name)))
    return [f"{100 * accuracy:5.1f}%  {name:28} {seconds:6.0f} s  {change or ''}" for accuracy, name, seconds, change in
            sorted(rows, reverse=True)]  # fmt: skip


def main() -> None:
    """Train what is missing, seed by seed, writing after every training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("ganfer-work") / "fer2013-minutes")
    parser.add_argument("--test", metavar="NAME", help="read the public test with this candidate")
    parser.add_argument("--list", action="store_true", help="the candidates, and what is recorded")
    options = parser.parse_args()
    out = RESULTS / f"fer2013_minutes_{options.minutes:g}.json"
    record: dict[str, Any] = {"minutes": options.minutes, "pace": {}, "candidates": {}, "against the first": {}}
    if out.is_file():
        record = json.loads(out.read_text())
    if options.list:
        print("\n".join([*(f"{name}: {candidate}" for name, candidate in CANDIDATES.items()), *table(record)]))
        return
    torch.set_num_threads(options.threads)
    register()
    data = None if options.workspace is None else Workspace(options.workspace).active_data
    if data is None:
        raise SystemExit("Name a workspace with FER2013: ganfer data add fer2013.tar.xz -w WORKSPACE")
    images = read_set(data.path)
    sets = samples(real_only(images, "train")), samples(real_only(images, "val")), images.class_names
    recipe = dataclasses.replace(load_config("fer2013-compact-cpu").classifier, tensorboard=False,
                                 validations=_VALIDATIONS)  # fmt: skip
    first = next(iter(CANDIDATES))
    for name in options.only:
        candidate_of(name)  # a wrong one is said before the first training
    for seed in range(options.seeds):
        for name in options.only:
            seeds = record["candidates"].setdefault(name, {})
            if str(seed) in seeds:
                continue
            seeds[str(seed)] = trained(name, seed, options.minutes, sets, options.work, record["pace"], recipe)
            known = record["candidates"]
            record["against the first"] = {
                other: change
                for other in known
                if other != first and (change := against(known[other], known.get(first, {})))
            }
            record |= {"data": data.name, "images": len(sets[0]), "recipe's epochs": recipe.epochs,
                       "recipe's steps": total_steps(recipe, len(sets[0])), **environment()}  # fmt: skip
            out.write_text(json.dumps(record, indent=1) + "\n")
            print(name, seed, {k: v for k, v in seeds[str(seed)].items() if k != "hits"}, flush=True)
    if options.test:
        public = samples(real_only(images, "test"))
        known = record["candidates"].get(options.test, {})
        record.setdefault("test", {})[options.test] = tested(options.test, options.minutes, known, public, options.work)
        out.write_text(json.dumps(record, indent=1) + "\n")
        print(record["test"][options.test])
    print("\n".join(table(record)))


if __name__ == "__main__":
    main()
