"""Does the interval know what a GAN's luck brings? Equal arms (A/A), their GANs trained anew in every trial.

    python benchmarks/verdict_gans.py [--trials 60] [--workers 2] [--minutes 60]

Each trial draws a long-tailed training set and a test set anew (as benchmarks/verdict_trained.py does), and trains six
small GANs on it that differ in their seeds alone. Two arms of three paired seeds learn from the real images and from
faces that fill every class up. In truth the arms are equal: of any two GANs either may be the better one. `one GAN
each`: all seeds of an arm learn from one GAN's faces, as in an experiment with one batch. `three GANs each`: the seeds
take turns with three GANs, whose spread is then part of the interval (`ganfer retrain --batches A,B,C`). Reported: how
often the 95% interval of the difference of balanced accuracy excludes 0, and how wide it is. Trials that are recorded
in benchmarks/results/verdict_gans.json are not run again.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from gan_common import workspace_of
from recipe_records import wilson
from verdict_trained import FULL, NAMES, SEEDS, SETTINGS, TRAIN, Trial, pool_of_faces, run_trials

from ganfer.config import load_config
from ganfer.gan import open_gan, train_gan
from ganfer.statistics.verdict import changes, measure

RESULT = Path(__file__).parent / "results" / "verdict_gans.json"
STEPS, BATCH, WIDTH = 600, 32, 8
LEVEL = 0.95
CONDITIONS = {"one GAN each": ((0, 0, 0), (3, 3, 3)), "three GANs each": ((0, 1, 2), (3, 4, 5))}


def faces_of(trial: Trial, number: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Faces (N, 1, 24, 24) and labels that fill the training set up, by a GAN of its own."""
    real = trial.sets["train"]
    workspace, data = workspace_of(folder, np.asarray(real.images), real.labels, NAMES)
    settings = {
        "network": "resgan", "base_channels": WIDTH, "latent_dim": 32, "batch_size": BATCH, "steps": STEPS,
        "snapshot_every": STEPS, "guidance": 0.0,
    }  # fmt: skip
    config = load_config(None, {"device": "cpu", "seed": number, **{f"gan.{k}": v for k, v in settings.items()}})
    run = train_gan(workspace, config, data)
    assert run.path is not None
    labels = np.repeat(np.arange(len(NAMES)), [FULL - count for count in TRAIN])
    return open_gan(run.path, "cpu").sample(np.arange(len(labels)), labels), labels


def one_trial(number: int, deadline: float, pool: Path) -> tuple[int, dict[str, Any] | None]:
    """A trial's differences with their intervals, None where it was not begun in time."""
    import torch

    if time.time() > deadline:
        return number, None
    torch.set_num_threads(1)
    began, trial = time.time(), Trial(10_000 + number, *pool_of_faces(pool))
    with tempfile.TemporaryDirectory() as folder:
        gans = sorted({gan for arms in CONDITIONS.values() for turns in arms for gan in turns})
        drawn = {gan: faces_of(trial, 100 * number + gan, Path(folder) / str(gan)) for gan in gans}
    truth, found = trial.sets["test"].labels, dict[str, Any]()
    plain = [measured_of(trial, trained, truth, None) for trained in trial.plain.values()]
    for name, arms in CONDITIONS.items():
        pair = []
        for turns in arms:
            trained = tuple(
                trial.trained("original", [seed], drawn[gan])[0] for seed, gan in zip(trial.seeds, turns, strict=True)
            )
            several = np.arange(SEEDS) if len(set(turns)) > 1 else None
            pair.append(measured_of(trial, trained, truth, several))
        change = changes(pair[0], pair[1], LEVEL, among=[*plain, *pair])["balanced_accuracy"]
        gain = changes(pair[0], plain[0], LEVEL, among=[*plain, *pair])["balanced_accuracy"]
        found[name] = {"change": change.mean, "low": change.low, "high": change.high, "over original": gain.mean}
    return number, found | {"seconds": round(time.time() - began, 1)}


def measured_of(trial: Trial, trained: tuple[Any, ...], truth: np.ndarray, generators: np.ndarray | None) -> Any:
    """All figures of an arm."""
    guesses = np.stack([each.probabilities.argmax(axis=1) for each in trained])
    return measure(truth, guesses, NAMES, resamples=SETTINGS.resamples, generators=generators)


def summary_of(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per condition: how often the interval excludes 0, its half-width, the spread of the true differences."""
    rows = []
    for condition in CONDITIONS:
        found = [trial[condition] for trial in trials]
        wrong = sum(not one["low"] <= 0 <= one["high"] for one in found)
        rows.append(
            {
                "condition": condition,
                "trials": len(found),
                "excludes 0": wrong,
                "share": wrong / len(found),
                "interval": wilson(wrong / len(found), len(found)),
                "half-width": float(np.median([(one["high"] - one["low"]) / 2 for one in found])),
                "spread of the changes": float(np.std([one["change"] for one in found], ddof=1)) if found[1:] else None,
                "mean over original": float(np.mean([one["over original"] for one in found])),
            }
        )
    return rows


if __name__ == "__main__":
    run_trials(__doc__ or "", one_trial, summary_of, RESULT, 60)
