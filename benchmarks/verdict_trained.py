"""The whole rule of the verdict with real trainings where the truth is known.

    python benchmarks/verdict_trained.py [--trials 200] [--workers 2] [--minutes 60]

Each trial draws training, validation and test faces anew from a pool of drawn faces, and trains small CNNs with three
paired seeds: plainly, oversampled, with logit adjustment, with faces, and with faces and the better of the two
rebalancings. What poses as faces: nothing, and other seeds in its place (A/A); real faces that were held back (oracle);
held-back faces with shuffled labels; copies of the training faces. Choices, fitted biases, intervals and the word
are those of `ganfer retrain` (`ganfer.experiment`). Trials that are in benchmarks/results/verdict_trained.json are not
run again.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from verdict_truth import NAMES, environment, share

from classifiers import TrainConfig
from ganfer.config import RetrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import ARMS, Outcome, Trained
from ganfer.experiment.comparisons import claimed, compare, decide, mean_level, predictions, selected
from ganfer.experiment.material import TrainingData
from ganfer.experiment.operating_point import at_equal_shares
from ganfer.statistics.verdict import WORDS, measure

RESULT = Path(__file__).parent / "results" / "verdict_trained.json"
SIZE = 24
POOL = 900  # faces per class that every trial draws its own training, validation and test faces from
TRAIN = (60, 8, 50, 90, 65, 45, 75)
FULL, VAL, TEST = 400, 60, 200  # per class: what the arms are filled up to; validation; test
CONDITIONS = ("A/A", "oracle", "shuffled", "copies")
SEEDS = 3
STEPS, BATCH = 120, 64
SETTINGS = RetrainConfig(arms="default", seeds=SEEDS, resamples=300)


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


class Trial:
    """One trial's faces and its trainings without synthetic ones."""

    def __init__(self, number: int, images: np.ndarray, labels: np.ndarray) -> None:
        self.rng = np.random.default_rng([11, number])
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ("train", "val", "test", "held")}
        for k, count in enumerate(TRAIN):
            mine = self.rng.permutation(np.flatnonzero(labels == k))
            ends = np.cumsum([count, VAL, TEST, FULL - count])
            for name, part in zip(parts, np.split(mine[: ends[-1]], ends[:-1]), strict=True):
                parts[name].append(part)
        index = {name: np.concatenate(found) for name, found in parts.items()}
        self.sets = {name: as_set(images[index[name]], labels[index[name]]) for name in ("train", "val", "test")}
        self.held = images[index["held"]], labels[index["held"]]
        self.seeds = [1000 * number + i for i in range(SEEDS)]
        self.plain = {name: self.trained(name, self.seeds) for name in ("original", "oversample", "logit-adjusted")}
        on_val = {name: self.on_validation(trained) for name, trained in self.plain.items()}
        self.best = max(("oversample", "logit-adjusted"), key=lambda name: on_val[name])

    def faces(self, condition: str) -> tuple[np.ndarray, np.ndarray]:
        """What poses as synthetic faces."""
        images, labels = self.held
        if condition == "shuffled":
            return images, self.rng.permutation(labels)
        if condition == "copies":
            real = self.sets["train"]
            own = [np.flatnonzero(real.labels == k) for k in range(len(NAMES))]
            rows = np.concatenate([self.rng.choice(own[k], FULL - n) for k, n in enumerate(TRAIN)])
            return real.images[rows], real.labels[rows]
        return images, labels

    def trained(
        self, way: str, seeds: list[int], extra: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[Trained, ...]:
        """One model per seed, on the training images and the faces."""
        real = self.sets["train"]
        images, labels = (real.images, real.labels) if extra is None else (
            np.concatenate([real.images, extra[0]]), np.concatenate([real.labels, extra[1]])
        )  # fmt: skip
        both = np.concatenate([self.sets["val"].images, self.sets["test"].images])
        found = []
        for seed in seeds:
            said = probabilities_of(images, labels, both, seed, way)
            cut = len(self.sets["val"])
            found.append(Trained(said[cut:], said[:cut], 1.0, 0.0, "cpu"))
        return tuple(found)

    def on_validation(self, trained: tuple[Trained, ...]) -> float:
        """Mean balanced accuracy of the seeds."""
        return mean_level(self.sets["val"], [each.validation.argmax(axis=1) for each in trained])

    def judged(self, condition: str) -> dict[str, Any]:
        """The word, and the change that it rests on."""
        same = condition == "A/A"
        extra = None if same else self.faces(condition)
        seeds = [seed + SEEDS for seed in self.seeds] if same else self.seeds
        arms = self.plain | {
            "synthetic": self.trained("original", seeds, extra),
            "synthetic+best": self.trained(self.best, seeds, extra),
        }
        data = TrainingData(self.sets["train"], np.ones(len(self.sets["train"]), np.float32), TrainConfig())
        outcomes = [Outcome(ARMS[name], data, STEPS, trained) for name, trained in arms.items()]
        truth = self.sets["test"].labels
        selection = selected({name: self.on_validation(trained) for name, trained in arms.items()})
        measured = [measure(truth, predictions(each), NAMES, resamples=SETTINGS.resamples) for each in outcomes]
        compared = compare(outcomes, measured, truth, selection)
        fitted = at_equal_shares(self.sets["val"], self.sets["test"], outcomes, SETTINGS.resamples, 0)[1]
        about, baselines = claimed(outcomes, selection)
        said = decide(outcomes, compared, selection, SETTINGS, fitted.get(about))
        change = next(c for c in compared if (c.arm, c.baseline) == (about, baselines[0])).changes["balanced_accuracy"]
        return {
            "word": said["word"],
            "base": baselines[0],
            "change": change.mean,
            "low": change.low,
            "high": change.high,
        }


def as_set(images: np.ndarray, labels: np.ndarray) -> ImageSet:
    """The faces as a set."""
    n = len(labels)
    text = np.full(n, "", dtype="U8")
    ids = np.arange(n).astype(str)
    return ImageSet(images, labels, NAMES, np.full(n, "train"), text, np.full(n, "real"), ids)


def probabilities_of(images: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int, way: str) -> np.ndarray:
    """(N, K) float32 of a small CNN (6,500 weights) after a fixed number of steps, with mirror images."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(1)
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
    counts = np.bincount(labels, minlength=len(NAMES))
    shift = torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32)) * (way == "logit-adjusted")
    drawn = (1 / counts if way == "oversample" else np.ones(len(NAMES)))[labels]
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        rows = torch.from_numpy(rng.choice(len(y), BATCH, p=drawn / drawn.sum()))
        batch = x[rows]
        batch = torch.where(torch.from_numpy(rng.random((BATCH, 1, 1, 1)) < 0.5), batch.flip(3), batch)
        optimiser.zero_grad()
        F.cross_entropy(net(batch) + shift, y[rows], label_smoothing=0.1).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        found: np.ndarray = net.eval()(standardised(asked)).softmax(1).numpy()
    return found


def one_trial(number: int, deadline: float, pool: Path) -> tuple[int, dict[str, Any] | None]:
    """A trial's words, None where it was not begun in time."""
    if time.time() > deadline:
        return number, None
    trial = Trial(number, *pool_of_faces(pool))
    return number, {condition: trial.judged(condition) for condition in CONDITIONS}


def summary_of(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per condition: how often each word came out, and the mean change."""
    rows = []
    for condition in CONDITIONS:
        found = [trial[condition] for trial in trials]
        said = [one["word"] for one in found]
        rows.append(
            {
                "condition": condition,
                "trials": len(found),
                "words": {word: said.count(word) for word in WORDS},
                "helps": share([word == "helps" for word in said]),
                "mean_change": float(np.mean([one["change"] for one in found])),
            }
        )
    return rows


def run_trials(
    about: str,
    one_trial: Callable[[int, float, Path], tuple[int, dict[str, Any] | None]],
    summary_of: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    result: Path,
    trials: int,
) -> None:
    """A script of trials: runs those that its file lacks, in processes, and writes file and summary after each.

    about: the help's text; one_trial(number, deadline, folder of the pool) gives None where it was not begun in time.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=trials)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1000.0, help="no trial is begun after this time")
    parser.add_argument("--pool", type=Path, default=Path(tempfile.gettempdir()) / "ganfer-verdict-truth")
    parser.add_argument("--out", type=Path, default=result)
    options = parser.parse_args()
    stored: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {"by_trial": {}}
    pool_of_faces(options.pool)
    deadline = time.time() + 60 * options.minutes
    missing = [n for n in range(options.trials) if str(n) not in stored["by_trial"]]
    jobs = (delayed(one_trial)(number, deadline, options.pool) for number in missing)
    for number, found in Parallel(options.workers, return_as="generator_unordered", batch_size=1)(jobs):
        if found is None:
            continue
        stored["by_trial"][str(number)] = found
        stored["summary"] = summary_of(list(stored["by_trial"].values()))
        stored["environment"] = environment()
        options.out.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        print(number, found, flush=True)
    for row in stored.get("summary", []):
        print(json.dumps(row))


if __name__ == "__main__":
    run_trials(__doc__ or "", one_trial, summary_of, RESULT, 200)
