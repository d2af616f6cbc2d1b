"""One trial: a training whose validation figures are reported as it goes, and which can be stopped for them."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import Samples, TrainConfig, train
from classifiers.device import device_of
from classifiers.many import with_threads
from classifiers.samples import arrays_of, samples_of
from classifiers.scheduler import Place
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


@dataclasses.dataclass(frozen=True)
class Splits:
    """What all trials are trained on and judged by. The test split is not among it."""

    training: Samples
    validation: Samples
    class_names: tuple[str, ...]

    @classmethod
    def read(cls, data: Path) -> "Splits":
        """Those of a data set."""
        images = read_set(data)
        return cls(samples(images.of("train")), samples(real_only(images, "val")), images.class_names)

    def arrays(self) -> dict[str, np.ndarray]:
        """As a task takes them."""
        return {**arrays_of("train", self.training), **arrays_of("val", self.validation)}


def trial_task(
    place: Place, class_names: tuple[str, ...], config: TrainConfig, seed: int, device: str, metric: str,
    threads: int | None,
) -> dict[str, Any]:  # fmt: skip
    """A trial where it runs; whoever asked for it answers each report, whether to stop."""
    splits = Splits(samples_of("train", place.arrays), samples_of("val", place.arrays), class_names)
    own = device_of(place.worker, device)
    with with_threads(threads):
        return run_trial(splits, place.folder, config, seed, own, metric, lambda *report: bool(place.ask(report)))


def run_trial(
    splits: Splits, folder: Path, config: TrainConfig, seed: int, device: str, metric: str, report: Report
) -> dict[str, Any]:
    """Train in `folder`, where an interrupted training goes on; returns the validation figures and seconds.

    Raises Pruned when `report` says stop, ClassifierError when these settings cannot be trained.
    """
    told = 0

    def watch(row: Mapping[str, float], total: int) -> None:
        nonlocal told
        part = min(PARTS, int(PARTS * row["step"] / total))
        while told < part:
            told += 1
            if report(told, row[_COLUMN[metric]]) and told < PARTS:
                raise Pruned

    result = train(
        config, splits.training, splits.validation, splits.class_names, folder, seed=seed, device=device, watch=watch
    )
    return {**{name: result.validation[name] for name in FIGURES}, "seconds": result.seconds}
