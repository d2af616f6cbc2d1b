"""The verdict engine where the truth is known: false alarms, power and coverage.

    python benchmarks/verdict_truth.py simulated [--trials 200] [--design fer-5]
    python benchmarks/verdict_truth.py trained [--trials 40] [--first 0] [--workers 2]
    python benchmarks/verdict_truth.py summary

`simulated`: predictions drawn from a model with images of different difficulty, trainings of different luck (by class,
partly shared by paired seeds), and noise of every single prediction. The true change of every figure follows from it.

`trained`: small CNNs on drawn faces. Each trial draws other training and test faces. The arm `synthetic` gets, as its
synthetic faces: nothing, and other seeds (A/A); real faces that were held back (oracle); noise; held-back faces with
shuffled labels; copies of the training faces. Trials are independent, so runs with another `--first` add to the file.

Results: benchmarks/results/verdict_truth.json.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ganfer.statistics.rule import Claim, Evidence, verdict
from ganfer.statistics.verdict import WORDS, Estimate, Measured, changes, measure

RESULT = Path(__file__).parent / "results" / "verdict_truth.json"
NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FER_TEST = (467, 56, 496, 895, 653, 415, 607)  # FER2013's public test
RECALLS = (0.52, 0.35, 0.38, 0.85, 0.50, 0.76, 0.62)  # of a middling classifier there
MARGIN, ACCURACY_MARGIN = 0.01, 0.005


# --- simulated predictions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """A test split and its trainings, in units of the spread of the images' difficulty.

    luck: deviation of a class's level from training to training, and how much more for the rarest class. paired: share
    of that luck's variance which two arms with the same seed have in common. noise: of every single prediction.
    """

    counts: tuple[int, ...] = FER_TEST
    seeds: int = 5
    luck: float = 0.06
    rare_luck: float = 0.2
    paired: float = 0.3
    noise: float = 0.5


DESIGNS = {
    "fer-5": Design(),
    "fer-3": Design(seeds=3),
    "small-3": Design(counts=(65, 8, 69, 125, 91, 58, 85), seeds=3),
    "small-5": Design(counts=(65, 8, 69, 125, 91, 58, 85), seeds=5),
    "lucky-3": Design(seeds=3, luck=0.15, rare_luck=0.4),
    "lucky-small": Design(counts=(65, 40, 69, 125, 91, 58, 85), seeds=3, luck=0.3, rare_luck=0.8),
    "steady-5": Design(luck=0.0, rare_luck=0.0, noise=0.3),
}
# points of recall that the arm gains, by class
EFFECTS = {
    "A/A": (0.0,) * 7,
    "a rare class gains": (0.0, 0.15, 0.06, 0.0, 0.0, 0.0, 0.0),
    "every class gains": (0.02,) * 7,
    "every class loses": (-0.02,) * 7,
}


def spread_of(design: Design) -> np.ndarray:
    """(K,) deviation of a class's level from training to training."""
    spread = np.full(len(design.counts), design.luck)
    spread[int(np.argmin(design.counts))] = design.rare_luck
    return spread


def levels(design: Design, recalls: np.ndarray) -> np.ndarray:
    """(K,) mean levels at which the classes' expected recalls are `recalls`."""
    found: np.ndarray = stats.norm.ppf(recalls) * np.sqrt(1 + design.noise**2 + spread_of(design) ** 2)
    return found


