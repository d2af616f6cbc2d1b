"""What an experiment costs before it starts: how many trainings, of how many steps, and about how long."""

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifiers.config import TrainConfig
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.page.numbers import duration
from ganfer.workspace import Run, Workspace

_WARM_UP = (4, 16)  # steps of the two short trainings whose difference is timed
_ALIKE = ("model", "batch_size", "augment", "mixup", "cutmix", "precision", "optimizer", "ema", "compile")


@dataclass(frozen=True)
class Budget:
    """trainings: at most. steps: of each, None before the data is there. seconds: for all, None where nothing tells.

    source: what the estimate comes from.
    """

    trainings: int
    steps: int | None
    seconds: float | None
    source: str

    def lines(self) -> list[str]:
        """One line for the plan."""
        steps = f" of {self.steps:,} steps" if self.steps else ""
        time_words = f"about {duration(self.seconds)} ({self.source})" if self.seconds is not None else self.source
        return [f"at most {self.trainings} trainings{steps}: {time_words}"]


def budget_of(
    config: Config,
    trainings: int,
    workspace: Workspace | None,
    data: Run | None,
    *,
    real: ImageSet | None = None,
    val: ImageSet | None = None,
) -> Budget:
    """The budget of an experiment: from the newest record of a like training, else from a warm-up on the images.

    Trainings side by side share the machine, so they are counted one after the other: an estimate on the safe side.
    """
    count = len(real) if real is not None else _train_count(data) if data is not None else None
    if count is None:
        return Budget(trainings, None, None, "time unknown before there is data")
    from classifiers.parts import total_steps

    steps = total_steps(config.classifier, max(1, count))
    assert workspace is not None
    assert data is not None
    per_step, source = _from_records(workspace, config, data), "from the classifier trained before"
    if per_step is None and real is not None and val is not None:
        per_step, source = _warm_up(config, real, val), "from a short warm-up"
    if per_step is None:
        return Budget(trainings, steps, None, "time unknown before a warm-up")
    return Budget(trainings, steps, trainings * steps * per_step, source)


def _train_count(data: Run) -> int | None:
    """Training images of a data set, from its record; None where the record does not say."""
    counts: Any = data.figures.get("counts", {})
    train = counts.get("train") if isinstance(counts, dict) else None
    return sum(train.values()) if isinstance(train, dict) else None


def _from_records(workspace: Workspace, config: Config, data: Run) -> float | None:
    """Seconds per step of the newest classifier of this workspace that was trained alike, on this data and device."""
    wanted = dataclasses.asdict(config.classifier)
    for run in reversed(workspace.runs("classifiers")):
        record = run.record
        key = record.get("key", {})
        had, steps = key.get("config", {}), record.get("figures", {}).get("steps")
        same_device = config.device in ("auto", str(record.get("device", "")).partition(":")[0])
        alike = all(had.get(name) == wanted[name] for name in _ALIKE)
        if run.complete and steps and alike and same_device and key.get("inputs", {}).get("data") == data.digest:
            return float(record["seconds"]) / steps
    return None


def _warm_up(config: Config, real: ImageSet, val: ImageSet) -> float:
    """Seconds per step, validations left out, from the difference of two short trainings."""
    from classifiers import train
    from ganfer.classifier.train import samples

    taken = []
    some = val.select(range(min(len(val), 64)))
    for steps in _WARM_UP:
        brief: TrainConfig = dataclasses.replace(config.classifier, steps=steps, validations=1, tensorboard=False)
        with tempfile.TemporaryDirectory(prefix="ganfer-warm-up-") as folder:
            started = time.monotonic()
            train(brief, samples(real), samples(some), real.class_names, Path(folder), device=config.device)
            taken.append(time.monotonic() - started)
    return max(1e-4, (taken[1] - taken[0]) / (_WARM_UP[1] - _WARM_UP[0]))
