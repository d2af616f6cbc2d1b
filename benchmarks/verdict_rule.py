"""The whole rule of the verdict where the truth is known: false alarms, power, coverage, and what must never help.

    python benchmarks/verdict_rule.py [--trials 2000] [--row NAME] [--workers 1]

Everything here is modelled. An experiment has five arms (original, oversampling, logit adjustment, faces, faces with
the best rebalancing) that score seven classes on validation and test images:

    score[k] = skill of the arm in the image's class, where k is that class
             + the image's own liking for k, shared by all trainings, and the arm's, shared by its seeds
             + the arm's bias for k (the original's is for common classes) and the seed's own
             + noise of the single prediction

A seed's biases trade recalls off, so seeds move classes against each other. Class biases are taken to be fitted up to
an error. The true change of an arm is its mean over many trainings and images. The best arms are chosen on validation.
Variances over test images are exact (of infinitely many resamples); all else is `ganfer.statistics`.

"before" is the earlier rule on the same trials: the pair's own spread over its seeds, both claims with the guard on the
mean of accuracy. "faces alone" is the earlier default: the faces against the original and nothing else.
Results: benchmarks/results/verdict_rule.json.
"""

import argparse
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy import stats
from verdict_truth import ACCURACY_MARGIN, FER_TEST, MARGIN, environment, share

from ganfer.statistics.luck import seed_part
from ganfer.statistics.rule import Claim, Evidence, verdict
from ganfer.statistics.verdict import WORDS, Estimate, Spread, estimate

RESULT = Path(__file__).parent / "results" / "verdict_rule.json"
MEDIUM_TEST = (130, 16, 138, 250, 182, 116, 170)
SMALL_TEST = (65, 8, 69, 125, 91, 58, 85)
MOVED = {"oversample": 0.5, "logit-adjusted": 0.5, "synthetic": 0.0}  # of the bias that is left, by arm
SKILLS = np.array([1.75, 2.0, 1.5, 3.0, 1.8, 2.7, 2.1])  # in units of the liking's spread
ARMS = ("original", "oversample", "logit-adjusted", "synthetic", "synthetic+best")
CHEAP = ("oversample", "logit-adjusted")
LIKING, OWN_LIKING, NOISE = 1.0, 0.35, 0.45
FIT_ERROR = 0.05  # of a fitted class bias


@dataclass(frozen=True)
class Row:
    """A scenario: test images per class, seeds, training images in proportion, spread of a seed's class biases, arms.

    gain: added to the skill in every class, by arm; rare: the same in the two rarest. shift: share of the original's
    bias for common classes that is left, by arm.
    """

    counts: tuple[int, ...] = FER_TEST
    seeds: int = 3
    shares: tuple[int, ...] = FER_TEST
    luck: float = 0.06
    wild: Mapping[str, float] = field(default_factory=dict)
    gain: Mapping[str, float] = field(default_factory=dict)
    rare: Mapping[str, float] = field(default_factory=dict)
    shift: Mapping[str, float] = field(default_factory=dict)


def faces(gain: float = 0.0, rare: float = 0.0) -> dict[str, Any]:
    """Faces that bring skill, with and without the rebalancing."""
    both = ("synthetic", "synthetic+best")
    return {"gain": dict.fromkeys(both, gain), "rare": dict.fromkeys(both, rare)}


ROWS: dict[str, Row] = {
    "A/A, FER2013's test, 2 seeds": Row(seeds=2),
    "A/A, FER2013's test, 3 seeds": Row(),
    "A/A, FER2013's test, 5 seeds": Row(seeds=5),
    **{f"A/A, 1,002 images, {seeds} seeds": Row(MEDIUM_TEST, seeds) for seeds in (2, 3, 5)},
    "A/A, 501 images, 3 seeds": Row(SMALL_TEST),
    "A/A, 1,002 images, capricious seeds": Row(MEDIUM_TEST, luck=0.2),
    "A/A, 1,002 images, one wild arm": Row(MEDIUM_TEST, wild={"logit-adjusted": 4.0}),
    "A/A, 1,002 images, noisy faces": Row(MEDIUM_TEST, wild={"synthetic": 2.0, "synthetic+best": 2.0}),
    **{f"gain of 2, FER2013's test, {seeds} seeds": Row(seeds=seeds, **faces(0.075)) for seeds in (3, 5)},
    "gain of 3, FER2013's test, 3 seeds": Row(**faces(0.15)),
    **{f"gain of 4, 1,002 images, {seeds} seeds": Row(MEDIUM_TEST, seeds, **faces(0.15)) for seeds in (3, 5)},
    "gain of 8, 1,002 images, 3 seeds": Row(MEDIUM_TEST, **faces(0.32)),
    "loss of 2, 1,002 images, 3 seeds": Row(MEDIUM_TEST, **faces(-0.1)),
    "never: copies of real images": Row(MEDIUM_TEST, shift={"synthetic": 0.2}),
    "never: shuffled labels": Row(MEDIUM_TEST, **faces(-0.08, -0.3)),
    "never: unscreened, no skill": Row(MEDIUM_TEST, shift={"synthetic": 0.4}),
    "never: a moved threshold": Row(MEDIUM_TEST, shift=MOVED),
    "never: a moved threshold, balanced test": Row((513,) * 7, 5, shift=MOVED),
    "never: a moved threshold, balanced test, 1,001 images": Row((143,) * 7, 5, shift=MOVED),
}

