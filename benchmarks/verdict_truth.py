"""The verdict engine where the truth is known: false alarms, power and coverage.

    python benchmarks/verdict_truth.py [--trials 200] [--design fer-5]

Predictions are drawn from a model with images of different difficulty, trainings of different luck (by class, partly
shared by paired seeds), and noise of every single prediction. The true change of every figure follows from it.
`verdict_trained.py` has real trainings.

Results: benchmarks/results/verdict_truth.json.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ganfer.statistics.rule import Claim, Evidence, verdict
from ganfer.statistics.verdict import WORDS, Estimate, changes, measure

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
    """Every row that is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--design", choices=list(DESIGNS), help="one design; default all")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()

    stored: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
    names = [options.design] if options.design else list(DESIGNS)
    done = stored.setdefault("simulated", [])
    run_simulated(names, options.trials, options.resamples, done, lambda: write(options.out, stored))


def write(file: Path, stored: dict[str, Any]) -> None:
    """Keep what is there so far."""
    stored["environment"] = environment()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