def simulate(
    rng: np.random.Generator, design: Design, gains: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One experiment: labels (N,), predictions (S, N) of the baseline and of the arm."""
    count = len(design.counts)
    labels = np.repeat(np.arange(count), design.counts)
    difficulty = rng.normal(size=len(labels))
    liked = (labels + rng.integers(1, count, len(labels))) % count  # what an image is taken for when it is not seen
    spread = spread_of(design)
    shared = rng.normal(size=(design.seeds, count))
    arms = []
    for gain in (np.zeros(count), np.array(gains)):
        own = rng.normal(size=(design.seeds, count))
        luck = spread * (np.sqrt(design.paired) * shared + np.sqrt(1 - design.paired) * own)
        level = levels(design, np.array(RECALLS) + gain) + luck
        noise = design.noise * rng.normal(size=(design.seeds, len(labels)))
        arms.append(np.where(level[:, labels] + noise + difficulty > 0, labels, liked))
    return labels, arms[0], arms[1]


def true_changes(design: Design, gains: tuple[float, ...]) -> dict[str, float]:
    """What the changes' intervals should cover: balanced accuracy, accuracy and every recall."""
    gain = np.array(gains)
    shares = np.array(design.counts) / sum(design.counts)
    recalls = {f"recall:{name}": float(value) for name, value in zip(NAMES, gain, strict=True)}
    return {"balanced_accuracy": float(gain.mean()), "accuracy": float(shares @ gain), **recalls}


def simulated_trial(
    rng: np.random.Generator, design: Design, gains: tuple[float, ...], resamples: int
) -> dict[str, Any]:
    """One experiment through the engine: its word, and which true changes its intervals cover."""
    labels, base, arm = simulate(rng, design, gains)
    before, after = (measure(labels, rows, NAMES, resamples=resamples) for rows in (base, arm))
    table = changes(after, before)
    covered = {
        name: table[name].low <= value <= table[name].high for name, value in true_changes(design, gains).items()
    }
    return {
        "word": word_of(table),
        "covered": covered,
        "width": table["balanced_accuracy"].high - table["balanced_accuracy"].low,
    }


def word_of(table: Mapping[str, Estimate]) -> str:
    """The verdict on one comparison."""
    return verdict(Evidence(Claim("the original", table)), margin=MARGIN, accuracy_margin=ACCURACY_MARGIN).word


def run_simulated(
    designs: list[str], trials: int, resamples: int, done: list[dict[str, Any]], keep: Callable[[], None]
) -> None:
    """Every effect in every design that is not `done` yet; each is added there, and kept."""
    for effect, gains in EFFECTS.items():
        for name in designs:
            if not any((row["design"], row["effect"]) == (name, effect) for row in done):
                done.append(simulated_row(name, effect, gains, trials, resamples))
                keep()
                print(json.dumps(done[-1]), flush=True)


def simulated_row(
    design_name: str, effect: str, gains: tuple[float, ...], trials: int, resamples: int
) -> dict[str, Any]:
    """One effect in one design: how often each word came out, and how often the intervals held the truth."""
    design = DESIGNS[design_name]
    rng = np.random.default_rng([list(DESIGNS).index(design_name), list(EFFECTS).index(effect)])
    found = [simulated_trial(rng, design, gains, resamples) for _ in range(trials)]
    recalls = [hit for trial in found for name, hit in trial["covered"].items() if name.startswith("recall:")]
    return {
        "design": design_name,
        "effect": effect,
        "true_balanced_accuracy": true_changes(design, gains)["balanced_accuracy"],
        "trials": trials,
        "words": words(found),
        "coverage": {
            **{name: share([t["covered"][name] for t in found]) for name in ("balanced_accuracy", "accuracy")},
            "recall": share(recalls),
        },
        "mean_width": float(np.mean([t["width"] for t in found])),
    }


def words(found: list[dict[str, Any]]) -> dict[str, int]:
    """How often each word came out."""
    said = [trial["word"] for trial in found]
    return {name: said.count(name) for name in WORDS}


def share(hits: list[bool]) -> dict[str, float]:
    """A share with its 95% interval (Wilson 1927)."""
    interval = stats.binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return {"share": float(np.mean(hits)), "low": float(interval.low), "high": float(interval.high)}


# --- real trainings on drawn faces ----------------------------------------------------------------------------------

SIZE = 24
POOL = 900  # faces per class that every trial draws its own training, validation and test faces from
TRAIN = (60, 8, 50, 90, 65, 45, 75)
FULL, TEST = 400, 200  # per class: what the arms are filled up to; test
CONDITIONS = ("A/A", "oracle", "noise", "shuffled", "copies")
SEEDS, RESAMPLES = 3, 300
STEPS, BATCH = 120, 64


def pool_of_faces(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 1, 24, 24) and labels (N,), drawn once and kept in the folder."""
    from ganfer.data.drawn import draw_faces

    file = folder / f"pool-{SIZE}-{POOL}.npy"
    labels = np.repeat(np.arange(len(NAMES)), POOL)
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        seeds = np.arange(len(labels)) + (7 << 41)
        large = draw_faces(seeds, labels, size=2 * SIZE, identities=seeds)
        halves = large.reshape(len(large), 1, SIZE, 2, SIZE, 2).astype(np.float32)
        np.save(file, np.rint(halves.mean(axis=(3, 5))).astype(np.uint8))
    return np.load(file), labels


def trained_trial(number: int, images: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, Any]]:
    """One trial: the word and the change of balanced accuracy in every condition."""
    rng = np.random.default_rng([11, number])
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("train", "held", "test")}
    for k, count in enumerate(TRAIN):
        mine = rng.permutation(np.flatnonzero(labels == k))
        ends = np.cumsum([count, FULL - count, TEST])
        for name, part in zip(parts, np.split(mine[: ends[-1]], ends[:-1]), strict=True):
            parts[name].append(part)
    index = {name: np.concatenate(found) for name, found in parts.items()}
    train, held = index["train"], index["held"]
    own = {k: np.flatnonzero(labels[train] == k) for k in range(len(NAMES))}
    copies = np.concatenate([rng.choice(train[own[k]], FULL - n) for k, n in enumerate(TRAIN)])
    added = {
        "oracle": (images[held], labels[held]),
        "noise": (rng.integers(0, 256, images[held].shape, dtype=np.uint8), labels[held]),
        "shuffled": (images[held], rng.permutation(labels[held])),
        "copies": (images[copies], labels[copies]),
    }
    real = (images[train], labels[train])
    seeds = [1000 * number + i for i in range(SEEDS)]
    truth = labels[index["test"]]

    def measured(extra: tuple[np.ndarray, np.ndarray] | None, with_seeds: list[int]) -> Measured:
        data = real if extra is None else tuple(np.concatenate(pair) for pair in zip(real, extra, strict=True))
        predictions = np.stack([predictions_of(*data, images[index["test"]], seed) for seed in with_seeds])
        return measure(truth, predictions, NAMES, resamples=RESAMPLES)

    base = measured(None, seeds)
    found = {}
    for condition in CONDITIONS:
        others = [seed + SEEDS for seed in seeds] if condition == "A/A" else seeds
        table = changes(measured(added.get(condition), others), base)
        change = table["balanced_accuracy"]
        found[condition] = {"word": word_of(table), "change": change.mean, "low": change.low, "high": change.high}
    return found


def predictions_of(images: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """(N,) test predictions of a small CNN (6,500 weights) after a fixed number of steps, with mirror images."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(24 * 9, len(NAMES)),
    )  # fmt: skip

    def standardised(pixels: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(pixels.astype(np.float32))
        return (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), keepdim=True) + 1e-3)

    x, y = standardised(images), torch.from_numpy(labels)
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        rows = torch.from_numpy(rng.integers(0, len(y), BATCH))
        batch = x[rows]
        batch = torch.where(torch.from_numpy(rng.random((BATCH, 1, 1, 1)) < 0.5), batch.flip(3), batch)
        optimiser.zero_grad()
        F.cross_entropy(net(batch), y[rows], label_smoothing=0.1).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        found: np.ndarray = net.eval()(standardised(test)).argmax(1).numpy()
    return found