SEEDS = {  # of the rows that were drawn first
    "A/A, FER2013's test, 2 seeds": 0,
    "A/A, FER2013's test, 3 seeds": 1,
    "gain of 3, FER2013's test, 3 seeds": 11,
    "never: a moved threshold, balanced test": 21,
}


def biases(counts: Sequence[int]) -> np.ndarray:
    """(K,) the original's bias for common classes."""
    shares = np.log(np.array(counts) / sum(counts))
    return 0.5 * (shares - shares.mean())


def scores_of(
    rng: np.random.Generator, row: Row, arm: str, labels: np.ndarray, liking: np.ndarray, luck: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hits (S, N) of an arm's models, as trained and with fitted biases. luck: (S, K) of each seed."""
    count = len(row.counts)
    skill = SKILLS + row.gain.get(arm, 0.0)
    skill[np.argsort(row.shares)[:2]] += row.rare.get(arm, 0.0)
    left = row.shift.get(arm, 1.0 if arm in ("original", "synthetic") else 0.0)
    base = liking + OWN_LIKING * rng.standard_normal(liking.shape, np.float32)
    base[np.arange(len(labels)), labels] += skill[labels].astype(np.float32)
    found = []
    for own in luck:
        noisy = base + NOISE * rng.standard_normal(base.shape, np.float32)
        tilt = (left * biases(row.shares) + own).astype(np.float32)
        error = (FIT_ERROR * rng.standard_normal(count)).astype(np.float32)
        found.append([(noisy + moved).argmax(axis=1) == labels for moved in (tilt, error)])
    hits = np.array(found)
    return hits[:, 0], hits[:, 1]


def lucks(rng: np.random.Generator, row: Row, arm: str) -> np.ndarray:
    """(S, K) class biases of the seeds."""
    return row.luck * row.wild.get(arm, 1.0) * rng.standard_normal((row.seeds, len(row.counts)))


def experiment(rng: np.random.Generator, row: Row, counts: np.ndarray, seeds: dict[str, np.ndarray]) -> dict[str, Any]:
    """Hits on images of these class counts, of every arm: name -> (as trained, fitted), each (S, N)."""
    labels = np.repeat(np.arange(len(counts)), counts)
    liking = LIKING * rng.standard_normal((len(labels), len(counts)), np.float32)
    return {"labels": labels, **{arm: scores_of(rng, row, arm, labels, liking, seeds[arm]) for arm in ARMS}}


def figures_of(hits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balanced accuracy and accuracy (S,)."""
    starts, counts = classes_of(labels)
    return (np.add.reduceat(hits, starts, axis=1, dtype=np.float64) / counts).mean(axis=1), hits.mean(axis=1)


def classes_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each class begins in the sorted labels, and how many images it has."""
    counts = np.bincount(labels)
    return np.concatenate([[0], np.cumsum(counts)[:-1]]), counts


def image_variance(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Over resamples within each class: the variance of the mean by class, and of the mean; values (R, N) -> (R, 2)."""
    starts, counts = classes_of(labels)
    mean = np.add.reduceat(values, starts, axis=1, dtype=np.float64) / counts
    square = np.add.reduceat(values * values, starts, axis=1, dtype=np.float64) / counts
    each = (square - mean**2) / counts
    return np.stack([each.sum(axis=1) / len(counts) ** 2, each @ (counts / len(labels)) ** 2], axis=1)


def compared(
    test: Mapping[str, Any], arm: str, base: str, fitted: bool, pooled: bool, levels: Mapping[str, np.ndarray]
) -> dict[str, Estimate]:
    """The change of balanced accuracy and of accuracy. pooled: seeds' variance from all arms, else from the pair."""
    labels, kind = test["labels"], int(fitted)
    change = test[arm][kind].astype(np.float32) - test[base][kind]
    together = image_variance(change.mean(axis=0, keepdims=True), labels)[0]
    alone = image_variance(change, labels).mean(axis=0)
    counts = np.bincount(labels)
    floors = (float((1 / (counts + 2.0) ** 2).sum() / len(counts) ** 2), 0.0)
    places = [ARMS.index(arm), ARMS.index(base)]
    table = {}
    for i, name in enumerate(("balanced_accuracy", "accuracy")):
        figures = levels[name]
        luck = seed_part(figures, *places) if pooled else seed_part(figures[places], 0, 1)
        plain = figures[places[0]] - figures[places[1]]
        table[name] = estimate(plain, Spread(float(together[i]), float(alone[i])), floors[i], 0.95, (-1.0, 1.0), luck)
    return table


def levels_of(test: Mapping[str, Any], kind: int) -> dict[str, np.ndarray]:
    """Of every arm and seed (A, S)."""
    pairs = [figures_of(test[arm][kind], test["labels"]) for arm in ARMS]
    return {"balanced_accuracy": np.array([b for b, _ in pairs]), "accuracy": np.array([a for _, a in pairs])}


def trial(rng: np.random.Generator, row: Row) -> dict[str, Any]:
    """One experiment: the word under this rule and the earlier ones, and what the interval says."""
    counts = np.array(row.counts)
    seeds = {arm: lucks(rng, row, arm) for arm in ARMS}
    val = experiment(rng, row, np.maximum(counts // 2, 4), seeds)
    test = experiment(rng, row, counts, seeds)
    on_val, on_val_fitted = (levels_of(val, kind)["balanced_accuracy"].mean(axis=1) for kind in (0, 1))
    without = [ARMS.index(name) for name in ("original", *CHEAP)]
    best = ARMS[max(without, key=lambda i: on_val[i])]
    best_fitted = ARMS[max(without, key=lambda i: on_val_fitted[i])]
    best_cheap = ARMS[max(without[1:], key=lambda i: on_val[i])]
    levels, fitted_levels = levels_of(test, 0), levels_of(test, 1)
    about = "synthetic+best"
    first = compared(test, about, best, False, True, levels)
    plain = compared(test, about, "original", False, True, levels)
    fitted = compared(test, about, best_fitted, True, True, fitted_levels)["balanced_accuracy"]
    evidence = Evidence(Claim("", first), None if best == "original" else Claim("", plain), fitted)
    earlier = [compared(test, about, base, False, False, levels) for base in (best_cheap, "original")]
    alone = compared(test, "synthetic", "original", False, False, levels)
    return {
        "word": verdict(evidence, margin=MARGIN, accuracy_margin=ACCURACY_MARGIN).word,
        "before": all(_earlier_help(table) for table in earlier),
        "alone": _earlier_help(alone),
        "base": best,
        "change": first["balanced_accuracy"],
        "fitted": fitted,
    }


def _earlier_help(table: Mapping[str, Estimate]) -> bool:
    return table["balanced_accuracy"].low > 0 and table["accuracy"].mean >= -ACCURACY_MARGIN


def truths(row: Row) -> dict[str, float]:
    """The true balanced accuracy of every arm, and of the faces' arm with fitted biases less the best without."""
    rng = np.random.default_rng(0)
    large = replace(row, seeds=30)
    sums = dict.fromkeys(ARMS, 0.0)
    rounds = 4
    for _ in range(rounds):
        seeds = {arm: lucks(rng, large, arm) for arm in ARMS}
        found = experiment(rng, large, np.full(len(row.counts), 600), seeds)
        for arm in ARMS:
            sums[arm] += float(figures_of(found[arm][0], found["labels"])[0].mean()) / rounds
    return sums


def run_row(job: tuple[str, int]) -> dict[str, Any]:
    """One row of the table."""
    name, trials = job
    row, started = ROWS[name], time.monotonic()
    true = truths(row)
    rng = np.random.default_rng([5, SEEDS.get(name, zlib.crc32(name.encode()))])
    found = [trial(rng, row) for _ in range(trials)]
    said = [one["word"] for one in found]
    held = [one["change"].low <= true["synthetic+best"] - true[one["base"]] <= one["change"].high for one in found]
    helps = [word == "helps" for word in said]
    return {
        "row": name,
        "trials": trials,
        "seeds": row.seeds,
        "test_images": sum(row.counts),
        "true_change": true["synthetic+best"] - max(true[arm] for arm in ("original", *CHEAP)),
        "true_over_original": true["synthetic+best"] - true["original"],
        "words": {word: said.count(word) for word in WORDS},
        "helps": share(helps),
        "helps_upper_bound": float(stats.binomtest(sum(helps), trials).proportion_ci(0.95, "exact").high),
        "coverage": share(held),
        "half_width": float(np.mean([(one["change"].high - one["change"].low) / 2 for one in found])),
        "before": share([one["before"] for one in found]),
        "faces_alone_before": share([one["alone"] for one in found]),
        "gain_found": share([one["change"].low > 0 for one in found]),
        "fitted_mean_above_0": share([one["change"].low > 0 and one["fitted"].mean > 0 for one in found]),
        "fitted_bound_above_0": share([one["change"].low > 0 and one["fitted"].at(0.9).low > 0 for one in found]),
        "fitted_interval_above_0": share([one["change"].low > 0 and one["fitted"].low > 0 for one in found]),
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    """Every row that is not in the file yet, or the named one anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--row", choices=list(ROWS), action="append")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    stored: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {"rows": []}
    done = {row["row"] for row in stored["rows"] if row["trials"] >= options.trials}
    wanted = [name for name in options.row or ROWS if options.row or name not in done]
    jobs = (delayed(run_row)((name, options.trials)) for name in wanted)
    for row in Parallel(options.workers, return_as="generator")(jobs):
        if options.out.is_file():  # another process may have added to it
            stored = json.loads(options.out.read_text())
        stored["rows"] = [one for one in stored["rows"] if one["row"] != row["row"]] + [row]
        stored["rows"].sort(key=lambda one: list(ROWS).index(one["row"]) if one["row"] in ROWS else len(ROWS))
        stored["environment"] = environment()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(stored, indent=1) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
