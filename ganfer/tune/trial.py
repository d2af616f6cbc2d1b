"""One trial: a training whose validation figures are reported as it goes, and which can be stopped for them."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from classifiers import Samples, TrainConfig, train
from ganfer.classifier.train import real_only, samples
from ganfer.data.imageset import read_set

PARTS = 10  # a training's progress is reported in tenths, so that trainings of any length can be compared
# (part done 1..PARTS, figure so far) -> whether to stop
Report = Callable[[int, float], bool]
# metric -> the column of the training's history that stands for it
_COLUMN = {
    "balanced_accuracy": "val_balanced_accuracy",
    "accuracy": "val_accuracy",
    "macro_f1": "val_macro_f1",
    "nll": "val_loss",
}
FIGURES = (*_COLUMN, "ece")


class Pruned(Exception):
    """The trial was stopped: others were further at this point."""


@functools.lru_cache(maxsize=1)
def _splits(data: Path) -> tuple[Samples, Samples, tuple[str, ...]]:
    """Training and validation samples of a data set. The test split is not read."""
    images = read_set(data)
    return samples(images.of("train")), samples(real_only(images, "val")), images.class_names


def run_trial(
    data: Path, folder: Path, config: TrainConfig, seed: int, device: str, metric: str, report: Report
) -> dict[str, Any]:
    """Train in `folder`, where an interrupted training goes on; returns the validation figures and seconds.

    Raises Pruned when `report` says stop, ClassifierError when these settings cannot be trained.
    """
    training, validation, names = _splits(data)
    told = 0

    def watch(row: Mapping[str, float], total: int) -> None:
        nonlocal told
        part = min(PARTS, int(PARTS * row["step"] / total))
        while told < part:
            told += 1
            if report(told, row[_COLUMN[metric]]) and told < PARTS:
                raise Pruned

    result = train(config, training, validation, names, folder, seed=seed, device=device, watch=watch)
    return {**{name: result.validation[name] for name in FIGURES}, "seconds": result.seconds}