def _trials(job: tuple[int, int, str]) -> list[tuple[int, dict[str, dict[str, Any]]]]:
    """A worker's share: trials first, first + step, ... until the file with the results says stop (a deadline)."""
    import torch

    torch.set_num_threads(1)
    number, deadline, pool = job[0], job[1], Path(job[2])
    images, labels = pool_of_faces(pool)
    if time.time() > deadline:
        return []
    return [(number, trained_trial(number, images, labels))]


def run_trained(first: int, trials: int, workers: int, seconds: float, pool: Path) -> dict[str, dict[str, Any]]:
    """Trials first..first+trials-1, side by side; those not begun when the time is over are left out."""
    from joblib import Parallel, delayed

    pool_of_faces(pool)
    deadline = int(time.time() + seconds)
    jobs = [(number, deadline, str(pool)) for number in range(first, first + trials)]
    found = [pair for pairs in Parallel(workers)(delayed(_trials)(job) for job in jobs) for pair in pairs]
    return {str(number): result for number, result in found}


def summary_of(trials: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A row per condition: how often each word came out, and the mean change."""
    rows = []
    for condition in CONDITIONS:
        found = [dict(trial[condition]) for trial in trials.values()]
        helps = [trial["word"] == "helps" for trial in found]
        rows.append(
            {
                "condition": condition,
                "trials": len(found),
                "words": words(found),
                "helps": share(helps),
                "mean_change": float(np.mean([trial["change"] for trial in found])),
            }
        )
    return rows


# --- the file ---------------------------------------------------------------------------------------------------------


def environment() -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU used",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load_average": [round(x, 1) for x in os.getloadavg()],
    }


def main() -> None:
    """Run one part and add it to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("simulated", "trained", "summary"))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--design", choices=list(DESIGNS), help="one design; default all")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=160.0, help="no trial is begun after this time (trained)")
    parser.add_argument("--pool", type=Path, default=Path(tempfile.gettempdir()) / "ganfer-verdict-truth")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()

    stored: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
    if options.mode == "simulated":
        names = [options.design] if options.design else list(DESIGNS)
        done = stored.setdefault("simulated", [])
        run_simulated(names, options.trials, options.resamples, done, lambda: write(options.out, stored))
    elif options.mode == "trained":
        found = run_trained(options.first, options.trials, options.workers, options.seconds, options.pool)
        stored.setdefault("trained", {}).setdefault("by_trial", {}).update(found)
    if stored.get("trained"):
        stored["trained"]["summary"] = summary_of(stored["trained"]["by_trial"])
        for row in stored["trained"]["summary"]:
            print(json.dumps(row))
    write(options.out, stored)


def write(file: Path, stored: dict[str, Any]) -> None:
    """Keep what is there so far."""
    stored["environment"] = environment()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
